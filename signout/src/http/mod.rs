//! HTTP: accepting, limits and TLS of connections, bodies of requests, and the client.

pub(crate) mod body;
pub mod client;
pub mod connections;
pub mod server;
pub mod tls;
