//! Clients with an open request, which check whether it continues and how it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use testbed::{
    Application, Configuration, Connection, Envoy, Http2, Http2Stream, HttpResponse, Reply,
    Request, Testbed, Token, eventually,
};

/// The longest time, by the README's promise, from the response to a sign-out to the end of a
/// stream.
pub(crate) const PROMISED: Duration = Duration::from_secs(1);

/// The kinds of requests that stay open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    IdleSocket,
    BusySocket,
    Events,
    /// One event, and then no data.
    QuietEvents,
    LongPoll,
    /// Neither the request nor the response is complete.
    Upload,
    /// A chunked response of type `text/plain`, as language models send it.
    TextStream,
    /// A file with a content length.
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

    /// Returns whether a request of this kind has no response yet.
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
    /// Opens a request on a new connection and waits until it is on its way to the application.
    pub(crate) fn open(envoy: &Envoy, kind: StreamKind, token: &Token) -> Self {
        if !kind.is_http2() {
            return Self::open_on(envoy.connect(), envoy, kind, token);
        }
        let connection = Arc::new(envoy.connect_http2());
        let open = || Self::open_among(&connection, kind, token).keeping(&connection);
        admitted(envoy, open).begun()
    }

    /// Like [`OpenClient::open`], on the given HTTP/1.1 connection.
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

    /// Like [`OpenClient::open`], on a new HTTP/1.1 connection, but does not wait.
    pub(crate) fn open_soon(envoy: &Envoy, kind: StreamKind, token: &Token) -> Self {
        let mut connection = envoy.connect();
        connection.send_bytes(&kind.request(token).to_bytes());
        Self { kind, open: OpenTransport::Http1(connection), _connection: None }
    }

    /// Like [`OpenClient::open`], as one of many streams of a connection, but does not wait.
    pub(crate) fn open_among(connection: &Http2, kind: StreamKind, token: &Token) -> Self {
        let stream = connection.open(&kind.request(token));
        Self { kind, open: OpenTransport::Http2(stream), _connection: None }
    }

    /// Keeps the connection open until this stream is dropped.
    pub(crate) fn keeping(mut self, connection: &Arc<Http2>) -> Self {
        self._connection = Some(Arc::clone(connection));
        self
    }

    /// Waits for the response headers, unless this kind has no response yet.
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

    /// Closes the sending direction.
    pub(crate) fn finish(&self) {
        match &self.open {
            OpenTransport::Http1(connection) => connection.finish(),
            OpenTransport::Http2(stream) => stream.finish(),
        }
    }

    /// Returns whether the request has ended: closed, reset, or (if it was pending) with a
    /// response.
    pub(crate) fn has_ended(&mut self) -> bool {
        if self.kind == StreamKind::BusySocket {
            self.send_word();
        }
        match &mut self.open {
            OpenTransport::Http1(connection) => {
                let arrived = connection.arrived(); // unread bytes would hide the end
                self.kind.is_pending() && arrived > 0 || connection.is_closed()
            }
            OpenTransport::Http2(stream) => stream.has_ended(),
        }
    }

    /// Checks that it ended as a revoked request: a pending one with 401, any other one cut.
    pub(crate) fn assert_revoked(&mut self) {
        self.assert_refused("revoked");
    }

    /// Like [`OpenClient::assert_revoked`], with another code of refusal.
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

    /// Returns the response received so far.
    pub(crate) fn answer(&mut self) -> HttpResponse {
        match &mut self.open {
            OpenTransport::Http1(connection) => connection.read_answer(),
            OpenTransport::Http2(stream) => stream.answer().expect("an answer that has begun"),
        }
    }

    /// Sends a word on a socket, which the application echoes. Does nothing for other kinds.
    pub(crate) fn send_word(&mut self) {
        match &mut self.open {
            _ if !self.kind.is_socket() => {}
            OpenTransport::Http1(connection) => drop(connection.try_send_bytes(WORD)), // it may have ended
            OpenTransport::Http2(stream) => stream.send_bytes(WORD),
        }
    }

    /// Returns the number of received bytes that are not read yet (HTTP/1.1), or of all body bytes
    /// (HTTP/2).
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

/// Opens a request and waits until Envoy sends it to the application.
fn admitted(envoy: &Envoy, open: impl FnOnce() -> OpenClient) -> OpenClient {
    let sent = || envoy.stat("cluster.application.upstream_rq_total");
    let before = sent();
    let client = open();
    eventually(Duration::from_secs(20), || sent() > before);
    client
}

/// Opens one request of each kind, those over HTTP/1.1 on each worker.
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

/// Checks that every request is still open, and that data still arrives on those with a response.
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

/// Waits until all have ended, and returns how long that took. Fails if it takes longer than
/// `within`, plus an allowance for the time in which the busy machine did not run this thread.
#[track_caller]
pub(crate) fn await_ended<'a>(
    clients: impl IntoIterator<Item = &'a mut OpenClient>,
    within: Duration,
) -> Duration {
    times_of_ends(clients, within).into_iter().max().unwrap_or_default()
}

/// Like [`await_ended`], but returns the time of each.
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

/// Returns how many streams this Envoy has ended for that reason, as of its workers' last ticks.
pub(crate) fn ended(envoy: &Envoy, code: &str) -> u64 {
    envoy.metric(&format!("streams_ended.{code}"))
}

/// Checks that no VM was replaced, because a new one would not know the open requests, and that the
/// dynamic module has not panicked.
#[track_caller]
pub(crate) fn assert_no_vm_died(envoy: &Envoy) {
    assert_eq!(envoy.send(&Request::get("/").header("x-still", "there")).status, 200);
    let reloads = envoy.stats("vm_reload");
    assert!(reloads.iter().all(|(_, count)| *count == 0), "{reloads:?}");
    assert!(!envoy.log().contains("panicked at"), "{}", envoy.log());
}

/// Sends a sign-out, and checks that the application responds.
#[track_caller]
pub(crate) fn sign_out(envoy: &Envoy, token: &Token) {
    assert_eq!(envoy.send(&Request::post("/sign-out").bearer(token)).status, 200);
}

/// Locks out all other tests of this file, because these tests measure time and count connections.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts an Envoy that allows many streams, and an application that keeps requests open.
pub(crate) fn bed(edit: impl FnOnce(&mut Configuration)) -> Testbed {
    let bed = Testbed::with(|configuration| {
        make_room(configuration);
        edit(configuration);
    });
    keep_open(&bed.application);
    bed
}

/// Raises the limits of the shipped configuration, for more streams.
pub(crate) fn make_room(configuration: &mut Configuration) {
    let streams = &mut configuration.connection_manager()["http2_protocol_options"];
    streams["max_concurrent_streams"] = 2_000.into();
    streams["allow_connect"] = true.into(); // for WebSocket over HTTP/2
    let most = 20_000;
    let application = configuration.cluster("application");
    application["connect_timeout"] = "60s".into(); // thousands connect at once
    application["circuit_breakers"]["thresholds"] = serde_json::json!([
        {"max_connections": most, "max_pending_requests": most, "max_requests": most}
    ]);
}

/// Sets the application's reply for each [`StreamKind`].
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

/// The longest time to wait for an end, however busy the machine is.
const AT_MOST: Duration = Duration::from_secs(60);
const WORD: &[u8] = b"word";
