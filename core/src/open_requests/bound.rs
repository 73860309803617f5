//! What ends a stream at the end of its token if the VM that knows it has died?
//!
//! Envoy's router, where the request tells it how long it may take. That can be said only while the
//! request is on its way to the application, when an answer's content type is not known; so only of
//! requests that [ask for a stream](kind::asks_for_stream).
//!
//! # Why it is only a second line
//!
//! The router knows nothing of revocation, shows its end under another name in the access log, and
//! answers what has no answer yet with 504. So it waits a second longer than the sweep needs.

use crate::headers::{Edit, Headers};
use crate::open_requests::kind;

/// What tells the router that this request's tokens end then (seconds since 1970 UTC), or takes out
/// what a client says there: it would end a stream at a time of the client's own.
#[must_use]
pub fn router_bound(request: &Headers, end: Option<u64>, unix_seconds: u64) -> Option<Edit> {
    match end.filter(|_| kind::asks_for_stream(request)) {
        Some(end) => {
            // Never 0, which means no end at all; `unix_seconds` may be almost a second ago.
            let seconds = end.saturating_sub(unix_seconds).saturating_add(SECOND_LINE_SECONDS);
            let milliseconds = seconds.min(MOST_SECONDS).saturating_mul(1_000);
            Some(Edit::Set(HEADER.to_vec(), milliseconds.to_string().into_bytes()))
        }
        None => request.first(HEADER).map(|_| Edit::Remove(HEADER.to_vec())),
    }
}

/// Envoy takes it out before the request leaves.
const HEADER: &[u8] = b"x-envoy-upstream-stream-duration-ms";

const SECOND_LINE_SECONDS: u64 = 1;

/// A hundred years, for timers that count in fewer bits than `exp`.
const MOST_SECONDS: u64 = 100 * 366 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(pairs: &[(&str, &str)], end: Option<u64>) -> Option<String> {
        Some(match router_bound(&Headers::from_pairs(pairs), end, 1_000)? {
            Edit::Set(name, value) if name == HEADER => String::from_utf8(value).unwrap(),
            Edit::Remove(name) if name == HEADER => "removed".to_owned(),
            edit => panic!("{edit:?}"),
        })
    }

    #[test]
    fn a_stream_is_bounded_a_second_after_the_end_of_its_token() {
        let request = [("upgrade", "websocket")];
        for (end, milliseconds) in
            [(1_010, "11000"), (1_000, "1000"), (999, "1000"), (u64::MAX, "3162240000000")]
        {
            assert_eq!(bound(&request, Some(end)).as_deref(), Some(milliseconds), "{end}");
        }
        assert_eq!(bound(&request, None), None, "its token has no end");
        assert_eq!(bound(&[("accept", "text/html")], Some(1_010)), None);
    }

    #[test]
    fn what_a_client_says_there_does_not_count() {
        let own = ("x-envoy-upstream-stream-duration-ms", "5");
        assert_eq!(bound(&[("upgrade", "x"), own], Some(1_010)).as_deref(), Some("11000"));
        assert_eq!(bound(&[("upgrade", "x"), own], None).as_deref(), Some("removed"));
        assert_eq!(bound(&[own], Some(1_010)).as_deref(), Some("removed"));
    }
}
