//! Decides whether a request path has only one possible reading.
//!
//! Rules match paths, but one path has many spellings: `/a/../b`, `/a//b`, `/%61`, `/a;x/b`,
//! `/a\b`. Servers disagree about which of them are equal, and the application reads the path after
//! the filter. The filter therefore does not normalise paths. A path is either [`canonical`], so
//! that no server can normalise it further, or it is not, and then no rule opens it.
//!
//! # Why
//!
//! All known bypasses of path rules (dot segments, doubled slashes, `%2f`, `..;`, a fragment) used
//! a path that two readers normalised differently. Envoy can normalise paths, and the shipped
//! configurations enable that. But its default is to forward paths unchanged, and even with all
//! options it keeps `..;`. The guarantee of this module does not depend on Envoy's settings.

use std::borrow::Cow;

/// Returns the path of a request target (RFC 9112 §3.2.1) without its query, or `None` if the path
/// is not canonical.
///
/// A canonical path starts with `/`. It contains no `//`, `\`, `;`, `#`, dot segment, space,
/// control byte or non-ASCII byte. No segment starts or ends with `%20`, because a server may strip
/// spaces and then find an empty or another segment. Every `%XX` is upper-case hex of a byte that
/// is neither unreserved (RFC 3986 §2.3), nor one of `/ \ ; %`, nor a control byte. One or two dots
/// followed by an escape count as a dot segment, because a server may cut the name after the dots,
/// for example in `..%3F` if it decodes before it splits off the query. Escaped bytes of other
/// languages are canonical, except overlong UTF-8 (`%C0%AE` was a dot to old decoders) and
/// characters that compatibility normalisation or a conversion to a Windows code page turns into a
/// separator or a dot (`%EF%BC%8F`, a full-width slash). Anything that is not a path (`*`,
/// `http://host/`, empty) is not canonical either.
#[must_use]
pub fn canonical(target: &[u8]) -> Option<&[u8]> {
    let (path, _) = split(target);
    is_canonical(path).then_some(path)
}

/// Splits a request target into path and query at the first `?`. The query is `None` if there is no
/// `?`.
#[must_use]
pub fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(at) => {
            let (path, query) = target.split_at(at);
            (path, query.get(1..))
        }
        None => (target, None),
    }
}

/// Returns the path or segment with every `%XX` replaced by its byte. Other text is unchanged.
#[must_use]
pub fn decoded(path: &[u8]) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode(path).into()
}

fn is_canonical(path: &[u8]) -> bool {
    let mut rest = path;
    let mut has_other_bytes = false;
    if rest.first() != Some(&b'/') {
        return false;
    }
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'/' if !starts_a_segment(rest) => return false,
            b'\\' | b';' | b'#' | 0..=b' ' | 0x7f.. => return false,
            b'%' if ends_with_a_space(rest) => return false,
            b'%' => match rest.split_first_chunk() {
                Some((digits, after)) if is_canonical_escape(*digits) => {
                    has_other_bytes |= digits.first().is_some_and(|digit| *digit >= b'8');
                    rest = after;
                }
                _ => return false,
            },
            _ => {}
        }
    }
    !has_other_bytes || !has_lookalike(&decoded(path))
}

/// Returns whether some server reads a sequence of non-ASCII bytes as an ASCII character that
/// structures a path.
fn has_lookalike(decoded: &[u8]) -> bool {
    let is_overlong = |pair: &[u8]| {
        matches!(pair, [0xc0 | 0xc1, 0x80..=0xbf] | [0xe0, 0x80..=0x9f] | [0xf0, 0x80..=0x8f])
    };
    decoded.windows(2).any(is_overlong)
        || LOOKALIKES.iter().any(|one| memchr::memmem::find(decoded, one.as_bytes()).is_some())
}

/// Characters that NFKC (Unicode Annex 15) or the best-fit conversion to a Windows code page turns
/// into one of `. / \ ; % # ?`.
const LOOKALIKES: [&str; 21] = [
    "\u{2024}", "\u{2025}", "\u{fe52}", "\u{ff0e}", // dots
    "\u{2044}", "\u{2215}", "\u{ff0f}", // slashes
    "\u{2216}", "\u{fe68}", "\u{ff3c}", "\u{a5}", "\u{20a9}", // backslashes
    "\u{fe14}", "\u{fe54}", "\u{ff1b}", "\u{fe6a}", "\u{ff05}", "\u{fe5f}", "\u{ff03}", "\u{fe56}",
    "\u{ff1f}",
];

/// Returns whether the rest of a path after a slash does not start with another slash, a space or a
/// dot segment, also after decoding.
fn starts_a_segment(rest: &[u8]) -> bool {
    match rest {
        [b'/', ..] | [b'%', b'2', b'0', ..] => false,
        [b'.', after @ ..] => {
            let after = after.strip_prefix(b".").unwrap_or(after);
            !matches!(after.first(), None | Some(b'/' | b'%'))
        }
        _ => true,
    }
}

/// Returns whether the `%` before this rest of a path begins an escaped space that ends its
/// segment.
fn ends_with_a_space(rest: &[u8]) -> bool {
    matches!(rest, [b'2', b'0'] | [b'2', b'0', b'/', ..])
}

/// Returns whether `%` and these two digits are the only spelling of their byte in a path.
fn is_canonical_escape(digits: [u8; 2]) -> bool {
    let [Some(high), Some(low)] = digits.map(upper_hex) else { return false };
    let byte = high << 4 | low;
    let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !unreserved && !matches!(byte, b'/' | b'\\' | b';' | b'%' | 0..=0x1f | 0x7f)
}

fn upper_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
