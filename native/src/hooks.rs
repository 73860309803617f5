//! What does Envoy call?
//!
//! [`abi`](crate::abi) catches the panics of these functions.

use std::rc::Rc;
use std::sync::Arc;

use session_guard_core::call::Response;
use session_guard_core::severity::Severity;

use crate::abi::{ConfigurationHandle, HookStatus, RequestHandle};
use crate::configuration::Loaded;
use crate::request::NativeExchange;
use crate::worker::Worker;
use crate::{log, main_thread};

/// A configuration is to be loaded; `None` refuses it, and Envoy keeps the one before.
pub(crate) fn configure(envoy: ConfigurationHandle<'_>, text: &[u8]) -> Option<Arc<Loaded>> {
    match Loaded::new(envoy, text) {
        Ok(loaded) => Some(loaded),
        Err(error) => {
            log::write(Severity::Error, &format!("the configuration does not load: {error}"));
            None
        }
    }
}

/// Envoy drops a configuration.
pub(crate) fn unload(loaded: Arc<Loaded>) {
    loaded.end();
    main_thread::unload(&loaded);
}

/// The ticker has woken the main thread.
pub(crate) fn tick(envoy: ConfigurationHandle<'_>, loaded: &Arc<Loaded>) {
    main_thread::with(loaded, |main| main.tick(envoy));
}

/// A call of the main thread was answered, or has failed.
pub(crate) fn answered(
    envoy: ConfigurationHandle<'_>,
    loaded: &Arc<Loaded>,
    id: u64,
    answer: Option<Response>,
) {
    main_thread::with(loaded, |main| main.answered(envoy, id, answer));
}

/// A request begins on this worker; `None` closes it.
pub(crate) fn begin(loaded: &Arc<Loaded>) -> Option<Rc<NativeExchange>> {
    Some(Rc::new(NativeExchange::new(Worker::of(loaded)?)))
}

/// Envoy drops a request.
pub(crate) fn end(exchange: Rc<NativeExchange>) {
    exchange.end();
}

/// The headers of a request have come.
pub(crate) fn request_headers(request: RequestHandle<'_>, exchange: &NativeExchange) -> HookStatus {
    exchange.request_headers(request)
}

/// The trailers of a request have come.
pub(crate) fn request_trailers(
    request: RequestHandle<'_>,
    exchange: &NativeExchange,
) -> HookStatus {
    exchange.request_trailers(request)
}

/// The headers of the application's response have come.
pub(crate) fn response_headers(
    request: RequestHandle<'_>,
    exchange: &NativeExchange,
) -> HookStatus {
    exchange.response_headers(request)
}

/// A call of a request was answered, or has failed.
pub(crate) fn called(
    request: RequestHandle<'_>,
    exchange: &NativeExchange,
    _: u64,
    answer: Option<Response>,
) {
    exchange.called(request, answer);
}

/// A scheduler has woken the request.
pub(crate) fn woken(request: RequestHandle<'_>, exchange: &NativeExchange, event: u64) {
    exchange.woken(request, event);
}

/// A hook of this request has panicked: it is not to pass, and what this worker knows may be half
/// written, so that it is made anew for the next request.
pub(crate) fn panicked(request: RequestHandle<'_>) {
    Worker::forget_all();
    request.respond(503, "session_guard_panicked", &[("retry-after", "2")], "");
}
