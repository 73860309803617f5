//! The service's connections: how they are accepted, limited and served.

pub mod connections;
pub mod server;
pub mod tls;
