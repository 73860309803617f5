//! An empty dynamic module of Envoy, which measures the minimum cost of every such filter.
//!
//! Envoy creates an object for each request, calls the module with the headers of the request and of
//! the response, and deletes the object. The functions between Envoy and this module are those of the
//! native filter: `native/src/abi.rs`, the same file.
//!
//! With the configuration `crossings`, the module also makes every call into Envoy that the native
//! filter makes for a token seen before, and ignores the results: it reads the headers, adds the user
//! id, and creates and deletes a scheduler. No code of the native filter can be faster; the filter's
//! additional cost is its own code.

#[allow(dead_code, reason = "the native filter uses all of it")]
#[path = "../../../native/src/abi.rs"]
mod abi;

mod configuration {
    pub(crate) use crate::EmptyConfiguration as Loaded;
}

mod request {
    pub(crate) use crate::EmptyExchange as NativeExchange;
}

/// What the module keeps of its configuration.
pub(crate) struct EmptyConfiguration {
    crosses: bool,
}

/// What the module keeps of a request.
pub(crate) struct EmptyExchange {
    crosses: bool,
}

mod hooks {
    //! The functions that Envoy calls.

    use std::hint::black_box;
    use std::rc::Rc;
    use std::sync::Arc;

    use session_guard_core::call::Response;

    use crate::abi::{ConfigurationHandle, HookStatus, Map, RequestHandle};
    use crate::{EmptyConfiguration, EmptyExchange};

    pub(crate) fn configure(
        _: ConfigurationHandle<'_>,
        text: &[u8],
    ) -> Option<Arc<EmptyConfiguration>> {
        Some(Arc::new(EmptyConfiguration { crosses: text == br#""crossings""# }))
    }

    pub(crate) fn unload(_: Arc<EmptyConfiguration>) {}

    pub(crate) fn tick(_: ConfigurationHandle<'_>, _: &Arc<EmptyConfiguration>) {}

    pub(crate) fn answered(
        _: ConfigurationHandle<'_>,
        _: &Arc<EmptyConfiguration>,
        _: u64,
        _: Option<Response>,
    ) {
    }

    pub(crate) fn begin(configuration: &Arc<EmptyConfiguration>) -> Option<Rc<EmptyExchange>> {
        Some(Rc::new(EmptyExchange { crosses: configuration.crosses }))
    }

    pub(crate) fn end(_: Rc<EmptyExchange>) {}

    pub(crate) fn request_headers(
        request: &mut RequestHandle<'_>,
        exchange: &EmptyExchange,
    ) -> HookStatus {
        if exchange.crosses {
            drop(black_box(request.headers(Map::RequestHeaders)));
            request.add_header(Map::RequestHeaders, b"x-user-id", USER_ID);
            drop(black_box(request.scheduler()));
        }
        HookStatus::Continue
    }

    pub(crate) fn request_trailers(_: &mut RequestHandle<'_>, _: &EmptyExchange) -> HookStatus {
        HookStatus::Continue
    }

    pub(crate) fn response_headers(_: &mut RequestHandle<'_>, _: &EmptyExchange) -> HookStatus {
        HookStatus::Continue
    }

    pub(crate) fn called(
        _: &mut RequestHandle<'_>,
        _: &EmptyExchange,
        _: u64,
        _: Option<Response>,
    ) {
    }

    pub(crate) fn woken(_: &mut RequestHandle<'_>, _: &EmptyExchange, _: u64) {}

    pub(crate) fn panicked(request: &mut RequestHandle<'_>) {
        request.respond(503, "empty_module_panicked", &[], "");
    }

    /// As long as a user id of the benchmark's tokens.
    const USER_ID: &[u8] = b"00000000-0000-4000-8000-000000000000";
}

mod log {
    //! A module that panics in a benchmark spoils it, and the default message on the standard error
    //! says where.

    pub(crate) fn show_panics() {}
}
