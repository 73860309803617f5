//! Where may a request carry a token, and which tokens does it carry?
//!
//! Every token counts, in every configured place, not the first one: the application may look
//! elsewhere than we do, and last where we look first. So whatever some server somewhere would take
//! for a token is found here, as it was sent: all lines of a header, all values of a joined header,
//! all cookie lines, cookies that come twice, names with odd space or escapes around them. What is
//! found and is no token is the verifier's to refuse. To find too much costs a client that sends
//! such things its request; to find too little would let a token pass unseen.

use std::borrow::Cow;
use std::ops::Deref;

use crate::headers::{Edit, Headers};
use crate::path;
use crate::refusal::Refusal;

/// Most distinct tokens of one request: each may cost a signature check.
pub const MOST_TOKENS: usize = 8;

/// Every place that may hold a token.
#[derive(Clone, Debug)]
pub struct Sources {
    places: Vec<Place>,
}

/// One place that may hold a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header of that lower-case name. With a scheme: the credentials of that scheme (RFC 9110
    /// §11.4), which is compared without case, in each of the values that commas join; values of
    /// other schemes are none of our business. Without: the whole value.
    Header {
        /// Lower case.
        name: String,
        /// As written.
        scheme: Option<String>,
    },
    /// A cookie of that name.
    Cookie(String),
    /// A query parameter of that name.
    Query(String),
}

/// The distinct tokens of one request in the order in which they were found, as bytes that nobody
/// has looked at. A slice; the array inside saves the warm path an allocation.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    found: [Cow<'a, [u8]>; MOST_TOKENS],
    count: usize,
}

impl Sources {
    /// Tokens come from these places.
    #[must_use]
    pub fn new(places: Vec<Place>) -> Self {
        Self { places }
    }

    /// Every distinct token in every place.
    ///
    /// # Errors
    ///
    /// [`Refusal::MalformedToken`] for more than [`MOST_TOKENS`]. No token is no error.
    pub fn find<'a>(&self, headers: &'a Headers) -> Result<Tokens<'a>, Refusal> {
        let mut tokens = Tokens { found: [const { Cow::Borrowed(&[]) }; MOST_TOKENS], count: 0 };
        for place in &self.places {
            place.each(headers, &mut |token| tokens.add(token))?;
        }
        Ok(tokens)
    }

    /// What takes every token out of the request: headers are removed, cookies and query parameters
    /// cut out. After it [`find`](Self::find) finds nothing; other cookies and parameters stay.
    #[must_use]
    pub fn removal(&self, headers: &Headers) -> Vec<Edit> {
        let headers_with_tokens = self.places.iter().filter_map(|place| match place {
            Place::Header { name, .. } => {
                place.is_filled(headers).then(|| Edit::Remove(name.clone().into_bytes()))
            }
            Place::Cookie(_) | Place::Query(_) => None,
        });
        headers_with_tokens
            .chain(self.without_cookies(headers))
            .chain(self.without_parameters(headers))
            .collect()
    }

    /// `Set-Cookie` values that clear the configured cookies whose token was refused.
    ///
    /// They clear a cookie of path `/` without `Domain`; what an application set otherwise, the
    /// browser keeps.
    #[must_use]
    pub fn clearing(&self, headers: &Headers, refused: impl Fn(&[u8]) -> bool) -> Vec<String> {
        let mut lines = vec![];
        for place in &self.places {
            let Place::Cookie(name) = place else { continue };
            let all_good = place.each(headers, &mut |token| {
                if refused(&token) { Err(Refusal::MalformedToken) } else { Ok(()) }
            });
            if all_good.is_err() {
                let secure = if needs_secure(name) { "; Secure" } else { "" };
                lines.push(format!("{name}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax{secure}"));
            }
        }
        lines
    }

    fn without_cookies(&self, headers: &Headers) -> Option<Edit> {
        let is_token = |pair: &Pair<'_>| self.places.iter().any(|place| place.is_cookie(pair));
        let pairs = || headers.values(b"cookie").flat_map(cookies);
        if !pairs().any(|pair| is_token(&pair)) {
            return None;
        }
        let kept: Vec<_> = pairs().filter(|pair| !is_token(pair)).map(|pair| pair.whole).collect();
        let name = b"cookie".to_vec();
        Some(if kept.is_empty() {
            Edit::Remove(name)
        } else {
            Edit::Set(name, kept.join(&b"; "[..]))
        })
    }

    fn without_parameters(&self, headers: &Headers) -> Option<Edit> {
        let target = headers.first(b":path")?;
        let (path, query) = path::split(target);
        let query = query?;
        let is_token = |piece: &[u8]| self.places.iter().any(|place| place.is_parameter(piece));
        if !pieces(query).any(is_token) {
            return None;
        }
        let mut target = path.to_vec();
        // Each piece with the separator behind it, which becomes the one before the next piece.
        let mut separator = b'?';
        for piece in query.split_inclusive(is_separator) {
            let (piece, next) = match piece.split_last() {
                Some((last, piece)) if is_separator(last) => (piece, *last),
                _ => (piece, b'&'),
            };
            if !is_token(piece) {
                target.push(separator);
                target.extend_from_slice(piece);
                separator = next;
            }
        }
        Some(Edit::Set(b":path".to_vec(), target))
    }
}

type Each<'e, 'a> = &'e mut dyn FnMut(Cow<'a, [u8]>) -> Result<(), Refusal>;

impl Place {
    /// Calls `each` for every token in this place.
    fn each<'a>(&self, headers: &'a Headers, each: Each<'_, 'a>) -> Result<(), Refusal> {
        match self {
            Self::Header { name, scheme } => {
                for (_, value) in headers.lines().filter(|line| line.0 == name.as_bytes()) {
                    match scheme {
                        Some(scheme) => credentials(value, scheme.as_bytes())
                            .try_for_each(|token| each(Cow::Borrowed(token)))?,
                        None if trimmed(value).is_empty() => {}
                        None => each(Cow::Borrowed(trimmed(value)))?,
                    }
                }
                Ok(())
            }
            Self::Cookie(_) => headers
                .values(b"cookie")
                .flat_map(cookies)
                .filter(|pair| self.is_cookie(pair) && !pair.value.is_empty())
                .try_for_each(|pair| each(Cow::Borrowed(pair.value))),
            Self::Query(_) => {
                let query = headers.first(b":path").and_then(|target| path::split(target).1);
                let pieces = query.into_iter().flat_map(pieces);
                for piece in pieces.filter(|piece| self.is_parameter(piece)) {
                    match parameter(piece) {
                        Some((_, Cow::Borrowed(value))) => each(Cow::Borrowed(value.as_bytes()))?,
                        Some((_, Cow::Owned(value))) => each(Cow::Owned(value.into_bytes()))?,
                        None => {}
                    }
                }
                Ok(())
            }
        }
    }

    fn is_filled(&self, headers: &Headers) -> bool {
        self.each(headers, &mut |_| Err(Refusal::MalformedToken)).is_err()
    }

    fn is_cookie(&self, pair: &Pair<'_>) -> bool {
        let Self::Cookie(name) = self else { return false };
        pair.name == name.as_bytes()
            || pair.name.len() > name.len() && *path::decoded(pair.name) == *name.as_bytes()
    }

    fn is_parameter(&self, piece: &[u8]) -> bool {
        let Self::Query(name) = self else { return false };
        // Decoding and trimming make nothing longer: most parameters need neither.
        piece.len() > name.len()
            && parameter(piece)
                .is_some_and(|(found, value)| found.trim() == name && !value.is_empty())
    }
}

impl<'a> Tokens<'a> {
    fn add(&mut self, token: Cow<'a, [u8]>) -> Result<(), Refusal> {
        if self.contains(&token) {
            return Ok(());
        }
        *self.found.get_mut(self.count).ok_or(Refusal::MalformedToken)? = token;
        self.count += 1;
        Ok(())
    }
}

impl<'a> Deref for Tokens<'a> {
    type Target = [Cow<'a, [u8]>];

    fn deref(&self) -> &Self::Target {
        self.found.get(..self.count).unwrap_or_default()
    }
}

/// The credentials of that scheme in a header value that may join several.
///
/// What follows the scheme without being a part of its name divides them, and is left for the
/// verifier to refuse unless it is space: some readers take any odd byte for space.
fn credentials<'a>(value: &'a [u8], scheme: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    divided(value, |rest| memchr::memchr(b',', rest)).filter_map(move |part| {
        let start = part.iter().position(u8::is_ascii_graphic)?;
        let (found, rest) = part.get(start..)?.split_at_checked(scheme.len())?;
        let ends = rest.first().is_some_and(|byte| !is_token_byte(*byte));
        (ends && found.eq_ignore_ascii_case(scheme))
            .then(|| trimmed(rest))
            .filter(|t| !t.is_empty())
    })
}

/// One cookie as sent.
struct Pair<'a> {
    whole: &'a [u8],
    name: &'a [u8],
    value: &'a [u8],
}

/// The cookies of one line (RFC 6265 §5.4), read leniently: quotes and space around them do not count.
fn cookies(line: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    divided(line, |rest| memchr::memchr(b';', rest))
        .map(trimmed)
        .filter(|pair| !pair.is_empty())
        .map(|whole| {
            let at = memchr::memchr(b'=', whole);
            let (name, value) = whole.split_at(at.unwrap_or(whole.len()));
            let value = trimmed(value.get(1..).unwrap_or_default());
            let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            // Some servers take any odd byte for space, and a comma too: it once joined cookies.
            let name = trimmed_of(name, |byte| !byte.is_ascii_graphic() || byte == b',');
            Pair { whole, name, value: unquoted.map_or(value, trimmed) }
        })
}

/// Whether a browser takes a cookie of that name only together with `Secure` (RFC 6265bis §4.1.3).
fn needs_secure(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["__secure-", "__host-", "__http-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Name and value of one query parameter.
fn parameter(piece: &[u8]) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(piece).next()
}

/// The parameters of a query.
fn pieces(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    divided(query, |rest| memchr::memchr2(b'&', b';', rest))
}

/// The parts of a value between single bytes, which `next` finds: `split` with a faster search, as
/// tokens are long.
fn divided(value: &[u8], next: impl Fn(&[u8]) -> Option<usize>) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        let (part, after) = match next(value) {
            Some(at) => (value.get(..at), value.get(at + 1..)),
            None => (Some(value), None),
        };
        rest = after;
        part
    })
}

/// `&`, and `;`, which servers took for a separator too until 2021, and some still do.
fn is_separator(byte: &u8) -> bool {
    matches!(byte, b'&' | b';')
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Without space and tab at both ends (RFC 9110 §5.6.3).
fn trimmed(value: &[u8]) -> &[u8] {
    trimmed_of(value, |byte| matches!(byte, b' ' | b'\t'))
}

fn trimmed_of(mut value: &[u8], is_space: impl Fn(u8) -> bool) -> &[u8] {
    while let [first, rest @ ..] = value
        && is_space(*first)
    {
        value = rest;
    }
    while let [rest @ .., last] = value
        && is_space(*last)
    {
        value = rest;
    }
    value
}

#[cfg(test)]
#[path = "sources/tests.rs"]
mod tests;
