//! The service's connections: accepting, limits, TLS.

pub mod connections;
pub mod server;
pub mod tls;
