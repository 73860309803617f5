//! Finds the query parameters that some server may read as the parameter with the token.

use std::borrow::Cow;

use crate::request::sources::candidate::Spelling;
use crate::request::sources::divided;
use crate::request::sources::names::{divides, ends_in};

/// Returns the parameters of a query, and for each whether every server splits the query there.
///
/// `&` is the separator (WHATWG URL, `application/x-www-form-urlencoded`). Some servers also split
/// at `;`. The parts between `;` therefore have [`Spelling::Other`].
pub(super) fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], Spelling)> {
    divided(query, |rest| memchr::memchr(b'&', rest)).flat_map(|parameter| {
        let is_divided = memchr::memchr(b';', parameter).is_some();
        let spelling = if is_divided { Spelling::Other } else { Spelling::Exact };
        divided(parameter, |rest| memchr::memchr(b';', rest)).map(move |part| (part, spelling))
    })
}

/// Returns the spelling of the parameter's name, if some server reads it as this name and the
/// parameter has a value.
pub(super) fn spelling_of(parameter: &[u8], name: &str) -> Option<Spelling> {
    let end = memchr::memchr(b'=', parameter)?;
    let (found, value) = parameter.split_at_checked(end)?;
    if value.len() <= 1 {
        return None;
    }
    if found == name.as_bytes() {
        return Some(Spelling::Exact);
    }
    ends_in(found, name.as_bytes(), divides).then_some(Spelling::Other)
}

/// Returns the decoded value of one parameter.
pub(super) fn value(parameter: &[u8]) -> Option<Cow<'_, [u8]>> {
    match form_urlencoded::parse(parameter).next()?.1 {
        Cow::Borrowed(value) => Some(Cow::Borrowed(value.as_bytes())),
        Cow::Owned(value) => Some(Cow::Owned(value.into_bytes())),
    }
}

/// Returns whether some server splits a query at this byte.
pub(super) fn is_separator(byte: &u8) -> bool {
    matches!(byte, b'&' | b';')
}
