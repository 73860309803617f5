//! Recognises requests that a browser sends although its user did not ask for them.
//!
//! A page can make a browser send a GET request without the user: for an image, a style sheet or a
//! frame (`![x](/signout)` in a chat), or in advance as a prefetch. Browsers report this in Fetch
//! Metadata and in purpose headers. If a client sends no such header, the filter assumes that the
//! user intended the request.

use crate::headers::Headers;

/// Returns whether a page of another site caused the request (Fetch Metadata §2.3).
pub(crate) fn is_cross_site(headers: &Headers) -> bool {
    headers.values(b"sec-fetch-site").any(|site| site.eq_ignore_ascii_case(b"cross-site"))
}

/// Returns whether a page embeds the response, because the request is neither a navigation nor sent
/// by a script (Fetch Metadata §2.1).
pub(super) fn is_embedded(headers: &Headers) -> bool {
    let is_own = |destination: &[u8]| {
        OWN_DESTINATIONS.iter().any(|own| destination.eq_ignore_ascii_case(own))
    };
    headers.values(b"sec-fetch-dest").any(|destination| !is_own(destination))
}

/// Returns whether a browser or a framework requests the page in advance.
pub(super) fn is_prefetch(headers: &Headers) -> bool {
    headers.lines().any(|(name, value)| {
        let has = |text: &[u8], word: &str| {
            text.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        };
        let names_purpose = has(name, "purpose") || name == b"x-moz";
        has(name, "prefetch")
            || name == b"hx-preloaded"
            || names_purpose && PREFETCHES.iter().any(|word| has(value, word))
    })
}

/// The destinations of a navigation of the whole page, and of `fetch` or `XMLHttpRequest`.
const OWN_DESTINATIONS: [&[u8]; 2] = [b"document", b"empty"];

/// `Sec-Purpose: prefetch;prerender`, `Purpose: prefetch`, `X-Purpose: preview`.
const PREFETCHES: [&str; 3] = ["prefetch", "prerender", "preview"];
