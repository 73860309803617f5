//! Does a client that floods Envoy crash it while its streams end?
//!
//! Envoy closes a connection on which too many of its own frames wait to be read (1,000 that carry no
//! data): answers to pings, and ends of streams. A client that reads nothing can bring that about in
//! the middle of those that end at once.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use testbed::{Envoy, Reply, Token, eventually};

use crate::client::{self, Client, Kind, alone, assert_all_go_on, assert_no_vm_died, sign_out};

#[test]
fn a_connection_that_is_flooded_while_its_streams_end_takes_nobody_with_it() {
    const STREAMS: u64 = 90;
    let (bed, _alone) = (client::bed(|_| {}), alone());
    let endless = Reply::status(200).header("content-type", "text/event-stream");
    bed.application.on("/endless", endless.text(&Reply::PIECE.repeat(5_000_000)));
    let mut going_on = Client::open(&bed.envoy, Kind::Http2Events, &Token::of("bob"));
    for pings in [0, 900, 930, 960, 990] {
        let (token, mut unread) = (Token::of("ada"), Unread::connect(&bed.envoy));
        for _ in 0..STREAMS {
            unread.open("/quiet", &token);
        }
        unread.open("/endless", &token);
        eventually(LONG, || bed.envoy.metric("streams_open") == STREAMS + 2);
        eventually(LONG, || bed.envoy.stat("http.edge.downstream_cx_tx_bytes_buffered") > 8_000);
        unread.ping(pings);
        sign_out(&bed.envoy, &token);
        eventually(LONG, || bed.envoy.metric("streams_open") == 1);
    }
    let closed = bed.envoy.stat("http2.outbound_control_flood");
    assert!(closed > 0, "no connection was closed for that: nothing was tried");
    assert_all_go_on([&mut going_on]);
    assert_no_vm_died(&bed.envoy);
}

/// An HTTP/2 connection of which nothing is ever read, with windows that are never full.
struct Unread {
    stream: TcpStream,
    next_stream: u32,
}

impl Unread {
    fn connect(envoy: &Envoy) -> Self {
        let stream = TcpStream::connect(envoy.address()).expect("a connection");
        let mut unread = Self { stream, next_stream: 1 };
        unread.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("sent");
        unread.send(SETTINGS, 0, 0, &[&[0, 4][..], &LARGEST.to_be_bytes()].concat());
        unread.send(WINDOW_UPDATE, 0, 0, &(LARGEST - 65_535).to_be_bytes());
        unread
    }

    /// `GET` of that path.
    fn open(&mut self, path: &str, token: &Token) {
        let mut headers = vec![INDEXED_GET, INDEXED_HTTP, LITERAL_PATH];
        headers.extend(text(path));
        headers.push(LITERAL_AUTHORITY);
        headers.extend(text("app.example.com"));
        headers.push(LITERAL);
        headers.extend(text("authorization"));
        headers.extend(text(&format!("Bearer {token}")));
        self.send(HEADERS, END_STREAM | END_HEADERS, self.next_stream, &headers);
        self.next_stream += 2;
    }

    fn ping(&mut self, count: usize) {
        for _ in 0..count {
            self.send(PING, 0, 0, &[0; 8]);
        }
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        let sent = self.stream.write_all(&[&head, payload].concat());
        sent.expect("an open connection");
    }
}

/// A text of HPACK (RFC 7541 §5.2), not compressed.
fn text(text: &str) -> Vec<u8> {
    let mut bytes = match text.len() {
        short @ 0..127 => vec![short as u8],
        long => {
            let (mut rest, mut bytes) = (long - 127, vec![127]);
            while rest >= 128 {
                bytes.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            bytes.push(rest as u8);
            bytes
        }
    };
    bytes.extend(text.bytes());
    bytes
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const INDEXED_GET: u8 = 0x82;
const INDEXED_HTTP: u8 = 0x86;
const LITERAL: u8 = 0;
const LITERAL_AUTHORITY: u8 = 1;
const LITERAL_PATH: u8 = 4;
const LARGEST: u32 = (1 << 31) - 1;
const LONG: Duration = Duration::from_secs(60);
