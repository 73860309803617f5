//! One rule: the requests that it matches, and the route that it gives them.

use std::borrow::Cow;

use crate::request::path;
use crate::request::routes::pattern::{Reading, RequestPattern, RoutedRequest, Slash, segments};
use crate::request::routes::{Access, NoSignOut, RevokeUser, Route, SignsOut, browser};

/// One rule, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pattern: RequestPattern,
    access: Access,
    cross_site_revokes: bool,
    revokes: Option<Revokes>,
    api_keys: bool,
}

/// The user whose tokens a 2xx response revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revokes {
    /// The user that the request's token names.
    UserOfToken,
    /// The user in the path segment with this index. The first segment has index 0.
    UserInSegment(usize),
}

impl Rule {
    /// Creates a rule for these requests.
    pub(crate) fn new(pattern: RequestPattern, access: Access) -> Self {
        Self { pattern, access, cross_site_revokes: false, revokes: None, api_keys: true }
    }

    /// Lets requests caused by a page of another site revoke cookies on this sign-out route.
    pub(crate) fn with_cross_site_revoking(self) -> Self {
        Self { cross_site_revokes: true, ..self }
    }

    /// Makes a 2xx response revoke that user's tokens.
    pub(crate) fn with_revokes(self, revokes: Option<Revokes>) -> Self {
        Self { revokes, ..self }
    }

    /// Makes the rule require a token even if the request has an API key.
    pub(crate) fn without_api_keys(self) -> Self {
        Self { api_keys: false, ..self }
    }

    pub(super) fn takes_api_keys(&self) -> bool {
        self.api_keys
    }

    /// Returns whether the rule applies to this request.
    pub(super) fn matches(&self, request: &RoutedRequest<'_>) -> bool {
        match self.access {
            Access::Protected => self.may_match(request),
            Access::Signout => self.pattern.matches(request, Reading::Exact, Slash::MayFollow),
            Access::Public | Access::Optional | Access::Ready => self.pattern.is_exactly(request),
        }
    }

    /// Returns whether this sign-out rule would match the request if it had another method. `HEAD`
    /// and `OPTIONS` sign nobody out anyway.
    pub(super) fn signs_out_by_other_method(&self, request: &RoutedRequest<'_>) -> bool {
        self.access == Access::Signout
            && !matches!(request.method, b"HEAD" | b"OPTIONS")
            && self.pattern.matches_by_other_method(request)
    }

    /// Returns whether some server may understand the request as one that this rule matches.
    pub(super) fn may_match(&self, request: &RoutedRequest<'_>) -> bool {
        self.pattern.matches(request, Reading::Wide, Slash::MayFollow)
    }

    /// Returns what the rule requires of a request. The rule must match the request.
    pub(super) fn route<'a>(&self, request: &RoutedRequest<'a>) -> Route<'a> {
        Route {
            access: self.access,
            signs_out: self.signs_out(request),
            revoke_user: self.revoke_user(request),
            api_keys: self.api_keys,
        }
    }

    /// Returns the user whose tokens a 2xx response to the request revokes.
    pub(super) fn revoke_user<'a>(&self, request: &RoutedRequest<'a>) -> Option<RevokeUser<'a>> {
        let changes = !matches!(request.method, b"HEAD" | b"OPTIONS");
        match self.revokes.filter(|_| changes)? {
            Revokes::UserOfToken => Some(RevokeUser::OfToken),
            Revokes::UserInSegment(index) => user_in_segment(request.path, index),
        }
    }

    pub(super) fn revokes_a_user(&self) -> bool {
        self.revokes.is_some()
    }

    fn signs_out(&self, request: &RoutedRequest<'_>) -> SignsOut {
        if self.access != Access::Signout {
            SignsOut::Nothing(None)
        } else if matches!(request.method, b"HEAD" | b"OPTIONS") {
            SignsOut::Nothing(Some(NoSignOut::Method))
        } else if request.is_get() && browser::is_prefetch(request.headers) {
            SignsOut::Nothing(Some(NoSignOut::Prefetch))
        } else if request.is_get() && browser::is_embedded(request.headers) {
            SignsOut::Nothing(Some(NoSignOut::Embedded))
        } else if !self.cross_site_revokes && browser::is_cross_site(request.headers) {
            SignsOut::AllButCookies
        } else {
            SignsOut::All
        }
    }
}

/// Returns the user whose id is the segment with this index. Returns `None` if the segment is not
/// UTF-8, because user ids in tokens are text.
fn user_in_segment(path: &[u8], index: usize) -> Option<RevokeUser<'_>> {
    let id = match path::decoded(segments(path).nth(index)?) {
        Cow::Borrowed(id) => Cow::Borrowed(std::str::from_utf8(id).ok()?),
        Cow::Owned(id) => Cow::Owned(String::from_utf8(id).ok()?),
    };
    Some(RevokeUser::Named(id))
}
