//! How does a client see its open request: does it go on, has it ended, and how?

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use testbed::{
    Application, Configuration, Connection, Envoy, Http2, Http2Stream, HttpResponse, Reply,
    Request, Testbed, Token, eventually,
};

/// What the promise allows from the answer to a sign-out until a stream has ended.
pub(crate) const PROMISED: Duration = Duration::from_secs(1);

/// The kinds of requests that stay open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    IdleSocket,
    BusySocket,
    Events,
    /// One event, and then nothing.
    QuietEvents,
    LongPoll,
    /// Neither the request nor the response is complete.
    Upload,
    /// A response in chunks that names no type of stream, as from a language model.
    TextStream,
    /// A file whose length is known.
    Download,
    Http2Socket,
    Http2Events,
    Http2QuietEvents,
    Http2Grpc,
    Http2LongPoll,
    Http2Upload,
    Http2Download,
}

impl StreamKind {
    pub(crate) const ALL: [Self; 13] = [
        Self::IdleSocket,
        Self::BusySocket,
        Self::Events,
        Self::LongPoll,
        Self::Upload,
        Self::TextStream,
        Self::Download,
        Self::Http2Socket,
        Self::Http2Events,
        Self::Http2Grpc,
        Self::Http2LongPoll,
        Self::Http2Upload,
        Self::Http2Download,
    ];

    fn request(self, token: &Token) -> Request {
        match self {
            Self::IdleSocket | Self::BusySocket | Self::Http2Socket => Request::get("/socket")
                .header("connection", "upgrade")
                .header("upgrade", "websocket"),
            Self::Events | Self::Http2Events => {
                Request::get("/events").header("accept", "text/event-stream")
            }
            Self::Http2Grpc => {
                let content = ("content-type", "application/grpc");
                Request::post("/grpc").header(content.0, content.1).body(WORD).unfinished()
            }
            Self::QuietEvents | Self::Http2QuietEvents => {
                Request::get("/quiet").header("accept", "text/event-stream")
            }
            Self::LongPoll | Self::Http2LongPoll => Request::get("/poll"),
            Self::TextStream => Request::get("/text"),
            Self::Download | Self::Http2Download => Request::get("/download"),
            Self::Upload | Self::Http2Upload => Request::post("/upload").body(WORD).unfinished(),
        }
        .bearer(token)
    }

    /// Whether it has no answer yet.
    pub(crate) fn is_pending(self) -> bool {
        matches!(self, Self::LongPoll | Self::Http2LongPoll | Self::Upload | Self::Http2Upload)
    }

    pub(crate) fn is_http2(self) -> bool {
        format!("{self:?}").starts_with("Http2")
    }

    fn is_socket(self) -> bool {
        matches!(self, Self::IdleSocket | Self::BusySocket | Self::Http2Socket)
    }
}

/// One open request.
pub(crate) struct OpenClient {
    kind: StreamKind,
    open: OpenTransport,
    _connection: Option<Arc<Http2>>, // closes when its last stream is dropped
}

enum OpenTransport {
    Http1(Connection),
    Http2(Http2Stream),
}

impl OpenClient {
    /// Opens a request on a connection of its own and waits until the application has it.
    pub(crate) fn open(envoy: &Envoy, kind: StreamKind, token: &Token) -> Self {
        if !kind.is_http2() {
            return Self::open_on(envoy.connect(), envoy, kind, token);
        }
        let connection = Arc::new(envoy.connect_http2());
        let open = || Self::open_among(&connection, kind, token).keeping(&connection);
        admitted(envoy, open).begun()
    }

    /// The same on this connection.
    pub(crate) fn open_on(
        mut connection: Connection,
        envoy: &Envoy,
        kind: StreamKind,
        token: &Token,
    ) -> Self {
        admitted(envoy, || {
            connection.send_bytes(&kind.request(token).to_bytes());
            Self { kind, open: OpenTransport::Http1(connection), _connection: None }
        })
        .begun()
    }

    /// The same on a new connection; waits for nothing.
    pub(crate) fn open_soon(envoy: &Envoy, kind: StreamKind, token: &Token) -> Self {
        let mut connection = envoy.connect();
        connection.send_bytes(&kind.request(token).to_bytes());
        Self { kind, open: OpenTransport::Http1(connection), _connection: None }
    }

    /// The same as one of many streams of a connection; waits for nothing.
    pub(crate) fn open_among(connection: &Http2, kind: StreamKind, token: &Token) -> Self {
        let stream = connection.open(&kind.request(token));
        Self { kind, open: OpenTransport::Http2(stream), _connection: None }
    }

    /// The same, and the connection stays open as long as one of its streams is held.
    pub(crate) fn keeping(mut self, connection: &Arc<Http2>) -> Self {
        self._connection = Some(Arc::clone(connection));
        self
    }

    /// Once the headers of its answer have come, if it is to have some.
    pub(crate) fn begun(mut self) -> Self {
        if self.kind.is_pending() {
            return self;
        }
        let status = match &mut self.open {
            OpenTransport::Http1(connection) => connection.read_head().status,
            OpenTransport::Http2(stream) => {
                testbed::until(Duration::from_secs(60), || stream.answer()).status
            }
        };
        let switches = self.kind.is_socket() && !self.kind.is_http2();
        assert_eq!(status, if switches { 101 } else { 200 }, "{self:?}");
        self
    }

    /// Says that nothing more will come from this side.
    pub(crate) fn finish(&self) {
        match &self.open {
            OpenTransport::Http1(connection) => connection.finish(),
            OpenTransport::Http2(stream) => stream.finish(),
        }
    }

    /// Whether it is over: closed, reset, or answered where it was pending.
    pub(crate) fn has_ended(&mut self) -> bool {
        if self.kind == StreamKind::BusySocket {
            self.send_word();
        }
        match &mut self.open {
            OpenTransport::Http1(connection) => {
                let arrived = connection.arrived(); // what is unread would hide the end
                self.kind.is_pending() && arrived > 0 || connection.is_closed()
            }
            OpenTransport::Http2(stream) => stream.has_ended(),
        }
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
        } else if let OpenTransport::Http2(stream) = &self.open {
            assert!(stream.was_cut(), "{self:?} ended as if it were whole");
        }
    }

    /// The answer as far as it has come.
    pub(crate) fn answer(&mut self) -> HttpResponse {
        match &mut self.open {
            OpenTransport::Http1(connection) => connection.read_answer(),
            OpenTransport::Http2(stream) => stream.answer().expect("an answer that has begun"),
        }
    }

    /// Sends something to a socket, which the application sends back.
    pub(crate) fn send_word(&mut self) {
        match &mut self.open {
            _ if !self.kind.is_socket() => {}
            OpenTransport::Http1(connection) => drop(connection.try_send_bytes(WORD)), // it may have ended
            OpenTransport::Http2(stream) => stream.send_bytes(WORD),
        }
    }

    /// How many bytes have come that are still to be read.
    pub(crate) fn arrived(&mut self) -> usize {
        match &mut self.open {
            OpenTransport::Http1(connection) => connection.arrived(),
            OpenTransport::Http2(stream) => stream.arrived(),
        }
    }
}

impl fmt::Debug for OpenClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.open {
            OpenTransport::Http1(_) => write!(f, "{:?}", self.kind),
            OpenTransport::Http2(stream) => write!(f, "{:?} {:?}", self.kind, stream.ending()),
        }
    }
}

/// Waits until what it opens is on its way to the application.
fn admitted(envoy: &Envoy, open: impl FnOnce() -> OpenClient) -> OpenClient {
    let sent = || envoy.stat("cluster.application.upstream_rq_total");
    let before = sent();
    let client = open();
    eventually(Duration::from_secs(20), || sent() > before);
    client
}

/// One of each kind, those of HTTP/1.1 on each worker.
pub(crate) fn open_all(envoy: &Envoy, token: &Token) -> Vec<OpenClient> {
    let mut clients = Vec::new();
    for kind in StreamKind::ALL {
        if kind.is_http2() {
            clients.push(OpenClient::open(envoy, kind, token));
        } else {
            let connections = envoy.connection_per_worker();
            clients.extend(
                connections.into_iter().map(|c| OpenClient::open_on(c, envoy, kind, token)),
            );
        }
    }
    clients
}

/// Fails unless data still comes on each, or it is still waiting.
#[track_caller]
pub(crate) fn assert_all_go_on<'a>(clients: impl IntoIterator<Item = &'a mut OpenClient>) {
    let mut still = Vec::new();
    for client in clients {
        assert!(!client.has_ended(), "{client:?} has ended");
        if !client.kind.is_pending() {
            still.push((client.arrived(), client));
        }
    }
    for (_, client) in &mut still {
        client.send_word();
    }
    eventually(Duration::from_secs(5), || {
        for (_, client) in &mut still {
            assert!(!client.has_ended(), "{client:?} has ended");
        }
        still.retain_mut(|(before, client)| client.arrived() == *before);
        still.is_empty()
    });
}

/// Waits until all have ended and says how long that took; fails after that time, and as much more as
/// this thread itself was kept waiting for by a busy machine.
#[track_caller]
pub(crate) fn await_ended<'a>(
    clients: impl IntoIterator<Item = &'a mut OpenClient>,
    within: Duration,
) -> Duration {
    times_of_ends(clients, within).into_iter().max().unwrap_or_default()
}

/// The same, and how long each of them took.
#[track_caller]
pub(crate) fn times_of_ends<'a>(
    clients: impl IntoIterator<Item = &'a mut OpenClient>,
    within: Duration,
) -> Vec<Duration> {
    let (start, pause) = (Instant::now(), Duration::from_millis(2));
    let (mut times, mut lost) = (Vec::new(), Duration::ZERO);
    let mut open: Vec<_> = clients.into_iter().collect();
    loop {
        open.retain_mut(|client| {
            let ended = client.has_ended();
            times.extend(ended.then(|| start.elapsed()));
            !ended
        });
        if open.is_empty() {
            return times;
        }
        let limit = within.max(AT_MOST).min(within + lost * 3);
        assert!(start.elapsed() < limit, "{} go on after {limit:?}: {open:?}", open.len());
        let asleep = Instant::now();
        thread::sleep(pause);
        lost += asleep.elapsed().saturating_sub(pause + pause / 2);
    }
}

/// How many streams this Envoy has ended for that reason, as of its workers' last ticks.
pub(crate) fn ended(envoy: &Envoy, code: &str) -> u64 {
    envoy.metric(&format!("streams_ended.{code}"))
}

/// Fails where a VM had to be replaced: it would have lost sight of all open requests.
#[track_caller]
pub(crate) fn assert_no_vm_died(envoy: &Envoy) {
    assert_eq!(envoy.send(&Request::get("/").header("x-still", "there")).status, 200);
    let reloads = envoy.stats("vm_reload");
    assert!(reloads.iter().all(|(_, count)| *count == 0), "{reloads:?}");
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
    streams["allow_connect"] = true.into(); // for sockets
    let most = 20_000;
    configuration.cluster("application")["circuit_breakers"]["thresholds"] = serde_json::json!([
        {"max_connections": most, "max_pending_requests": most, "max_requests": most}
    ]);
}

/// What the application answers to each [`StreamKind`].
pub(crate) fn keep_open(application: &Application) {
    let every = Duration::from_millis(500);
    application.on("/events", Reply::events(every));
    application.on("/quiet", Reply::events(Duration::from_secs(600)));
    application.on("/grpc", Reply::pieces("application/grpc", usize::MAX, every).early());
    application.on("/text", Reply::pieces("text/plain", usize::MAX, every));
    let file = Reply::pieces("application/octet-stream", usize::MAX, every);
    application.on("/download", file.header("content-length", "100000000"));
    application.on("/poll", Reply::status(200).after(Duration::from_secs(60)));
}

/// However busy the machine is.
const AT_MOST: Duration = Duration::from_secs(60);
const WORD: &[u8] = b"word";
