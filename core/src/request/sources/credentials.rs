//! Reads the credentials of a header field for one scheme.
//!
//! `Authorization` holds exactly one credential: a scheme, spaces and `token68` (RFC 9110 §11.4,
//! §11.6.2; RFC 6750 §2.1 for Bearer). It is not a list. Applications disagree about every other
//! form: some take the first word after the scheme, some take the last word of the field, and some
//! join two lines with a comma. If the scheme occurs in a field that has any other form, the field
//! is therefore malformed, and no part of it admits a request.

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::request::sources::{is_token_byte, trimmed};

/// The content of a header field, read for one scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credentials<'a> {
    /// The scheme does not occur in the field, or nothing follows it.
    Absent,
    /// The field is exactly one credential of the scheme, which is this `token68`.
    One(&'a [u8]),
    /// The field contains the scheme and something else.
    Malformed,
}

impl<'a> Credentials<'a> {
    /// Reads all lines of the field. The scheme is compared without case (RFC 9110 §11.1).
    pub(super) fn read(mut lines: impl Iterator<Item = &'a [u8]>, scheme: &[u8]) -> Self {
        let Some(first) = lines.next() else { return Self::Absent };
        let first = trimmed(first);
        let second = lines.next();
        if second.is_none() {
            if let Some(credential) = one(first, scheme) {
                return Self::One(credential);
            }
            if first.eq_ignore_ascii_case(scheme) {
                return Self::Absent;
            }
        }
        let mut all = std::iter::once(first).chain(second).chain(lines);
        if all.any(|line| mentions(line, scheme)) { Self::Malformed } else { Self::Absent }
    }
}

/// Returns every part of a line that looks like a JWT, because its first segment is a JSON object.
///
/// Such a part is judged even if the configuration does not name its place. In a field of another
/// scheme, it may be the token of an application that takes the last word of any field. In a
/// malformed field of a sign-out, it is revoked.
pub(super) fn jwt_words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_in_jwt = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    line.split(move |byte| !is_in_jwt(byte)).filter(|word| looks_like_jwt(word))
}

fn looks_like_jwt(word: &[u8]) -> bool {
    if memchr::memchr_iter(b'.', word).count() != 2 {
        return false;
    }
    let header = word.split(|byte| *byte == b'.').next().unwrap_or_default();
    let header = BASE64URL.decode(header).unwrap_or_default();
    let header = header.trim_ascii();
    header.starts_with(b"{") && header.ends_with(b"}")
}

/// Returns the `token68` of a line that consists of a scheme, one or more spaces, and a `token68`.
fn one<'a>(line: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (found, rest) = line.split_at_checked(scheme.len())?;
    let credential = rest.trim_ascii_start();
    let spaces = rest.len() - credential.len();
    let is_one = found.eq_ignore_ascii_case(scheme)
        && rest.iter().take(spaces).all(|byte| *byte == b' ')
        && spaces > 0
        && is_token68(credential);
    is_one.then_some(credential)
}

/// Returns whether the scheme is a word of the line.
fn mentions(line: &[u8], scheme: &[u8]) -> bool {
    let is_boundary = |byte: Option<&u8>| byte.is_none_or(|byte| !is_token_byte(*byte));
    line.windows(scheme.len().max(1)).enumerate().any(|(start, word)| {
        word.eq_ignore_ascii_case(scheme)
            && is_boundary(start.checked_sub(1).and_then(|before| line.get(before)))
            && is_boundary(line.get(start + scheme.len()))
    })
}

/// Returns whether the text is `token68` (RFC 9110 §11.2).
fn is_token68(text: &[u8]) -> bool {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let body = text.get(..end).unwrap_or_default();
    !body.is_empty() && body.iter().fold(true, |all, byte| all & is_in_token68(*byte))
}

/// Returns whether `token68` may contain this byte before its `=`. Without branches and without an
/// early end of the loop, the compiler checks many bytes at once: this is a fifth of the work on a
/// token that was seen before.
fn is_in_token68(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let is_digit_or_sign = byte.wrapping_sub(b'-') <= b'9' - b'-'; // `-`, `.`, `/` and the digits
    is_letter | is_digit_or_sign | (byte == b'+') | (byte == b'_') | (byte == b'~')
}

/// This decoder is lenient, so that a word that is not exactly base64url is judged and refused, not
/// overlooked.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token68_contains_letters_digits_and_six_signs() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            assert_eq!(is_in_token68(byte), expected, "{byte:#04x}");
            assert_eq!(is_token68(&[b'a', byte, b'b', b'=']), expected, "{byte:#04x}");
        }
    }
}
