//! Carries out the core's calls: to the service as function calls in this process, and to issuers of
//! keys over HTTP.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use session_guard_core::call::{Call, Response};
use session_guard_core::headers::Headers;
use session_guard_core::root::{Destination, REALM_HEADER};
use tower::ServiceExt;

use crate::http::client::HttpClient;

/// Fetches keys from issuers.
#[derive(Clone)]
pub(super) struct KeyOrigins {
    /// The address of each issuer, by the name of its cluster.
    pub(super) origins: HashMap<String, String>,
    pub(super) client: HttpClient,
}

impl KeyOrigins {
    /// Sends a call for keys and returns the response, or `None` if there is none.
    pub(super) async fn fetch(&self, destination: Destination, call: Call) -> Option<Response> {
        let origin = self.origins.get(&destination.cluster)?.clone();
        let client = self.client.clone();
        let fetched = tokio::task::spawn_blocking(move || client.fetch_keys(&origin, call)).await;
        fetched.ok()?.inspect_err(|error| tracing::debug!(%error, "keys not fetched")).ok()
    }
}

/// Sends a call to the service and returns the response, or `None` if there is none in time.
pub(super) async fn send(api: Router, destination: Destination, call: Call) -> Option<Response> {
    let timeout = Duration::from_millis(call.timeout_milliseconds);
    tokio::time::timeout(timeout, respond(api, destination, call)).await.ok().flatten()
}

async fn respond(api: Router, destination: Destination, call: Call) -> Option<Response> {
    let Call { method, path, headers, body, .. } = call;
    let authorization = destination.authorization.unwrap_or_default();
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::AUTHORIZATION, authorization);
    let request = request.header(header::USER_AGENT, AGENT);
    let realm = destination.headers.iter().filter(|(name, _)| *name == REALM_HEADER);
    let request = realm.fold(request, |it, (name, value)| it.header(*name, value));
    let request = headers.iter().fold(request, |it, (name, value)| it.header(*name, &**value));
    let response: Result<_, Infallible> = api.oneshot(request.body(Body::from(body)).ok()?).await;
    let (parts, body) = response.ok()?.into_parts();
    let body = to_bytes(body, LONGEST_RESPONSE_BYTES).await.ok()?;
    let status = (&b":status"[..], parts.status.as_str().as_bytes());
    let lines = parts.headers.iter();
    let lines = lines.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let lines: Vec<_> = std::iter::once(status).chain(lines).collect();
    Some(Response { headers: Headers::from_pairs(&lines), body: body.into() })
}

/// How the calls appear in the audit and among the proxies of this service.
const AGENT: &str = concat!("session-guard/", env!("CARGO_PKG_VERSION"), " (forward_auth; local)");

/// Longest response: more than the largest page of the feed.
const LONGEST_RESPONSE_BYTES: usize = 16 << 20;
