//! Finds the route of a request, which is what the filter requires of it.
//!
//! The first rule that matches decides; if none matches, the default access applies. Rules with
//! access `protected` match generously, and rules that need no token match strictly, so that a
//! doubtful request is protected:
//!
//! | | `protected`, and `revoke_user` of any rule | `signout` | `public`, `optional`, `ready` |
//! | --- | --- | --- | --- |
//! | path | without ASCII case, `%XX` decoded; a prefix by bytes | exact; a prefix by segments | exact; a prefix by segments |
//! | a slash more or less at its end | matches | matches | does not match |
//! | host | without ASCII case or last dot; an odd or absent one matches | without ASCII case | without ASCII case |
//! | method | without ASCII case; `GET` includes `HEAD` | exact; `GET` includes `HEAD` | exact |
//! | upgrade | any sign of one | `Connection: upgrade` and `Upgrade` | `Connection: upgrade` and `Upgrade` |
//!
//! For example, `{"prefix": "/static", "access": "public"}` opens `/static` and `/static/…`, but
//! not `/static-admin`. With `"access": "protected"` it protects all three. A path that is not
//! [canonical](crate::request::path) is protected, regardless of the rules and the default.
//!
//! The method is the one that Envoy sees. An application that reads `X-HTTP-Method-Override` needs
//! rules without `methods`, or a proxy that removes that header, as the shipped configurations do.

mod browser;
mod host;
mod pattern;
mod rule;

use std::borrow::Cow;

pub(crate) use crate::request::routes::browser::is_cross_site;
pub(crate) use crate::request::routes::host::HostPattern;
pub use crate::request::routes::pattern::RequestPattern;
pub(in crate::request) use crate::request::routes::pattern::RoutedRequest;
pub(crate) use crate::request::routes::pattern::{Matcher, Part};
pub(crate) use crate::request::routes::rule::{Revokes, Rule};

use serde::Deserialize;

use crate::headers::Headers;
use crate::request::path;
use crate::request::routes::pattern::may_be_upgrade;

/// What a route requires of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Tokens are neither required nor checked.
    Public,
    /// A valid token is used. A bad one is removed, and the request continues without a user.
    Optional,
    /// A valid token is required.
    Protected,
    /// The application's sign-out. The request's tokens are revoked, then it is forwarded.
    Signout,
    /// The filter itself responds whether keys and feed are loaded.
    Ready,
}

/// The user whose tokens a 2xx response of the application revokes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeUser<'a> {
    /// The user that the request's own token names.
    OfToken,
    /// The user whose id is in the path, percent-decoded.
    Named(Cow<'a, str>),
}

/// The tokens of a request that the request revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignsOut {
    /// No token. Contains the reason if the path is that of a sign-out route.
    Nothing(Option<NoSignOut>),
    /// All except the tokens in cookies, because a page of another site caused the request and a
    /// browser attaches cookies by itself. This is a defence against cross-site request forgery
    /// (CSRF).
    AllButCookies,
    /// All tokens of the request.
    All,
}

/// The reason why a request to the path of a sign-out route revokes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSignOut {
    /// No rule matches the request, but a sign-out rule would with another method. The application
    /// may sign out by a link while the rule names `POST` only.
    OtherMethod,
    /// `HEAD` and `OPTIONS` must not change anything.
    Method,
    /// A browser requests the page in advance.
    Prefetch,
    /// A page embeds the response, for example as an image or a frame.
    Embedded,
}

/// The requirements of a request's route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// The access that the route requires.
    pub access: Access,
    /// The tokens of the request that are revoked. None except on [`Access::Signout`].
    pub signs_out: SignsOut,
    /// The user whose tokens a 2xx response revokes, if any. Never on `HEAD` and `OPTIONS`.
    pub revoke_user: Option<RevokeUser<'a>>,
    /// Whether an API key replaces a token, for applications that accept API keys. Always false on
    /// an upgrade: the filter does not check API keys, and the application may check nothing after
    /// the upgrade.
    pub api_keys: bool,
}

impl Route<'_> {
    /// Returns whether the request revokes any of its tokens.
    #[must_use]
    pub fn revokes(&self) -> bool {
        !matches!(self.signs_out, SignsOut::Nothing(_))
    }
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

    /// Returns the route of a request: that of the first rule that matches, otherwise the default.
    /// A path that is absent or not [canonical](path::canonical) is protected. The application may
    /// understand such a path as any route, so API keys are accepted only if all rules accept them.
    #[must_use]
    pub fn find<'a>(&'a self, headers: &'a Headers) -> Route<'a> {
        let mut route = self.find_by_rules(headers);
        route.api_keys = route.api_keys && !may_be_upgrade(headers);
        route
    }

    /// Returns the index of the rule that decides about a request, or `None` if no rule does.
    #[must_use]
    pub fn deciding_rule(&self, headers: &Headers) -> Option<usize> {
        let path = path::canonical(headers.first(b":path").unwrap_or_default())?;
        let request = RoutedRequest::new(path, headers);
        self.rules.iter().position(|rule| rule.matches(&request))
    }

    fn find_by_rules<'a>(&'a self, headers: &'a Headers) -> Route<'a> {
        let plain = |access| Route {
            access,
            signs_out: SignsOut::Nothing(None),
            revoke_user: None,
            api_keys: true,
        };
        let target = headers.first(b":path").unwrap_or_default();
        let Some(path) = path::canonical(target) else {
            let api_keys = self.rules.iter().all(Rule::takes_api_keys);
            return Route { api_keys, ..plain(Access::Protected) };
        };
        let request = RoutedRequest::new(path, headers);
        // A rule with `revoke_user` that opens a route does not match doubtful spellings of its
        // path. If a later rule opens such a spelling, the earlier rule's `revoke_user` still
        // applies.
        let mut doubtful = None;
        for rule in &self.rules {
            if rule.matches(&request) {
                let route = rule.route(&request);
                return Route { revoke_user: doubtful.or(route.revoke_user), ..route };
            }
            if doubtful.is_none() && rule.revokes_a_user() && rule.may_match(&request) {
                doubtful = rule.revoke_user(&request);
            }
        }
        let has_other_method =
            self.rules.iter().any(|rule| rule.signs_out_by_other_method(&request));
        let signs_out = SignsOut::Nothing(has_other_method.then_some(NoSignOut::OtherMethod));
        Route { revoke_user: doubtful, signs_out, ..plain(self.default_access) }
    }
}

#[cfg(test)]
mod tests;
