//! A TCP proxy that injects faults.
//!
//! It forwards everything until a test sets a [`Fault`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::ports::free_address;
use crate::runtime::RUNTIME;

/// A fault. Positions count the response bytes of one connection from zero. Each
/// change of the fault closes all connections, so the next response starts a new one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// No fault: all bytes pass.
    #[default]
    None,
    /// Connections are refused.
    Refuse,
    /// Connections are accepted, but no response is ever sent.
    Hang,
    /// Each chunk of a response is delayed by that time.
    Delay(Duration),
    /// Responses are limited to that many bytes per second.
    Throttle(usize),
    /// The connection is closed after that many response bytes.
    CutAfter(usize, ConnectionEnd),
    /// The lowest bit of the response byte at that position is flipped.
    FlipBit(usize),
    /// Every request gets these bytes as its response; then the connection is closed.
    AnswerWith(Vec<u8>),
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// By FIN.
    Close,
    /// By RST.
    Reset,
}

impl ConnectionEnd {
    /// Closes a connection in this way.
    pub fn of(self, connection: std::net::TcpStream) {
        if self == Self::Reset {
            let _ = socket2::SockRef::from(&connection).set_linger(Some(Duration::ZERO));
        }
    }
}

/// A proxy between a client and a server, on a free port. Stops when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    changes: mpsc::UnboundedSender<(Fault, oneshot::Sender<()>)>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port and forwards to the server.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let (address, listener) = RUNTIME.block_on(async {
            loop {
                let address = free_address();
                if let Ok(listener) = TcpListener::bind(address).await {
                    return (address, listener);
                }
            }
        });
        let (changes, orders) = mpsc::unbounded_channel();
        let accepted = Arc::new(AtomicUsize::new(0));
        let task = RUNTIME.spawn(run(listener, server, orders, Arc::clone(&accepted)));
        Self { address, changes, accepted, task }
    }

    /// Returns its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the fault and closes all open connections.
    pub fn set(&self, fault: Fault) {
        let (done, wait) = oneshot::channel();
        self.changes.send((fault, done)).expect("a running proxy");
        RUNTIME.block_on(wait).expect("a running proxy");
    }

    /// Returns the number of accepted connections.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    listener: TcpListener,
    server: SocketAddr,
    mut orders: mpsc::UnboundedReceiver<(Fault, oneshot::Sender<()>)>,
    accepted: Arc<AtomicUsize>,
) {
    let address = listener.local_addr().expect("a bound socket");
    let (mut listener, mut fault) = (Some(listener), Fault::None);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((next, done)) = order else { return };
                connections.shutdown().await;
                listener = match (&next, listener) {
                    (Fault::Refuse, _) => None,
                    (_, Some(listener)) => Some(listener),
                    (_, None) => Some(listen_again(address).await),
                };
                fault = next;
                let _ = done.send(());
            }
            Some(client) = accept(listener.as_ref()) => {
                accepted.fetch_add(1, Ordering::Relaxed);
                connections.spawn(pass(client, server, fault.clone()));
                while connections.try_join_next().is_some() {}
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

async fn listen_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => sleep(Duration::from_millis(5)).await,
        }
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, fault: Fault) {
    if fault == Fault::Hang {
        let _ = copy(&mut client, &mut tokio::io::sink()).await;
        return;
    }
    if let Fault::AnswerWith(bytes) = &fault {
        let _ = client.read(&mut [0; 16 * 1024]).await;
        let _ = client.write_all(bytes).await;
        let _ = client.shutdown().await;
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, to_client) = client.split();
    let (from_server, mut to_server) = server.into_split();
    let ending = tokio::select! {
        _ = async {
            let _ = copy(&mut from_client, &mut to_server).await;
            std::future::pending::<()>().await
        } => ConnectionEnd::Close,
        ending = answers(from_server, to_client, &fault) => ending,
    };
    if ending == ConnectionEnd::Reset {
        let _ = client.set_zero_linger();
    }
}

async fn answers(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::WriteHalf<'_>,
    fault: &Fault,
) -> ConnectionEnd {
    let mut buffer = vec![0; 16 * 1024];
    let mut passed = 0;
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return ConnectionEnd::Close };
        let piece = &mut buffer[..count];
        let mut allowed = count;
        match fault {
            Fault::Delay(delay) => sleep(*delay).await,
            Fault::FlipBit(at) if (passed..passed + count).contains(at) => piece[at - passed] ^= 1,
            Fault::CutAfter(limit, _) => allowed = allowed.min(limit - passed),
            _ => {}
        }
        if let Fault::Throttle(bytes_per_second) = fault {
            for slice in piece.chunks((*bytes_per_second).max(1)) {
                if to.write_all(slice).await.is_err() {
                    return ConnectionEnd::Close;
                }
                sleep(Duration::from_secs(1)).await;
            }
        } else if to.write_all(&piece[..allowed]).await.is_err() {
            return ConnectionEnd::Close;
        }
        passed += allowed;
        match fault {
            Fault::CutAfter(limit, ending) if passed == *limit => return *ending,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{Application, Connection, Request};

    fn answer_under(fault: Fault) -> Vec<u8> {
        let application = Application::start();
        let proxy = FaultProxy::to(application.address());
        proxy.set(fault);
        let mut connection = Connection::to(proxy.address());
        connection.send_bytes(&Request::get("/").header("connection", "close").to_bytes());
        connection.read_until_closed()
    }

    #[test]
    fn without_a_fault_everything_passes() {
        assert!(answer_under(Fault::None).starts_with(b"HTTP/1.1 200 OK\r\n"));
    }

    #[test]
    fn a_response_is_cut_at_the_byte() {
        for ending in [ConnectionEnd::Close, ConnectionEnd::Reset] {
            assert_eq!(answer_under(Fault::CutAfter(12, ending)), b"HTTP/1.1 200");
        }
    }

    #[test]
    fn one_bit_is_flipped() {
        assert!(answer_under(Fault::FlipBit(9)).starts_with(b"HTTP/1.1 300 OK\r\n"));
    }

    #[test]
    fn a_response_is_replaced_or_delayed() {
        assert_eq!(answer_under(Fault::AnswerWith(b"garbage".to_vec())), b"garbage");
        let (start, delay) = (Instant::now(), Duration::from_millis(100));
        answer_under(Fault::Delay(delay));
        assert!(start.elapsed() >= delay);
    }

    #[test]
    fn a_refused_connection_is_accepted_again_afterwards() {
        let application = Application::start();
        let proxy = FaultProxy::to(application.address());
        proxy.set(Fault::Refuse);
        assert!(std::net::TcpStream::connect(proxy.address()).is_err());
        proxy.set(Fault::None);
        assert_eq!(Connection::to(proxy.address()).send(&Request::get("/")).status, 200);
        assert_eq!(proxy.accepted(), 1);
    }
}
