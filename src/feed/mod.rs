//! How does the proxy learn what was revoked elsewhere?

pub mod wire;
