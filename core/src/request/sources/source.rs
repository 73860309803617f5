//! One token source: a place, and the prefix of API keys that may be there.
//!
//! Some applications accept API keys where they accept tokens. A source may name the prefix of such
//! keys. A value with that prefix is no token and is left for the application to judge. No decoder
//! of tokens, however lenient, may decode it as a token: the configuration checks the first
//! character of the prefix, and a value with other characters than letters, digits and `-._~` is
//! judged as a token and refused. An API key does not change how other values are judged.

use crate::headers::Headers;
use crate::refusal::Rule;
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
}

impl Source {
    /// Calls `each` for every value in this location that may be a token.
    pub(super) fn each<'a>(&self, headers: &'a Headers, each: Each<'_, 'a>) -> Result<(), Rule> {
        if self.pass_prefix.is_none() {
            return self.location.each(headers, each);
        }
        self.location.each(headers, &mut |value, spelling| {
            if self.is_api_key(&value) { Ok(()) } else { each(value, spelling) }
        })
    }

    /// Calls `each` for every word of a malformed header field that looks like a JWT.
    pub(super) fn each_in_malformed_field<'a>(
        &self,
        headers: &'a Headers,
        each: Each<'_, 'a>,
    ) -> Result<(), Rule> {
        let TokenLocation::Header { name, .. } = &self.location else { return Ok(()) };
        let words = headers.alike(name.as_bytes()).flat_map(|line| jwt_words(line.1));
        let mut words = words.filter(|word| !self.is_api_key(word));
        words.try_for_each(|word| each(word.into(), Spelling::Other))
    }

    /// Returns whether an API key is in exactly this location.
    pub(super) fn holds_api_key(&self, headers: &Headers) -> bool {
        let mut is_found = false;
        let is_well_formed = self.pass_prefix.is_some()
            && self
                .location
                .each(headers, &mut |value, spelling| {
                    is_found |= spelling == Spelling::Exact && self.is_api_key(&value);
                    Ok(())
                })
                .is_ok();
        is_well_formed && is_found
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
    pub(super) fn filled_headers<'a>(&'a self, headers: &'a Headers) -> Vec<&'a [u8]> {
        let TokenLocation::Header { name, scheme } = &self.location else { return vec![] };
        let lines = headers.alike(name.as_bytes());
        let named_scheme = scheme.as_deref().filter(|scheme| *scheme != ANY_SCHEME);
        if named_scheme.is_none() {
            let is_filled = |line| match whole(line, scheme.as_deref()) {
                Some(value) => !self.is_api_key(value),
                None => jwt_words(line).next().is_some(),
            };
            return lines.filter(|line| is_filled(line.1)).map(|line| line.0).collect();
        }
        let is_filled = self.each(headers, &mut |_, _| Err(Rule::Count)).is_err();
        lines.filter(|_| is_filled).map(|line| line.0).collect()
    }

    /// Returns whether a cookie as sent holds a token.
    pub(super) fn is_token_cookie(&self, cookie: &[u8]) -> bool {
        let TokenLocation::Cookie(name) = &self.location else { return false };
        cookies::value_of(cookie, name).is_some_and(|(value, _)| !self.is_api_key(value))
    }

    /// Returns whether a query parameter as sent holds a token.
    pub(super) fn is_token_parameter(&self, parameter: &[u8]) -> bool {
        let TokenLocation::Query(name) = &self.location else { return false };
        query::spelling_of(parameter, name).is_some()
            && !query::value(parameter).is_some_and(|value| self.is_api_key(&value))
    }
}

/// The length of the longest API key: those in use have fewer than 200 characters.
const API_KEY_BYTES_LIMIT: usize = 512;
