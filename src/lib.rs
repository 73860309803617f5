//! Makes sign-out real at the edge.
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

pub mod admission;
pub mod clock;
pub mod config;
pub mod feed;
pub mod headers;
pub mod host;
pub mod keys;
pub mod metrics;
pub mod outbox;
pub mod path;
pub mod refusal;
pub mod revocation;
pub mod routes;
pub mod shared_data;
pub mod signout;
pub mod sources;
pub mod token;
pub mod upstream;
