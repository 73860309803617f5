//! How does the core reach Envoy?
//!
//! The only room that calls the proxy. It gathers inputs as bytes, calls one function of the core,
//! and carries out what that returns. It compiles on every target, so that clippy and rustdoc see
//! it; only the module's entry point is for wasm.

mod callout;
mod clock;
#[cfg(feature = "panic-drill")]
mod drill;
mod filter;
mod metrics;
mod raw;
mod request;
mod root;
mod shared_data;
mod signatures;
mod ticks;

/// Tells the SDK which context answers for a configuration: the first thing that runs in a VM.
pub fn start() {
    proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
}

#[cfg(target_arch = "wasm32")]
#[allow(missing_docs, unreachable_pub)] // the macro's own function
mod entry {
    proxy_wasm::main! {{ super::start() }}
}
