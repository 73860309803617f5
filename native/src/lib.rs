//! session-guard as a dynamic module of Envoy: it connects [`session_guard_core`] to Envoy without the
//! sandbox of WebAssembly.
//!
//! Everything here calls Envoy and decides nothing, as in the proxy-wasm filter (`src/`). Each hook
//! gathers its inputs as bytes, calls the core, and applies what the core returns.
//!
//! # Threads
//!
//! Envoy loads a configuration and answers its calls on the main thread, and serves each request on one
//! worker. [`main_thread`] follows the feed and fetches keys. Each worker has its own verifier and
//! token cache ([`worker`]). All threads share the revocation set ([`host`]). A thread that changes the
//! set wakes the workers that have open requests ([`wake`]). One more thread per configuration, the
//! [`ticker`], wakes the main thread: Envoy has no timer for a filter's configuration.
//!
//! # Unsafe code
//!
//! Only [`abi`] has any.
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod abi;
mod configuration;
#[cfg(feature = "panic-drill")]
mod drill;
mod hooks;
mod host;
mod log;
mod main_thread;
mod metrics;
mod outgoing;
mod request;
mod signatures;
mod ticker;
mod wake;
mod worker;
