//! An authorization service for ext_authz that is as fast as possible.
//!
//! It makes the same checks as the filter on the same tokens: signature, times, issuer, audience,
//! and whether the `jti` is among a million in memory. It has one thread, no log and no store, and
//! caches verified tokens. It speaks HTTP/1.1 and gRPC on one port. A real service does more and is
//! slower. Envoy's part, which the benchmark compares, is the same.
//!
//! With `--redis` it looks for each token in a Redis instead, over HTTP/1.1 only: one connection to
//! Redis for each connection of the proxy.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use clap::Parser;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use prost::Message;
use session_guard_core::config::Config;
use session_guard_core::revocation::record::RecordId;
use session_guard_core::token::Verifier;
use testbed::unix_seconds;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Runs the authorization service.
#[derive(Parser)]
struct AuthzArguments {
    /// Address to listen on.
    listen: SocketAddr,
    /// The filter's configuration, as JSON: keys and claims.
    configuration: String,
    /// Number of revoked tokens, whose ids are `revoked-0` and so on.
    revoked: usize,
    /// Look for the key `revoked:<jti>` here on each request.
    #[arg(long)]
    redis: Option<SocketAddr>,
}

fn main() {
    let arguments = AuthzArguments::parse();
    let environment = |name: &str| std::env::var(name).ok();
    let config = Config::parse(arguments.configuration.as_bytes(), &environment);
    let config = config.expect("the configuration of the filter");
    let revoked = |number| RecordId::of_token("", None, &format!("revoked-{number}"));
    let judge = Rc::new(Judge {
        verifier: Verifier::new(config.keys, config.policy),
        revoked: (0..arguments.revoked).map(revoked).collect(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let serve = serve(arguments.listen, judge, arguments.redis);
    LocalSet::new().block_on(&runtime.expect("a runtime"), serve);
}

struct Judge {
    verifier: Verifier,
    revoked: HashSet<RecordId>,
}

impl Judge {
    /// Returns the user of a token that is valid and not revoked.
    fn user(&self, authorization: Option<&str>) -> Option<String> {
        let token = authorization?.strip_prefix("Bearer ")?;
        let token = self.verifier.verify(token.as_bytes(), unix_seconds()).ok()?;
        let user = token.user().map_or_else(String::new, |user| user.id().to_string());
        let (one, other) = token.names().token.in_order(); // with and without its issuer
        let is_revoked = self.revoked.contains(&one) || self.revoked.contains(&other);
        (!is_revoked).then_some(user)
    }
}

async fn serve(address: SocketAddr, judge: Rc<Judge>, redis: Option<SocketAddr>) {
    let listener = TcpListener::bind(address).await.expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("a bound socket"));
    std::io::stdout().flush().expect("standard output");
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("an open socket");
        let judge = Rc::clone(&judge);
        let redis = match redis {
            Some(redis) => Some(RedisLookup::to(redis).await),
            None => None,
        };
        let redis = Rc::new(redis);
        spawn_local(async move {
            let service =
                service_fn(|request| answer(request, Rc::clone(&judge), Rc::clone(&redis)));
            let _ = Builder::new(Local).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    judge: Rc<Judge>,
    redis: Rc<Option<RedisLookup>>,
) -> Result<Response<WholeBody>, Infallible> {
    if request.uri().path() == CHECK {
        let body = request.into_body().collect().await.map(|body| body.to_bytes());
        return Ok(grpc(&body.unwrap_or_default(), &judge));
    }
    let line = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let mut answer = Response::new(WholeBody::default());
    let is_revoked = match (&*redis, line) {
        (Some(redis), Some(line)) => redis.holds(&jti_of(line)).await,
        _ => false,
    };
    let user = judge.user(line).filter(|_| !is_revoked);
    match user.and_then(|user| HeaderValue::from_str(&user).ok()) {
        Some(user) => drop(answer.headers_mut().insert("x-user-id", user)),
        None => *answer.status_mut() = hyper::StatusCode::UNAUTHORIZED,
    }
    Ok(answer)
}

/// A connection to Redis.
struct RedisLookup(tokio::sync::Mutex<BufReader<TcpStream>>);

impl RedisLookup {
    async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("Redis");
        stream.set_nodelay(true).expect("an open socket");
        Self(tokio::sync::Mutex::new(BufReader::new(stream)))
    }

    /// Returns whether the token with this `jti` is revoked.
    async fn holds(&self, jti: &str) -> bool {
        let key = format!("revoked:{jti}");
        let command = format!("*2\r\n$6\r\nEXISTS\r\n${}\r\n{key}\r\n", key.len());
        let mut stream = self.0.lock().await;
        stream.write_all(command.as_bytes()).await.expect("an open connection to Redis");
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a response of Redis");
        line != ":0\r\n"
    }
}

/// Returns the `jti` of a token, which is verified elsewhere.
fn jti_of(authorization: &str) -> String {
    let payload = authorization.split('.').nth(1).unwrap_or_default();
    let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap_or_default();
    claims["jti"].as_str().unwrap_or_default().to_owned()
}

fn grpc(body: &[u8], judge: &Judge) -> Response<WholeBody> {
    let message = body.get(GRPC_PREFIX_BYTES..).unwrap_or_default();
    let asked = CheckRequest::decode(message).unwrap_or_default();
    let headers = asked.attributes.and_then(|known| known.request?.http).map(|http| http.headers);
    let line = headers.as_ref().and_then(|headers| headers.get("authorization"));
    let decision = match judge.user(line.map(String::as_str)) {
        Some(user) => {
            let header = HeaderOf { key: "x-user-id".to_owned(), value: user };
            let headers = vec![HeaderOption { header: Some(header) }];
            CheckResponse {
                status: Some(AuthzStatus { code: 0 }),
                ok_response: Some(Ok200 { headers }),
            }
        }
        None => {
            CheckResponse { status: Some(AuthzStatus { code: UNAUTHENTICATED }), ok_response: None }
        }
    };
    let mut bytes = BytesMut::with_capacity(128);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(decision.encoded_len()).unwrap_or_default());
    decision.encode(&mut bytes).expect("room in memory");
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut answer = Response::new(WholeBody { data: bytes.freeze(), trailers: Some(trailers) });
    let kind = HeaderValue::from_static("application/grpc");
    answer.headers_mut().insert("content-type", kind);
    answer
}

/// A complete body with trailers.
#[derive(Default)]
struct WholeBody {
    data: Bytes,
    trailers: Option<HeaderMap>,
}

impl Body for WholeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.data.has_remaining() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.data)))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }
}

/// An executor that spawns tasks on the current thread.
#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
const GRPC_PREFIX_BYTES: usize = 5;
const UNAUTHENTICATED: i32 = 16;

/// The fields of `envoy.service.auth.v3.CheckRequest` that this service reads.
#[derive(Clone, PartialEq, Message)]
struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, optional, tag = "4")]
    request: Option<RequestOf>,
}

#[derive(Clone, PartialEq, Message)]
struct RequestOf {
    #[prost(message, optional, tag = "2")]
    http: Option<HttpOf>,
}

#[derive(Clone, PartialEq, Message)]
struct HttpOf {
    #[prost(map = "string, string", tag = "3")]
    headers: HashMap<String, String>,
}

/// The fields of `envoy.service.auth.v3.CheckResponse` that this service sets.
#[derive(Clone, PartialEq, Message)]
struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    status: Option<AuthzStatus>,
    #[prost(message, optional, tag = "3")]
    ok_response: Option<Ok200>,
}

#[derive(Clone, PartialEq, Message)]
struct AuthzStatus {
    #[prost(int32, tag = "1")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Ok200 {
    #[prost(message, repeated, tag = "2")]
    headers: Vec<HeaderOption>,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderOption {
    #[prost(message, optional, tag = "1")]
    header: Option<HeaderOf>,
}

#[derive(Clone, PartialEq, Message)]
struct HeaderOf {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
}
