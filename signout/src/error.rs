//! Rejections of requests: status, stable code and sentence, in one table.
//!
//! A rejected request stores nothing, except that a full service stores what fits. The sentence may
//! repeat what the caller sent, so it is sent to the caller and never logged. The log gets status
//! and code.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::access::right::Right;

/// Why a request is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The body is not JSON.
    NotJson(String),
    /// The query is not valid for the feed.
    BadQuery(String),
    /// A check of forward auth does not name the request that it is about.
    BadCheck(String),
    /// The request has no valid API token.
    Unauthorized,
    /// The path does not exist.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    SlowBody,
    /// The body, or the list in it, is too long.
    TooLarge(String),
    /// The body is JSON, but not a valid revocation.
    Unacceptable(String),
    /// The API token lacks this right.
    MissingRight(Right),
    /// The API token has this right, but not in this realm.
    OtherRealm(Right),
    /// The API token has this right in some realms, and the call concerns all of them.
    EveryRealm(Right),
    /// The API token lacks the right `admin` for a cutoff for all in the form of the feed.
    NeedsAdmin,
    /// The service cannot process the request now, for example because it is overloaded.
    Busy(&'static str),
    /// The limit of authenticated connections is reached.
    TooManyConnections,
    /// The store rejects writes.
    StoreUnavailable,
    /// The store may lose what it acknowledges, so the service acknowledges nothing.
    StoreNotDurable(String),
    /// The shared store cannot be read, so other services may have stored revocations that this one
    /// does not know.
    StoreUnreachable,
    /// The service has reached its capacity. The cutoffs of the request, and its other records up
    /// to the first that did not fit, are stored.
    Full {
        /// How many records of the request the caller need not send again, because they are stored
        /// or have expired.
        accepted: usize,
    },
}

impl Error {
    /// Returns status, stable code and sentence.
    #[must_use]
    pub fn answer(&self) -> (StatusCode, &'static str, &str) {
        match self {
            Self::NotJson(detail) => (StatusCode::BAD_REQUEST, "not_json", detail),
            Self::BadQuery(detail) => (StatusCode::BAD_REQUEST, "bad_query", detail),
            Self::BadCheck(detail) => (StatusCode::BAD_REQUEST, "bad_check", detail),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "This call needs `Authorization: Bearer` with a valid API token.",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "This path does not exist."),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This path does not support this method.",
            ),
            Self::SlowBody => {
                (StatusCode::REQUEST_TIMEOUT, "slow_body", "The body did not arrive in time.")
            }
            Self::TooLarge(detail) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail),
            Self::Unacceptable(detail) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unacceptable", detail)
            }
            Self::MissingRight(right) => {
                (StatusCode::FORBIDDEN, "missing_right", missing_right(*right))
            }
            Self::OtherRealm(right) => {
                let detail = match right {
                    Right::Revoke => "This API token has the right `revoke` in other realms only.",
                    Right::Read => "This API token has the right `read` in other realms only.",
                    Right::Admin => "This API token has the right `admin` in other realms only.",
                };
                (StatusCode::FORBIDDEN, "other_realm", detail)
            }
            Self::EveryRealm(right) => {
                let detail = match right {
                    Right::Revoke => {
                        "Records in the feed's form name no realm: they need an API token that has the \
                         right `revoke` in all realms."
                    }
                    Right::Read => {
                        "This call concerns all realms: it needs an API token that has the right `read` \
                         in all realms."
                    }
                    Right::Admin => {
                        "This call concerns all realms: it needs an API token that has the right `admin` \
                         in all realms."
                    }
                };
                (StatusCode::FORBIDDEN, "every_realm", detail)
            }
            // The status is not 403: a proxy sends a rejected batch again, record by record, only
            // after 400, 413 or 422. With 403, one cutoff for all would hold back the other records
            // of its batch.
            Self::NeedsAdmin => {
                (StatusCode::UNPROCESSABLE_ENTITY, "needs_admin_token", missing_right(Right::Admin))
            }
            Self::Busy(detail) => (StatusCode::SERVICE_UNAVAILABLE, "busy", detail),
            Self::TooManyConnections => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_connections",
                "Too many connections are open (--max-connections); try again, or use another \
                 replica.",
            ),
            Self::StoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                "The store rejects writes at the moment; try again.",
            ),
            Self::StoreNotDurable(problem) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_not_durable", problem)
            }
            Self::StoreUnreachable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unreachable",
                "The store cannot be read at the moment; try again, or another replica.",
            ),
            Self::Full { .. } => (
                StatusCode::INSUFFICIENT_STORAGE,
                "full",
                "The service holds as many revocations as --capacity allows. The first `accepted` \
                 revocations of the request, cutoffs first, are stored or have expired.",
            ),
        }
    }
}

fn missing_right(right: Right) -> &'static str {
    match right {
        Right::Revoke => {
            "This API token lacks the right `revoke` (for the cutoff for all: the right `admin`)."
        }
        Right::Read => "This API token lacks the right `read`.",
        Right::Admin => {
            "The cutoff for all needs the right `admin`, which this API token lacks (see \
             SIGNOUT_ADMIN_TOKEN and --tokens)."
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code, detail) = self.answer();
        tracing::debug!(status = status.as_u16(), code, "refused");
        let body = match &self {
            Self::Full { accepted } => {
                json!({"code": code, "detail": detail, "accepted": accepted})
            }
            _ => json!({"code": code, "detail": detail}),
        };
        let mut answer = (status, Json(body)).into_response();
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self == Self::TooManyConnections {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        answer
    }
}

/// `Retry-After` of a 503. A full queue or too many resets usually last for less than a second.
const RETRY_AFTER_SECONDS: &str = "1";
