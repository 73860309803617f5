//! The routes of the receivers: reads requests, and responds as each protocol requires.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use session_guard_core::token::JwtType;
use session_guard_core::token::statement::Statement;
use tokio::sync::SemaphorePermit;

use super::rejection::{Rejection, RejectionReason};
use super::report::ReceiverProtocol;
use super::{Receivers, global_revocation, logout_token, token_revocation};
use crate::access::bearer;
use crate::clock::{unix_seconds, wait_until};
use crate::error::Error;
use crate::http::body;
use crate::issuers::TrustedIssuer;
use crate::issuers::settings::IssuerSettings;
use crate::service::Service;

/// Returns the routes. They need no API token, because a message is signed by its issuer.
pub(crate) fn routes(receivers: Receivers) -> Router<Service> {
    Router::new()
        .route("/v1/backchannel-logout", post(backchannel_logout))
        .route("/v1/realms/{realm}/backchannel-logout", post(backchannel_logout))
        .route("/v1/events", post(events))
        .route("/v1/realms/{realm}/events", post(events))
        .route("/v1/global-token-revocation", post(global_token_revocation))
        .route("/v1/realms/{realm}/global-token-revocation", post(global_token_revocation))
        .route("/oauth/revoke", post(revoke_token))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(receivers)
}

/// The realm in the path; `None` for the empty realm.
type Realm = Option<Path<String>>;

/// `POST …/backchannel-logout`: 200, or 400 with a JSON `error` (§2.8).
async fn backchannel_logout(
    State(receivers): State<Receivers>,
    realm: Realm,
    request: Request,
) -> Response {
    let realm = realm.map(|Path(realm)| realm).unwrap_or_default();
    if !receivers.serves(&realm, |settings| settings.backchannel_logout.is_some()) {
        return Error::NotFound.into_response();
    }
    let mut response = match receivers.log_out(&realm, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(rejection) => {
            receivers.state.reports.rejected(
                ReceiverProtocol::BackchannelLogout,
                &realm,
                &rejection,
            );
            let error = match rejection.reason {
                RejectionReason::Unavailable => "temporarily_unavailable",
                RejectionReason::NotStored => "server_error",
                _ => "invalid_request",
            };
            let body = json!({"error": error, "error_description": rejection.detail});
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    };
    no_store(&mut response);
    response
}

/// `POST …/events`: 202, or 400 with `err` and `description` (RFC 8935 §2.3). 503 asks the
/// transmitter to send the token again.
async fn events(State(receivers): State<Receivers>, realm: Realm, request: Request) -> Response {
    let realm = realm.map(|Path(realm)| realm).unwrap_or_default();
    if !receivers.serves(&realm, |settings| settings.events.is_some()) {
        return Error::NotFound.into_response();
    }
    let mut response = match receivers.push(&realm, request).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(rejection) => {
            receivers.state.reports.rejected(ReceiverProtocol::EventsPush, &realm, &rejection);
            if rejection.reason.is_temporary() {
                return unavailable(&rejection);
            }
            let body =
                json!({"err": event_error(rejection.reason), "description": rejection.detail});
            let language = [(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"))];
            (StatusCode::BAD_REQUEST, language, Json(body)).into_response()
        }
    };
    no_store(&mut response);
    response
}

/// `POST …/global-token-revocation`: 204, or an error in the form that the draft requires.
async fn global_token_revocation(
    State(receivers): State<Receivers>,
    realm: Realm,
    request: Request,
) -> Response {
    let realm = realm.map(|Path(realm)| realm).unwrap_or_default();
    if !receivers.serves(&realm, |settings| settings.global_token_revocation.is_some()) {
        return Error::NotFound.into_response();
    }
    let mut response = match receivers.revoke_globally(&realm, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(rejection) => {
            receivers.state.reports.rejected(
                ReceiverProtocol::GlobalTokenRevocation,
                &realm,
                &rejection,
            );
            if rejection.reason.is_temporary() {
                return unavailable(&rejection);
            }
            let (status, error) = global_error(rejection.reason);
            let body = json!({"error": error, "error_description": rejection.detail});
            let mut response = (status, Json(body)).into_response();
            if status == StatusCode::UNAUTHORIZED {
                let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    };
    no_store(&mut response);
    response
}

/// `POST /oauth/revoke`: 200 for unknown tokens too (RFC 7009 §2.2), or 503 with `Retry-After`.
async fn revoke_token(State(receivers): State<Receivers>, request: Request) -> Response {
    if !receivers.state.issuers.iter().any(|issuer| issuer.settings.token_revocation) {
        return Error::NotFound.into_response();
    }
    let mut response = match receivers.end_token(request).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(rejection) => {
            receivers.state.reports.rejected(ReceiverProtocol::TokenRevocation, "", &rejection);
            if rejection.reason.is_temporary() {
                return unavailable(&rejection);
            }
            let error = "invalid_request";
            let body = json!({"error": error, "error_description": rejection.detail});
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
    };
    no_store(&mut response);
    response
}

impl Receivers {
    async fn log_out(&self, realm: &str, request: Request) -> Result<(), Rejection> {
        let _place = self.enter()?;
        let body = self.read(request, "application/x-www-form-urlencoded").await?;
        let token = one_parameter(&body, "logout_token").ok_or_else(|| {
            Rejection::bad_request("The form must contain exactly one `logout_token` (§2.5).")
        })?;
        let may_send = |settings: &IssuerSettings| settings.backchannel_logout.is_some();
        let genuine = self.genuine(realm, token.as_bytes(), JwtType::Logout, may_send).await;
        let (issuer, statement) = genuine?;
        let settings = &issuer.settings;
        let audiences = settings.backchannel_logout.as_deref().unwrap_or_default();
        let claims = statement.claims()?;
        let accepted = logout_token::read(&claims, settings, audiences, unix_seconds())?;
        let protocol = ReceiverProtocol::BackchannelLogout;
        let respond_at = self.store(&accepted, protocol, settings).await?;
        wait_until(respond_at).await;
        self.state.reports.accepted(protocol, &settings.issuer, &accepted.notes);
        Ok(())
    }

    async fn end_token(&self, request: Request) -> Result<(), Rejection> {
        let _place = self.enter()?;
        let body = self.read(request, "application/x-www-form-urlencoded").await?;
        let token = one_parameter(&body, "token").ok_or_else(|| {
            Rejection::bad_request("The form does not hold exactly one `token` (RFC 7009 §2.1).")
        })?;
        let statement = Statement::parse(token.as_bytes(), JwtType::Access);
        let mut has_ended = false;
        if let Some(statement) = statement {
            for issuer in self.state.issuers.iter().filter(|issuer| {
                let IssuerSettings { token_revocation, token_issuers, .. } = &issuer.settings;
                let named = statement.named_issuer();
                *token_revocation && token_issuers.iter().any(|issuer| named == Some(issuer))
            }) {
                has_ended |= self.end_token_of(issuer, &statement).await?;
            }
        }
        if !has_ended {
            let what = "a token that is unknown, expired or revoked already";
            self.state.reports.ignored(ReceiverProtocol::TokenRevocation, "", what);
        }
        Ok(())
    }

    /// Revokes a token in the realm of this issuer's entry. Returns whether this has changed
    /// anything.
    async fn end_token_of(
        &self,
        issuer: &TrustedIssuer,
        statement: &Statement<'_>,
    ) -> Result<bool, Rejection> {
        let settings = &issuer.settings;
        let revoked = match self.check(issuer, statement).await {
            Ok(genuine) => {
                let input = statement.signing_input();
                token_revocation::read(&genuine.claims()?, input, settings, unix_seconds())
            }
            Err(rejection) => Err(rejection),
        };
        let revoked = match revoked {
            Err(rejection) if rejection.reason.is_temporary() => return Err(rejection),
            Ok(None) | Err(_) => return Ok(false),
            Ok(Some(revoked)) => revoked,
        };
        if self.state.service.log().find(revoked.token.key()).is_some() {
            return Ok(false);
        }
        let protocol = ReceiverProtocol::TokenRevocation;
        let respond_at = self.store(&revoked.effect, protocol, settings).await?;
        wait_until(respond_at).await;
        self.state.reports.accepted(protocol, &settings.issuer, &[]);
        Ok(true)
    }

    async fn push(&self, realm: &str, request: Request) -> Result<(), Rejection> {
        let _place = self.enter()?;
        let token = self.read(request, "application/secevent+jwt").await?;
        let respond_at = self.take_event(realm, &token, ReceiverProtocol::EventsPush).await?;
        wait_until(respond_at).await;
        Ok(())
    }

    async fn revoke_globally(&self, realm: &str, request: Request) -> Result<(), Rejection> {
        let _place = self.enter()?;
        let credential = bearer(request.headers()).map(<[u8]>::to_vec).ok_or_else(|| {
            let detail = "The call has no `Authorization: Bearer` with a JWT.";
            Rejection::new(RejectionReason::Malformed, detail)
        })?;
        let body = self.read(request, "application/json").await?;
        let may_send = |settings: &IssuerSettings| settings.global_token_revocation.is_some();
        let purpose = JwtType::GlobalTokenRevocation;
        let (issuer, statement) = self.genuine(realm, &credential, purpose, may_send).await?;
        let settings = &issuer.settings;
        let audiences = settings.global_token_revocation.as_deref().unwrap_or_default();
        let now = unix_seconds();
        let iat = global_revocation::check_caller(&statement.claims()?, audiences, now)?;
        let accepted = global_revocation::read(&body, settings, iat, now)?;
        let protocol = ReceiverProtocol::GlobalTokenRevocation;
        let respond_at = self.store(&accepted, protocol, settings).await?;
        wait_until(respond_at).await;
        self.state.reports.accepted(protocol, &settings.issuer, &[]);
        Ok(())
    }

    /// Returns a permit to process a request.
    ///
    /// # Errors
    ///
    /// Too many requests are being processed.
    fn enter(&self) -> Result<SemaphorePermit<'_>, Rejection> {
        let full = "Too many requests at a time; send it again.";
        self.state
            .requests
            .try_acquire()
            .map_err(|_| Rejection::new(RejectionReason::Unavailable, full))
    }

    /// Reads a body of this media type.
    async fn read(&self, request: Request, media_type: &'static str) -> Result<Bytes, Rejection> {
        if !is_of_type(request.headers(), media_type) {
            let detail = format!("The content type is not {media_type}.");
            return Err(Rejection::new(RejectionReason::BadRequest, detail));
        }
        body::read(request, BODY_BYTES).await.map_err(|error| {
            let (_, _, detail) = error.answer();
            Rejection::new(RejectionReason::BadRequest, detail.to_owned())
        })
    }
}

/// Returns whether there is exactly one content type and it is this one. Ignores parameters.
fn is_of_type(headers: &HeaderMap, media_type: &str) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let named = one.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    named.trim().eq_ignore_ascii_case(media_type)
}

/// Returns the value of a form's parameter, if the parameter occurs exactly once.
fn one_parameter(form: &[u8], name: &str) -> Option<String> {
    let mut values = form_urlencoded::parse(form).filter(|(known, _)| known == name);
    match (values.next(), values.next()) {
        (Some((_, value)), None) => Some(value.into_owned()),
        _ => None,
    }
}

/// Returns the error code of RFC 8935 §2.4.
pub(super) fn event_error(reason: RejectionReason) -> &'static str {
    match reason {
        RejectionReason::UnknownIssuer => "invalid_issuer",
        RejectionReason::WrongAudience => "invalid_audience",
        RejectionReason::Algorithm | RejectionReason::UnknownKey => "invalid_key",
        RejectionReason::BadSignature => "authentication_failed",
        _ => "invalid_request",
    }
}

/// Returns status and error code: 400 for an invalid request, 403 for a user of another issuer, 422
/// for a user that cannot be identified here, and 401 for every problem with the caller's
/// credential.
fn global_error(reason: RejectionReason) -> (StatusCode, &'static str) {
    match reason {
        RejectionReason::BadRequest | RejectionReason::BadSubject | RejectionReason::WrongEvent => {
            (StatusCode::BAD_REQUEST, "invalid_request")
        }
        RejectionReason::ForeignSubject => (StatusCode::FORBIDDEN, "access_denied"),
        RejectionReason::UnsupportedSubject => {
            (StatusCode::UNPROCESSABLE_ENTITY, "unsupported_subject")
        }
        _ => (StatusCode::UNAUTHORIZED, "invalid_token"),
    }
}

fn unavailable(rejection: &Rejection) -> Response {
    let body = json!({"code": rejection.reason.name(), "detail": rejection.detail});
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    no_store(&mut response);
    response
}

fn no_store(response: &mut Response) {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Longest body: a token of [`STATEMENT_BYTES_LIMIT`](session_guard_core::token::statement), and
/// the encoding of a form.
pub(super) const BODY_BYTES: usize = 32 << 10;
