//! The trace to which a request belongs ([W3C Trace Context], level 1).
//!
//! A request that causes a call to the service passes its trace context on in that call, so the
//! service can name the trace in its audit and log. The filter makes no spans of its own, so it
//! passes on both headers unchanged.
//!
//! Both headers come from a client, and their values end up in a log. A `traceparent` is therefore
//! used only if there is exactly one line with exactly the form of version 00. Without it,
//! `tracestate` is ignored, as the specification requires (§3.3).
//!
//! [W3C Trace Context]: https://www.w3.org/TR/trace-context-1/

use std::borrow::Cow;
use std::fmt;

use crate::hash::{from_hex, hex};
use crate::headers::Headers;

/// The name of the header with the ids of the trace and of its parent span.
pub const TRACEPARENT: &str = "traceparent";

/// The name of the header with the tracing systems' own data.
pub const TRACESTATE: &str = "tracestate";

/// The longest `tracestate` that is passed on: the length that everybody should pass on (§3.3.1.5).
pub const TRACESTATE_BYTES: usize = 512;

/// The trace context of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    parent: String,
    state: Option<String>,
}

impl TraceContext {
    /// Returns the trace context in these headers. Returns `None` if they have no well-formed
    /// `traceparent`.
    #[must_use]
    pub fn of(headers: &Headers) -> Option<Self> {
        let mut lines = headers.values(TRACEPARENT.as_bytes());
        let (Some(parent), None) = (lines.next(), lines.next()) else { return None };
        TraceId::of_parent(parent)?;
        let parent = std::str::from_utf8(parent).ok()?.to_owned();
        Some(Self { parent, state: state(headers) })
    }

    /// Returns the headers of a call that belongs to this trace.
    pub fn lines(&self) -> impl Iterator<Item = (&'static str, Cow<'static, str>)> {
        let state = self.state.iter().map(|state| (TRACESTATE, state.clone().into()));
        std::iter::once((TRACEPARENT, self.parent.clone().into())).chain(state)
    }
}

/// Returns the `tracestate`. Its lines are one list (§3.3). Returns `None` if it is empty, too long,
/// or has a character that is not printable.
fn state(headers: &Headers) -> Option<String> {
    let lines: Vec<_> = headers.values(TRACESTATE.as_bytes()).collect();
    let state = lines.join(&b',');
    let is_printable = state.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    let is_passed = is_printable && (1..=TRACESTATE_BYTES).contains(&state.len());
    is_passed.then(|| String::from_utf8(state).ok())?
}

/// The id of a trace. It is never all zeros, and is displayed as 32 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

impl TraceId {
    /// Returns the trace id of a `traceparent` (§3.2). Returns `None` if the value does not have
    /// exactly the form of version 00: `00-<trace id>-<parent id>-<flags>` in lower-case hex digits,
    /// with 32, 16 and 2 digits, and no id of zeros only.
    #[must_use]
    pub fn of_parent(value: &[u8]) -> Option<Self> {
        let mut parts = value.split(|byte| *byte == b'-');
        let (b"00", trace) = (parts.next()?, bytes::<16>(parts.next()?)?) else { return None };
        let (parent, _flags) = (bytes::<8>(parts.next()?)?, bytes::<1>(parts.next()?)?);
        let has_ids = trace != [0; 16] && parent != [0; 8];
        (has_ids && parts.next().is_none()).then_some(Self(trace))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Parses lower-case hex digits of exactly `N` bytes.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let is_lower_case = digits.len() == 2 * N && !digits.iter().any(u8::is_ascii_uppercase);
    is_lower_case.then(|| from_hex(digits)?.try_into().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of §3.2.3.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn passed(lines: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        let context = TraceContext::of(&Headers::from_pairs(lines));
        let lines = context.iter().flat_map(TraceContext::lines);
        lines.map(|(name, value)| (name, value.into_owned())).collect()
    }

    #[test]
    fn only_the_form_of_version_00_is_a_traceparent() {
        let id = TraceId::of_parent(EXAMPLE.as_bytes()).expect("well-formed");
        assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        for wrong in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-00",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 ",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        ] {
            assert_eq!(TraceId::of_parent(wrong.as_bytes()), None, "{wrong}");
            assert_eq!(passed(&[("traceparent", wrong), ("tracestate", "a=1")]), [], "{wrong}");
        }
    }

    #[test]
    fn both_headers_are_passed_on_unchanged() {
        let parent = ("traceparent", EXAMPLE);
        let (sent, state) = (EXAMPLE.to_owned(), |text: &str| ("tracestate", text.to_owned()));
        assert_eq!(passed(&[parent]), [("traceparent", sent.clone())]);
        let lines = [parent, ("tracestate", "a=1"), ("tracestate", "b=2,c=3")];
        assert_eq!(passed(&lines), [("traceparent", sent.clone()), state("a=1,b=2,c=3")]);
        assert_eq!(passed(&[parent, parent]), [], "two traceparents");
        let longest = "x".repeat(TRACESTATE_BYTES);
        for (text, is_passed) in
            [(&*longest, true), (&format!("{longest}x"), false), ("a=\u{e9}", false), ("", false)]
        {
            let lines = passed(&[parent, ("tracestate", text)]);
            assert_eq!(lines.get(1), is_passed.then(|| state(text)).as_ref(), "{text}");
        }
    }
}
