//! One token source: a place, and the prefix of API keys that may be there.
//!
//! Some applications accept API keys where they accept tokens. A source may name the prefix of such
//! keys. A value with that prefix is not a token, and the application checks it. No decoder of
//! tokens may accept such a value as a token, not even a lenient one. The configuration therefore
//! checks the first character of the prefix, and a value with other characters than letters, digits
//! and `-._~` is judged as a token and refused. An API key does not change how other values are
//! judged.
//!
//! # Sources of some routes
//!
//! A source may be limited to some routes, for example a query parameter that only the WebSocket
//! endpoint reads. On other routes no token and no API key from this source admits a request. There
//! the same name may mean something else (`/reset?token=…`), so only values that look like a JWT
//! are judged. They are judged because the application may read such a value nevertheless, and must
//! not see a revoked token.

use std::borrow::Cow;

use crate::headers::Headers;
use crate::refusal::RefusalRule;
use crate::request::routes::{RequestPattern, RoutedRequest};
use crate::request::sources::candidate::Spelling;
use crate::request::sources::credentials::jwt_words;
use crate::request::sources::location::{Each, TokenLocation, whole};
use crate::request::sources::{ANY_SCHEME, cookies, query};

/// One place that may contain a token, and the prefix of API keys that may be there instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The place of the token.
    pub location: TokenLocation,
    /// The first characters of API keys, which are not tokens.
    pub pass_prefix: Option<String>,
    /// The requests that a token or an API key from this source may admit. An empty list means all
    /// requests. On other requests only values that look like a JWT are judged: they can cause a
    /// refusal, but cannot admit the request.
    pub routes: Vec<RequestPattern>,
}

/// Whether a request is on one of the routes of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The request is on one of the source's routes.
    Within,
    /// The request is on another route.
    Outside,
}

impl Source {
    /// Returns whether the source has the request among its routes; `None` is a request whose path
    /// is not canonical.
    pub(super) fn scope(&self, request: Option<&RoutedRequest<'_>>) -> Scope {
        let is_for = |request| self.routes.iter().any(|route| route.is_exactly(request));
        if self.routes.is_empty() || request.is_some_and(is_for) {
            Scope::Within
        } else {
            Scope::Outside
        }
    }

    /// Calls `each` for every value in this location that may be a token.
    pub(super) fn each<'a>(
        &self,
        headers: &'a Headers,
        scope: Scope,
        each: Each<'_, 'a>,
    ) -> Result<(), RefusalRule> {
        if scope == Scope::Outside {
            return self.each_jwt(headers, each);
        }
        if self.pass_prefix.is_none() {
            return self.location.each(headers, each);
        }
        self.location.each(headers, &mut |value, spelling| {
            if self.is_api_key(&value) { Ok(()) } else { each(value, spelling) }
        })
    }

    /// Calls `each` for every value in this location that looks like a JWT.
    fn each_jwt<'a>(&self, headers: &'a Headers, each: Each<'_, 'a>) -> Result<(), RefusalRule> {
        if let TokenLocation::Header { .. } = self.location {
            return self.each_in_malformed_field(headers, each);
        }
        self.location.each(headers, &mut |value, spelling| {
            let of_word = |word: &[u8]| if *word == *value { spelling } else { Spelling::Other };
            match &value {
                Cow::Borrowed(value) => {
                    jwt_words(value).try_for_each(|word| each(Cow::Borrowed(word), of_word(word)))
                }
                Cow::Owned(value) => jwt_words(value)
                    .try_for_each(|word| each(Cow::Owned(word.to_vec()), of_word(word))),
            }
        })
    }

    /// Calls `each` for every word of a malformed header field that looks like a JWT.
    pub(super) fn each_in_malformed_field<'a>(
        &self,
        headers: &'a Headers,
        each: Each<'_, 'a>,
    ) -> Result<(), RefusalRule> {
        let TokenLocation::Header { name, .. } = &self.location else { return Ok(()) };
        let words = headers.alike(name.as_bytes()).flat_map(|line| jwt_words(line.1));
        let mut words = words.filter(|word| !self.is_api_key(word));
        words.try_for_each(|word| each(word.into(), Spelling::Other))
    }

    /// Calls `each` for every API key in this location.
    pub(super) fn each_api_key<'a>(
        &self,
        headers: &'a Headers,
        each: Each<'_, 'a>,
    ) -> Result<(), RefusalRule> {
        if self.pass_prefix.is_none() {
            return Ok(());
        }
        self.location.each(headers, &mut |value, spelling| {
            if self.is_api_key(&value) { each(value, spelling) } else { Ok(()) }
        })
    }

    fn is_api_key(&self, value: &[u8]) -> bool {
        let key =
            self.pass_prefix.as_ref().and_then(|prefix| value.strip_prefix(prefix.as_bytes()));
        let is_in_key = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        key.is_some_and(|key| !key.is_empty() && key.iter().all(is_in_key))
            && value.len() <= API_KEY_BYTES_LIMIT
    }

    /// Returns the names, as sent, of the header lines to remove so that no token is left in this
    /// location. A field of one scheme is removed as a whole.
    pub(super) fn filled_headers<'a>(
        &'a self,
        headers: &'a Headers,
        scope: Scope,
        removed: Removed,
    ) -> Vec<&'a [u8]> {
        let TokenLocation::Header { name, scheme } = &self.location else { return vec![] };
        let lines = headers.alike(name.as_bytes());
        let named_scheme = scheme.as_deref().filter(|scheme| *scheme != ANY_SCHEME);
        if named_scheme.is_some() && scope == Scope::Within {
            let mut any = |value: Cow<'a, [u8]>, _| match self.is_removed(&value, scope, removed) {
                true => Err(RefusalRule::Count),
                false => Ok(()),
            };
            let is_filled = self.location.each(headers, &mut any).is_err();
            return lines.filter(|_| is_filled).map(|line| line.0).collect();
        }
        let has_jwt = |line: &[u8]| jwt_words(line).next().is_some();
        let is_filled = |line: &[u8]| match whole(line, scheme.as_deref()) {
            Some(value) if scope == Scope::Within => self.is_removed(value, scope, removed),
            _ => has_jwt(line),
        };
        lines.filter(|line| is_filled(line.1)).map(|line| line.0).collect()
    }

    /// Returns whether a cookie as sent is removed.
    pub(super) fn is_removed_cookie(&self, cookie: &[u8], scope: Scope, removed: Removed) -> bool {
        let TokenLocation::Cookie(name) = &self.location else { return false };
        let value = cookies::value_of(cookie, name);
        value.is_some_and(|(value, _)| self.is_removed(value, scope, removed))
    }

    /// Returns whether a query parameter as sent is removed.
    pub(super) fn is_removed_parameter(
        &self,
        parameter: &[u8],
        scope: Scope,
        removed: Removed,
    ) -> bool {
        let TokenLocation::Query(name) = &self.location else { return false };
        query::spelling_of(parameter, name).is_some()
            && query::value(parameter).is_none_or(|value| self.is_removed(&value, scope, removed))
    }

    fn is_removed(&self, value: &[u8], scope: Scope, removed: Removed) -> bool {
        match (scope, removed) {
            (Scope::Within, Removed::Tokens) => !self.is_api_key(value),
            (Scope::Within, Removed::TokensAndApiKeys) => true,
            (Scope::Outside, _) => jwt_words(value).next().is_some(),
        }
    }
}

/// The values that are removed from a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    /// Tokens; API keys stay.
    Tokens,
    /// Tokens and API keys.
    TokensAndApiKeys,
}

/// The longest API key, in bytes. Keys in use have fewer than 200 characters.
const API_KEY_BYTES_LIMIT: usize = 512;
