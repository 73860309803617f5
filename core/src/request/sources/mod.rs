//! Where may a request carry a token, and which tokens does it carry?
//!
//! Every token counts, in every configured place, not the first one: the application may look
//! elsewhere than we do, and last where we look first. So whatever some server somewhere would take
//! for a token is found here, as it was sent: all lines of a header, all values of a joined header,
//! all cookie lines, cookies that come twice, header names in every spelling that servers fold into
//! one, other names with odd space or escapes around them. What is found and is no token is the
//! verifier's to refuse. To find too much costs a client that sends such things its request; to find
//! too little would let a token pass unseen.
//!
//! # Names of cookies and parameters
//!
//! PHP turns `.`, space and `[` in them into `_`, and ends them at NUL. Python's `SimpleCookie`
//! begins a new cookie at white space, readers of RFC 2109 at a comma, WebOb and Undertow behind a
//! quote. ASP.NET compares them without case. So a name is the last word before a `=`, also within a
//! cookie's value, and its signs count as PHP and ASP.NET have them.

mod any_scheme;
mod credentials;
mod source;

pub use any_scheme::ANY_SCHEME;
pub use source::Source;

use std::borrow::Cow;
use std::ops::Deref;

use crate::headers::{Edit, Headers};
use crate::refusal::Refusal;
use crate::request::path;
use crate::request::sources::credentials::Credentials;

/// Most distinct tokens of one request: each may cost a signature check.
pub const MOST_TOKENS: usize = 8;

/// Most distinct tokens that a sign-out looks at. More than the 180 cookies that a browser keeps of
/// one site: whatever a neighbouring host tosses in, the user's own token is among them.
pub const MOST_TOKENS_TO_SIGN_OUT: usize = 256;

/// Every place that may hold a token.
#[derive(Clone, Debug)]
pub struct Sources {
    sources: Vec<Source>,
}

/// One place that may hold a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header of that lower-case name. With a scheme: the one credential of that scheme (RFC 9110
    /// §11.6.2), which is compared without case; the field is malformed if it holds the scheme and
    /// anything else. Fields without the scheme hold no token. With `*`: what follows any scheme.
    /// Without: the whole value.
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
    pub fn new(sources: Vec<Source>) -> Self {
        Self { sources }
    }

    /// Whether the request carries an API key where that may be.
    #[must_use]
    pub fn hold_api_key(&self, headers: &Headers) -> bool {
        self.sources.iter().any(|source| source.holds_api_key(headers))
    }

    /// Every distinct token in every place.
    ///
    /// # Errors
    ///
    /// [`Refusal::MalformedToken`] for more than [`MOST_TOKENS`], and for a header field that holds
    /// a credential of its scheme and anything else. No token is no error.
    pub fn find<'a>(&self, headers: &'a Headers) -> Result<Tokens<'a>, Refusal> {
        let mut tokens = Tokens { found: [const { Cow::Borrowed(&[]) }; MOST_TOKENS], count: 0 };
        for source in &self.sources {
            source.each(headers, &mut |token| tokens.add(token))?;
        }
        Ok(tokens)
    }

    /// The distinct tokens of a sign-out, at most [`MOST_TOKENS_TO_SIGN_OUT`].
    ///
    /// A refusal would help whoever crowds them: it keeps a session alive that was to end.
    #[must_use]
    pub fn find_to_sign_out<'a>(&self, headers: &'a Headers) -> Vec<Cow<'a, [u8]>> {
        let mut tokens = vec![];
        let mut add = |token| {
            if tokens.len() == MOST_TOKENS_TO_SIGN_OUT {
                return Err(Refusal::MalformedToken);
            }
            if !tokens.contains(&token) {
                tokens.push(token);
            }
            Ok(())
        };
        // Tokens beyond the limit are left: `add` then refuses each of them.
        for source in &self.sources {
            if source.each(headers, &mut add).is_err() {
                let _ = source.each_in_malformed_field(headers, &mut add);
            }
        }
        tokens
    }

    /// What takes every token out of the request: headers are removed, cookies and query parameters
    /// cut out. After it [`find`](Self::find) finds nothing; other cookies and parameters stay.
    #[must_use]
    pub fn removal(&self, headers: &Headers) -> Vec<Edit> {
        let filled = self.sources.iter().flat_map(|source| source.filled_headers(headers));
        let mut edits = Edit::removals(filled);
        edits.extend(self.without_cookies(headers));
        edits.extend(self.without_parameters(headers));
        edits
    }

    /// What takes everything out of a request's trailers that a server which merges them with the
    /// headers could take for a token: credentials have no business there (RFC 9110 §6.5.1).
    #[must_use]
    pub fn trailers(&self, trailers: &Headers) -> Vec<Edit> {
        let names = self.sources.iter().filter_map(|source| match &source.place {
            Place::Header { name, .. } => Some(name.as_bytes()),
            Place::Cookie(_) => Some(&b"cookie"[..]),
            Place::Query(_) => None,
        });
        Edit::removals(names.flat_map(|name| trailers.alike(name)).map(|line| line.0))
    }

    /// `Set-Cookie` values that clear the configured cookies whose token was refused.
    ///
    /// They clear a cookie of path `/` without `Domain`; what an application set otherwise, the
    /// browser keeps.
    #[must_use]
    pub fn clearing(&self, headers: &Headers, refused: impl Fn(&[u8]) -> bool) -> Vec<String> {
        let mut lines = vec![];
        for source in &self.sources {
            let Place::Cookie(name) = &source.place else { continue };
            let all_good = source.each(headers, &mut |token| {
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
        let is_token =
            |cookie: &[u8]| self.sources.iter().any(|source| source.holds_cookie(cookie));
        let cookies = || headers.values(b"cookie").flat_map(cookies);
        if !cookies().any(is_token) {
            return None;
        }
        let kept: Vec<_> = cookies().filter(|cookie| !is_token(cookie)).collect();
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
        let is_token =
            |piece: &[u8]| self.sources.iter().any(|source| source.holds_parameter(piece));
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
    /// Calls `each` for every value in this place.
    fn each<'a>(&self, headers: &'a Headers, each: Each<'_, 'a>) -> Result<(), Refusal> {
        match self {
            Self::Header { name, scheme } => {
                let lines = headers.alike(name.as_bytes()).map(|(_, value)| value);
                match scheme.as_deref().filter(|scheme| *scheme != ANY_SCHEME) {
                    Some(scheme) => match Credentials::read(lines, scheme.as_bytes()) {
                        Credentials::Absent => Ok(()),
                        Credentials::One(token) => each(Cow::Borrowed(token)),
                        Credentials::Malformed => Err(Refusal::MalformedToken),
                    },
                    None => lines
                        .filter_map(|value| whole(value, scheme.as_deref()))
                        .try_for_each(|token| each(Cow::Borrowed(token))),
                }
            }
            Self::Cookie(name) => headers
                .values(b"cookie")
                .flat_map(cookies)
                .filter_map(|cookie| in_cookie(cookie, name))
                .try_for_each(|token| each(Cow::Borrowed(token))),
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

    fn is_parameter(&self, piece: &[u8]) -> bool {
        let Self::Query(name) = self else { return false };
        let (found, value) = piece.split_at(memchr::memchr(b'=', piece).unwrap_or(piece.len()));
        value.len() > 1 && ends_in(found, name.as_bytes(), divides)
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

/// The token of one header line whose scheme, if there is any, is not compared.
fn whole<'a>(value: &'a [u8], scheme: Option<&str>) -> Option<&'a [u8]> {
    let value = if scheme.is_some() { any_scheme::credentials(value) } else { trimmed(value) };
    Some(value).filter(|value| !value.is_empty())
}

/// The cookies of one line as sent (RFC 6265 §5.4).
fn cookies(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    divided(line, |rest| memchr::memchr(b';', rest)).map(trimmed).filter(|it| !it.is_empty())
}

/// What some server takes for the value of that name in one cookie as sent. Quotes and space around
/// it do not count; what else stands in it is left for the verifier to refuse.
fn in_cookie<'a>(cookie: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut start = 0;
    let at = memchr::memchr_iter(b'=', cookie).find(|&at| {
        // With the `=` in front, which no name follows at once: `x=token=1` is one cookie.
        let before = cookie.get(start..at).unwrap_or_default();
        start = at;
        ends_in(before, name.as_bytes(), divides_cookies)
    })?;
    let value = trimmed(cookie.get(at + 1..)?);
    let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(unquoted.map_or(value, trimmed)).filter(|value| !value.is_empty())
}

/// Whether the last word of the text, escaped or not, is that name as some server folds names.
fn ends_in(text: &[u8], name: &[u8], divides: fn(u8) -> bool) -> bool {
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
    // Decoding makes nothing longer: most names need none.
    fits(text)
        || text.len() > name.len()
            && memchr::memchr(b'%', text).is_some()
            && path::decoded(text).split(|byte| *byte == 0).next().is_some_and(fits)
}

/// Whether a new word may begin behind it. Some servers take any odd byte for space, and a comma
/// too: it once joined cookies; `+` is an escaped space.
fn divides(byte: u8) -> bool {
    !byte.is_ascii_graphic() || matches!(byte, b',' | b'+')
}

/// The same within a cookie: behind a quoted value some servers look for the next one.
fn divides_cookies(byte: u8) -> bool {
    divides(byte) || matches!(byte, b'"' | b'[' | b']' | b'\\')
}

/// As PHP has it in a name, and ASP.NET, for which case does not count.
fn folded(byte: u8) -> u8 {
    if matches!(byte, b'.' | b' ' | b'+' | b'[') { b'_' } else { byte.to_ascii_lowercase() }
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
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests;
