//! What does the application get to see?
//!
//! The user and the claims that the verified token names, in headers that no client can forge:
//! first every header that we may ever set is removed, in every spelling that some server takes
//! for it, then ours are set. Removed on every route, also where nobody is signed in.
//!
//! # Spellings
//!
//! CGI and what descends from it (WSGI, Rack, PHP) turn header names into variables: case goes, and
//! `-`, `_`, sometimes any sign at all, become one and the same. So names are compared by their
//! letters and digits alone, any other sign being equal to any other.

use crate::headers::{Edit, Headers};
use crate::sources::Sources;
use crate::token::VerifiedToken;

/// What the application gets to see.
#[derive(Clone, Debug)]
pub struct Upstream {
    user_id: Option<Vec<u8>>,
    claims: Vec<(String, Vec<u8>)>,
    token: Forward,
}

/// Whether the application gets the token itself.
#[derive(Clone, Debug)]
pub enum Forward {
    /// It does: applications that verify again need it.
    Keep,
    /// It is taken out of these places once it has been verified.
    Strip(Sources),
}

impl Upstream {
    /// The user id goes into that header, each claim into its own. Names are lower case and
    /// differ also after folding.
    pub(crate) fn new(
        user_id: Option<String>,
        claims: Vec<(String, String)>,
        token: Forward,
    ) -> Self {
        let claims = claims.into_iter().map(|(claim, header)| (claim, header.into_bytes()));
        Self { user_id: user_id.map(String::into_bytes), claims: claims.collect(), token }
    }

    /// The edits to a request on its way to the application.
    ///
    /// With the token of the request where one was verified; `None` on public and sign-out routes,
    /// and on optional ones without a valid token: then all identity is removed, and of the tokens
    /// themselves nothing.
    #[must_use]
    pub fn edits(&self, headers: &Headers, token: Option<&VerifiedToken>) -> Vec<Edit> {
        let values = || token.into_iter().flat_map(|token| self.values(token));
        let mut edits = self.removals(headers, |name| values().any(|(known, _)| known == name));
        edits.extend(values().map(|(name, value)| Edit::Set(name.to_vec(), value.into())));
        if let (Forward::Strip(sources), Some(_)) = (&self.token, token) {
            edits.extend(sources.removal(headers));
        }
        edits
    }

    /// The edits to a request's trailers: servers may merge them with the headers.
    #[must_use]
    pub fn trailers(&self, trailers: &Headers) -> Vec<Edit> {
        self.removals(trailers, |_| false)
    }

    /// Header and value of all that the token says; the verifier lets only values pass that a
    /// header carries unchanged.
    fn values<'a>(&'a self, token: &'a VerifiedToken) -> impl Iterator<Item = (&'a [u8], &'a str)> {
        let user = self.user_id.as_deref().zip(token.user().map(|user| user.id()));
        let claims = &self.claims;
        let claims = claims.iter().filter_map(|(claim, name)| Some((&**name, token.claim(claim)?)));
        user.into_iter().chain(claims)
    }

    /// Removes each header that passes for one of ours, except those of which `is_set` says that
    /// they will be replaced.
    fn removals(&self, headers: &Headers, is_set: impl Fn(&[u8]) -> bool) -> Vec<Edit> {
        let mut edits = vec![];
        for (name, _) in headers.lines() {
            let ours = self.user_id.iter().chain(self.claims.iter().map(|(_, header)| header));
            if ours.into_iter().any(|header| passes_for(name, header)) && !is_set(name) {
                let edit = Edit::Remove(name.to_vec());
                if !edits.contains(&edit) {
                    edits.push(edit);
                }
            }
        }
        edits
    }
}

/// Whether some server takes one header name for the other.
pub(crate) fn passes_for(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len()
        && name.iter().zip(other).all(|(a, b)| {
            a.eq_ignore_ascii_case(b) || !(a.is_ascii_alphanumeric() || b.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
#[path = "upstream/tests.rs"]
mod tests;
