//! The steps of the demo, independent of where Envoy and the service run.

pub mod walk;
