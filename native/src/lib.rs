//! session-guard as a dynamic module of Envoy: it connects [`session_guard_core`] to Envoy without
//! the WebAssembly sandbox.
//!
//! Everything here calls Envoy and decides nothing, as in the proxy-wasm filter (`src/`). Each hook
//! gathers its inputs as bytes, calls the core, and applies what the core returns.
//!
//! # Threads
//!
//! Envoy loads configurations and delivers responses to their calls on the main thread. It serves
//! each request on one worker thread. [`main_thread`] polls the feed and fetches keys. Each worker
//! has its own verifier and token cache ([`worker`]). All threads share the revocation set
//! ([`host`]). A thread that changes the set wakes the workers that have open requests ([`wake`]).
//! Each configuration has one more thread, the [`ticker`], which wakes the main thread. It is
//! needed because Envoy offers no timer to a filter's configuration.
//!
//! # Unsafe code
//!
//! Only [`abi`] has unsafe code.
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
mod local_reply;
mod log;
mod main_thread;
mod metrics;
mod outgoing;
mod request;
mod signatures;
mod ticker;
mod wake;
mod worker;
