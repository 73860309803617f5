//! Does everyone behind us read this path as we do?
//!
//! Rules are about paths, and one path has many spellings: `/a/../b`, `/a//b`, `/%61`, `/a;x/b`,
//! `/a\b`. Which of them are one and the same depends on who reads them, and the application reads
//! after us. So there is no normalising here: a path is [`canonical`], then nobody has anything left
//! to normalise, or it is not, and then no rule opens it.
//!
//! # Why
//!
//! Every bypass of a path rule that the field has seen (dot segments, doubled slashes, `%2f`, `..;`,
//! a fragment) was a path that two readers normalised differently. Envoy can normalise too, and the
//! shipped configurations ask for it; but its default is to pass paths on as they came, and even
//! with everything on it keeps `..;`. What this file says must hold without it.

use std::borrow::Cow;

/// The path of a request target (RFC 9112 §3.2.1) without its query; `None` unless it is canonical.
///
/// Canonical: starts with `/`; no `//`, `\`, `;`, `#`, dot segment, control or non-ASCII byte; every
/// `%XX` is upper-case hex of a byte that is neither unreserved (RFC 3986 §2.3) nor one of `/ \ ; %`
/// nor a control byte. Dots and then an escape count as a dot segment: `..%3F` ends there for who
/// decodes before dividing, `..%20` for who drops space at the end of a name. What is no path at all
/// (`*`, `http://host/`, empty) is not canonical either.
#[must_use]
pub fn canonical(target: &[u8]) -> Option<&[u8]> {
    let (path, _) = split(target);
    is_canonical(path).then_some(path)
}

/// Path and, if there is one, query of a request target. The first `?` divides them.
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

/// The path or segment with every `%XX` replaced by its byte; anything else stays as it is.
#[must_use]
pub fn decoded(path: &[u8]) -> Cow<'_, [u8]> {
    percent_encoding::percent_decode(path).into()
}

fn is_canonical(path: &[u8]) -> bool {
    let mut rest = path;
    if rest.first() != Some(&b'/') {
        return false;
    }
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'/' if !starts_a_segment(rest) => return false,
            b'\\' | b';' | b'#' | 0..=0x1f | 0x7f.. => return false,
            b'%' => match rest.split_first_chunk() {
                Some((digits, after)) if is_canonical_escape(*digits) => rest = after,
                _ => return false,
            },
            _ => {}
        }
    }
    true
}

/// Whether what follows a slash is neither another slash nor a dot segment, nor one after decoding.
fn starts_a_segment(rest: &[u8]) -> bool {
    match rest {
        [b'/', ..] => false,
        [b'.', after @ ..] => {
            let after = after.strip_prefix(b".").unwrap_or(after);
            !matches!(after.first(), None | Some(b'/' | b'%'))
        }
        _ => true,
    }
}

/// Whether `%` and these two digits are the only spelling of that byte in a path.
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
