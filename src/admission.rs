//! May this request go on?
