//! Sends a response in place of the application's.
//!
//! # Why the module names the gRPC status itself
//!
//! For a gRPC request, Envoy turns a local reply into a gRPC response: HTTP status 200, and the
//! failure in `grpc-status`. For its own filters, Envoy derives `grpc-status` from the HTTP status,
//! but for every dynamic module it uses 0. 0 means success, so a client would believe that a
//! refused call has worked. A header `grpc-status` in the reply replaces Envoy's value.

use crate::abi::{Map, RequestHandle};

/// Sends a local reply. If the application's response has already begun, Envoy only ends it. The
/// access log shows the details as `%RESPONSE_CODE_DETAILS%`.
pub(crate) fn send(
    request: &mut RequestHandle<'_>,
    status: u16,
    details: &str,
    headers: &[(&str, &str)],
    body: &str,
) {
    let media_type = request.first_header(Map::RequestHeaders, "content-type");
    let is_grpc = media_type.is_some_and(|it| it.starts_with(GRPC));
    let grpc_status = is_grpc.then(|| ("grpc-status", grpc_status(status)));
    let headers: Vec<_> = headers.iter().copied().chain(grpc_status).collect();
    request.respond(status, details, &headers, body);
}

/// Returns the gRPC status for an HTTP status, as gRPC maps it (`http-grpc-status-mapping.md`).
fn grpc_status(http: u16) -> &'static str {
    match http {
        401 => "16", // UNAUTHENTICATED
        503 => "14", // UNAVAILABLE
        _ => "2",    // UNKNOWN
    }
}

/// The beginning of the media type of every gRPC request. Envoy compares the media type exactly, so
/// it may not turn the response into gRPC; then the header `grpc-status` does no harm.
const GRPC: &[u8] = b"application/grpc";
