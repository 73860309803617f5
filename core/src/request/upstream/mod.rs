//! Decides which headers the application receives.
//!
//! The application receives the user id and the configured claims of the verified token, in headers
//! that no client can forge. First every header that the filter may ever set is removed, in every
//! spelling that some server treats as equal. Then the filter's headers are set. Headers are
//! removed on every route, also if no user is signed in.
//!
//! A proxy removes the headers that `Connection` names (RFC 9110 §7.6.1). Envoy does so itself,
//! but forwards `Connection` as it is with an upgrade. The filter removes its own headers from that
//! list, so that no client makes a proxy behind Envoy remove the user id.

use std::rc::Rc;

use serde::Deserialize;

use crate::headers::{Edit, Edits, HeaderText, Headers, Lengths, passes_for};
use crate::token::{ClaimPath, VerifiedToken};

/// The headers that the application receives from the filter.
#[derive(Clone, Debug)]
pub struct Upstream {
    user_id: Option<HeaderText>,
    claims: Vec<(ClaimPath, HeaderText)>,
    token: TokenForwarding,
    /// The lengths of all header names above.
    lengths: Lengths,
    /// Whether other filters and access logs get the user id.
    publishes_user: bool,
}

/// Whether the application gets the token itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TokenForwarding {
    /// The application receives the token, for example to verify it again.
    Keep,
    /// The token is removed from a request that it admits. A sign-out keeps it, because the
    /// application needs it.
    Strip,
}

impl Upstream {
    /// Creates the settings: the header for the user id, and a header for each claim. The names
    /// must be lower case, and so different that no server treats two of them as equal.
    pub(crate) fn new(
        user_id: Option<String>,
        claims: Vec<(ClaimPath, String)>,
        token: TokenForwarding,
    ) -> Self {
        let lengths = Lengths::of(
            user_id
                .iter()
                .chain(claims.iter().map(|(_, header)| header))
                .map(|header| header.as_bytes()),
        );
        let text = |header: String| header.into_bytes().into();
        let claims = claims.into_iter().map(|(claim, header)| (claim, text(header)));
        Self {
            user_id: user_id.map(text),
            claims: claims.collect(),
            token,
            lengths,
            publishes_user: false,
        }
    }

    /// Sets whether other filters and access logs get the user id.
    pub(crate) fn publishing_user(self, publishes_user: bool) -> Self {
        Self { publishes_user, ..self }
    }

    /// Returns the edits to a request before it goes to the application.
    ///
    /// `token` is the token that identifies the user. It is `None` on public routes, and on
    /// optional and sign-out routes without a valid token. All identity headers are then removed.
    /// The tokens themselves are not removed here: see [`strips_token`](Self::strips_token).
    #[must_use]
    pub fn edits(&self, headers: &Headers, token: Option<&VerifiedToken>) -> Edits {
        let values = || token.into_iter().flat_map(|token| self.values(token));
        let mut edits = self.removals(headers, |name| values().any(|(known, _)| **known == *name));
        let line = |(name, value): (&HeaderText, &Rc<str>)| {
            Edit::one_line(headers, name.clone(), value.clone())
        };
        edits.extend(values().map(line));
        edits.extend(self.connection(headers));
        edits
    }

    /// Returns the names of all headers that the application may get.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        let claims = self.claims.iter().map(|(_, header)| header);
        self.user_id.iter().chain(claims).map(|header| &**header)
    }

    /// Returns the claims that the application gets, in their order.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &ClaimPath> {
        self.claims.iter().map(|(claim, _)| claim)
    }

    /// Returns whether the token of an admitted request must be removed from it.
    #[must_use]
    pub fn strips_token(&self) -> bool {
        matches!(self.token, TokenForwarding::Strip)
    }

    /// Returns the user id for other filters of the proxy and for access logs.
    #[must_use]
    pub fn published_user(&self, token: Option<&VerifiedToken>) -> Option<Rc<str>> {
        let user = token.filter(|_| self.publishes_user)?.user()?;
        Some(user.id().clone())
    }

    /// Returns the edits to a request's trailers, which servers may merge with the headers.
    #[must_use]
    pub fn trailers(&self, trailers: &Headers) -> Edits {
        self.removals(trailers, |_| false)
    }

    /// Returns the name and the value of each header that the token provides. The verifier accepts
    /// only values that a header can carry unchanged.
    fn values<'a>(
        &'a self,
        token: &'a VerifiedToken,
    ) -> impl Iterator<Item = (&'a HeaderText, &'a Rc<str>)> {
        let user = self.user_id.as_ref().zip(token.user().map(|user| user.id()));
        let claims = &self.claims;
        let claims = claims.iter().filter_map(|(claim, name)| Some((name, token.claim(claim)?)));
        user.into_iter().chain(claims)
    }

    /// Returns the edits that remove each header that some server treats as one of the filter's.
    /// Headers for which `is_set` returns true are left out, because they are replaced.
    fn removals(&self, headers: &Headers, is_set: impl Fn(&[u8]) -> bool) -> Edits {
        let names = headers.names_of(self.lengths);
        Edit::removals(names.filter(|name| self.is_ours(name) && !is_set(name)))
    }

    /// Returns the edit that removes the filter's header names from `Connection`, or `None` if it
    /// contains none of them.
    fn connection(&self, headers: &Headers) -> Option<Edit> {
        let options = || {
            let lines = headers.values(CONNECTION);
            lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
        };
        options().find(|option| self.is_ours(option))?;
        let others = options().filter(|option| !option.is_empty() && !self.is_ours(option));
        let others = others.collect::<Vec<_>>().join(&b", "[..]);
        Some(match others.is_empty() {
            true => Edit::Remove(CONNECTION.into()),
            false => Edit::Set(CONNECTION.into(), others.into()),
        })
    }

    /// Returns whether some server treats this name as that of a header that the filter sets.
    fn is_ours(&self, name: &[u8]) -> bool {
        let mut ours = self.user_id.iter().chain(self.claims.iter().map(|(_, header)| header));
        ours.any(|header| passes_for(name, header))
    }
}

const CONNECTION: &[u8] = b"connection";

#[cfg(test)]
mod tests;
