//! The response to a check.
//!
//! A response that admits the request names every identity header, with an empty value if it must
//! not reach the application. The proxy overwrites these headers with the values of the response,
//! so that no client can forge one.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use session_guard_core::headers::Edit;
use session_guard_core::refusal::{LocalResponse, Refusal, Sentences};

use crate::forward_auth::engine::{CheckPurpose, CheckVerdict};

/// Returns the headers of a response that admits a request with these edits. `None` if one of the
/// edits changes anything but the identity headers `names`: no response can do that.
pub(super) fn carried(names: &[HeaderName], edits: &[Edit]) -> Option<HeaderMap> {
    let empty = names.iter().map(|name| (name.clone(), HeaderValue::from_static("")));
    let mut headers: HeaderMap = empty.collect();
    for edit in edits {
        let (name, value) = match edit {
            Edit::Remove(name) => (name, &[][..]),
            Edit::Set(name, value) | Edit::Add(name, value) => (name, &**value),
        };
        let known = names.iter().find(|known| known.as_str().as_bytes() == &**name)?;
        headers.insert(known, HeaderValue::from_bytes(value).ok()?);
    }
    Some(headers)
}

/// Returns the response to a check.
pub(super) fn of(verdict: CheckVerdict, purpose: CheckPurpose) -> Response {
    let refused = match (verdict, purpose) {
        (CheckVerdict::Admitted(mut headers), CheckPurpose::Decide) => {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return (StatusCode::OK, headers).into_response();
        }
        // The state has changed since the request was refused: the next try succeeds.
        (CheckVerdict::Admitted(_), CheckPurpose::Refuse) => {
            Sentences::default().response(&Refusal::Unavailable.into(), &[])
        }
        (CheckVerdict::Refused(response), _) => response,
    };
    let LocalResponse { status, code_details, headers, body } = refused;
    tracing::debug!(status, reason = code_details, "refused");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(edits: &[Edit]) -> Option<Vec<(String, String)>> {
        let names = ["x-user-id", "x-email"].map(HeaderName::from_static);
        let headers = carried(&names, edits)?;
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        lines.sort();
        Some(lines)
    }

    fn lines(email: &str, user: &str) -> Option<Vec<(String, String)>> {
        let lines = [("x-email", email), ("x-user-id", user)];
        Some(lines.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }

    fn remove(name: &str) -> Edit {
        Edit::Remove(name.as_bytes().into())
    }

    fn set(name: &str, value: &str) -> Edit {
        Edit::Set(name.as_bytes().into(), value.as_bytes().into())
    }

    #[test]
    fn every_identity_header_has_a_value_or_is_empty() {
        assert_eq!(edits(&[]), lines("", ""));
        assert_eq!(edits(&[remove("x-email"), set("x-user-id", "ada")]), lines("", "ada"));
        assert_eq!(edits(&[set("x-user-id", "\u{e9}va")]), lines("", "\u{e9}va"));
    }

    #[test]
    fn an_edit_that_no_response_can_carry_is_refused() {
        for edit in [
            remove("x_user_id"),
            remove("authorization"),
            set("cookie", "a=1"),
            set(":path", "/"),
            set("connection", "upgrade"),
            set("x-user-id", "a\nb"),
        ] {
            assert_eq!(edits(&[set("x-email", "a"), edit.clone()]), None, "{edit:?}");
        }
    }
}
