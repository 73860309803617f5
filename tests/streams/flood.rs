//! Promise: a client that floods a connection while its streams end crashes nothing.
//!
//! Envoy closes a connection on which more than 1,000 control frames wait to be read by the client,
//! such as responses to pings and ends of streams. A client that reads nothing can reach this limit
//! while the filter is ending its streams.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use testbed::frames::{END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE};
use testbed::frames::{fields, frame};
use testbed::{Envoy, Reply, Token, eventually};

use crate::client::{
    self, OpenClient, StreamKind, alone, assert_all_go_on, assert_no_vm_died, sign_out,
};

#[test]
fn a_flooded_connection_with_ending_streams_harms_nobody() {
    const STREAMS: u64 = 90;
    let (bed, _alone) = (client::bed(|_| {}), alone());
    let endless = Reply::status(200).header("content-type", "text/event-stream");
    bed.application.on("/endless", endless.text(&Reply::PIECE.repeat(5_000_000)));
    let mut going_on = OpenClient::open(&bed.envoy, StreamKind::Http2Events, &Token::of("bob"));
    for pings in [1, 900, 930, 960, 990] {
        let (token, mut unread) = (Token::of("ada"), Unread::connect(&bed.envoy));
        for _ in 0..STREAMS {
            unread.open("/quiet", &token);
        }
        unread.open("/endless", &token);
        eventually(LONG, || bed.envoy.metric("streams_open") == STREAMS + 2);
        let buffered = || bed.envoy.stat("http.edge.downstream_cx_tx_bytes_buffered");
        eventually(LONG, || buffered() > 8_000);
        let mut least = buffered();
        unread.ping(pings);
        eventually(LONG, || {
            let now = buffered();
            least = least.min(now);
            now >= least + PONG_BYTES * (pings as u64 - 1)
        });
        sign_out(&bed.envoy, &token);
        eventually(LONG, || bed.envoy.metric("streams_open") == 1);
        // While this connection is open, Envoy still answers its pings and reaches the limit.
        let is_closed = || bed.envoy.stat("http2.outbound_control_flood") > 0;
        eventually(LONG, || pings < 990 || is_closed());
    }
    assert_all_go_on([&mut going_on]);
    assert_no_vm_died(&bed.envoy);
}

/// An HTTP/2 connection that the client never reads, with flow-control windows that are never full.
struct Unread {
    stream: TcpStream,
    next_stream: u32,
}

impl Unread {
    fn connect(envoy: &Envoy) -> Self {
        let stream = TcpStream::connect(envoy.address()).expect("a connection");
        let mut unread = Self { stream, next_stream: 1 };
        unread.send(PREFACE);
        // INITIAL_WINDOW_SIZE, and the connection's own window
        let settings = [&[0, 4][..], &LARGEST.to_be_bytes()].concat();
        unread.send(&frame(SETTINGS, 0, 0, &settings));
        unread.send(&frame(WINDOW_UPDATE, 0, 0, &(LARGEST - 65_535).to_be_bytes()));
        unread
    }

    /// Sends a `GET` for that path.
    fn open(&mut self, path: &str, token: &Token) {
        let headers = fields(&[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", path.as_bytes()),
            (b":authority", b"app.example.com"),
            (b"authorization", format!("Bearer {token}").as_bytes()),
        ]);
        self.send(&frame(HEADERS, END_STREAM | END_HEADERS, self.next_stream, &headers));
        self.next_stream += 2;
    }

    fn ping(&mut self, count: usize) {
        for _ in 0..count {
            self.send(&frame(PING, 0, 0, &[0; 8]));
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("an open connection");
    }
}

/// The bytes of a response to a ping.
const PONG_BYTES: u64 = 17;
const LARGEST: u32 = (1 << 31) - 1;
const LONG: Duration = Duration::from_secs(60);
