//! What does a request's route ask of it?
//!
//! The first rule that matches decides, else the default. Rules that protect and rules that open are
//! read differently, each so that a doubt protects:
//!
//! | | protected rules | all others |
//! | --- | --- | --- |
//! | path | without ASCII case, `%XX` decoded; a prefix by bytes | exact; a prefix by segments |
//! | host | without ASCII case or last dot; an odd or absent one matches | exact |
//! | method | without ASCII case | exact |
//!
//! So `{"prefix": "/static", "access": "public"}` opens `/static` and `/static/…`, never
//! `/static-admin`; with `"access": "protected"` it closes all three. A path that is not
//! [canonical](crate::request::path) is protected, whatever the rules and the default say.
//!
//! The method is the one that Envoy sees: an application that takes `X-HTTP-Method-Override` from
//! clients needs rules without `methods`.

mod host;
mod rule;

use std::borrow::Cow;

pub(crate) use crate::request::routes::host::HostPattern;
pub(crate) use crate::request::routes::rule::{Matcher, Part, Revokes, Rule};

use crate::headers::Headers;
use crate::request::path;
use crate::request::routes::rule::Request;

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
    /// Whether an API key stands for a token, where the application takes them.
    pub api_keys: bool,
}

/// The routes of one configuration.
#[derive(Clone, Debug)]
pub struct Routes {
    rules: Vec<Rule>,
    default_access: Access,
}

impl Routes {
    pub(crate) fn new(rules: Vec<Rule>, default_access: Access) -> Self {
        Self { rules, default_access }
    }

    /// The route of a request: the first rule that matches, else the default; protected, whatever
    /// they say, where the path is not [canonical](path::canonical) or there is none. It may mean any
    /// route then: an API key does only if it does on all.
    #[must_use]
    pub fn find<'a>(&'a self, headers: &'a Headers) -> Route<'a> {
        let plain = |access| Route { access, revokes: false, revoke_user: None, api_keys: true };
        let target = headers.first(b":path").unwrap_or_default();
        let Some(path) = path::canonical(target) else {
            let api_keys = self.rules.iter().all(Rule::takes_api_keys);
            return Route { api_keys, ..plain(Access::Protected) };
        };
        let request = Request::new(path, headers);
        match self.rules.iter().find(|rule| rule.matches(&request)) {
            Some(rule) => rule.route(&request),
            None => plain(self.default_access),
        }
    }
}

#[cfg(test)]
mod tests;
