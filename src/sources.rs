//! Where may a request carry a token, and which tokens does it carry?

use std::borrow::Cow;
use std::ops::Deref;

use crate::headers::{Edit, Headers};
use crate::refusal::Refusal;

/// Most distinct tokens of one request.
pub const MOST_TOKENS: usize = 8;

/// The distinct tokens of one request, in the order in which they were found; a slice of
/// [`Cow<[u8]>`](Cow).
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    found: [Cow<'a, [u8]>; MOST_TOKENS],
    count: usize,
}

impl<'a> Deref for Tokens<'a> {
    type Target = [Cow<'a, [u8]>];

    fn deref(&self) -> &Self::Target {
        self.found.get(..self.count).unwrap_or_default()
    }
}

/// Every place that may hold a token.
#[derive(Clone, Debug)]
pub struct Sources {}

impl Sources {
    /// Every distinct token in every place.
    ///
    /// # Errors
    ///
    /// [`Refusal::MalformedToken`] for more than [`MOST_TOKENS`]. No token is no error.
    pub fn find<'a>(&self, headers: &'a Headers) -> Result<Tokens<'a>, Refusal> {
        let _ = headers;
        Ok(Tokens { found: [const { Cow::Borrowed(&[]) }; MOST_TOKENS], count: 0 })
    }

    /// What takes every token out of the request: headers removed, cookies and query parameters cut
    /// out. After it [`find`](Self::find) finds nothing.
    #[must_use]
    pub fn removal(&self, headers: &Headers) -> Vec<Edit> {
        let _ = headers;
        vec![]
    }

    /// `Set-Cookie` lines that clear the configured cookies which carried a token that was refused.
    #[must_use]
    pub fn clearing(&self, headers: &Headers, refused: impl Fn(&[u8]) -> bool) -> Vec<String> {
        let (_, _) = (headers, refused);
        vec![]
    }
}
