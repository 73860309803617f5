//! How does the core reach Envoy?
