//! The demo's story, independent of where Envoy and the service run.

mod live_request;
mod provider;
mod steps;
pub mod story;

pub use provider::IdentityProvider;
