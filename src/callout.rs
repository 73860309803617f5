//! Calls the signout service and the issuers of keys.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};
use session_guard_core::call::{Call, Response};
use session_guard_core::headers::Headers;
use session_guard_core::root::Destination;

use crate::raw;

/// Sends a call from the effective context and returns Envoy's number for it. Envoy delivers the
/// response to that context, under that number.
///
/// Returns `None` if the call cannot be sent (no such cluster, no healthy host, circuit open).
pub(crate) fn send(destination: &Destination, call: &Call) -> Option<u32> {
    let mut headers = vec![
        (":method", call.method),
        (":path", call.path.as_str()),
        (":authority", destination.authority.as_str()),
        (":scheme", "http"),
    ];
    headers.extend(destination.authorization.as_deref().map(|value| ("authorization", value)));
    headers.extend(destination.headers.iter().map(|(name, value)| (*name, value.as_str())));
    headers.extend(call.headers.iter().map(|(name, value)| (*name, &**value)));
    let body = (!call.body.is_empty()).then_some(call.body.as_slice());
    let timeout = Duration::from_millis(call.timeout_milliseconds);
    hostcalls::dispatch_http_call(&destination.cluster, headers, body, vec![], timeout).ok()
}

/// Reads the response to a call. Valid only inside the callback that announces the response.
///
/// Returns `None` if the call failed. A call without headers has failed, even if a part of its body
/// has arrived. Reading a header of such a call returns a status that the SDK panics on.
pub(crate) fn response(num_headers: usize, body_size: usize) -> Option<Response> {
    if num_headers == 0 {
        return None;
    }
    let headers = raw::headers(MapType::HttpCallResponseHeaders)?;
    let headers = Headers::parse(&headers)?.into_owned();
    let body = match body_size {
        0 => Vec::new(),
        size => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok()??,
    };
    (body.len() == body_size).then_some(Response { headers, body })
}
