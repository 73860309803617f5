//! Forward auth: decides about requests for proxies that ask another server.
//!
//! NGINX (`auth_request`), Caddy and Traefik (forward auth) and Envoy (`ext_authz` over HTTP) send
//! one *check* per request, and forward the request if the response to the check is 200. The
//! [core](session_guard_core) of the filter decides here, too: this module is one more host of it,
//! like the proxy-wasm filter and the dynamic module. [`settings`] says what forward auth cannot do.
//!
//! | path | where the check names the request |
//! | --- | --- |
//! | `/check/original` | `X-Original-Method`, `-URI`, `-Host` (NGINX) |
//! | `/check/forwarded` | `X-Forwarded-Method`, `-Uri`, `-Host` (Caddy, Traefik) |
//! | `/check/request/…` | the check's own method, path and host (Envoy) |
//! | `/refusal/…` | as `/check/…`, and never 200: NGINX gets the body of a refusal here |
//!
//! The operator chooses the path in the proxy's configuration. A client can therefore never choose
//! which of two headers is believed.
//!
//! # A listener of its own
//!
//! Checks need no API token, because their sender is the operator's proxy. They have their own
//! listener, so that `/v1` need not be reachable from the application's network.
//!
//! # The revocation set
//!
//! The core polls the feed and delivers sign-outs as in a proxy. Its calls reach the
//! [`app`](crate::app()) as function calls in this process. A check therefore reads the set in
//! memory, and a sign-out is durable before its check gets a response.

pub mod settings;

mod calls;
mod engine;
mod metrics;
mod original;
mod response;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};

use crate::app::app;
use crate::error::Error;
use crate::forward_auth::engine::{CheckPurpose, Engine, EngineHandle};
use crate::forward_auth::metrics::GuardMetrics;
use crate::forward_auth::original::RequestShape;
use crate::forward_auth::settings::GuardSettings;
use crate::http::connections::ServiceConnection;
use crate::log_limit::LogLimit;
use crate::service::Service;

/// Starts the thread that decides, and returns the HTTP interface for proxies.
///
/// # Errors
///
/// The operating system provides no thread, or the metrics are defined already.
pub fn start(settings: GuardSettings, service: Service) -> Result<Router, String> {
    let metrics = GuardMetrics::register(&service.parts.metrics);
    let metrics = metrics.map_err(|error| error.to_string())?;
    let engine = Engine::start(settings, app(service, None), metrics);
    Ok(routes(engine.map_err(|error| error.to_string())?))
}

/// What each check needs.
#[derive(Clone)]
struct Guard {
    engine: EngineHandle,
    /// Limits the lines about checks that do not name their request, by the header that is wrong.
    log_limit: Arc<LogLimit<&'static str>>,
}

fn routes(engine: EngineHandle) -> Router {
    let original = async |guard, request| {
        check(guard, request, RequestShape::Original, CheckPurpose::Decide).await
    };
    let forwarded = async |guard, request| {
        check(guard, request, RequestShape::Forwarded, CheckPurpose::Decide).await
    };
    let refusal = async |guard, request| {
        check(guard, request, RequestShape::Original, CheckPurpose::Refuse).await
    };
    Router::new()
        .route("/check/original", any(original))
        .route("/check/forwarded", any(forwarded))
        .route("/refusal/original", any(refusal))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .fallback(whole_request)
        .with_state(Guard { engine, log_limit: Arc::new(LogLimit::new()) })
}

/// `/check/request/…`: the check repeats the request. A router would not match every path.
async fn whole_request(guard: State<Guard>, request: Request) -> Response {
    match original::target_of_whole(request.uri()) {
        Some(_) => check(guard, request, RequestShape::Whole, CheckPurpose::Decide).await,
        None => Error::NotFound.into_response(),
    }
}

async fn check(
    State(guard): State<Guard>,
    request: Request,
    shape: RequestShape,
    purpose: CheckPurpose,
) -> Response {
    // A connection of a proxy stays open between checks, like one with an API token.
    let connection = request.extensions().get::<Arc<ServiceConnection>>();
    if let Some(Err(error)) = connection.map(|connection| connection.authenticate()) {
        return error.into_response();
    }
    let (parts, _) = request.into_parts();
    match original::headers(shape, &parts) {
        Ok(headers) => match guard.engine.check(headers, purpose).await {
            Some(verdict) => response::of(verdict, purpose),
            None => Error::Busy(ENGINE_ENDED).into_response(),
        },
        Err(bad) => {
            // A proxy that is not set up sends one such check for each request of its clients.
            if guard.log_limit.admits(bad.header) {
                tracing::warn!(reason = %bad, "a check was refused: its proxy is not set up");
            }
            Error::BadCheck(bad.to_string()).into_response()
        }
    }
}

/// `GET /healthz`: responds 503 if the thread that decides has ended, so that only a restart helps.
async fn health(State(guard): State<Guard>) -> Response {
    match guard.engine.is_alive() {
        true => axum::Json(serde_json::json!({"status": "ok"})).into_response(),
        false => Error::Busy(ENGINE_ENDED).into_response(),
    }
}

/// `GET /readyz`: responds 200 once the keys and the revocations have been loaded.
async fn ready(State(guard): State<Guard>) -> Response {
    match guard.engine.is_alive() && guard.engine.is_ready() {
        true => axum::Json(serde_json::json!({"status": "ok"})).into_response(),
        false => Error::Busy("The revocations are not loaded yet.").into_response(),
    }
}

const ENGINE_ENDED: &str = "The thread that decides has ended; restart the service.";
