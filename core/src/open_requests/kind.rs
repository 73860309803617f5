//! Recognises requests that ask for a stream.
//!
//! Such a request asks for another protocol (WebSocket), accepts events, or is an RPC. Only the
//! [limit in Envoy's router](super::bound) depends on this. The filter itself ends every open
//! request with its token, regardless of the content of the response.

use crate::headers::Headers;

/// Returns whether a request with these headers asks for a stream.
#[must_use]
pub fn asks_for_stream(request: &Headers) -> bool {
    let has = |name: &[u8], wanted: fn(&[u8]) -> bool| {
        request.first(name).is_some_and(|value| value.split(|byte| *byte == b',').any(wanted))
    };
    request.first(b"upgrade").is_some()
        || has(b"accept", is_stream)
        || has(b"content-type", is_stream)
}

/// Returns whether content of this media type is a stream: events, an RPC, or a format in which
/// records follow each other without an end.
fn is_stream(media_type: &[u8]) -> bool {
    let media_type = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    let media_type = media_type.trim_ascii().to_ascii_lowercase();
    STREAMS.contains(&media_type.as_slice())
        || RPC.iter().any(|prefix| media_type.starts_with(prefix))
}

const STREAMS: [&[u8]; 6] = [
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/jsonl",
    b"application/json-seq",
    b"application/stream+json",
    b"multipart/x-mixed-replace",
];

/// gRPC, gRPC-Web and Connect; the encoding of the messages follows.
const RPC: [&[u8]; 2] = [b"application/grpc", b"application/connect+"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_streams_are_recognised() {
        for media in [
            "text/event-stream",
            "Text/Event-Stream; charset=utf-8",
            "application/grpc+proto",
            "application/grpc-web",
            "application/connect+json",
        ] {
            assert!(is_stream(media.as_bytes()), "{media}");
        }
        for media in ["", "text/html", "application/octet-stream", "application/json"] {
            assert!(!is_stream(media.as_bytes()), "{media}");
        }
    }

    #[test]
    fn a_request_may_ask_for_a_stream() {
        let asks = |name: &str, value: &str| {
            asks_for_stream(&Headers::from_pairs(&[(":method", "GET"), (name, value)]))
        };
        assert!(asks("upgrade", "websocket"));
        assert!(asks("accept", "text/event-stream"));
        assert!(asks("accept", "application/json;q=0.9, text/event-stream;q=0.5"));
        assert!(asks("content-type", "application/grpc"));
        assert!(!asks("x-upgrade", "websocket"));
        assert!(!asks("accept", "text/html, */*"));
        assert!(!asks("content-type", "application/json"));
    }
}
