//! Damaged and wrong responses to a feed poll.

use std::time::Duration;

use serde_json::json;
use session_guard_core::feed::wire::{CONTENT_TYPE, Cursor, Page, PageKey};
use session_guard_core::revocation::record::{Record, RecordId};
use testbed::{
    Connection, ConnectionEnd, Request, SIGNOUT_TOKEN, SignoutService, Token, unix_seconds,
};

/// One response of the real service, with the state before and after it.
pub(crate) struct Real {
    /// A token that is already revoked.
    pub(crate) first: Token,
    /// The token that this response revokes.
    pub(crate) second: Token,
    /// The cursors before and after it.
    pub(crate) cursors: [String; 2],
    head: String,
    body: Vec<u8>,
}

/// Bytes to send instead of a response, and how the connection is closed.
#[derive(Clone)]
pub(crate) struct BadResponse {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) ending: ConnectionEnd,
    /// Delay before the first byte and after each.
    pub(crate) wait: Duration,
    pub(crate) pause: Duration,
    /// Whether the proxy may accept it: the change is in a header that it does not read.
    pub(crate) may_count: bool,
}

impl Real {
    pub(crate) fn record() -> Self {
        let service = SignoutService::start();
        let [first, second] = ["ada", "ada"].map(Token::of);
        let cursors = [&first, &second].map(|token| {
            let revocation = json!({"jti": token.jti(), "exp": unix_seconds() + 3600});
            service.post(&revocation).json()["cursor"].as_str().expect("a cursor").to_owned()
        });
        let poll = Request::get(&format!("/v1/revocations?after={}&wait=1", cursors[0]));
        let poll = poll.header("authorization", format!("Bearer {SIGNOUT_TOKEN}"));
        let poll = poll.header("accept", CONTENT_TYPE).header("connection", "close");
        let answer = Connection::to(service.address()).send(&poll);
        let lines = answer.lines.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", lines.collect::<String>());
        Self { first, second, cursors, head, body: answer.body }
    }

    /// Returns the unchanged response of the service.
    pub(crate) fn whole(&self) -> Vec<u8> {
        [self.head.as_bytes(), &self.body].concat()
    }

    /// Returns the first page of a feed, with the first revocation.
    pub(crate) fn first_page(&self) -> Vec<u8> {
        let exp = unix_seconds() + 3600;
        let record = Record::token(RecordId::of_token("", None, &self.first.jti()), exp);
        self.good(true, &self.cursors[0], vec![record])
    }

    /// Returns an empty page at the first cursor.
    pub(crate) fn nothing_new(&self) -> Vec<u8> {
        self.good(false, &self.cursors[0], Vec::new())
    }

    /// Returns an empty page at the second cursor.
    pub(crate) fn nothing_more(&self) -> Vec<u8> {
        self.good(false, &self.cursors[1], Vec::new())
    }

    fn good(&self, reset: bool, cursor: &str, records: Vec<Record>) -> Vec<u8> {
        let cursor = Cursor::new(cursor).expect("a cursor");
        let (now, head) = (unix_seconds(), cursor.clone());
        let range = (RecordId::FIRST, RecordId::LAST);
        let page =
            Page { reset, more: false, now, held_milliseconds: 0, cursor, head, range, records };
        answer(
            "200 OK",
            &["connection: close"],
            &page.encode(&PageKey::new(SIGNOUT_TOKEN.as_bytes())),
        )
    }

    /// Returns the response cut before every byte, by FIN and by RST, with a length and in chunks.
    pub(crate) fn cut_everywhere(&self) -> Vec<BadResponse> {
        let forms = [("length", self.whole()), ("chunks", self.in_chunks())];
        let endings = [ConnectionEnd::Close, ConnectionEnd::Reset];
        let every = forms.iter().flat_map(|form| endings.map(|ending| (form, ending)));
        let cut = |((form, bytes), ending): (&(&str, Vec<u8>), ConnectionEnd)| {
            let case = |at: usize| BadResponse {
                ending,
                ..BadResponse::new(&format!("{form} cut at {at}, {ending:?}"), bytes[..at].to_vec())
            };
            (0..bytes.len()).map(case).collect::<Vec<_>>()
        };
        every.flat_map(cut).collect()
    }

    /// Returns the response with one bit flipped, for every byte.
    pub(crate) fn flipped_everywhere(&self) -> Vec<BadResponse> {
        let flip = |at: usize| {
            let mut bytes = self.whole();
            bytes[at] ^= 1 << (at % 8);
            let may_count = at < self.head.len() && !self.is_read(at);
            BadResponse { may_count, ..BadResponse::new(&format!("flipped at {at}"), bytes) }
        };
        (0..self.whole().len()).map(flip).collect()
    }

    /// Returns whether the byte of the head belongs to the status or the content type.
    fn is_read(&self, at: usize) -> bool {
        let of = |part: &str| self.head.find(part).map(|start| start..start + part.len());
        let parts = ["200", CONTENT_TYPE];
        parts.into_iter().filter_map(of).any(|part| part.contains(&at))
    }

    /// Returns cases with the reason under which each must be counted.
    pub(crate) fn with_reasons(&self) -> Vec<(BadResponse, &'static str)> {
        let json = answer("200 OK", &[], b"{}");
        let json = String::from_utf8(json).expect("text").replace(CONTENT_TYPE, "application/json");
        let page = |status: &str, lines: &[&str]| answer(status, lines, &self.body);
        let named = |name: &str, bytes: Vec<u8>| BadResponse::new(name, bytes);
        let cut = self.whole().len() - 1;
        vec![
            (named("cut", self.whole()[..cut].to_vec()), "no_answer"),
            (named("nothing", Vec::new()), "unavailable"),
            (named("unavailable", page("503 Service Unavailable", &[])), "unavailable"),
            (named("unauthorized", page("401 Unauthorized", &[])), "unauthorized"),
            (named("server error", page("500 Internal Server Error", &[])), "status"),
            (named("JSON", json.into_bytes()), "content_type"),
            (named("empty", answer("200 OK", &[], b"")), "not_a_feed"),
            (
                named("one byte less", answer("200 OK", &[], &self.body[..self.body.len() - 1])),
                "damaged",
            ),
            (named("too many bytes", answer("200 OK", &[], &vec![0; 33 << 20])), "no_answer"),
        ]
    }

    /// Returns further wrong responses.
    pub(crate) fn replaced(&self) -> Vec<BadResponse> {
        let mut cases: Vec<_> = self.with_reasons().into_iter().map(|(case, _)| case).collect();
        cases.retain(|case| case.name != "unauthorized"); // the leader would pause for a minute
        let type_twice = format!("content-type: {CONTENT_TYPE}");
        let statuses = [
            "100 Continue",
            "201 Created",
            "204 No Content",
            "206 Partial Content",
            "301 Moved Permanently",
            "302 Found",
            "304 Not Modified",
            "400 Bad Request",
            "404 Not Found",
            "429 Too Many Requests",
            "502 Bad Gateway",
            "504 Gateway Timeout",
            "999 Odd",
            "999999 Odd",
            "20 OK",
            "-200 OK",
            "OK",
        ];
        for status in statuses {
            cases.push(BadResponse::new(status, answer(status, &[], &self.body)));
        }
        let more = [&self.body[..], b"\0"].concat();
        let twice = [&self.body[..], &self.body[..]].concat();
        let texts: [(&str, Vec<u8>); 8] = [
            (
                "garbage",
                (0..4096).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
            ),
            ("HTML", b"<html><body>Not here</body></html>".to_vec()),
            ("gzip", answer("200 OK", &["content-encoding: gzip"], b"\x1f\x8b\x08\0garbage")),
            ("two content types", answer("200 OK", &[&type_twice], &self.body)),
            ("a text type beside", answer("200 OK", &["content-type: text/html"], &self.body)),
            ("a byte more", answer("200 OK", &[], &more)),
            ("two pages", answer("200 OK", &[], &twice)),
            ("31 MB", answer("200 OK", &[], &vec![0; 31 << 20])),
        ];
        cases.extend(texts.into_iter().map(|(name, bytes)| BadResponse::new(name, bytes)));
        let drip = BadResponse::new("one byte in 100 ms", self.whole());
        cases.push(BadResponse { pause: Duration::from_millis(100), ..drip });
        cases
    }

    fn in_chunks(&self) -> Vec<u8> {
        let line = |line: &&str| !line.starts_with("content-length");
        let head: Vec<_> = self.head.trim_end().split("\r\n").filter(line).collect();
        let mut bytes = head.join("\r\n").into_bytes();
        bytes.extend(b"\r\ntransfer-encoding: chunked\r\n\r\n");
        for chunk in self.body.chunks(60) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend([chunk, b"\r\n"].concat());
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }
}

impl BadResponse {
    /// Returns a correct response.
    pub(crate) fn good(bytes: Vec<u8>) -> Self {
        Self::new("good", bytes)
    }

    fn new(name: &str, bytes: Vec<u8>) -> Self {
        let (name, ending) = (name.to_owned(), ConnectionEnd::Close);
        Self { name, bytes, ending, wait: Duration::ZERO, pause: Duration::ZERO, may_count: false }
    }
}

fn answer(status: &str, lines: &[&str], body: &[u8]) -> Vec<u8> {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {length}\r\n{lines}\r\n"
    );
    [head.as_bytes(), body].concat()
}
