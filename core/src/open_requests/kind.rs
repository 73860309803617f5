//! Is this a stream, which ends with its token, or a plain exchange, which comes whole?
//!
//! The answer says so, by its content type. Some requests say so beforehand: those that ask for
//! another protocol, for events, or that are an RPC.

use crate::headers::Headers;

/// Whether a request with these headers asks for another protocol, which is a stream whatever the
/// answer says of its content.
#[must_use]
pub fn is_upgrade(request: &Headers) -> bool {
    request.first(b"upgrade").is_some()
}

/// Whether a request with these headers asks for a stream.
#[must_use]
pub fn asks_for_stream(request: &Headers) -> bool {
    let has = |name: &[u8], wanted: fn(&[u8]) -> bool| {
        request.first(name).is_some_and(|value| value.split(|byte| *byte == b',').any(wanted))
    };
    is_upgrade(request) || has(b"accept", is_stream) || has(b"content-type", is_stream)
}

/// Whether an answer of this content type is a stream, which ends with its token, or a plain one,
/// which goes on: events, RPC, or one of the forms in which records follow each other without end.
#[must_use]
pub fn is_stream(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| b";,".contains(byte)).next().unwrap_or_default();
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

/// gRPC, gRPC-Web and Connect, each followed by a form of its messages.
const RPC: [&[u8]; 2] = [b"application/grpc", b"application/connect+"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_end_and_plain_answers_go_on() {
        for media in [
            "text/event-stream",
            "Text/Event-Stream; charset=utf-8",
            "text/event-stream,text/event-stream",
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
    fn a_request_for_another_protocol_says_so() {
        let request = |name: &str| Headers::from_pairs(&[(":method", "GET"), (name, "websocket")]);
        assert!(is_upgrade(&request("upgrade")));
        assert!(!is_upgrade(&request("x-upgrade")));
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
        assert!(!asks("accept", "text/html, */*"));
        assert!(!asks("content-type", "application/json"));
    }
}
