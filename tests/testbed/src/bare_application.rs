//! An application that accepts any request line.
//!
//! HTTP libraries reject unusual paths, each a different set. This application reads bytes up to
//! the empty line, records the first line, and responds 200, so it shows everything that reached it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::runtime::RUNTIME;

/// An upstream for requests without a body. Stops when dropped.
#[derive(Debug)]
pub struct BareApplication {
    address: SocketAddr,
    lines: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl BareApplication {
    /// Listens on a free port.
    #[must_use]
    pub fn start() -> Self {
        let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let lines = Arc::default();
        let task = RUNTIME.spawn(accept(listener, Arc::clone(&lines)));
        Self { address, lines, task }
    }

    /// Returns its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the first line of every request so far and deletes the record.
    #[must_use]
    pub fn take_request_lines(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for BareApplication {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, lines: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&lines)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, lines: Arc<Mutex<Vec<Vec<u8>>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let first = line(&mut stream).await?;
        while !line(&mut stream).await?.is_empty() {}
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(first);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.ok()?;
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).await.ok()?;
    line.strip_suffix(b"\r\n").map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connection, Request};

    #[test]
    fn it_accepts_any_request_line() {
        let application = BareApplication::start();
        let mut connection = Connection::to(application.address());
        assert_eq!(connection.send(&Request::get("/a\\..;\u{e9}")).status, 200);
        let lines = application.take_request_lines();
        assert_eq!(lines, ["GET /a\\..;\u{e9} HTTP/1.1".as_bytes()]);
    }
}
