//! The routes of the HTTP interface.
//!
//! [`TOKEN_ROUTES`] says which rights the routes below `/v1` need. A route that is not in that table
//! does not respond, so no route can be added without a decision about its rights.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, MatchedPath, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::json;

use crate::access::right::Right;
use crate::access::{Caller, bearer};
use crate::agent::{self, Agent};
use crate::audit::AuditOrigin;
use crate::clock::{unix_seconds, wait_until};
use crate::cursor::ProxyPosition;
use crate::error::Error;
use crate::http::body;
use crate::http::connections::ServiceConnection;
use crate::metrics;
use crate::operator::audit::audit;
use crate::operator::lookup::{lookup, lookup_body};
use crate::operator::page::{form, overview};
use crate::operator::status::status;
use crate::plan::Submission;
use crate::poll::poll;
use crate::receivers::{Receivers, routes};
use crate::request::{BODY_BYTES, Batch};
use crate::service::{Service, WRITER_ENDED};

/// Returns the HTTP interface without a listener, so that tests can call it in-process. Without
/// `receivers`, the routes for messages of identity providers do not exist.
pub fn app(service: Service, receivers: Option<Receivers>) -> Router {
    let v1 = Router::new()
        .route("/v1/revocations", get(poll).post(revoke))
        .route("/v1/revocations/lookup", get(lookup).post(lookup_body))
        .route("/v1/audit", get(audit))
        .route("/v1/status", get(status))
        .route("/v1/stream-verifications/{state}", get(verification))
        .layer(Extension(receivers.clone()))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(from_fn_with_state(service.clone(), authorize));
    Router::new()
        .merge(v1)
        .merge(receivers.map(routes::routes).unwrap_or_default())
        .route("/", get(overview).post(form))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(render_metrics))
        .fallback(async || Error::NotFound)
        .method_not_allowed_fallback(async || Error::MethodNotAllowed)
        .with_state(service)
}

/// A route that needs an API token.
#[derive(Debug)]
pub struct TokenRoute {
    /// The method. `HEAD` needs what `GET` needs.
    pub method: &'static str,
    /// The path, with the names of its variable parts.
    pub path: &'static str,
    /// The rights of which the token must have at least one.
    rights: &'static [Right],
    scope: RealmScope,
}

/// What a token that is limited to some realms gets from a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RealmScope {
    /// The part that concerns its realms; the handler rejects calls about other realms.
    Own,
    /// Nothing.
    Every,
}

/// The routes that need an API token.
pub const TOKEN_ROUTES: [TokenRoute; 7] = {
    const READ: &[Right] = &[Right::Read];
    const fn route(
        method: &'static str,
        path: &'static str,
        rights: &'static [Right],
        scope: RealmScope,
    ) -> TokenRoute {
        TokenRoute { method, path, rights, scope }
    }
    [
        route("GET", "/v1/revocations", READ, RealmScope::Every),
        // The handler checks which of them the revocations need.
        route("POST", "/v1/revocations", &[Right::Revoke, Right::Admin], RealmScope::Own),
        route("GET", "/v1/revocations/lookup", READ, RealmScope::Own),
        route("POST", "/v1/revocations/lookup", READ, RealmScope::Own),
        route("GET", "/v1/audit", READ, RealmScope::Own),
        route("GET", "/v1/status", READ, RealmScope::Own),
        route("GET", "/v1/stream-verifications/{state}", READ, RealmScope::Own),
    ]
};

impl TokenRoute {
    /// Returns the route of a request.
    fn of(request: &Request) -> Result<&'static Self, Error> {
        let path = request.extensions().get::<MatchedPath>().ok_or(Error::NotFound)?;
        let method = match request.method() {
            &Method::HEAD => "GET",
            method => method.as_str(),
        };
        let mut routes = TOKEN_ROUTES.iter().filter(|route| route.path == path.as_str()).peekable();
        routes.peek().ok_or(Error::NotFound)?;
        routes.find(|route| route.method == method).ok_or(Error::MethodNotAllowed)
    }

    /// Checks that the caller may use the route.
    fn permit(&self, caller: &Caller) -> Result<(), Error> {
        let right = self.rights.iter().find(|right| caller.has(**right)).or(self.rights.first());
        let right = *right.ok_or(Error::NotFound)?;
        match self.scope {
            RealmScope::Own => caller.require(right),
            RealmScope::Every => caller.require_everywhere(right),
        }
    }
}

/// Checks the API token and its rights before anything else of a request is read.
async fn authorize(
    State(service): State<Service>,
    headers: HeaderMap,
    mut request: Request,
    next: Next,
) -> Response {
    let connection = request.extensions().get::<Arc<ServiceConnection>>();
    let authenticate = |caller| match connection {
        Some(connection) => connection.authenticate().map(|()| caller),
        None => Ok(caller), // a test calls without a connection
    };
    let caller = service.parts.access.caller(bearer(&headers)).and_then(authenticate);
    let mut answer = match &caller {
        Ok(caller) => match TokenRoute::of(&request).and_then(|route| route.permit(caller)) {
            Ok(()) => {
                request.extensions_mut().insert(caller.clone());
                next.run(request).await
            }
            Err(error) => error.into_response(),
        },
        Err(error) => {
            if *error == Error::Unauthorized && service.parts.unauthorized_log.admits(()) {
                let caller = connection.map(|it| it.peer.to_string()).unwrap_or_default();
                tracing::warn!(
                    caller,
                    "a call was refused (401): its API token is missing or unknown here; compare \
                     SIGNOUT_TOKEN of the proxy or the command line with the tokens of this service"
                );
            }
            error.clone().into_response()
        }
    };
    let status = answer.status();
    if let Ok(caller) = &caller
        && status == StatusCode::FORBIDDEN
        && service.parts.forbidden.admits(caller.token_name().to_owned())
    {
        tracing::warn!(
            api_token = caller.token_name(),
            "an API token lacks a right that its calls need, so they get 403: change its entry in the \
             tokens file (--tokens), or give the caller another token"
        );
    }
    service.parts.metrics.answers.with_label_values(&[status.as_str()]).inc();
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// `POST /v1/revocations`.
async fn revoke(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Error> {
    let body = body::read(request, BODY_BYTES).await?;
    let mut batch = Batch::read(&body, unix_seconds())?;
    permit(&caller, &batch)?;
    let records = std::mem::take(&mut batch.records);
    let size = records.len();
    let mut notes = std::mem::take(&mut batch.notes);
    if let Some(realm) = agent::realm(&headers).filter(|_| batch.has_records) {
        // A record in the feed's form, which a proxy sends, names no realm.
        notes.iter_mut().for_each(|note| note.realm.clone_from(&realm));
    }
    let origin = origin(&headers, &caller);
    let submission = Submission { records, origin, trace_id: agent::trace_id(&headers), notes };
    let written = service.write(submission).await;
    let metrics = &service.parts.metrics;
    let received = |result, count| {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        metrics.received.with_label_values(&[result]).inc_by(count);
    };
    let (result, stored) = match &written {
        Ok(written) if written.is_new => ("stored", written.stored),
        Ok(written) => ("known", written.stored),
        Err(_) => ("refused", 0),
    };
    received(result, stored);
    received("refused", size - stored);
    received("past", batch.past);
    if batch.has_all {
        tracing::info!(result, "a call asked for a cutoff for all users");
    }
    tracing::debug!(revocations = size, stored, past = batch.past, result, "revocations received");
    let written = written?;
    wait_until(batch.answer_at).await;
    if stored < size {
        metrics.without_room.inc_by(u64::try_from(size - stored).unwrap_or(u64::MAX));
        tracing::warn!(
            refused = size - stored,
            "--capacity is used up, so revocations were rejected with 507: their users get 503, and \
             other proxies still accept the tokens; raise --capacity"
        );
        return Err(Error::Full { accepted: batch.accepted(stored) });
    }
    let status = if written.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let cursor = ProxyPosition::After(written.position).cursor();
    Ok((status, Json(json!({"cursor": cursor.as_str()}))).into_response())
}

/// Checks that the caller may make these revocations.
fn permit(caller: &Caller, batch: &Batch) -> Result<(), Error> {
    if batch.has_others {
        caller.require(Right::Revoke)?;
    }
    if batch.has_all && batch.has_records && !caller.has(Right::Admin) {
        return Err(Error::NeedsAdmin);
    }
    if batch.has_all {
        caller.require(Right::Admin)?;
    }
    let right = if batch.has_others { Right::Revoke } else { Right::Admin };
    if batch.has_records {
        caller.require_everywhere(right)?;
    }
    batch.notes.iter().try_for_each(|note| caller.require_in(right, &note.realm))
}

/// Returns the caller, for the audit.
fn origin(headers: &HeaderMap, caller: &Caller) -> AuditOrigin {
    let agent = Agent::of(headers);
    let (via, name) = match agent.proxy() {
        Some((FORWARD_AUTH, _)) => (FORWARD_AUTH, String::new()),
        Some((_, id)) => ("proxy", id.to_owned()),
        None if agent.is_command_line() => ("command_line", String::new()),
        None => ("api", agent.program),
    };
    AuditOrigin { via: via.to_owned(), name, api_token: caller.token_name().to_owned() }
}

/// The sign-outs that this service has decided about for another proxy.
const FORWARD_AUTH: &str = "forward_auth";

/// `GET /v1/stream-verifications/{state}`: whether a verification event with this state has arrived.
async fn verification(
    Extension(receivers): Extension<Option<Receivers>>,
    Path(state): Path<String>,
) -> Result<Response, Error> {
    let has_arrived = match receivers {
        Some(receivers) => receivers.has_verified(&state).await,
        None => false,
    };
    has_arrived.then(|| Json(json!({"verified": true})).into_response()).ok_or(Error::NotFound)
}

/// `GET /healthz`: responds 503 if the writer thread has ended, so that only a restart helps.
async fn health(State(service): State<Service>) -> Response {
    verdict((!service.is_alive()).then_some(WRITER_ENDED))
}

/// `GET /readyz`: responds 503 if the service is stopping, its writer thread has ended, or a shared
/// store has been unreadable for too long. If the store rejects writes, it responds 200, because
/// the feed still works, and the body names the problem.
async fn ready(State(service): State<Service>) -> Response {
    match (service.unready_reason(), service.durability().refusal()) {
        (None, Some(problem)) => {
            Json(json!({"status": "ok", "writes": "refused", "detail": problem})).into_response()
        }
        (reason, _) => verdict(reason),
    }
}

fn verdict(problem: Option<&'static str>) -> Response {
    match problem {
        None => Json(json!({"status": "ok"})).into_response(),
        Some(problem) => Error::Busy(problem).into_response(),
    }
}

/// `GET /metrics`.
async fn render_metrics(State(service): State<Service>) -> Result<Response, Error> {
    service.parts.metrics.observe(&service.log(), service.parts.capacity);
    let text = service.parts.metrics.render().map_err(|error| {
        tracing::error!(%error, "the metrics cannot be rendered, so /metrics responds 503");
        Error::Busy("The metrics cannot be rendered.")
    })?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}
