//! Makes Envoy's router end a stream shortly after its token expires.
//!
//! This limit works even if the VM that has registered the stream dies. The router reads the limit
//! from a header of the request. The header can be set only before the request goes to the
//! application, when the content type of the response is not yet known. The filter therefore sets
//! it only on requests that [ask for a stream](kind::asks_for_stream).
//!
//! # Why this is only a second line of defence
//!
//! The router does not know about revocation. In the access log, it reports the end of the stream
//! under a name of its own, and it responds 504 if the response has not begun. The limit is
//! therefore one second after the token expires. The filter's sweep ends the stream before that.

use crate::headers::{Edit, Headers};
use crate::open_requests::kind;

/// Returns the edit that limits how long the router keeps this request open. `end` is the time when
/// its tokens expire, in seconds since 1970 UTC. If the filter sets no limit, the edit removes the
/// client's header, with which a client could choose when its stream ends.
#[must_use]
pub fn router_bound(request: &Headers, end: Option<u64>, unix_seconds: u64) -> Option<Edit> {
    match end.filter(|_| kind::asks_for_stream(request)) {
        Some(end) => {
            // Never 0, because the router takes 0 for no limit. `unix_seconds` may be almost a
            // second old.
            let seconds = end.saturating_sub(unix_seconds).saturating_add(SECOND_LINE_SECONDS);
            let milliseconds = seconds.min(MOST_SECONDS).saturating_mul(1_000);
            Some(Edit::one_line(request, HEADER.into(), milliseconds.to_string().into_bytes()))
        }
        None => request.first(HEADER).map(|_| Edit::Remove(HEADER.into())),
    }
}

/// Envoy removes this header before it forwards the request.
const HEADER: &[u8] = b"x-envoy-upstream-stream-duration-ms";

const SECOND_LINE_SECONDS: u64 = 1;

/// A hundred years. `exp` may be larger than the router's timers can represent.
const MOST_SECONDS: u64 = 100 * 366 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(pairs: &[(&str, &str)], end: Option<u64>) -> Option<String> {
        Some(match router_bound(&Headers::from_pairs(pairs), end, 1_000)? {
            Edit::Set(name, value) | Edit::Add(name, value) if *name == *HEADER => {
                String::from_utf8(value.to_vec()).unwrap()
            }
            Edit::Remove(name) if *name == *HEADER => "removed".to_owned(),
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
    fn the_clients_own_header_is_ignored() {
        let own = ("x-envoy-upstream-stream-duration-ms", "5");
        assert_eq!(bound(&[("upgrade", "x"), own], Some(1_010)).as_deref(), Some("11000"));
        assert_eq!(bound(&[("upgrade", "x"), own], None).as_deref(), Some("removed"));
        assert_eq!(bound(&[own], Some(1_010)).as_deref(), Some("removed"));
    }
}
