//! Does an response to the question for keys count?
//!
//! If it is exactly 200 and JSON, and comes whole. Everything else changes nothing, is counted by
//! reason and followed by a [wait](crate::call::backoff).

use std::fmt;

use crate::call::Response;

/// Why an response does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySetRejection {
    /// The call failed: no headers.
    NoResponse,
    /// 503: from the issuer, or from Envoy that cannot reach it.
    Unavailable,
    /// 504: from Envoy.
    TimedOut,
    /// Any other status but 200.
    Status,
    /// Neither JSON nor a JWK Set (RFC 7517 §8.5), or several types.
    ContentType,
    /// Longer than a set may be.
    TooLong,
    /// Not a JSON object with a list `keys`, or cut.
    NotASet,
    /// More keys than a set may have.
    TooManyKeys,
    /// No key that can verify a token.
    NoKeys,
    /// Another VM has fetched the set meanwhile.
    Superseded,
}

impl KeySetRejection {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::NoResponse,
        Self::Unavailable,
        Self::TimedOut,
        Self::Status,
        Self::ContentType,
        Self::TooLong,
        Self::NotASet,
        Self::TooManyKeys,
        Self::NoKeys,
        Self::Superseded,
    ];

    /// The word in `keys_rejected.<reason>`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoResponse => "no_answer",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Status => "status",
            Self::ContentType => "content_type",
            Self::TooLong => "too_long",
            Self::NotASet => "not_a_set",
            Self::TooManyKeys => "too_many_keys",
            Self::NoKeys => "no_keys",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for KeySetRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The JSON text of an response that may hold a set.
///
/// # Errors
///
/// Why it does not count.
pub fn judge(response: Option<&Response>) -> Result<&[u8], KeySetRejection> {
    let response = response.ok_or(KeySetRejection::NoResponse)?;
    match response.status() {
        Some(200) => {}
        Some(503) => return Err(KeySetRejection::Unavailable),
        Some(504) => return Err(KeySetRejection::TimedOut),
        _ => return Err(KeySetRejection::Status),
    }
    let mut types = response.headers.values(b"content-type");
    match (types.next(), types.next()) {
        (Some(one), None) if is_json(one) => Ok(&response.body),
        _ => Err(KeySetRejection::ContentType),
    }
}

/// `application/json` or `application/jwk-set+json`, in UTF-8 if anything is said of that.
fn is_json(content_type: &[u8]) -> bool {
    let mut parts = content_type.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_one_of = |part: &[u8], known: &[&str]| {
        known.iter().any(|known| part.eq_ignore_ascii_case(known.as_bytes()))
    };
    parts.next().is_some_and(|media| is_one_of(media, &MEDIA_TYPES))
        && parts.all(|parameter| is_one_of(parameter, &["charset=utf-8", "charset=\"utf-8\""]))
}

const MEDIA_TYPES: [&str; 2] = ["application/json", "application/jwk-set+json"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::Headers;

    fn judged(lines: &[(&str, &str)]) -> Result<(), KeySetRejection> {
        let response = Response { headers: Headers::from_pairs(lines), body: b"{}".to_vec() };
        judge(Some(&response)).map(|body| assert_eq!(body, b"{}"))
    }

    #[test]
    fn only_two_hundred_counts() {
        let json = ("content-type", "application/json");
        for (status, verdict) in [
            ("200", Ok(())),
            ("201", Err(KeySetRejection::Status)),
            ("204", Err(KeySetRejection::Status)),
            ("304", Err(KeySetRejection::Status)),
            ("0200", Err(KeySetRejection::Status)),
            ("500", Err(KeySetRejection::Status)),
            ("503", Err(KeySetRejection::Unavailable)),
            ("504", Err(KeySetRejection::TimedOut)),
        ] {
            assert_eq!(judged(&[(":status", status), json]), verdict, "{status}");
        }
        assert_eq!(judged(&[json]), Err(KeySetRejection::Status));
        assert_eq!(judge(None), Err(KeySetRejection::NoResponse));
    }

    #[test]
    fn only_json_counts() {
        let typed = |content_type| judged(&[(":status", "200"), ("content-type", content_type)]);
        for sound in [
            "application/json",
            "Application/JSON",
            "application/json;charset=UTF-8",
            "application/json ; charset=\"utf-8\"",
            "application/jwk-set+json",
        ] {
            assert_eq!(typed(sound), Ok(()), "{sound}");
        }
        for odd in [
            "",
            "text/html",
            "text/plain",
            "application/jsonp",
            "application/json, text/html",
            "application/json; charset=latin1",
            "application/json; a=b",
            "application/problem+json",
        ] {
            assert_eq!(typed(odd), Err(KeySetRejection::ContentType), "{odd}");
        }
        let json = ("content-type", "application/json");
        let twice = [(":status", "200"), json, json];
        assert_eq!(judged(&twice), Err(KeySetRejection::ContentType));
        assert_eq!(judged(&twice[..1]), Err(KeySetRejection::ContentType));
    }
}
