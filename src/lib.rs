//! The proxy-wasm filter: it connects [`session_guard_core`] to Envoy and Istio.
//!
//! Everything here calls the proxy and decides nothing. Each callback gathers its inputs as bytes,
//! calls one function of the core, and applies the effects that the core returns. The crate compiles
//! on every target, so that clippy and rustdoc check it; only the entry point is specific to wasm.
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod callout;
#[cfg(feature = "panic-drill")]
mod drill;
mod host;
mod metrics;
mod raw;
mod request;
mod root;
mod signatures;

/// Registers the root context with the SDK. Envoy calls this first in every VM.
pub fn start() {
    proxy_wasm::set_root_context(|id| Box::new(root::RootOfVm::new(id)));
}

#[cfg(target_arch = "wasm32")]
#[allow(missing_docs, unreachable_pub)] // the macro's own function
mod entry {
    proxy_wasm::main! {{ super::start() }}
}
