//! A request that stays open: a WebSocket or an event stream. Records when it ends.

use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Connection, Request};

/// A request that revokes something.
#[derive(Clone, Copy)]
pub(crate) struct RevokingCall {
    /// The proxy that forwarded it.
    pub(crate) proxy: Option<SocketAddr>,
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When its response arrived.
    pub(crate) acknowledged: Instant,
}

/// An open request whose response transfers data.
pub(crate) struct LiveRequest {
    end: Receiver<Instant>,
}

impl LiveRequest {
    /// Opens a WebSocket.
    pub(crate) fn socket(address: SocketAddr, request: Request) -> (u16, Self) {
        let request = request.header("connection", "upgrade").header("upgrade", "websocket");
        let request = request.header("sec-websocket-version", "13");
        Self::open(address, &request.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="))
    }

    /// Sends the request and waits for the first bytes of the body. Returns the status.
    pub(crate) fn open(address: SocketAddr, request: &Request) -> (u16, Self) {
        let (sender, end) = channel();
        let mut connection = Connection::to(address);
        connection.send_bytes(&request.to_bytes());
        let status = connection.read_head().status;
        if matches!(status, 101 | 200) {
            connection.take(2);
            thread::spawn(move || {
                connection.read_until_closed();
                let _ = sender.send(Instant::now());
            });
        }
        (status, Self { end })
    }

    /// Waits for the end. Returns the result, and the time since the response to the call.
    pub(crate) fn await_end(&self, call: RevokingCall) -> (&'static str, Duration) {
        let Ok(end) = self.end.recv_timeout(ENDS_WITHIN) else { return ("open", ENDS_WITHIN) };
        if end < call.sent {
            return ("ended before", Duration::ZERO);
        }
        ("ended", end.saturating_duration_since(call.acknowledged))
    }
}

/// The promise is one second; a busy machine may need longer.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
