//! Host patterns of rules, and the host of a request.

/// A host or all hosts below a domain, in lower case and without port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    /// One host: a name, or an address (IPv6 in brackets).
    Exact(String),
    /// `*.example.com`, stored as `.example.com`: every host below `example.com`, but not
    /// `example.com`.
    Below(String),
}

/// The host that a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestHost<'a> {
    /// The host as sent, without port.
    Named(&'a [u8]),
    /// The request names no host, or its `:authority` is not a valid host.
    Unclear,
}

impl HostPattern {
    /// Parses `example.com`, `*.example.com`, `127.0.0.1` or `[::1]`. Returns `None` for anything
    /// else.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let below = text.strip_prefix('*').filter(|rest| rest.starts_with('.'));
        let host = below.map_or(text, |rest| rest.get(1..).unwrap_or_default());
        let sound = RequestHost::read(host.as_bytes()) == RequestHost::Named(host.as_bytes())
            && !host.bytes().any(|byte| byte.is_ascii_uppercase())
            && !host.split('.').any(str::is_empty);
        let pattern =
            || below.map_or(Self::Exact(text.to_owned()), |end| Self::Below(end.to_owned()));
        sound.then(pattern)
    }

    /// Returns whether every server reads the request's host as one that this pattern matches.
    /// Hosts are compared without case (RFC 9110 §4.2.3).
    pub(super) fn is_exactly(&self, host: RequestHost<'_>) -> bool {
        let RequestHost::Named(host) = host else { return false };
        match self {
            Self::Exact(name) => name.as_bytes().eq_ignore_ascii_case(host),
            Self::Below(end) => is_below(host, end),
        }
    }

    /// Returns whether some server may read the request's host as one that this pattern matches.
    pub(super) fn may_be(&self, host: RequestHost<'_>) -> bool {
        let RequestHost::Named(host) = host else { return true };
        let host = host.strip_suffix(b".").unwrap_or(host);
        match self {
            // One IPv6 address has many spellings.
            Self::Exact(name) if name.starts_with('[') => host.starts_with(b"["),
            Self::Exact(name) => name.as_bytes().eq_ignore_ascii_case(host),
            Self::Below(end) => is_below(host, end),
        }
    }
}

/// Returns whether the host ends with `end` (a dot and a domain) and has a label before it.
fn is_below(host: &[u8], end: &str) -> bool {
    let at = host.len().checked_sub(end.len()).filter(|at| *at > 0);
    let tail = at.and_then(|at| host.get(at..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
}

impl<'a> RequestHost<'a> {
    /// Parses the host of an `:authority` (RFC 3986 §3.2.2).
    pub(super) fn read(authority: &'a [u8]) -> Self {
        let (host, port) = match authority.iter().rposition(|byte| matches!(byte, b':' | b']')) {
            Some(at) if authority.get(at) == Some(&b':') => authority.split_at(at),
            _ => (authority, &b""[..]),
        };
        let digits = port.iter().skip(1).all(u8::is_ascii_digit);
        let sound = match host {
            [b'[', address @ .., b']'] => {
                !address.is_empty()
                    && address.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
            }
            name => {
                // A dot at the end is allowed: the name is then absolute (RFC 3986 §3.2.2).
                let labels = name.strip_suffix(b".").unwrap_or(name);
                !labels.split(|byte| *byte == b'.').any(<[u8]>::is_empty)
                    && labels.iter().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(b))
            }
        };
        if digits && sound { Self::Named(host) } else { Self::Unclear }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_without_its_port() {
        for (authority, host) in [
            ("app.example.com", "app.example.com"),
            ("app.example.com:8443", "app.example.com"),
            ("app.example.com:", "app.example.com"),
            ("App.Example.com.", "App.Example.com."),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("my_app", "my_app"),
        ] {
            assert_eq!(
                RequestHost::read(authority.as_bytes()),
                RequestHost::Named(host.as_bytes()),
                "{authority}"
            );
        }
        for authority in [
            "", ".", "..", ".a", "a..", "a..b", ":80", "::1", "[::1", "[]", "[::1]x", "a:b",
            "a:80:80", "u@a", "a/b", "a b", "é",
        ] {
            assert_eq!(
                RequestHost::read(authority.as_bytes()),
                RequestHost::Unclear,
                "{authority}"
            );
        }
    }

    #[test]
    fn a_pattern_is_a_lower_case_host_without_port() {
        for text in ["app.example.com", "*.example.com", "*.com", "127.0.0.1", "[::1]", "localhost"]
        {
            assert!(HostPattern::new(text).is_some(), "{text}");
        }
        for text in [
            "",
            "*",
            "*.",
            "*example.com",
            "*..a",
            "a.*",
            "App.example.com",
            "a:80",
            "[::1]:80",
            "::1",
            "example.com.",
            "https://a",
            "é.example",
        ] {
            assert!(HostPattern::new(text).is_none(), "{text}");
        }
    }

    #[test]
    fn an_odd_host_spelling_matches_widely_but_not_exactly() {
        for (pattern, authority, exactly, may_be) in [
            ("app.example.com", "app.example.com:80", true, true),
            ("app.example.com", "APP.example.com", true, true),
            ("app.example.com", "app.example.com.", false, true),
            ("app.example.com", "u@app.example.com", false, true),
            ("app.example.com", "", false, true),
            ("app.example.com", "b.example.com", false, false),
            ("*.example.com", "a.b.example.com", true, true),
            ("*.example.com", "A.EXAMPLE.com", true, true),
            ("*.example.com", "a.EXAMPLE.com.", false, true),
            ("*.example.com", "a..example.com", false, true),
            ("*.example.com", "..example.com", false, true),
            ("*.example.com", "example.com", false, false),
            ("*.example.com", "badexample.com", false, false),
            ("*.example.com", ".example.com", false, true),
            ("[::1]", "[::1]:80", true, true),
            ("[::1]", "[0::1]", false, true),
            ("[::1]", "localhost", false, false),
        ] {
            let (pattern, host) =
                (HostPattern::new(pattern).unwrap(), RequestHost::read(authority.as_bytes()));
            assert_eq!(pattern.is_exactly(host), exactly, "{pattern:?} {authority}");
            assert_eq!(pattern.may_be(host), may_be, "{pattern:?} {authority}");
        }
    }
}
