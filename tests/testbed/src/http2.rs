//! An HTTP/2 client with trailers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::runtime::RUNTIME;
use crate::{HttpResponse, Request};

/// One connection without TLS, with prior knowledge.
#[derive(Debug)]
pub struct Http2 {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<()>,
}

impl Http2 {
    /// Connects.
    #[must_use]
    #[track_caller]
    pub fn to(address: SocketAddr) -> Self {
        RUNTIME.block_on(async {
            let stream = TcpStream::connect(address).await.expect("a connection");
            let handshake =
                client::Builder::new().data_frame_budget(SMALL_FRAMES).handshake(stream);
            let (sender, connection) = handshake.await.expect("HTTP/2");
            let connection = tokio::spawn(async {
                let _ = connection.await;
            });
            Self { sender, connection }
        })
    }

    /// Sends the request with its body and trailers and reads the whole response.
    #[track_caller]
    pub fn send(&self, request: &Request) -> HttpResponse {
        self.try_send(request).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Like the above, but the peer may refuse the stream or the connection.
    ///
    /// # Errors
    /// Tells how the stream or the connection ended.
    pub fn try_send(&self, request: &Request) -> Result<HttpResponse, h2::Error> {
        RUNTIME.block_on(exchange(self.sender.clone(), request, &ResponseProgress::default()))
    }

    /// Sends the request and receives the response in the background.
    #[must_use]
    pub fn open(&self, request: &Request) -> Http2Stream {
        let (sender, request) = (self.sender.clone(), request.clone());
        let progress = ResponseProgress::default();
        let shared = progress.clone();
        let task = RUNTIME.spawn(async move {
            let ending = exchange(sender, &request, &shared).await.map(drop);
            shared.locked().ending = Some(ending);
        });
        Http2Stream { progress, task }
    }

    /// Like the above, but reads no more of the body than the first window (64 KiB).
    #[must_use]
    pub fn open_unread(&self, request: &Request) -> Http2Stream {
        let (sender, request) = (self.sender.clone(), request.clone());
        let progress = ResponseProgress::default();
        let shared = progress.clone();
        let task = RUNTIME.spawn(async move {
            let ending = async {
                let (head, _unread) = begin(sender, &request, &shared).await?.into_parts();
                shared.begin(&head);
                std::future::pending().await
            };
            shared.locked().ending = Some(ending.await);
        });
        Http2Stream { progress, task }
    }
}

/// A request whose response may take long. Dropping it sends `RST_STREAM`.
#[derive(Debug)]
pub struct Http2Stream {
    progress: ResponseProgress,
    task: JoinHandle<()>,
}

impl Http2Stream {
    /// Returns the response received so far, if its headers have arrived.
    #[must_use]
    pub fn answer(&self) -> Option<HttpResponse> {
        self.progress.locked().answer.clone()
    }

    /// Returns the number of body bytes received.
    #[must_use]
    pub fn arrived(&self) -> usize {
        self.progress.locked().answer.as_ref().map_or(0, |answer| answer.body.len())
    }

    /// Returns whether the stream has ended, normally or by a reset.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.progress.locked().ending.is_some()
    }

    /// Describes how the stream ended.
    #[must_use]
    pub fn ending(&self) -> Option<String> {
        let progress = self.progress.locked();
        let ending = progress.ending.as_ref()?;
        Some(ending.as_ref().map_or_else(ToString::to_string, |()| "whole".to_owned()))
    }

    /// Sends more bytes of an unfinished request.
    pub fn send_bytes(&self, bytes: &[u8]) {
        if let Some(sending) = &mut self.progress.locked().sending {
            let _ = sending.send_data(Bytes::copy_from_slice(bytes), false); // may have ended
        }
    }

    /// Closes the sending direction.
    pub fn finish(&self) {
        if let Some(mut sending) = self.progress.locked().sending.take() {
            let _ = sending.send_data(Bytes::new(), true); // may have ended
        }
    }

    /// Returns whether the peer reset the stream or the connection was lost.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        matches!(self.progress.locked().ending, Some(Err(_)))
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Progress of a response.
#[derive(Clone, Debug, Default)]
struct ResponseProgress(Arc<Mutex<Http2State>>);

#[derive(Debug, Default)]
struct Http2State {
    /// Our direction of the stream, while it is open.
    sending: Option<SendStream<Bytes>>,
    answer: Option<HttpResponse>,
    ending: Option<Result<(), h2::Error>>,
}

impl ResponseProgress {
    fn locked(&self) -> MutexGuard<'_, Http2State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, head: &http::response::Parts) {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let lines = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
        let (status, lines) = (head.status.as_u16(), lines.collect());
        self.locked().answer = Some(HttpResponse { status, lines, body: Vec::new() });
    }

    fn append(&self, data: &[u8]) {
        if let Some(answer) = &mut self.locked().answer {
            answer.body.extend(data);
        }
    }

    fn take(&self) -> HttpResponse {
        self.locked().answer.clone().expect("an answer that has begun")
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn exchange(
    sender: SendRequest<Bytes>,
    request: &Request,
    progress: &ResponseProgress,
) -> Result<HttpResponse, h2::Error> {
    let (head, mut incoming) = begin(sender, request, progress).await?.into_parts();
    progress.begin(&head);
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        progress.append(&data);
    }
    Ok(progress.take())
}

/// Sends the request with its body and trailers and waits for the response headers. A request
/// for an upgrade becomes an extended CONNECT (RFC 8441 §4), whose sending direction stays open.
async fn begin(
    sender: SendRequest<Bytes>,
    request: &Request,
    progress: &ResponseProgress,
) -> Result<http::Response<RecvStream>, h2::Error> {
    let mut sender = sender.ready().await?;
    let head = head(request);
    while head.method() == Method::CONNECT && !sender.is_extended_connect_protocol_enabled() {
        sleep(Duration::from_millis(1)).await; // the peer's SETTINGS frame has not arrived yet
    }
    let trailers = trailers(&request.trailers);
    let (bodiless, bare) = (request.body.is_empty(), trailers.is_empty());
    let stays_open = request.unfinished || head.method() == Method::CONNECT;

    let (response, mut stream) = sender.send_request(head, bodiless && bare && !stays_open)?;
    if !bodiless {
        stream.send_data(Bytes::copy_from_slice(&request.body), bare && !stays_open)?;
    }
    if stays_open {
        progress.locked().sending = Some(stream);
    } else if !bare {
        stream.send_trailers(trailers)?;
    }
    response.await
}

fn head(request: &Request) -> http::Request<()> {
    let uri = format!("http://{}{}", request.authority, request.path);
    let lines = || request.lines.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
    let mut head = http::Request::builder().method(request.method.as_str()).uri(uri);
    if let Some((_, protocol)) = lines().find(|(name, _)| *name == b"upgrade") {
        let protocol = std::str::from_utf8(protocol).expect("a protocol's name");
        head = head.method(Method::CONNECT).extension(Protocol::from(protocol));
    }
    for (name, value) in
        lines().filter(|(name, _)| ![&b"connection"[..], b"upgrade"].contains(name))
    {
        head = head.header(name, value);
    }
    head.body(()).expect("what HTTP/2 can carry")
}

fn trailers(lines: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name in lower case");
        map.append(name, HeaderValue::from_str(value).expect("visible ASCII"));
    }
    map
}

/// Allows hundreds of streams with small events on one connection.
const SMALL_FRAMES: usize = 1 << 30;
