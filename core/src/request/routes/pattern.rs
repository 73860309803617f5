//! A pattern of requests: path, method, host and upgrade.
//!
//! Rules and token sources use the same patterns. [`Reading`] and [`Slash`] define how strictly a
//! pattern is compared with a request. The table in [`routes`](crate::request::routes) shows this
//! for each kind of rule.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::headers::Headers;
use crate::request::path;
use crate::request::routes::host::{HostPattern, RequestHost};

/// A pattern of requests, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPattern {
    /// The path as written, for [`Reading::Exact`].
    matcher: Matcher,
    /// The path percent-decoded, for [`Reading::Wide`].
    decoded: Matcher,
    methods: Vec<String>,
    hosts: Vec<HostPattern>,
    upgrades_only: bool,
}

/// The paths that a pattern matches. Each text is a canonical path or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matcher {
    /// Exactly this path.
    Path(Vec<u8>),
    /// Paths with this prefix.
    Prefix(Vec<u8>),
    /// Paths with exactly these segments.
    Template(Vec<Part>),
    /// Any path of a CORS preflight (Fetch §3.2.2): `OPTIONS` with `Origin` and
    /// `Access-Control-Request-Method`.
    Preflight,
}

/// One segment of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Exactly this segment.
    Literal(Vec<u8>),
    /// Any single segment that is not empty.
    Any,
}

/// The parts of a request that patterns match. Those that few patterns need are read when the first
/// one needs them.
pub(in crate::request) struct RoutedRequest<'a> {
    pub(super) path: &'a [u8],
    decoded: OnceCell<Cow<'a, [u8]>>,
    pub(super) method: &'a [u8],
    host: OnceCell<RequestHost<'a>>,
    pub(super) headers: &'a Headers<'a>,
}

impl<'a> RoutedRequest<'a> {
    /// Creates the view of a request whose canonical path is `path`.
    pub(in crate::request) fn new(path: &'a [u8], headers: &'a Headers<'_>) -> Self {
        let method = headers.first(b":method").unwrap_or_default();
        Self { path, decoded: OnceCell::new(), method, host: OnceCell::new(), headers }
    }

    /// Returns the path, percent-decoded.
    fn decoded(&self) -> &[u8] {
        self.decoded.get_or_init(|| path::decoded(self.path))
    }

    fn host(&self) -> RequestHost<'a> {
        let read = || RequestHost::read(self.headers.first(b":authority").unwrap_or_default());
        *self.host.get_or_init(read)
    }

    /// Returns whether the request is a CORS preflight (Fetch §3.2.2). Empty headers do not count,
    /// because a browser never sends an empty `Origin`.
    fn is_preflight(&self) -> bool {
        let has = |name| self.headers.first(name).is_some_and(|value| !value.is_empty());
        self.method == b"OPTIONS" && has(b"origin") && has(b"access-control-request-method")
    }

    /// Returns whether every server treats the request as an upgrade (RFC 9110 §7.8, RFC 8441).
    fn is_upgrade(&self) -> bool {
        let mut options = self
            .headers
            .values(b"connection")
            .flat_map(|value| value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii));
        let names_protocol = self.headers.first(b"upgrade").is_some_and(|name| !name.is_empty());
        self.headers.first(b":protocol").is_some()
            || names_protocol && options.any(|option| option.eq_ignore_ascii_case(b"upgrade"))
    }

    /// Returns whether the request's method is `GET`, in any letter case. Browsers send `GET` by
    /// themselves when a page embeds or prefetches another one (RFC 9110 §9.2.1).
    pub(super) fn is_get(&self) -> bool {
        alike(self.method, b"GET")
    }
}

/// Returns whether some server may treat the request as an upgrade.
pub(super) fn may_be_upgrade(headers: &Headers) -> bool {
    let names_protocol = |name: &[u8]| headers.first(name).is_some();
    headers.first(b":method").is_some_and(|method| alike(method, b"CONNECT"))
        || names_protocol(b"upgrade")
        || names_protocol(b":protocol")
}

impl RequestPattern {
    /// Creates a pattern that matches these paths with any method and any host.
    pub(crate) fn new(matcher: Matcher) -> Self {
        Self {
            decoded: matcher.clone().decoded(),
            matcher,
            methods: vec![],
            hosts: vec![],
            upgrades_only: false,
        }
    }

    /// Makes the pattern match only upgrades.
    pub(crate) fn only_upgrades(self) -> Self {
        Self { upgrades_only: true, ..self }
    }

    /// Makes the pattern match only these methods and hosts. An empty list matches all.
    pub(crate) fn only(self, methods: Vec<String>, hosts: Vec<HostPattern>) -> Self {
        Self { methods, hosts, ..self }
    }

    /// Returns whether the pattern matches only CORS preflights.
    pub(crate) fn is_preflight(&self) -> bool {
        self.matcher == Matcher::Preflight
    }

    /// Returns whether every server understands the request as one that this pattern matches.
    pub(in crate::request) fn is_exactly(&self, request: &RoutedRequest<'_>) -> bool {
        self.matches(request, Reading::Exact, Slash::AsWritten)
    }

    /// Returns whether the pattern would match the request if it had another method.
    pub(super) fn matches_by_other_method(&self, request: &RoutedRequest<'_>) -> bool {
        !self.has_method(request, Reading::Exact, Slash::MayFollow)
            && self.matches_but_method(request, Reading::Exact, Slash::MayFollow)
    }

    /// Returns whether the pattern matches the request, compared in this way.
    pub(super) fn matches(
        &self,
        request: &RoutedRequest<'_>,
        reading: Reading,
        slash: Slash,
    ) -> bool {
        self.has_method(request, reading, slash) && self.matches_but_method(request, reading, slash)
    }

    fn has_method(&self, request: &RoutedRequest<'_>, reading: Reading, slash: Slash) -> bool {
        let includes_head = slash == Slash::MayFollow;
        let is_method = |method: &String| {
            let is = |sent: &[u8]| match reading {
                Reading::Exact => method.as_bytes() == sent,
                Reading::Wide => alike(method.as_bytes(), sent),
            };
            is(request.method) || includes_head && method == "GET" && alike(request.method, b"HEAD")
        };
        self.methods.is_empty() || self.methods.iter().any(is_method)
    }

    fn matches_but_method(
        &self,
        request: &RoutedRequest<'_>,
        reading: Reading,
        slash: Slash,
    ) -> bool {
        let is_host = |host: &HostPattern| match reading {
            Reading::Exact => host.is_exactly(request.host()),
            Reading::Wide => host.may_be(request.host()),
        };
        let is_upgrade = || match reading {
            Reading::Exact => request.is_upgrade(),
            Reading::Wide => may_be_upgrade(request.headers),
        };
        (self.hosts.is_empty() || self.hosts.iter().any(is_host))
            && (!self.upgrades_only || is_upgrade())
            && match reading {
                Reading::Exact => self.matcher.means(request, slash),
                Reading::Wide => self.decoded.may_mean(request),
            }
    }
}

/// How strictly a pattern is compared with a request. The table in
/// [`routes`](crate::request::routes) shows the differences.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Matches a request only if every server understands it as a request of the pattern.
    Exact,
    /// Matches a request if some server may understand it as a request of the pattern.
    Wide,
}

/// How a slash at the end of the path is compared, and whether `GET` includes `HEAD`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Slash {
    /// A slash at the end must be as in the pattern. `GET` does not include `HEAD`.
    AsWritten,
    /// A slash at the end is ignored. `GET` includes `HEAD`.
    MayFollow,
}

impl Matcher {
    /// Returns whether the path matches under [`Reading::Exact`].
    fn means(&self, request: &RoutedRequest<'_>, slash: Slash) -> bool {
        match self {
            Self::Path(path) => match slash {
                Slash::AsWritten => path == request.path,
                Slash::MayFollow => without_last_slash(path) == without_last_slash(request.path),
            },
            Self::Prefix(prefix) => request.path.strip_prefix(&prefix[..]).is_some_and(|rest| {
                prefix.ends_with(b"/") || matches!(rest.first(), None | Some(b'/'))
            }),
            Self::Template(parts) => {
                let same = |part: &[u8], segment: &[u8]| part == segment;
                match slash {
                    Slash::AsWritten => fits(parts, request.path, same),
                    Slash::MayFollow => fits_with_slash(parts, request.path, same),
                }
            }
            Self::Preflight => request.is_preflight(),
        }
    }

    /// Returns whether the path matches under [`Reading::Wide`]. `self` is
    /// [decoded](Self::decoded).
    fn may_mean(&self, request: &RoutedRequest<'_>) -> bool {
        let path = request.decoded();
        let is_path = |text| alike(without_last_slash(text), without_last_slash(path));
        match self {
            Self::Path(text) => is_path(text),
            Self::Prefix(prefix) => {
                let start = path.get(..prefix.len());
                start.is_some_and(|start| alike(prefix, start)) || is_path(prefix)
            }
            Self::Template(parts) => fits_with_slash(parts, path, alike),
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

/// Like [`fits`], but ignores a slash at the end of the template or of the path.
fn fits_with_slash(parts: &[Part], path: &[u8], same: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    let parts = match parts {
        [parts @ .., Part::Literal(last)] if last.is_empty() => parts,
        parts => parts,
    };
    fits(parts, without_last_slash(path), same)
}

/// Returns the path without one slash at its end.
fn without_last_slash(path: &[u8]) -> &[u8] {
    path.strip_suffix(b"/").unwrap_or(path)
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

/// Returns the segments of a path. If the path ends with a slash, the last segment is empty.
pub(super) fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').skip(1)
}

fn alike(a: &[u8], b: &[u8]) -> bool {
    a.eq_ignore_ascii_case(b)
}
