//! Starts a real Envoy.
