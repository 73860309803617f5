//! What does the application get to see?
//!
//! The user and the claims that the verified token names, in headers that no client can forge:
//! first every header that we may ever set is removed, in every spelling that some server takes
//! for it, then ours are set. Removed on every route, also where nobody is signed in.

use serde::Deserialize;

use crate::headers::{Edit, Headers, Lengths, passes_for};
use crate::token::VerifiedToken;

/// What the application gets to see.
#[derive(Clone, Debug)]
pub struct Upstream {
    user_id: Option<Vec<u8>>,
    claims: Vec<(String, Vec<u8>)>,
    token: TokenForwarding,
    /// Of all these headers.
    lengths: Lengths,
    /// Whether other filters get the user id, and access logs.
    publishes_user: bool,
}

/// Whether the application gets the token itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TokenForwarding {
    /// It does: applications that verify again need it.
    Keep,
    /// It is taken out of the request where it opens the route. A sign-out keeps it: nothing is
    /// removed there, as the application signs out by it.
    Strip,
}

impl Upstream {
    /// The user id goes into that header, each claim into its own. Names are lower case and
    /// differ also after folding.
    pub(crate) fn new(
        user_id: Option<String>,
        claims: Vec<(String, String)>,
        token: TokenForwarding,
    ) -> Self {
        let lengths = Lengths::of(
            user_id
                .iter()
                .chain(claims.iter().map(|(_, header)| header))
                .map(|header| header.as_bytes()),
        );
        let claims = claims.into_iter().map(|(claim, header)| (claim, header.into_bytes()));
        Self {
            user_id: user_id.map(String::into_bytes),
            claims: claims.collect(),
            token,
            lengths,
            publishes_user: false,
        }
    }

    /// The same; other filters and access logs get the user id, or not.
    pub(crate) fn publishing_user(self, publishes_user: bool) -> Self {
        Self { publishes_user, ..self }
    }

    /// The edits to a request on its way to the application.
    ///
    /// With the token that speaks for the request; `None` on public routes, and on optional and
    /// sign-out routes without a valid one: then all identity is removed. Of the tokens themselves
    /// nothing is: see [`strips_token`](Self::strips_token).
    #[must_use]
    pub fn edits(&self, headers: &Headers, token: Option<&VerifiedToken>) -> Vec<Edit> {
        let values = || token.into_iter().flat_map(|token| self.values(token));
        let mut edits = self.removals(headers, |name| values().any(|(known, _)| known == name));
        edits.extend(values().map(|(name, value)| Edit::Set(name.to_vec(), value.into())));
        edits
    }

    /// Whether the token of an admitted request is to be taken out of it.
    #[must_use]
    pub fn strips_token(&self) -> bool {
        matches!(self.token, TokenForwarding::Strip)
    }

    /// The user id that other filters of the proxy get, and access logs.
    #[must_use]
    pub fn published_user(&self, token: Option<&VerifiedToken>) -> Option<Box<str>> {
        let user = token.filter(|_| self.publishes_user)?.user()?;
        Some(user.id().into())
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
        let names = headers.names_of(self.lengths).filter(|name| {
            let mut ours = self.user_id.iter().chain(self.claims.iter().map(|(_, header)| header));
            ours.any(|header| passes_for(name, header)) && !is_set(name)
        });
        Edit::removals(names)
    }
}

#[cfg(test)]
mod tests;
