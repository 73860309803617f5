//! How does a test talk HTTP/2, trailers included?

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::runtime::RUNTIME;
use crate::{Answer, Request};

/// One connection without TLS, the protocol known beforehand.
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
            let (sender, connection) = client::handshake(stream).await.expect("HTTP/2");
            let connection = tokio::spawn(async {
                let _ = connection.await;
            });
            Self { sender, connection }
        })
    }

    /// Sends the request with its body and trailers and reads its whole answer.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Answer {
        self.try_send(request).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// The same where the other side may refuse the stream or the connection.
    ///
    /// # Errors
    /// Says how the stream or the connection ended.
    pub fn try_send(&self, request: &Request) -> Result<Answer, h2::Error> {
        RUNTIME.block_on(exchange(self.sender.clone(), request))
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

async fn exchange(sender: SendRequest<Bytes>, request: &Request) -> Result<Answer, h2::Error> {
    let uri = format!("http://{}{}", request.authority, request.path);
    let mut head = http::Request::builder().method(request.method.as_str()).uri(uri);
    for (name, value) in &request.lines {
        head = head.header(name.as_slice(), value.as_slice());
    }
    let head = head.body(()).expect("what HTTP/2 can carry");
    let trailers = trailers(&request.trailers);
    let (bodiless, bare) = (request.body.is_empty(), trailers.is_empty());

    let mut sender = sender.ready().await?;
    let (response, mut stream) = sender.send_request(head, bodiless && bare)?;
    if !bodiless {
        stream.send_data(Bytes::copy_from_slice(&request.body), bare)?;
    }
    if !bare {
        stream.send_trailers(trailers)?;
    }
    let (head, mut incoming) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend(data);
    }
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let lines = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Ok(Answer { status: head.status.as_u16(), lines, body })
}

fn trailers(lines: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name in lower case");
        map.append(name, HeaderValue::from_str(value).expect("visible ASCII"));
    }
    map
}
