//! How are the signout service and the issuers of keys called?

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};
use session_guard_core::call::{Call, Response};

use crate::raw;

/// Where the service is and what it knows us by.
pub(crate) struct Service {
    pub(crate) cluster: String,
    pub(crate) authority: String,
    /// `Bearer <API token>`.
    pub(crate) authorization: String,
}

impl Service {
    /// Sends a call from the context that is active now, which will get the answer under the number
    /// returned. `None`: it could not be sent (no such cluster, no healthy host, circuit open).
    pub(crate) fn send(&self, call: &Call) -> Option<u32> {
        let authorization = ("authorization", self.authorization.as_str());
        send(&self.cluster, &self.authority, &[authorization], call)
    }
}

/// The same to anybody, with these headers besides the call's own.
pub(crate) fn send(
    cluster: &str,
    authority: &str,
    more: &[(&str, &str)],
    call: &Call,
) -> Option<u32> {
    let mut headers = vec![
        (":method", call.method),
        (":path", call.path.as_str()),
        (":authority", authority),
        (":scheme", "http"),
    ];
    headers.extend(more);
    headers.extend(call.headers);
    let body = (!call.body.is_empty()).then_some(call.body.as_slice());
    let timeout = Duration::from_millis(call.timeout_milliseconds);
    hostcalls::dispatch_http_call(cluster, headers, body, vec![], timeout).ok()
}

/// The answer to a call, inside the callback that announces it.
///
/// No headers means that the call failed, also half way through the body. Asking for any of them
/// then is an error that the SDK does not expect, and panics on.
pub(crate) fn answer(num_headers: usize, body_size: usize) -> Option<Response> {
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
