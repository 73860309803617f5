//! Calls to other servers and their responses, as values.
//!
//! The host adds the cluster, the authority and the API token, and returns the response unchanged.
//! Envoy itself generates a response for most failures (503 or 504 with a few bytes of text). A
//! response is therefore used only if it has exactly the form that the server would send.

pub mod backoff;
pub mod poller;

use std::borrow::Cow;

use crate::headers::Headers;

/// One HTTP request to the signout service or to an issuer of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `:method`.
    pub method: &'static str,
    /// `:path`, with the query.
    pub path: String,
    /// Further headers. The host adds Authorization.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Body; empty for GET.
    pub body: Vec<u8>,
    /// How long to wait for the response.
    pub timeout_milliseconds: u64,
}

/// The response to a [`Call`]. A call that failed (no headers at all) has no response.
#[derive(Clone, Debug)]
pub struct Response {
    /// Headers, including `:status`.
    pub headers: Headers<'static>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns the status if it is well-formed: exactly three digits.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let &[a, b, c] = self.headers.first(b":status")? else { return None };
        [a, b, c].iter().try_fold(0, |status, digit| match digit {
            b'0'..=b'9' => Some(status * 10 + u16::from(digit - b'0')),
            _ => None,
        })
    }

    /// Returns whether the response has exactly one `content-type` line, whose value is exactly
    /// `content_type`. A value with a parameter, such as `; charset=utf-8`, or in other case is not
    /// equal.
    #[must_use]
    pub fn is_of_type(&self, content_type: &str) -> bool {
        self.headers.values(b"content-type").eq([content_type.as_bytes()])
    }

    /// Returns `Retry-After` in seconds (RFC 9110 §10.2.3). A date in that header is ignored.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        std::str::from_utf8(self.headers.first(b"retry-after")?).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(pairs: &[(&str, &str)]) -> Response {
        Response { headers: Headers::from_pairs(pairs), body: Vec::new() }
    }

    #[test]
    fn status_is_three_digits() {
        assert_eq!(response(&[(":status", "200")]).status(), Some(200));
        for text in ["", "20", "0200", "+20", "2 0", "16959", "999999", "२00"] {
            assert_eq!(response(&[(":status", text)]).status(), None, "{text}");
        }
        assert_eq!(response(&[]).status(), None);
    }

    #[test]
    fn content_type_is_exact_and_comes_once() {
        let json = "application/json";
        assert!(response(&[("content-type", json)]).is_of_type(json));
        assert!(!response(&[("content-type", "application/json; charset=x")]).is_of_type(json));
        assert!(!response(&[("content-type", json), ("content-type", json)]).is_of_type(json));
        assert!(!response(&[]).is_of_type(json));
    }
}
