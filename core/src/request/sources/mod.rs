//! Finds the tokens of a request.
//!
//! The application may read a token from another place than this filter, or may take the last one
//! where this filter would take the first. Every value that some server may read as a token is
//! therefore found and judged: all lines of a header, all cookie lines, duplicates, header names
//! with `_` for `-`, and cookie names with other case or escapes.
//!
//! # Strict when admitting, lenient only when refusing
//!
//! A value admits a request only if it is in the exact configured place, spelt exactly as
//! configured ([`Spelling::Exact`]). A value under another spelling can only cause a refusal: an
//! attacker on a neighbouring host can set a cookie whose name only some servers read as the
//! configured one. A client that sends unusual spellings may be refused, but no token is missed
//! because of its spelling.
//!
//! A [source](Source) that is limited to some routes follows the same rule: elsewhere it admits
//! nothing, and its tokens can only refuse.

mod any_scheme;
mod candidate;
mod cookies;
mod credentials;
mod location;
mod names;
mod query;
mod source;

pub use any_scheme::ANY_SCHEME;
use std::hash::RandomState;

pub use candidate::{Candidate, Candidates, SourceSet, Spelling};
pub use location::TokenLocation;
pub use source::Source;

use std::borrow::Cow;

use crate::headers::{Edit, Edits, Headers};
use crate::refusal::RefusalRule;
use crate::request::path;
use crate::request::routes::RoutedRequest;
use crate::request::sources::candidate::SignOutCandidates;
use crate::request::sources::source::{Removed, Scope};

/// The most distinct tokens of one request: each may cost a signature check.
pub const MOST_TOKENS: usize = 8;

/// The most distinct tokens that a sign-out judges. A browser keeps at most 180 cookies for one
/// site, so cookies that a neighbouring host sets cannot crowd out the user's own token.
pub const MOST_TOKENS_TO_SIGN_OUT: usize = 256;

/// The places that may contain tokens.
#[derive(Clone, Debug)]
pub struct Sources {
    sources: Vec<Source>,
    /// The sources that are cookies.
    cookies: SourceSet,
    /// All sources, if none of them is limited to some routes; otherwise `None`.
    admitting_everywhere: Option<SourceSet>,
}

impl Sources {
    /// Creates the sources for these places.
    #[must_use]
    pub fn new(sources: Vec<Source>) -> Self {
        let is_cookie = |source: &Source| matches!(source.location, TokenLocation::Cookie(_));
        let cookies = SourceSet::of_all(&sources, is_cookie);
        let is_limited = sources.iter().any(|source| !source.routes.is_empty());
        let admitting_everywhere = (!is_limited).then(|| SourceSet::of_all(&sources, |_| true));
        Self { sources, cookies, admitting_everywhere }
    }

    /// Returns the sources that have this request among their routes. Only their tokens and API keys
    /// may admit it.
    #[must_use]
    pub fn admitting(&self, headers: &Headers) -> SourceSet {
        self.admitting_everywhere.unwrap_or_else(|| {
            let target = headers.first(b":path").and_then(path::canonical);
            let request = target.map(|path| RoutedRequest::new(path, headers));
            let is_within = |source: &Source| source.scope(request.as_ref()) == Scope::Within;
            SourceSet::of_all(&self.sources, is_within)
        })
    }

    /// Returns each source with its index, and whether the request is on one of its routes.
    fn scoped(&self, headers: &Headers) -> impl Iterator<Item = (usize, &Source, Scope)> {
        let admitting = self.admitting(headers);
        self.sources.iter().enumerate().map(move |(index, source)| {
            let is_within = SourceSet::of(index).is_within(admitting);
            (index, source, if is_within { Scope::Within } else { Scope::Outside })
        })
    }

    /// Returns the sources that are cookies, which browsers attach by themselves.
    #[must_use]
    pub fn cookies(&self) -> SourceSet {
        self.cookies
    }

    /// Returns all sources.
    #[must_use]
    pub fn all(&self) -> SourceSet {
        let all = (0..self.sources.len()).map(SourceSet::of);
        all.fold(SourceSet::default(), SourceSet::union)
    }

    /// Returns the locations of some of the sources, in the order of the configuration.
    pub fn locations(&self, of: SourceSet) -> impl Iterator<Item = &TokenLocation> {
        let sources = self.sources.iter().enumerate();
        let of = sources.filter(move |(index, _)| SourceSet::of(*index).is_within(of));
        of.map(|(_, source)| &source.location)
    }

    /// Returns every distinct API key in every place that may contain one on this route.
    ///
    /// # Errors
    ///
    /// [`RefusalRule::Count`] for more than [`MOST_TOKENS`].
    pub fn find_api_keys<'a>(&self, headers: &'a Headers) -> Result<FoundApiKeys<'a>, RefusalRule> {
        let (mut found, mut has_room) = (FoundApiKeys::default(), true);
        let within = self.scoped(headers).filter(|(.., scope)| *scope == Scope::Within);
        for (_, source, _) in within {
            let mut is_in_place = false;
            let mut add = |value, spelling| {
                is_in_place |= spelling == Spelling::Exact;
                if !found.values.contains(&value) {
                    has_room &= found.values.len() < MOST_TOKENS;
                    if !has_room {
                        return Err(RefusalRule::Count);
                    }
                    found.values.push(value);
                }
                Ok(())
            };
            // A malformed field admits nothing; the tokens in it are judged as such.
            let is_well_formed = source.each_api_key(headers, &mut add).is_ok();
            found.admits |= is_well_formed && is_in_place;
        }
        if has_room { Ok(found) } else { Err(RefusalRule::Count) }
    }

    /// Returns every distinct value in every place that may be a token.
    ///
    /// # Errors
    ///
    /// [`RefusalRule::Count`] for more than [`MOST_TOKENS`], [`RefusalRule::Field`] for a header field
    /// that holds a credential of its scheme and anything else. A request without a token is not an
    /// error.
    pub fn find<'a>(&self, headers: &'a Headers) -> Result<Candidates<'a>, RefusalRule> {
        let mut found = Candidates::default();
        for (index, source, scope) in self.scoped(headers) {
            source.each(headers, scope, &mut |value, spelling| {
                found.add(Candidate::new(value, spelling, index))
            })?;
        }
        Ok(found)
    }

    /// Returns the distinct values of a sign-out that may be tokens, at most
    /// [`MOST_TOKENS_TO_SIGN_OUT`].
    ///
    /// Too many tokens and malformed fields are no error here: a refusal would keep a session alive
    /// that its user wants to end.
    #[must_use]
    pub fn find_to_sign_out<'a>(&self, headers: &'a Headers) -> Vec<Candidate<'a>> {
        let mut found = SignOutCandidates::<RandomState>::new();
        for (index, source, scope) in self.scoped(headers) {
            let mut add = |value, spelling| found.add(Candidate::new(value, spelling, index));
            if source.each(headers, scope, &mut add).is_err() {
                // The field is malformed, or the limit is reached and `add` refuses the rest.
                let _ = source.each_in_malformed_field(headers, &mut add);
            }
        }
        found.into_vec()
    }

    /// Returns the edits that remove every token from the request: headers are removed, cookies and
    /// query parameters cut out. Other cookies and parameters stay. After the edits
    /// [`find`](Self::find) finds nothing.
    #[must_use]
    pub fn removal(&self, headers: &Headers) -> Edits {
        self.removal_of(headers, Removed::Tokens)
    }

    /// Returns the edits that remove every token and every API key from the request.
    #[must_use]
    pub fn removal_with_api_keys(&self, headers: &Headers) -> Edits {
        self.removal_of(headers, Removed::TokensAndApiKeys)
    }

    fn removal_of(&self, headers: &Headers, removed: Removed) -> Edits {
        let sources: Vec<_> =
            self.scoped(headers).map(|(_, source, scope)| (source, scope)).collect();
        let filled = sources
            .iter()
            .flat_map(|(source, scope)| source.filled_headers(headers, *scope, removed));
        let mut edits = Edit::removals(filled);
        let is_removed = |cookie: &[u8]| {
            let mut sources = sources.iter();
            sources.any(|(source, scope)| source.is_removed_cookie(cookie, *scope, removed))
        };
        edits.extend(without_cookies(headers, is_removed));
        let is_removed = |part: &[u8]| {
            let mut sources = sources.iter();
            sources.any(|(source, scope)| source.is_removed_parameter(part, *scope, removed))
        };
        edits.extend(without_parameters(headers, is_removed));
        edits
    }

    /// Returns the edit that removes the cookies with these values from the request.
    #[must_use]
    pub fn cookie_removal(&self, headers: &Headers, values: &[&[u8]]) -> Option<Edit> {
        let names = || self.sources.iter().filter_map(|source| source.location.cookie_name());
        without_cookies(headers, |cookie| {
            let mut found = names().filter_map(|name| cookies::value_of(cookie, name));
            found.any(|(value, _)| values.contains(&value))
        })
    }

    /// Returns the edits that remove credentials from a request's trailers. A server may merge
    /// trailers with headers, and credentials are not allowed in trailers (RFC 9110 §6.5.1).
    #[must_use]
    pub fn trailers(&self, trailers: &Headers) -> Edits {
        let names = self.sources.iter().filter_map(|source| match &source.location {
            TokenLocation::Header { name, .. } => Some(name.as_bytes()),
            TokenLocation::Cookie(_) => Some(&b"cookie"[..]),
            TokenLocation::Query(_) => None,
        });
        Edit::removals(names.flat_map(|name| trailers.alike(name)).map(|line| line.0))
    }

    /// Returns the `Set-Cookie` values that clear the cookies of these sources.
    ///
    /// They clear the host's own cookie with `Path=/`. A browser keeps a cookie that was set with
    /// another `Path` or with `Domain`. Such a cookie may belong to another application of the same
    /// domain, so it is not cleared.
    #[must_use]
    pub fn clearing(&self, refused: SourceSet) -> Vec<String> {
        let refused = self.sources.iter().enumerate().filter_map(|(index, source)| {
            let name = source.location.cookie_name()?;
            SourceSet::of(index).is_within(refused).then_some(name)
        });
        let line = |name| {
            let secure = if cookies::needs_secure(name) { "; Secure" } else { "" };
            format!("{name}=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax{secure}")
        };
        refused.map(line).collect()
    }
}

/// Returns the edit that removes these query parameters, if there are any.
fn without_parameters(headers: &Headers, is_removed: impl Fn(&[u8]) -> bool) -> Option<Edit> {
    let target = headers.first(b":path")?;
    let (path, query) = path::split(target);
    let query = query?;
    if !query::parameters(query).any(|(part, _)| is_removed(part)) {
        return None;
    }
    let mut target = path.to_vec();
    // Each part is kept with the separator before it.
    let mut separator = b'?';
    for part in query.split_inclusive(query::is_separator) {
        let (part, next) = match part.split_last() {
            Some((last, part)) if query::is_separator(last) => (part, *last),
            _ => (part, b'&'),
        };
        if !is_removed(part) {
            target.push(separator);
            target.extend_from_slice(part);
            separator = next;
        }
    }
    Some(Edit::Set(b":path"[..].into(), target.into()))
}

/// The API keys of one request. The application checks them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundApiKeys<'a> {
    /// The distinct keys, percent-decoded in a query.
    pub values: Vec<Cow<'a, [u8]>>,
    /// Whether one of the keys is in the exact configured place and may admit the request.
    pub admits: bool,
}

/// Returns the edit that removes these cookies, if there are any.
fn without_cookies(headers: &Headers, is_removed: impl Fn(&[u8]) -> bool) -> Option<Edit> {
    let all = || headers.values(b"cookie").flat_map(cookies::cookies);
    if !all().any(&is_removed) {
        return None;
    }
    let kept: Vec<_> = all().filter(|cookie| !is_removed(cookie)).collect();
    let name = b"cookie"[..].into();
    Some(if kept.is_empty() {
        Edit::Remove(name)
    } else {
        Edit::Set(name, kept.join(&b"; "[..]).into())
    })
}

/// Returns the parts of a value between single bytes, which `next` finds. Like `split`, with a
/// faster search because tokens are long.
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

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns the value without space and tab at both ends (RFC 9110 §5.6.3).
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests;
