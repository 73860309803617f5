//! Sends a response in place of the application's.
//!
//! # Why the module names the gRPC status itself
//!
//! For a gRPC request, Envoy turns a local reply into a gRPC response: HTTP status 200, and the
//! failure in `grpc-status`. It derives that status from the HTTP status for its own filters, but
//! takes 0 for every dynamic module. 0 means success, so a client would take a refused call for one
//! that worked. A header `grpc-status` of the reply replaces it.

use crate::abi::{Map, RequestHandle};

/// Sends a local reply. If the application's response has already begun, Envoy only ends it. The
/// access log shows the details as `%RESPONSE_CODE_DETAILS%`.
pub(crate) fn send(
    request: RequestHandle<'_>,
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

/// The beginning of the media type of every gRPC request. Envoy compares it exactly. A header
/// `grpc-status` on a response that Envoy does not turn into gRPC does no harm.
const GRPC: &[u8] = b"application/grpc";
