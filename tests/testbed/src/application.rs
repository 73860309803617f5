//! The application behind Envoy.
//!
//! An HTTP server inside the test process; it speaks HTTP/1.1 and HTTP/2 without TLS. By default it
//! responds with the request it received, as JSON; a test can set a reply for a path. It echoes the
//! bytes of an upgraded connection, such as WebSocket frames.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::load::Tripwire;
use crate::runtime::RUNTIME;

/// The upstream of Envoy. Stops when dropped.
#[derive(Debug)]
pub struct Application {
    address: SocketAddr,
    state: Arc<Mutex<ApplicationState>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct ApplicationState {
    replies: HashMap<String, Reply>,
    seen: Vec<Seen>,
    tripwire: Tripwire,
}

impl ApplicationState {
    fn note(&mut self, seen: Seen) {
        self.tripwire.look(&seen.path, seen.header("authorization"));
        if self.seen.len() >= MOST_SEEN {
            self.seen.drain(..MOST_SEEN / 2);
        }
        self.seen.push(seen);
    }
}

impl Application {
    /// Listens on a free port.
    #[must_use]
    pub fn start() -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let state = Arc::new(Mutex::new(ApplicationState::default()));
        let task = RUNTIME.spawn(accept(listener, Arc::clone(&state)));
        Self { address, state, task }
    }

    /// Returns its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the reply for a path (without query).
    pub fn on(&self, path: &str, reply: Reply) {
        locked(&self.state).replies.insert(path.to_owned(), reply);
    }

    /// Returns all requests whose bodies are complete, in order (at least the latest 50,000).
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        locked(&self.state).seen.clone()
    }

    /// Returns the requests of one path, query included.
    #[must_use]
    pub fn seen_at(&self, path: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.path == path).collect()
    }

    /// Returns the texts that no request to this application may contain.
    pub(crate) fn tripwire(&self) -> Tripwire {
        locked(&self.state).tripwire.clone()
    }

    /// Deletes the recorded requests.
    pub fn forget(&self) {
        locked(&self.state).seen.clear();
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request as the application received it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// All header lines, names in lower case, non-ASCII bytes as Latin-1. Lines with one name are
    /// adjacent, in order of arrival.
    pub lines: Vec<(String, String)>,
    /// All trailers, in the same form.
    pub trailers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Seen {
    /// Returns the first line with that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    /// Returns every line with that name.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|(known, _)| known == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }

    fn to_json(&self) -> Value {
        let Self { method, path, lines, trailers, body } = self;
        json!({"method": method, "path": path, "headers": lines, "trailers": trailers, "body": body})
    }

    pub(crate) fn from_json(json: &Value) -> Option<Self> {
        let text = |name: &str| Some(json.get(name)?.as_str()?.to_owned());
        let lines = |name: &str| serde_json::from_value(json.get(name)?.clone()).ok();
        Some(Self {
            method: text("method")?,
            path: text("path")?,
            lines: lines("headers")?,
            trailers: lines("trailers")?,
            body: text("body")?,
        })
    }
}

/// A reply of the application that differs from the default.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    lines: Vec<(String, String)>,
    body: ReplyBody,
    delay: Duration,
    early: bool,
}

#[derive(Clone, Debug)]
enum ReplyBody {
    Seen,
    Text(String),
    Pieces { count: usize, every: Duration },
}

impl Reply {
    /// Responds with the received request and the given status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let (body, delay) = (ReplyBody::Seen, Duration::ZERO);
        Self { status, lines: Vec::new(), body, delay, early: false }
    }

    /// Responds with an endless stream of server-sent events, one per interval.
    #[must_use]
    pub fn events(every: Duration) -> Self {
        Self::pieces("text/event-stream", usize::MAX, every)
    }

    /// Responds with `count` times [`Reply::PIECE`], one per interval.
    #[must_use]
    pub fn pieces(content_type: &str, count: usize, every: Duration) -> Self {
        let reply = Self { body: ReplyBody::Pieces { count, every }, ..Self::status(200) };
        reply.header("content-type", content_type)
    }

    /// One event: the unit of a body that is sent in pieces.
    pub const PIECE: &str = "data: tick\n\n";

    /// Adds a header line; `date` replaces the server's own.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.body = ReplyBody::Text(text.to_owned());
        self
    }

    /// Responds when the request's body begins, not when it ends.
    #[must_use]
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }

    /// Delays the response.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

type ApplicationBody = BoxBody<Bytes, Infallible>;

async fn accept(listener: TcpListener, state: Arc<Mutex<ApplicationState>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, state: Arc<Mutex<ApplicationState>>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, Arc::clone(&state)));
    let server = auto::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn answer(
    request: http::Request<Incoming>,
    state: Arc<Mutex<ApplicationState>>,
) -> Result<Response<ApplicationBody>, Infallible> {
    if let Some(protocol) = request.headers().get(header::UPGRADE).cloned() {
        locked(&state).seen.push(see_head(&request));
        tokio::spawn(echo(request));
        let switched = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        let switched = switched.header(header::CONNECTION, "upgrade").header("upgrade", protocol);
        return Ok(switched.body(text(String::new())).expect("a well-formed answer"));
    }
    let path = request.uri().path().to_owned();
    let reply = locked(&state).replies.get(&path).cloned().unwrap_or(Reply::status(200));
    let seen = if reply.early {
        let head = see_head(&request);
        tokio::spawn(see(request)); // the rest of the body is ignored
        head
    } else {
        see(request).await
    };
    locked(&state).note(seen.clone());
    sleep(reply.delay).await;
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.lines {
        response = response.header(name, value);
    }
    let body = match reply.body {
        ReplyBody::Seen => text(seen.to_json().to_string()),
        ReplyBody::Text(words) => text(words),
        ReplyBody::Pieces { count, every } => pieces(count, every),
    };
    Ok(response.body(body).expect("a well-formed reply"))
}

async fn echo(request: http::Request<Incoming>) {
    if let Ok(upgraded) = hyper::upgrade::on(request).await {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let _ = copy(&mut read, &mut write).await;
    }
}

async fn see(request: http::Request<Incoming>) -> Seen {
    let mut seen = see_head(&request);
    if let Ok(body) = request.into_body().collect().await {
        seen.trailers = body.trailers().map(lines).unwrap_or_default();
        seen.body = latin1(&body.to_bytes());
    }
    seen
}

fn see_head(request: &http::Request<Incoming>) -> Seen {
    let method = request.method().to_string();
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    Seen { method, path, lines: lines(request.headers()), ..Seen::default() }
}

fn lines(map: &HeaderMap) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.to_string(), latin1(value.as_bytes()))).collect()
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn text(text: String) -> ApplicationBody {
    Full::new(Bytes::from(text)).boxed()
}

fn pieces(count: usize, every: Duration) -> ApplicationBody {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let piece = || Ok(Frame::data(Bytes::from_static(Reply::PIECE.as_bytes())));
        for _ in 0..count {
            if sender.send(piece()).await.is_err() {
                return;
            }
            sleep(every).await;
        }
    });
    BodyExt::boxed(StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver)))
}

fn locked(state: &Mutex<ApplicationState>) -> MutexGuard<'_, ApplicationState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Limit of recorded requests (some hundred megabytes), because a soak test runs for hours.
const MOST_SEEN: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connection, Http2, Request};

    #[test]
    fn it_responds_with_the_request() {
        let application = Application::start();
        let request = Request::get("/a?b").header("x-one", "1").header("x-one", "\u{e9}");
        let seen = Connection::to(application.address()).send(&request).seen();
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("GET", "/a?b"));
        assert_eq!(seen.headers("x-one"), ["1", "\u{c3}\u{a9}"]);
        assert_eq!(application.seen_at("/a?b"), [seen]);
    }

    #[test]
    fn it_sees_the_trailers_of_http_2() {
        let application = Application::start();
        let request = Request::post("/").body("words").trailer("x-user-id", "eve");
        let seen = Http2::to(application.address()).send(&request).seen();
        assert_eq!(seen.trailers, [("x-user-id".to_owned(), "eve".to_owned())]);
        assert_eq!(seen.body, "words");
    }

    #[test]
    fn a_reply_replaces_the_response_of_its_path() {
        let application = Application::start();
        application.on("/gone", Reply::status(410).header("date", "then").text("no more"));
        let mut connection = Connection::to(application.address());
        let answer = connection.send(&Request::get("/gone?really"));
        assert_eq!((answer.status, answer.text().as_str()), (410, "no more"));
        assert_eq!(answer.headers("date"), ["then"]);
        assert_eq!(connection.send(&Request::get("/there")).status, 200);
    }

    #[test]
    fn events_are_endless_and_upgraded_bytes_are_echoed() {
        let application = Application::start();
        application.on("/events", Reply::events(Duration::from_millis(1)));
        let mut connection = Connection::to(application.address());
        connection.send_bytes(&Request::get("/events").to_bytes());
        assert_eq!(connection.read_head().header("content-type"), Some("text/event-stream"));
        assert!(!connection.take(200).is_empty());
        let mut socket = Connection::to(application.address());
        let upgrade =
            Request::get("/").header("connection", "upgrade").header("upgrade", "websocket");
        assert_eq!(socket.send(&upgrade).status, 101);
        socket.send_bytes(b"frame");
        assert_eq!(socket.take(5), b"frame");
    }
}
