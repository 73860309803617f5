//! Reads the original request from a check.
//!
//! Method, path and host come only from where the operator's proxy writes them. Each must come
//! exactly once: a missing line means that the proxy is not set up, and two lines mean that the
//! client has sent one of them.

use std::fmt;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use session_guard_core::headers::Headers;

/// Where a check names the original method, path and host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestShape {
    /// In `X-Original-*`, as NGINX is set up.
    Original,
    /// In `X-Forwarded-*`, as Caddy and Traefik send them.
    Forwarded,
    /// In its own request line, after [`WHOLE_PREFIX`], as Envoy sends it.
    Whole,
}

/// A check that does not name its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NamelessCheck {
    pub(super) header: &'static str,
    count: usize,
    remedy: &'static str,
}

impl fmt::Display for NamelessCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { header, count, remedy } = self;
        write!(f, "The check has {count} lines `{header}` and must have one; {remedy}.")
    }
}

/// The headers of one shape: method, path, host, and what to do if one of them is missing.
struct ShapeNames {
    method: &'static str,
    path: &'static str,
    host: &'static str,
    remedy: &'static str,
}

const ORIGINAL: ShapeNames = ShapeNames {
    method: "x-original-method",
    path: "x-original-uri",
    host: "x-original-host",
    remedy: "set it in the proxy (NGINX: proxy_set_header), as docs/forward-auth.md shows",
};

const FORWARDED: ShapeNames = ShapeNames {
    method: "x-forwarded-method",
    path: "x-forwarded-uri",
    host: "x-forwarded-host",
    remedy: "let the proxy overwrite what clients send (Caddy: forward_auth; Traefik: \
        trustForwardHeader false), as docs/forward-auth.md shows",
};

/// Returns the headers of the original request, for the core.
pub(super) fn headers(
    shape: RequestShape,
    check: &Parts,
) -> Result<Headers<'static>, NamelessCheck> {
    let named = |names: &ShapeNames| {
        let one = |header| one(&check.headers, header, names.remedy).map(HeaderValue::as_bytes);
        Ok((one(names.method)?, one(names.path)?, one(names.host)?))
    };
    let (method, path, host) = match shape {
        RequestShape::Original => named(&ORIGINAL)?,
        RequestShape::Forwarded => named(&FORWARDED)?,
        RequestShape::Whole => {
            let remedy = "send the host of the request";
            let host = one(&check.headers, header::HOST.as_str(), remedy)?.as_bytes();
            let path = target_of_whole(&check.uri).unwrap_or_default();
            (check.method.as_str().as_bytes(), path.as_bytes(), host)
        }
    };
    let pseudo: [(&[u8], &[u8]); 3] =
        [(b":method", method), (b":path", path), (b":authority", host)];
    let others = check.headers.iter().filter(|(name, _)| *name != header::HOST);
    let others = others.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let lines: Vec<_> = pseudo.into_iter().chain(others).collect();
    Ok(Headers::from_pairs(&lines))
}

/// Returns the path and query of the original request if the check repeats it.
pub(super) fn target_of_whole(uri: &Uri) -> Option<&str> {
    let target = uri.path_and_query()?.as_str().strip_prefix(WHOLE_PREFIX)?;
    target.starts_with('/').then_some(target)
}

fn one<'a>(
    headers: &'a HeaderMap,
    header: &'static str,
    remedy: &'static str,
) -> Result<&'a HeaderValue, NamelessCheck> {
    let mut lines = headers.get_all(header).iter();
    match (lines.next(), lines.count()) {
        (Some(line), 0) if !line.is_empty() => Ok(line),
        (Some(line), 0) if line.is_empty() => Err(NamelessCheck { header, count: 0, remedy }),
        (first, others) => {
            Err(NamelessCheck { header, count: usize::from(first.is_some()) + others, remedy })
        }
    }
}

/// The path before that of the original request.
const WHOLE_PREFIX: &str = "/check/request";

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn check(target: &str, lines: &[(&str, &str)]) -> Parts {
        let request = Request::builder().method("PUT").uri(target);
        let request = lines.iter().fold(request, |it, (name, value)| it.header(*name, *value));
        request.body(()).expect("a request").into_parts().0
    }

    fn read(shape: RequestShape, check: &Parts) -> Result<[String; 3], NamelessCheck> {
        let headers = headers(shape, check)?;
        let text = |name: &[u8]| String::from_utf8_lossy(headers.first(name).unwrap()).into_owned();
        Ok([text(b":method"), text(b":path"), text(b":authority")])
    }

    const NAMED: [(&str, &str); 7] = [
        ("host", "guard"),
        ("x-original-method", "GET"),
        ("x-original-uri", "/o?a=1"),
        ("x-original-host", "o.example"),
        ("x-forwarded-method", "POST"),
        ("x-forwarded-uri", "/f"),
        ("x-forwarded-host", "f.example"),
    ];

    #[test]
    fn each_shape_reads_only_its_own_names() {
        let check = check("/check/request/w?b=2", &NAMED);
        let original = read(RequestShape::Original, &check);
        assert_eq!(original, Ok(["GET", "/o?a=1", "o.example"].map(str::to_owned)));
        let forwarded = read(RequestShape::Forwarded, &check);
        assert_eq!(forwarded, Ok(["POST", "/f", "f.example"].map(str::to_owned)));
        let whole = read(RequestShape::Whole, &check);
        assert_eq!(whole, Ok(["PUT", "/w?b=2", "guard"].map(str::to_owned)));
    }

    #[test]
    fn a_missing_empty_or_repeated_name_is_refused() {
        for (shape, names) in [(RequestShape::Original, 1..4), (RequestShape::Forwarded, 4..7)] {
            for at in names {
                let mut lines = NAMED.to_vec();
                let (name, _) = lines.remove(at);
                let count = |lines: &[_]| read(shape, &check("/", lines)).expect_err(name).count;
                assert_eq!(count(&lines), 0, "{name}");
                lines.push((name, ""));
                assert_eq!(count(&lines), 0, "{name}");
                lines.push((name, "/public"));
                assert_eq!(count(&lines), 2, "{name}");
            }
        }
    }

    #[test]
    fn only_paths_below_the_prefix_are_whole_requests() {
        for (target, expected) in [
            ("/check/request/", Some("/")),
            ("/check/request//a/../b", Some("//a/../b")),
            ("/check/request", None),
            ("/check/requests/a", None),
            ("/check/other", None),
        ] {
            assert_eq!(target_of_whole(&target.parse().unwrap()), expected, "{target}");
        }
    }
}
