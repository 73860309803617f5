//! How does the filter call the signout service and the issuers of keys?

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};
use session_guard_core::call::{Call, Response};
use session_guard_core::root::Destination;

use crate::raw;

/// Sends a call from the context that is effective now, which gets the response under the returned
/// number. Returns `None` if the call cannot be sent (no such cluster, no healthy host, circuit open).
pub(crate) fn send(destination: &Destination, call: &Call) -> Option<u32> {
    let mut headers = vec![
        (":method", call.method),
        (":path", call.path.as_str()),
        (":authority", destination.authority.as_str()),
        (":scheme", "http"),
    ];
    headers.extend(destination.authorization.as_deref().map(|value| ("authorization", value)));
    headers.extend(call.headers);
    let body = (!call.body.is_empty()).then_some(call.body.as_slice());
    let timeout = Duration::from_millis(call.timeout_milliseconds);
    hostcalls::dispatch_http_call(&destination.cluster, headers, body, vec![], timeout).ok()
}

/// Returns the response to a call, inside the callback that announces it; `None` if the call failed.
///
/// A call failed if there are no headers, even halfway through the body. Reading a header would then
/// be an error that the SDK does not expect and panics on.
pub(crate) fn response(num_headers: usize, body_size: usize) -> Option<Response> {
    if num_headers == 0 {
        return None;
    }
    let headers = raw::headers(MapType::HttpCallResponseHeaders)?;
    let body = match body_size {
        0 => Vec::new(),
        size => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok()??,
    };
    (body.len() == body_size).then_some(Response { headers, body })
}
