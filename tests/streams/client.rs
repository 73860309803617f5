//! How does a client see its open request: does it go on, has it ended, and how?

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use testbed::{
    Answer, Application, Configuration, Connection, Envoy, Http2, Http2Stream, Reply, Request,
    Testbed, Token, eventually,
};

/// What the promise allows from the answer to a sign-out until a stream has ended.
pub(crate) const PROMISED: Duration = Duration::from_secs(1);

/// The kinds of requests that stay open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    IdleSocket,
    BusySocket,
    Events,
    LongPoll,
    Http2Events,
    Http2Grpc,
    Http2LongPoll,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::IdleSocket,
        Self::BusySocket,
        Self::Events,
        Self::LongPoll,
        Self::Http2Events,
        Self::Http2Grpc,
        Self::Http2LongPoll,
    ];

    fn request(self, token: &Token) -> Request {
        let path = match self {
            Self::IdleSocket | Self::BusySocket => "/socket",
            Self::Events | Self::Http2Events => "/events",
            Self::Http2Grpc => "/grpc",
            Self::LongPoll | Self::Http2LongPoll => "/poll",
        };
        let request = Request::get(path).bearer(token);
        match self {
            Self::IdleSocket | Self::BusySocket => {
                request.header("connection", "upgrade").header("upgrade", "websocket")
            }
            _ => request,
        }
    }

    fn is_pending(self) -> bool {
        matches!(self, Self::LongPoll | Self::Http2LongPoll)
    }

    fn is_http2(self) -> bool {
        matches!(self, Self::Http2Events | Self::Http2Grpc | Self::Http2LongPoll)
    }
}

/// One open request.
pub(crate) struct Client {
    kind: Kind,
    open: Open,
    _connection: Option<Http2>, // ends with its streams
}

enum Open {
    Http1(Connection),
    Http2(Http2Stream),
}

impl Client {
    /// Opens a request on a connection of its own and waits until the application has it.
    pub(crate) fn open(envoy: &Envoy, kind: Kind, token: &Token) -> Self {
        if kind.is_http2() {
            let connection = envoy.connect_http2();
            let stream = connection.open(&kind.request(token));
            Self { kind, open: Open::Http2(stream), _connection: Some(connection) }.begun()
        } else {
            Self::open_on(envoy.connect(), kind, token)
        }
    }

    /// The same on this connection.
    pub(crate) fn open_on(mut connection: Connection, kind: Kind, token: &Token) -> Self {
        connection.send_bytes(&kind.request(token).to_bytes());
        Self { kind, open: Open::Http1(connection), _connection: None }.begun()
    }

    /// Once the headers of its answer have come, if it is to have some.
    pub(crate) fn begun(mut self) -> Self {
        if self.kind.is_pending() {
            return self;
        }
        let status = match &mut self.open {
            Open::Http1(connection) => connection.read_head().status,
            Open::Http2(stream) => {
                testbed::until(Duration::from_secs(20), || stream.answer()).status
            }
        };
        let socket = matches!(self.kind, Kind::IdleSocket | Kind::BusySocket);
        assert_eq!(status, if socket { 101 } else { 200 }, "{self:?}");
        self
    }

    /// Whether it is over: closed, reset, or answered where it was pending.
    pub(crate) fn has_ended(&mut self) -> bool {
        match &mut self.open {
            Open::Http1(connection) => {
                if self.kind == Kind::BusySocket {
                    let _ = connection.try_send_bytes(WORD); // it may have been closed meanwhile
                }
                let arrived = connection.arrived();
                if self.kind.is_pending() { arrived > 0 } else { connection.is_closed() }
            }
            Open::Http2(stream) => stream.has_ended(),
        }
    }

    /// Fails unless data still comes, or the request is still waiting.
    pub(crate) fn assert_goes_on(&mut self) {
        assert!(!self.has_ended(), "{self:?} has ended");
        if self.kind.is_pending() {
            return;
        }
        let before = self.arrived();
        if let (Kind::IdleSocket, Open::Http1(connection)) = (self.kind, &mut self.open) {
            connection.send_bytes(WORD);
        }
        eventually(Duration::from_secs(5), || !self.has_ended() && self.arrived() > before);
    }

    /// Fails unless it ended as promised: pending ones are answered, started ones cut.
    pub(crate) fn assert_revoked(&mut self) {
        self.assert_refused("revoked");
    }

    /// The same with another reason.
    pub(crate) fn assert_refused(&mut self, code: &str) {
        assert!(self.has_ended(), "{self:?} goes on");
        if self.kind.is_pending() {
            let answer = self.answer();
            assert_eq!((answer.status, &*answer.code()), (401, code), "{self:?}");
            let challenge = answer.header("www-authenticate");
            assert_eq!(challenge, Some("Bearer error=\"invalid_token\""), "{self:?}");
        } else if let Open::Http2(stream) = &self.open {
            assert!(stream.was_cut(), "{self:?} ended as if it were whole");
        }
    }

    /// The answer as far as it has come.
    pub(crate) fn answer(&mut self) -> Answer {
        match &mut self.open {
            Open::Http1(connection) => connection.read_answer(),
            Open::Http2(stream) => stream.answer().expect("an answer that has begun"),
        }
    }

    fn arrived(&mut self) -> usize {
        match &mut self.open {
            Open::Http1(connection) => connection.arrived(),
            Open::Http2(stream) => stream.arrived(),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

/// One of each kind, those of HTTP/1.1 on each worker.
pub(crate) fn open_all(envoy: &Envoy, token: &Token) -> Vec<Client> {
    let mut clients = Vec::new();
    for kind in Kind::ALL {
        if kind.is_http2() {
            clients.push(Client::open(envoy, kind, token));
        } else {
            let connections = envoy.connection_per_worker();
            clients.extend(connections.into_iter().map(|c| Client::open_on(c, kind, token)));
        }
    }
    clients
}

/// Waits until all have ended and says how long that took; fails after that time.
#[track_caller]
pub(crate) fn await_ended(clients: &mut [Client], within: Duration) -> Duration {
    let start = Instant::now();
    loop {
        let open: Vec<_> =
            clients.iter_mut().filter_map(|c| (!c.has_ended()).then_some(c)).collect();
        let passed = start.elapsed();
        if open.is_empty() {
            return passed;
        }
        assert!(passed < within, "{} go on: {open:?}", open.len());
        thread::sleep(Duration::from_millis(2));
    }
}

/// The user signs out and gets the application's answer.
#[track_caller]
pub(crate) fn sign_out(envoy: &Envoy, token: &Token) {
    assert_eq!(envoy.send(&Request::post("/sign-out").bearer(token)).status, 200);
}

/// These tests measure time and count connections: one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An Envoy with room for many streams, before an application that keeps requests open.
pub(crate) fn bed(edit: impl FnOnce(&mut Configuration)) -> Testbed {
    let bed = Testbed::with(|configuration| {
        make_room(configuration);
        edit(configuration);
    });
    keep_open(&bed.application);
    bed
}

/// More streams than the shipped limits let through.
pub(crate) fn make_room(configuration: &mut Configuration) {
    let streams = &mut configuration.connection_manager()["http2_protocol_options"];
    streams["max_concurrent_streams"] = 2_000.into();
    let most = 20_000;
    configuration.cluster("application")["circuit_breakers"]["thresholds"] = serde_json::json!([
        {"max_connections": most, "max_pending_requests": most, "max_requests": most}
    ]);
}

/// What the application answers to each [`Kind`].
pub(crate) fn keep_open(application: &Application) {
    let every = Duration::from_millis(100);
    application.on("/events", Reply::events(every));
    application.on("/grpc", Reply::pieces("application/grpc", usize::MAX, every));
    application.on("/poll", Reply::status(200).after(Duration::from_secs(60)));
}

const WORD: &[u8] = b"word";
