//! Reads what a caller says of itself: its name in `User-Agent` (RFC 9110 §10.1.5), its realm, and the
//! trace to which its call belongs.
//!
//! A proxy sends `session-guard/0.1.0 (wasm; <id>)`, where the id is a random number of the process. The
//! command line sends `signout/0.1.0`. Only the API token of a caller is checked, so all of this
//! proves nothing.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use percent_encoding::percent_decode;
use session_guard_core::root::REALM_HEADER;
use session_guard_core::trace_context::{TRACEPARENT, TraceId};

/// The address of the caller, or of a proxy in front of the service. Each request has it as an
/// extension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// The program that calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agent {
    /// Its name, for example `curl`.
    pub(crate) program: String,
    /// Its version. Empty if the caller gives none.
    pub(crate) version: String,
    /// The parts of the comment after the version.
    comments: Vec<String>,
}

impl Agent {
    /// Reads the first product of the header, and the comment after it.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = headers.get(header::USER_AGENT).and_then(|text| text.to_str().ok());
        Self::read(text.unwrap_or_default())
    }

    fn read(text: &str) -> Self {
        let (product, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (program, version) = product.split_once('/').unwrap_or((product, ""));
        let comment = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let comment = comment.map_or("", |(comment, _)| comment);
        let comments = comment.split(';').take(COMMENTS).map(shortened).collect();
        Self { program: shortened(program), version: shortened(version), comments }
    }

    /// Returns the kind and the id of a proxy's filter; `None` if the caller is no proxy.
    pub(crate) fn proxy(&self) -> Option<(&str, &str)> {
        match (self.program == PROXY, self.comments.as_slice()) {
            (true, [kind, id, ..]) => Some((kind, id)),
            (true, _) => Some(("", "")),
            (false, _) => None,
        }
    }

    /// Returns whether the caller is the command line.
    pub(crate) fn is_command_line(&self) -> bool {
        self.program == env!("CARGO_PKG_NAME")
    }
}

/// Returns the first visible ASCII characters of the text, at most [`PART_CHARACTERS`].
fn shortened(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(PART_CHARACTERS).collect()
}

/// Returns the realm that a proxy names in its header; `None` if it names none.
pub(crate) fn realm(headers: &HeaderMap) -> Option<String> {
    let realm = percent_decode(headers.get(REALM_HEADER)?.as_bytes()).decode_utf8_lossy();
    Some(realm.chars().filter(|it| !it.is_control()).take(REALM_CHARACTERS).collect())
}

/// Returns the id of the trace to which the call belongs. Returns `None` if the caller names no trace,
/// or several.
pub(crate) fn trace_id(headers: &HeaderMap) -> Option<TraceId> {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (lines.next(), lines.next()) else { return None };
    TraceId::of_parent(parent.as_bytes())
}

/// The name of the filter.
const PROXY: &str = "session-guard";

/// Longest realm; a proxy's has at most 256 bytes.
const REALM_CHARACTERS: usize = 256;

/// The maximum number of parts of a comment.
const COMMENTS: usize = 4;

/// The maximum number of characters of a part that are kept.
const PART_CHARACTERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_names_version_kind_and_id() {
        let proxy = Agent::read("session-guard/0.1.0 (wasm; 8f3a) more/1");
        assert_eq!((&*proxy.program, &*proxy.version), (PROXY, "0.1.0"));
        assert_eq!(proxy.proxy(), Some(("wasm", "8f3a")));
        assert_eq!(Agent::read("session-guard").proxy(), Some(("", "")));
        assert_eq!(Agent::read("session-guard/1 (wasm)").proxy(), Some(("", "")));
    }

    #[test]
    fn any_text_is_read_and_shortened() {
        for text in ["", " ", "(", "a/", "/b", "curl/8.0 (", "\u{e9}/\t1", &"x/".repeat(9_999)] {
            let agent = Agent::read(text);
            assert_eq!(agent.proxy(), None, "{text}");
            assert!(agent.program.len() + agent.version.len() <= 128, "{text}");
        }
        assert!(Agent::read("signout/0.1.0").is_command_line());
    }
}
