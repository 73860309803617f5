//! The functions that Envoy calls, without their C signatures.
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
use crate::{local_reply, log, main_thread};

/// Loads a configuration. `None` refuses it, and Envoy then keeps the previous one.
pub(crate) fn configure(envoy: ConfigurationHandle<'_>, text: &[u8]) -> Option<Arc<Loaded>> {
    match Loaded::new(envoy, text) {
        Ok(loaded) => Some(loaded),
        Err(error) => {
            log::write(Severity::Error, &format!("the configuration does not load: {error}"));
            None
        }
    }
}

/// Frees a configuration that Envoy drops.
pub(crate) fn unload(loaded: Arc<Loaded>) {
    loaded.end();
    main_thread::unload(&loaded);
}

/// Runs the tick of a configuration on the main thread, after the ticker has woken it.
pub(crate) fn tick(envoy: ConfigurationHandle<'_>, loaded: &Arc<Loaded>) {
    main_thread::with(loaded, |main| main.tick(envoy));
}

/// Handles the outcome of a call of the main thread: a response, or `None` if the call failed.
pub(crate) fn answered(
    envoy: ConfigurationHandle<'_>,
    loaded: &Arc<Loaded>,
    id: u64,
    answer: Option<Response>,
) {
    main_thread::with(loaded, |main| main.answered(envoy, id, answer));
}

/// Creates the state of a new request on this worker. `None` makes Envoy close the request.
pub(crate) fn begin(loaded: &Arc<Loaded>) -> Option<Rc<NativeExchange>> {
    Some(Rc::new(NativeExchange::new(Worker::of(loaded)?)))
}

/// Frees the state of a request that Envoy drops.
pub(crate) fn end(exchange: Rc<NativeExchange>) {
    exchange.end();
}

/// Handles the headers of a request.
pub(crate) fn request_headers(
    request: &mut RequestHandle<'_>,
    exchange: &NativeExchange,
) -> HookStatus {
    exchange.request_headers(request)
}

/// Handles the trailers of a request.
pub(crate) fn request_trailers(
    request: &mut RequestHandle<'_>,
    exchange: &NativeExchange,
) -> HookStatus {
    exchange.request_trailers(request)
}

/// Handles the headers of the application's response.
pub(crate) fn response_headers(
    request: &mut RequestHandle<'_>,
    exchange: &NativeExchange,
) -> HookStatus {
    exchange.response_headers(request)
}

/// Handles the outcome of a call made for a request: a response, or `None` if the call failed.
pub(crate) fn called(
    request: &mut RequestHandle<'_>,
    exchange: &NativeExchange,
    _: u64,
    answer: Option<Response>,
) {
    exchange.called(request, answer);
}

/// Handles an event that a scheduler has sent to the request.
pub(crate) fn woken(request: &mut RequestHandle<'_>, exchange: &NativeExchange, event: u64) {
    exchange.woken(request, event);
}

/// Responds 503 to a request whose hook has panicked. The state of this worker may be half written,
/// so it is dropped and rebuilt for the next request.
pub(crate) fn panicked(request: &mut RequestHandle<'_>) {
    Worker::forget_all();
    local_reply::send(request, 503, "session_guard_panicked", &[("retry-after", "2")], "");
}
