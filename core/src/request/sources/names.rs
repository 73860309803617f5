//! Compares names of cookies and query parameters as lenient servers do.

use crate::request::path;

/// Returns whether some server reads the last word of the text as this name. The text may be
/// percent-encoded.
pub(super) fn ends_in(text: &[u8], name: &[u8], divides: fn(u8) -> bool) -> bool {
    let fits = |mut text: &[u8]| {
        while let [rest @ .., last] = text
            && divides(*last)
        {
            text = rest;
        }
        let start = text.len().checked_sub(name.len());
        start.and_then(|start| text.split_at_checked(start)).is_some_and(|(before, word)| {
            before.last().is_none_or(|byte| divides(*byte))
                && word.iter().zip(name).all(|(a, b)| folded(*a) == folded(*b))
        })
    };
    // Decoding makes a text shorter, so most texts need not be decoded.
    fits(text)
        || text.len() > name.len()
            && memchr::memchr(b'%', text).is_some()
            && path::decoded(text).split(|byte| *byte == 0).next().is_some_and(fits)
}

/// Returns whether a server may begin a new word after this byte.
///
/// Some servers treat any unusual byte as a space. Commas formerly joined cookies, and `+` is an
/// encoded space.
pub(super) fn divides(byte: u8) -> bool {
    !byte.is_ascii_graphic() || matches!(byte, b',' | b'+')
}

/// Returns the byte as PHP stores it in a name, in lower case because ASP.NET ignores case.
fn folded(byte: u8) -> u8 {
    if matches!(byte, b'.' | b' ' | b'+' | b'[') { b'_' } else { byte.to_ascii_lowercase() }
}
