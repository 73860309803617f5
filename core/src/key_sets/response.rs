//! Decides whether a response to a fetch of keys is accepted.
//!
//! A response is accepted if its status is exactly 200, its content type is that of JSON, and it is
//! complete. Any other response is rejected: it changes nothing, is counted by reason, and is
//! followed by a [wait](crate::call::backoff).

use std::fmt;

use crate::call::Response;

/// Why a response was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeySetRejection {
    /// The call failed: there are no headers.
    NoResponse,
    /// Status 503: from the issuer, or from Envoy if it cannot reach the issuer.
    Unavailable,
    /// Status 504: from Envoy, if the issuer does not respond in time.
    TimedOut,
    /// The status is neither 200 nor one of the above.
    Status,
    /// The content type is not JSON, a JWK Set (RFC 7517 §8.5) or plain text, or there are several.
    ContentType,
    /// The body is longer than [`SET_BYTES_LIMIT`](super::document::SET_BYTES_LIMIT).
    TooLong,
    /// The body is not a JSON object with a list `keys`, or it is incomplete.
    NotASet,
    /// The set has more keys than [`SET_KEYS_LIMIT`](super::document::SET_KEYS_LIMIT).
    TooManyKeys,
    /// None of the keys can verify a token.
    NoKeys,
    /// Another VM has fetched the set since this fetch was sent.
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

    /// Returns the word in `keys_rejected.<reason>`.
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

    /// Returns the reason in words, for the log.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Self::NoResponse => "the connection ended before the response was complete",
            Self::Unavailable => "the issuer is unreachable or overloaded",
            Self::TimedOut => "the issuer did not respond in time",
            Self::Status => "its status is not 200; check `path` and `authority`",
            Self::ContentType => "its content type is not application/json",
            Self::TooLong => "it is longer than 128 KiB",
            Self::NotASet => "it is not a JSON object with a list `keys` (RFC 7517 §5)",
            Self::TooManyKeys => "it has more than 64 keys",
            Self::NoKeys => {
                "none of its keys can be used; the lines `left out` before this one name the reasons, \
                 and keys whose `use` or `key_ops` is not for verifying are ignored"
            }
            Self::Superseded => "another VM was faster",
        }
    }
}

impl fmt::Display for KeySetRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The media type with which a set was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json` or `application/jwk-set+json`.
    Json,
    /// `text/plain`, as file servers and object stores send it.
    Text,
}

/// Returns the JSON text of a response and its media type.
///
/// # Errors
///
/// The reason why the response is rejected.
pub fn read(response: Option<&Response>) -> Result<(&[u8], MediaType), KeySetRejection> {
    let response = response.ok_or(KeySetRejection::NoResponse)?;
    match response.status() {
        Some(200) => {}
        Some(503) => return Err(KeySetRejection::Unavailable),
        Some(504) => return Err(KeySetRejection::TimedOut),
        _ => return Err(KeySetRejection::Status),
    }
    let mut types = response.headers.values(b"content-type");
    let media_type = match (types.next(), types.next()) {
        (Some(one), None) => media_type(one),
        _ => None,
    };
    Ok((&response.body, media_type.ok_or(KeySetRejection::ContentType)?))
}

/// Recognises a media type whose charset, if it has one, is UTF-8 or its subset US-ASCII.
fn media_type(content_type: &[u8]) -> Option<MediaType> {
    let mut parts = content_type.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let is_one_of = |part: &[u8], known: &[&str]| {
        known.iter().any(|known| part.eq_ignore_ascii_case(known.as_bytes()))
    };
    let media = parts.next()?;
    let media_type = if is_one_of(media, &["application/json", "application/jwk-set+json"]) {
        MediaType::Json
    } else if is_one_of(media, &["text/plain"]) {
        MediaType::Text
    } else {
        return None;
    };
    parts.all(|parameter| is_one_of(parameter, &CHARSETS)).then_some(media_type)
}

const CHARSETS: [&str; 4] =
    ["charset=utf-8", "charset=\"utf-8\"", "charset=us-ascii", "charset=\"us-ascii\""];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::Headers;

    fn read_with(lines: &[(&str, &str)]) -> Result<MediaType, KeySetRejection> {
        let response = Response { headers: Headers::from_pairs(lines), body: b"{}".to_vec() };
        read(Some(&response)).map(|(body, media_type)| {
            assert_eq!(body, b"{}");
            media_type
        })
    }

    #[test]
    fn only_status_200_is_accepted() {
        let json = ("content-type", "application/json");
        for (status, verdict) in [
            ("200", Ok(MediaType::Json)),
            ("201", Err(KeySetRejection::Status)),
            ("204", Err(KeySetRejection::Status)),
            ("304", Err(KeySetRejection::Status)),
            ("0200", Err(KeySetRejection::Status)),
            ("500", Err(KeySetRejection::Status)),
            ("503", Err(KeySetRejection::Unavailable)),
            ("504", Err(KeySetRejection::TimedOut)),
        ] {
            assert_eq!(read_with(&[(":status", status), json]), verdict, "{status}");
        }
        assert_eq!(read_with(&[json]), Err(KeySetRejection::Status));
        assert_eq!(read(None), Err(KeySetRejection::NoResponse));
    }

    #[test]
    fn json_and_plain_text_are_accepted() {
        let typed = |content_type| read_with(&[(":status", "200"), ("content-type", content_type)]);
        for (content_type, media_type) in [
            ("application/json", MediaType::Json),
            ("Application/JSON", MediaType::Json),
            ("application/json;charset=UTF-8", MediaType::Json),
            ("application/json ; charset=\"utf-8\"", MediaType::Json),
            ("application/jwk-set+json", MediaType::Json),
            ("text/plain", MediaType::Text),
            ("text/plain; charset=utf-8", MediaType::Text),
            ("Text/Plain;charset=us-ascii", MediaType::Text),
        ] {
            assert_eq!(typed(content_type), Ok(media_type), "{content_type}");
        }
        for other in [
            "",
            "text/html",
            "text/plain; charset=latin1",
            "application/jsonp",
            "application/json, text/html",
            "application/json; charset=latin1",
            "application/json; a=b",
            "application/problem+json",
            "application/octet-stream",
        ] {
            assert_eq!(typed(other), Err(KeySetRejection::ContentType), "{other}");
        }
        let json = ("content-type", "application/json");
        let twice = [(":status", "200"), json, json];
        assert_eq!(read_with(&twice), Err(KeySetRejection::ContentType));
        assert_eq!(read_with(&twice[..1]), Err(KeySetRejection::ContentType));
    }
}
