//! What is asked of the service, and what comes back?
//!
//! Values only: the host adds cluster, authority and API token, and hands the response over as it
//! came. Envoy makes up an response for most failures (503, 504 with a few bytes of text), so that
//! nothing may be taken for the service's own word that does not look exactly like it.

pub mod backoff;

use crate::headers::Headers;

/// One request to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `:method`.
    pub method: &'static str,
    /// `:path`, with query.
    pub path: String,
    /// Further headers; Authorization is the host's.
    pub headers: &'static [(&'static str, &'static str)],
    /// Body; empty for GET.
    pub body: Vec<u8>,
    /// How long to wait for the response.
    pub timeout_milliseconds: u64,
}

/// What a call has brought. Where it failed (no headers at all), there is none.
#[derive(Clone, Debug)]
pub struct Response {
    /// Headers, `:status` among them.
    pub headers: Headers,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// The status, where it is one: exactly three digits.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let &[a, b, c] = self.headers.first(b":status")? else { return None };
        [a, b, c].iter().try_fold(0, |status, digit| match digit {
            b'0'..=b'9' => Some(status * 10 + u16::from(digit - b'0')),
            _ => None,
        })
    }

    /// Whether the one content type of the response is this one, without parameters.
    #[must_use]
    pub fn is_of_type(&self, content_type: &str) -> bool {
        self.headers.values(b"content-type").eq([content_type.as_bytes()])
    }

    /// `Retry-After` in seconds (RFC 9110 §10.2.3); a date is not understood.
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
    fn a_status_is_three_digits() {
        assert_eq!(response(&[(":status", "200")]).status(), Some(200));
        for text in ["", "20", "0200", "+20", "2 0", "16959", "999999", "२00"] {
            assert_eq!(response(&[(":status", text)]).status(), None, "{text}");
        }
        assert_eq!(response(&[]).status(), None);
    }

    #[test]
    fn a_content_type_counts_when_it_is_exact_and_alone() {
        let json = "application/json";
        assert!(response(&[("content-type", json)]).is_of_type(json));
        assert!(!response(&[("content-type", "application/json; charset=x")]).is_of_type(json));
        assert!(!response(&[("content-type", json), ("content-type", json)]).is_of_type(json));
        assert!(!response(&[]).is_of_type(json));
    }
}
