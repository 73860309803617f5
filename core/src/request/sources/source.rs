//! What does one place hold: a token, or an API key?
//!
//! Some applications take API keys where they take tokens. A source may name the prefix of such keys:
//! what begins so is no token and is left for the application to judge. No decoder of tokens, however
//! lenient, may make a token of it: the configuration sees to that by the prefix's first sign, and
//! here everything but letters, digits and `-._~` makes it a token again, to be refused. Whatever else
//! the request carries is looked at as ever.

use std::borrow::Cow;

use crate::headers::Headers;
use crate::refusal::Refusal;
use crate::request::sources::credentials::token_words;
use crate::request::sources::{ANY_SCHEME, Each, Place, in_cookie, parameter, whole};

/// One place that may hold a token, and what else it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where to look.
    pub place: Place,
    /// How API keys begin there, which are no tokens.
    pub pass_prefix: Option<String>,
}

impl Source {
    /// Calls `each` for every token in this place.
    pub(super) fn each<'a>(&self, headers: &'a Headers, each: Each<'_, 'a>) -> Result<(), Refusal> {
        if self.pass_prefix.is_none() {
            return self.place.each(headers, each);
        }
        let mut if_token = |value: Cow<'a, [u8]>| {
            if self.is_api_key(&value) { Ok(()) } else { each(value) }
        };
        self.place.each(headers, &mut if_token)
    }

    /// Whether an API key is in this place.
    pub(super) fn holds_api_key(&self, headers: &Headers) -> bool {
        let mut found = false;
        let mut look = |value: Cow<'_, [u8]>| {
            found |= self.is_api_key(&value);
            Ok(())
        };
        self.pass_prefix.is_some() && self.place.each(headers, &mut look).is_ok() && found
    }

    fn is_api_key(&self, value: &[u8]) -> bool {
        let key =
            self.pass_prefix.as_ref().and_then(|prefix| value.strip_prefix(prefix.as_bytes()));
        let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        key.is_some_and(|key| !key.is_empty() && key.iter().all(is_sign))
            && value.len() <= API_KEY_BYTES_LIMIT
    }

    /// Calls `each` for everything that looks like a token in this place's header field.
    pub(super) fn each_in_malformed_field<'a>(
        &self,
        headers: &'a Headers,
        each: Each<'_, 'a>,
    ) -> Result<(), Refusal> {
        let Place::Header { name, .. } = &self.place else { return Ok(()) };
        let words = headers.alike(name.as_bytes()).flat_map(|(_, value)| token_words(value));
        words.filter(|word| !self.is_api_key(word)).try_for_each(|word| each(Cow::Borrowed(word)))
    }

    /// The names, as sent, of the header lines to remove so that no token is left in this place.
    /// A field of one scheme is removed as a whole.
    pub(super) fn filled_headers<'a>(&'a self, headers: &'a Headers) -> Vec<&'a [u8]> {
        let Place::Header { name, scheme } = &self.place else { return vec![] };
        let lines = headers.alike(name.as_bytes());
        let named_scheme = scheme.as_deref().filter(|scheme| *scheme != ANY_SCHEME);
        if named_scheme.is_none() {
            let is_token = |value: &[u8]| !self.is_api_key(value);
            let is_filled = |value| whole(value, scheme.as_deref()).is_some_and(is_token);
            return lines.filter(|line| is_filled(line.1)).map(|line| line.0).collect();
        }
        let is_filled = self.each(headers, &mut |_| Err(Refusal::MalformedToken)).is_err();
        lines.filter(|_| is_filled).map(|line| line.0).collect()
    }

    /// Whether a cookie as sent is a token of this place.
    pub(super) fn holds_cookie(&self, cookie: &[u8]) -> bool {
        let Place::Cookie(name) = &self.place else { return false };
        in_cookie(cookie, name).is_some_and(|token| !self.is_api_key(token))
    }

    /// The same of a query parameter.
    pub(super) fn holds_parameter(&self, piece: &[u8]) -> bool {
        let is_api_key =
            || parameter(piece).is_some_and(|(_, value)| self.is_api_key(value.as_bytes()));
        self.place.is_parameter(piece) && !is_api_key()
    }
}

/// The longest API key: those in use have fewer than 200 signs.
const API_KEY_BYTES_LIMIT: usize = 512;
