//! Sends requests on several connections at once and waits for all responses.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use testbed::Connection;
use testbed::frames::{PREFACE, SETTINGS, WINDOW_UPDATE, frame, request};

use super::requests::MatrixRequest;

/// How the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpVersion {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS.
    Http2,
}

impl HttpVersion {
    pub(super) const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// What was sent.
pub(super) struct Sent {
    /// RequestMaker, each with a response.
    pub(super) requests: usize,
    /// How many of them may have got 200.
    pub(super) expected_accepted: RangeInclusive<u64>,
}

/// Open connections to one listener.
pub(super) struct ForgedClient {
    version: HttpVersion,
    connections: Vec<Connection>,
    next_stream: u32,
}

impl ForgedClient {
    /// Connects.
    pub(super) fn to(address: SocketAddr, version: HttpVersion) -> Self {
        let connect = |_| {
            let mut connection = Connection::to(address);
            if version == HttpVersion::Http2 {
                // Responses never wait for the connection's window.
                let window = frame(WINDOW_UPDATE, 0, 0, &WINDOW.to_be_bytes());
                connection.send_bytes(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &window].concat());
            }
            connection
        };
        Self { version, connections: (0..CONNECTIONS).map(connect).collect(), next_stream: 1 }
    }

    /// Sends each request once, one at a time on each connection.
    ///
    /// # Errors
    /// A status is not expected, or there is no response.
    pub(super) fn send(
        &mut self,
        requests: &[MatrixRequest],
        expected: &RangeInclusive<u16>,
    ) -> Result<Sent, String> {
        for batch in requests.chunks(CONNECTIONS) {
            let stream = self.next_stream;
            self.next_stream += 2;
            for (request_of, connection) in batch.iter().zip(&mut self.connections) {
                let bytes = match self.version {
                    HttpVersion::Http1 => request_of.http1(),
                    HttpVersion::Http2 => request(stream, &request_of.fields()),
                };
                connection.send_bytes(&bytes);
            }
            for (_, connection) in batch.iter().zip(&mut self.connections) {
                match self.version {
                    HttpVersion::Http1 => {
                        let answer = connection.read_answer();
                        if !expected.contains(&answer.status) {
                            return Err(format!("status {}", answer.status));
                        }
                    }
                    HttpVersion::Http2 => {
                        // The caller checks the status by Envoy's statistics.
                        if !connection.read_end_of_stream() {
                            return Err("a stream without a response".to_owned());
                        }
                    }
                }
            }
        }
        let all = requests.len() as u64;
        let least = if *expected.end() == 200 { all } else { 0 };
        let most = if expected.contains(&200) { all } else { 0 };
        Ok(Sent { requests: requests.len(), expected_accepted: least..=most })
    }
}

/// Keep one worker busy.
const CONNECTIONS: usize = 16;

const WINDOW: u32 = 1 << 30;
