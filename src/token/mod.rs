//! Is a token genuine?
