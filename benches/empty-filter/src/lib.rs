//! What does a filter cost that does nothing?
//!
//! The floor of every proxy-wasm filter: Envoy makes a context, calls it with the headers of the
//! request and of the answer, and deletes it. Built as the filter is, with the same exports.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

struct Nothing;

impl Context for Nothing {}

impl HttpContext for Nothing {}

impl RootContext for Nothing {
    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Nothing))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// Tells the SDK which context answers for a configuration.
pub fn start() {
    proxy_wasm::set_root_context(|_| Box::new(Nothing));
}

#[cfg(target_arch = "wasm32")]
#[allow(missing_docs, unreachable_pub)] // the macro's own function
mod entry {
    proxy_wasm::main! {{ super::start() }}
}
