//! Accepts connections and serves each with the HTTP interface of its listener.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt;

use super::connections::{Connections, Limits, ServiceConnection};
use super::tls::{Acceptor, Tls};
use crate::agent::PeerAddress;
use crate::service::Service;

/// The server of one service. Its limits hold for all of its listeners together.
pub struct HttpServer {
    service: Service,
    connections: Arc<Connections>,
}

impl HttpServer {
    /// Creates the server. It does not listen yet.
    #[must_use]
    pub fn new(service: Service, limits: Limits) -> Self {
        let connections = Connections::new(limits, Arc::clone(&service.parts.metrics));
        Self { service, connections }
    }

    /// Serves plain HTTP, or HTTPS with `tls`, until `stop` completes. Then it closes the service,
    /// so that waiting polls get their response, and waits up to [`STOP_TIMEOUT`] for all other
    /// requests.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Option<Tls>,
        app: Router,
        stop: impl Future<Output = ()>,
    ) {
        let Self { service, connections } = self;
        serve(listener, tls, service, connections, app, stop).await;
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    service: &Service,
    connections: &Arc<Connections>,
    app: Router,
    stop: impl Future<Output = ()>,
) {
    let acceptor = tls.as_ref().map(Tls::acceptor);
    let following = tls.map(|tls| tokio::spawn(tls.follow_files()));
    let shutdown = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connections.accept(peer.ip());
                let (acceptor, app) = (acceptor.clone(), app.clone());
                let watcher = shutdown.watcher();
                tokio::spawn(serve_connection(stream, acceptor, connection, app, watcher));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection, so the oldest unauthenticated \
                    one is closed; raise the limit of open files (ulimit -n)");
                connections.make_room();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if let Some(following) = following {
        following.abort();
    }
    tracing::info!("stopping");
    service.close();
    if tokio::time::timeout(STOP_TIMEOUT, shutdown.shutdown()).await.is_err() {
        tracing::warn!("stopping although some requests have not finished");
    }
}

async fn serve_connection(
    stream: TcpStream,
    acceptor: Option<Acceptor>,
    connection: Arc<ServiceConnection>,
    app: Router,
    watcher: Watcher,
) {
    // Sends each page of the feed without waiting for more data (Nagle's algorithm).
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let closed = tokio::select! {
        () = serve_tcp(stream, acceptor, Arc::clone(&connection), app, watcher) => return,
        closed = connection.times_out() => closed,
        closed = connection.gives_way() => closed,
    };
    connection.count(closed);
    tracing::debug!(reason = closed.name(), "connection closed");
}

async fn serve_tcp(
    stream: TcpStream,
    acceptor: Option<Acceptor>,
    connection: Arc<ServiceConnection>,
    app: Router,
    watcher: Watcher,
) {
    let Some(acceptor) = acceptor else {
        return serve_http(stream, connection, app, watcher).await;
    };
    match acceptor.current().accept(stream).await {
        Ok(stream) => serve_http(stream, connection, app, watcher).await,
        Err(error) => tracing::debug!(%error, "TLS handshake failed"),
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    connection: Arc<ServiceConnection>,
    app: Router,
    watcher: Watcher,
) {
    let respond = hyper::service::service_fn(|mut request: hyper::Request<Incoming>| {
        connection.note_request();
        request.extensions_mut().insert(PeerAddress(connection.peer));
        request.extensions_mut().insert(Arc::clone(&connection));
        app.clone().oneshot(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), respond);
    if let Err(error) = watcher.watch(served).await {
        tracing::trace!(%error, "connection failed");
    }
}

/// Returns whether only this connection failed, because its client has already closed it.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Longest request head, and most bytes that are buffered per connection.
const HEAD_BYTES: usize = 64 << 10;

/// Pause after the operating system could not accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The time that requests have to finish when the service stops. Kubernetes kills the process 30 s
/// after it has asked it to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
