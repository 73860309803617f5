//! Which requests does one rule match, and what does it ask of them?

use std::borrow::Cow;

use crate::headers::Headers;
use crate::request::path;
use crate::request::routes::host::{Host, HostPattern};
use crate::request::routes::{Access, RevokeUser, Route};

/// One rule, compiled.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    matcher: Matcher,
    access: Access,
    methods: Vec<String>,
    hosts: Vec<HostPattern>,
    cross_site_revokes: bool,
    revokes: Option<Revokes>,
    api_keys: bool,
}

/// Which paths are meant. Texts are canonical paths or parts of one; a protected rule keeps them
/// decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matcher {
    /// This path.
    Path(Vec<u8>),
    /// Paths that begin so.
    Prefix(Vec<u8>),
    /// Paths of these segments.
    Template(Vec<Part>),
    /// Any path, of a CORS preflight (Fetch §3.2.2): `OPTIONS` with `Origin` and
    /// `Access-Control-Request-Method`.
    Preflight,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// This segment.
    Literal(Vec<u8>),
    /// Any one segment that is not empty.
    Any,
}

/// Whose tokens a 2xx answer revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revokes {
    /// Those of the user that the request's token names.
    UserOfToken,
    /// Those of the user in the segment of that index; the first one is 0.
    UserInSegment(usize),
}

/// What rules look at.
pub(super) struct Request<'a> {
    path: &'a [u8],
    decoded: Cow<'a, [u8]>,
    method: &'a [u8],
    host: Host<'a>,
    headers: &'a Headers,
}

impl<'a> Request<'a> {
    /// A request for a canonical path.
    pub(super) fn new(path: &'a [u8], headers: &'a Headers) -> Self {
        let header = |name| headers.first(name).unwrap_or_default();
        let (method, host) = (header(b":method"), Host::read(header(b":authority")));
        Self { path, decoded: path::decoded(path), method, host, headers }
    }

    fn is_preflight(&self) -> bool {
        let has = |name| self.headers.first(name).is_some();
        self.method == b"OPTIONS" && has(b"origin") && has(b"access-control-request-method")
    }

    /// Whether another site's page made the browser send it (Fetch Metadata §2.3).
    fn is_cross_site(&self) -> bool {
        let mut sites = self.headers.lines().filter(|line| line.0 == b"sec-fetch-site");
        sites.any(|(_, site)| site.eq_ignore_ascii_case(b"cross-site"))
    }
}

impl Rule {
    /// A rule for these paths, all methods and all hosts.
    pub(crate) fn new(matcher: Matcher, access: Access) -> Self {
        let matcher = if access == Access::Protected { matcher.decoded() } else { matcher };
        let (methods, hosts) = (vec![], vec![]);
        let (cross_site_revokes, revokes, api_keys) = (false, None, true);
        Self { matcher, access, methods, hosts, cross_site_revokes, revokes, api_keys }
    }

    /// Only for these methods and hosts; none named means all.
    pub(crate) fn only(self, methods: Vec<String>, hosts: Vec<HostPattern>) -> Self {
        Self { methods, hosts, ..self }
    }

    /// A sign-out that another site's page may cause.
    pub(crate) fn with_cross_site_revoking(self) -> Self {
        Self { cross_site_revokes: true, ..self }
    }

    /// A 2xx answer revokes that user's tokens.
    pub(crate) fn with_revokes(self, revokes: Option<Revokes>) -> Self {
        Self { revokes, ..self }
    }

    /// No API key stands for a token there.
    pub(crate) fn without_api_keys(self) -> Self {
        Self { api_keys: false, ..self }
    }

    pub(super) fn takes_api_keys(&self) -> bool {
        self.api_keys
    }

    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        let (methods, hosts) = (&self.methods, &self.hosts);
        if self.access == Access::Protected {
            self.matcher.may_mean(request)
                && (hosts.is_empty() || hosts.iter().any(|host| host.may_be(request.host)))
                && (methods.is_empty()
                    || methods.iter().any(|m| alike(m.as_bytes(), request.method)))
        } else {
            self.matcher.means(request)
                && (hosts.is_empty() || hosts.iter().any(|host| host.is_exactly(request.host)))
                && (methods.is_empty() || methods.iter().any(|m| m.as_bytes() == request.method))
        }
    }

    /// What it asks of a request that it matches.
    pub(super) fn route<'a>(&self, request: &Request<'a>) -> Route<'a> {
        let acts = !matches!(request.method, b"HEAD" | b"OPTIONS");
        let own_site = self.cross_site_revokes || !request.is_cross_site();
        let revoke_user = self.revokes.filter(|_| acts).and_then(|revokes| match revokes {
            Revokes::UserOfToken => Some(RevokeUser::OfToken),
            Revokes::UserInSegment(index) => user_in_segment(request.path, index),
        });
        let revokes = self.access == Access::Signout && acts && own_site;
        Route { access: self.access, revokes, revoke_user, api_keys: self.api_keys }
    }
}

impl Matcher {
    /// The exact reading.
    fn means(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Path(path) => path == request.path,
            Self::Prefix(prefix) => request.path.strip_prefix(&prefix[..]).is_some_and(|rest| {
                prefix.ends_with(b"/") || matches!(rest.first(), None | Some(b'/'))
            }),
            Self::Template(parts) => fits(parts, request.path, |part, segment| part == segment),
            Self::Preflight => request.is_preflight(),
        }
    }

    /// The wide reading; `self` is [decoded](Self::decoded).
    fn may_mean(&self, request: &Request<'_>) -> bool {
        match self {
            Self::Path(path) => alike(path, &request.decoded),
            Self::Prefix(prefix) => {
                request.decoded.get(..prefix.len()).is_some_and(|start| alike(prefix, start))
            }
            Self::Template(parts) => fits(parts, &request.decoded, alike),
            Self::Preflight => request.is_preflight(),
        }
    }

    fn decoded(self) -> Self {
        let decoded = |text: Vec<u8>| path::decoded(&text).into_owned();
        match self {
            Self::Path(path) => Self::Path(decoded(path)),
            Self::Prefix(prefix) => Self::Prefix(decoded(prefix)),
            Self::Template(parts) => Self::Template(
                parts
                    .into_iter()
                    .map(|part| match part {
                        Part::Literal(text) => Part::Literal(decoded(text)),
                        Part::Any => Part::Any,
                    })
                    .collect(),
            ),
            Self::Preflight => Self::Preflight,
        }
    }
}

fn fits(parts: &[Part], path: &[u8], same: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let mut segments = segments(path);
    let fit = parts.iter().all(|part| match (part, segments.next()) {
        (Part::Literal(text), Some(segment)) => same(text, segment),
        (Part::Any, Some(segment)) => !segment.is_empty(),
        (_, None) => false,
    });
    fit && segments.next().is_none()
}

/// What stands between the slashes; a last slash is followed by an empty segment.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').skip(1)
}

/// A user id is text: a segment that is none names nobody that a token could name.
fn user_in_segment(path: &[u8], index: usize) -> Option<RevokeUser<'_>> {
    let id = match path::decoded(segments(path).nth(index)?) {
        Cow::Borrowed(id) => Cow::Borrowed(std::str::from_utf8(id).ok()?),
        Cow::Owned(id) => Cow::Owned(String::from_utf8(id).ok()?),
    };
    Some(RevokeUser::Named(id))
}

fn alike(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}
