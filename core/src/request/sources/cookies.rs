//! Finds the cookies that some server may read as the cookie with the token.
//!
//! PHP turns `.`, space and `[` of a name into `_`, and ends it at NUL. Python's `SimpleCookie`
//! begins a new cookie at white space, readers of RFC 2109 at a comma, WebOb and Undertow after a
//! quote. ASP.NET compares names without case. A name is therefore also found as the last word
//! before a `=` within a cookie's value, and is compared as PHP and ASP.NET compare it. Only the
//! exact name at the start of a cookie counts as [`Spelling::Exact`].

use crate::request::sources::candidate::Spelling;
use crate::request::sources::names::{divides, ends_in};
use crate::request::sources::{divided, trimmed};

/// Returns the cookies of one line as sent (RFC 6265 §5.4).
pub(super) fn cookies(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    divided(line, |rest| memchr::memchr(b';', rest)).map(trimmed).filter(|it| !it.is_empty())
}

/// Returns the value that some server finds under this name in one cookie.
///
/// Quotes and white space around the value are removed. The verifier refuses other unusual bytes.
pub(super) fn value_of<'a>(cookie: &'a [u8], name: &str) -> Option<(&'a [u8], Spelling)> {
    let exact = cookie.strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
    let (value, spelling) = match exact {
        Some(value) => (value, Spelling::Exact),
        None => (value_of_other_spelling(cookie, name)?, Spelling::Other),
    };
    let value = trimmed(value);
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let value = unquoted.map_or(value, trimmed);
    (!value.is_empty()).then_some((value, spelling))
}

fn value_of_other_spelling<'a>(cookie: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut start = 0;
    let at = memchr::memchr_iter(b'=', cookie).find(|&at| {
        // The text includes the previous `=`, which does not end a word: `x=token=1` is one cookie.
        let before = cookie.get(start..at).unwrap_or_default();
        start = at;
        ends_in(before, name.as_bytes(), divides_cookies)
    })?;
    cookie.get(at + 1..)
}

/// Returns whether a server may begin a new cookie after this byte.
fn divides_cookies(byte: u8) -> bool {
    divides(byte) || matches!(byte, b'"' | b'[' | b']' | b'\\')
}

/// Returns whether browsers accept a cookie with this name only with `Secure` (RFC 6265bis §4.1.3).
pub(super) fn needs_secure(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["__secure-", "__host-", "__http-"].iter().any(|prefix| name.starts_with(prefix))
}
