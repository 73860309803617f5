//! In which ways does the service say no, and what does the caller get to see?
//!
//! One enum, one table: status, stable code, sentence. Nothing is stored where one of these is
//! answered. A sentence may repeat what the caller sent, so it goes to the caller and not to the
//! log; the log gets status and code.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why a call is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The body is not JSON.
    NotJson(String),
    /// The query is not one of the feed.
    BadQuery(String),
    /// No API token came, or none that is valid.
    Unauthorized,
    /// No such path.
    NotFound,
    /// The path is there, the method is not.
    MethodNotAllowed,
    /// The body did not arrive in time.
    SlowBody,
    /// The body or the list in it is too long.
    TooLarge(String),
    /// JSON, but not a revocation.
    Unacceptable(String),
    /// The cutoff for all, without the admin token that it needs here.
    NeedsAdmin,
    /// Too much at once; another moment will do.
    Busy(&'static str),
    /// As many authenticated connections are open as may be.
    TooManyConnections,
    /// The store does not take anything at the moment.
    StoreUnavailable,
    /// The store does not keep what it acknowledges, and must not be used like that.
    StoreNotDurable(String),
    /// Others may have stored what we do not know of, and we cannot ask.
    StoreUnreachable,
    /// The service holds as many revocations as it may. Its cutoffs, and the records before the
    /// first that did not fit, are stored.
    Full {
        /// How many records of the request are stored.
        accepted: usize,
    },
}

impl Error {
    /// The table: status, stable code, sentence.
    #[must_use]
    pub fn answer(&self) -> (StatusCode, &'static str, &str) {
        match self {
            Self::NotJson(detail) => (StatusCode::BAD_REQUEST, "not_json", detail),
            Self::BadQuery(detail) => (StatusCode::BAD_REQUEST, "bad_query", detail),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "This call needs `Authorization: Bearer` with a valid API token.",
            ),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found", "There is no such path."),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This path does not answer this method.",
            ),
            Self::SlowBody => {
                (StatusCode::REQUEST_TIMEOUT, "slow_body", "The body did not arrive in time.")
            }
            Self::TooLarge(detail) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail),
            Self::Unacceptable(detail) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "unacceptable", detail)
            }
            // Not 403: a proxy sends a refused batch again record by record after a 422 alone,
            // and one cutoff for all must not hold back what else it has to tell.
            Self::NeedsAdmin => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "needs_admin_token",
                "The cutoff for all needs the admin token (SIGNOUT_ADMIN_TOKEN).",
            ),
            Self::Busy(detail) => (StatusCode::SERVICE_UNAVAILABLE, "busy", detail),
            Self::TooManyConnections => (
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_connections",
                "Too many connections are open (--max-connections); try again, or ask another \
                 replica.",
            ),
            Self::StoreUnavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                "The store does not take revocations at the moment; try again.",
            ),
            Self::StoreNotDurable(problem) => {
                (StatusCode::SERVICE_UNAVAILABLE, "store_not_durable", problem)
            }
            Self::StoreUnreachable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unreachable",
                "The store cannot be asked what is new; try again, or ask another replica.",
            ),
            Self::Full { .. } => (
                StatusCode::INSUFFICIENT_STORAGE,
                "full",
                "The service holds as many revocations as --capacity admits. The first `accepted` \
                 revocations of the request are stored, its cutoffs before the others.",
            ),
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

/// A second: what is in the way (a full queue, a herd of resets) passes, or is worth a look again.
const RETRY_AFTER_SECONDS: &str = "1";
