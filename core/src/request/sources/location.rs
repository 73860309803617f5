//! The kinds of places in a request that may contain a token.

use std::borrow::Cow;

use crate::headers::Headers;
use crate::refusal::RefusalRule;
use crate::request::path;
use crate::request::sources::candidate::Spelling;
use crate::request::sources::credentials::{Credentials, jwt_words};
use crate::request::sources::{ANY_SCHEME, any_scheme, cookies, query, trimmed};

/// One place of a request that may contain a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenLocation {
    /// A header.
    Header {
        /// The header's name in lower case.
        name: String,
        /// The scheme of the credential (RFC 9110 §11.6.2), compared without case. With `*`, the
        /// token is the text after any scheme. With `None`, the token is the whole value.
        scheme: Option<String>,
    },
    /// A cookie with this name.
    Cookie(String),
    /// A query parameter with this name.
    Query(String),
}

/// A function that receives each value and its spelling, and may end the search with an error.
pub(super) type Each<'e, 'a> =
    &'e mut dyn FnMut(Cow<'a, [u8]>, Spelling) -> Result<(), RefusalRule>;

impl TokenLocation {
    pub(super) fn cookie_name(&self) -> Option<&str> {
        if let Self::Cookie(name) = self { Some(name) } else { None }
    }

    /// Calls `each` for every value in this location.
    ///
    /// # Errors
    ///
    /// The error of `each`, or [`RefusalRule::Field`] for a header field that holds a
    /// credential of its scheme and anything else.
    pub(super) fn each<'a>(
        &self,
        headers: &'a Headers,
        each: Each<'_, 'a>,
    ) -> Result<(), RefusalRule> {
        match self {
            Self::Header { name, scheme } => {
                each_in_header(headers, name.as_bytes(), scheme.as_deref(), each)
            }
            Self::Cookie(name) => headers
                .values(b"cookie")
                .flat_map(cookies::cookies)
                .filter_map(|cookie| cookies::value_of(cookie, name))
                .try_for_each(|(value, spelling)| each(Cow::Borrowed(value), spelling)),
            Self::Query(name) => {
                let query = headers.first(b":path").and_then(|target| path::split(target).1);
                for (parameter, division) in query.into_iter().flat_map(query::parameters) {
                    let Some(spelling) = query::spelling_of(parameter, name) else { continue };
                    let spelling = if division == Spelling::Exact { spelling } else { division };
                    query::value(parameter).map_or(Ok(()), |value| each(value, spelling))?;
                }
                Ok(())
            }
        }
    }
}

fn each_in_header<'a>(
    headers: &'a Headers,
    name: &[u8],
    scheme: Option<&str>,
    each: Each<'_, 'a>,
) -> Result<(), RefusalRule> {
    let lines = || headers.alike(name);
    let spelling = |found: &[u8]| if found == name { Spelling::Exact } else { Spelling::Other };
    let each_word = |line: &'a [u8], each: Each<'_, 'a>| {
        jwt_words(line).try_for_each(|word| each(Cow::Borrowed(word), Spelling::Other))
    };
    if let Some(scheme) = scheme.filter(|scheme| *scheme != ANY_SCHEME) {
        return match Credentials::read(lines().map(|line| line.1), scheme.as_bytes()) {
            Credentials::One(token) => {
                let found = lines().next().map_or(Spelling::Other, |line| spelling(line.0));
                each(Cow::Borrowed(token), found)
            }
            Credentials::Malformed => Err(RefusalRule::Field),
            Credentials::Absent => lines().try_for_each(|line| each_word(line.1, each)),
        };
    }
    lines().try_for_each(|(found, line)| match whole(line, scheme) {
        Some(value) => each(Cow::Borrowed(value), spelling(found)),
        None => each_word(line, each),
    })
}

/// Returns the token of one header line: the text after the scheme, whichever it is, or the whole
/// line if the source has no scheme. Returns `None` if there is no token.
pub(super) fn whole<'a>(line: &'a [u8], scheme: Option<&str>) -> Option<&'a [u8]> {
    let value = if scheme.is_some() { any_scheme::credentials(line) } else { trimmed(line) };
    Some(value).filter(|value| !value.is_empty())
}
