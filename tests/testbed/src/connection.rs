//! An HTTP/1.1 client that sends exactly the bytes of a test.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::frames::{DATA, END_STREAM, FRAME_HEADER_BYTES, GOAWAY, HEADERS, RST_STREAM};
use crate::{ConnectionEnd, HttpResponse, Request};

/// One keep-alive connection. Bytes are sent unchanged.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// Connects.
    #[must_use]
    #[track_caller]
    pub fn to(address: SocketAddr) -> Self {
        Self::try_to(address).expect("a connection")
    }

    /// Connects to an address that may refuse the connection.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn try_to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Sends the request and reads the whole response.
    #[track_caller]
    pub fn send(&mut self, request: &Request) -> HttpResponse {
        self.try_send(request).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Like the above, but the peer may close the connection.
    ///
    /// # Errors
    /// Names what was missing when the connection was closed.
    pub fn try_send(&mut self, request: &Request) -> Result<HttpResponse, String> {
        let sent = self.stream.write_all(&request.to_bytes());
        sent.map_err(|error| format!("not sent: {error}"))?;
        self.whole_answer(&request.method)
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("an open connection");
    }

    /// Like the above, but the peer may have closed the connection.
    ///
    /// # Errors
    /// The error of the operating system.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Returns the number of unread bytes, without waiting.
    pub fn arrived(&mut self) -> usize {
        self.stream.set_nonblocking(true).expect("an open socket");
        while self.read_more() == Ok(true) {}
        self.stream.set_nonblocking(false).expect("an open socket");
        self.read.len()
    }

    /// Reads one whole response, to any method except `HEAD`.
    #[track_caller]
    pub fn read_answer(&mut self) -> HttpResponse {
        self.whole_answer("GET").unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Reads status and header lines, for a response with an endless body or an upgrade.
    #[track_caller]
    pub fn read_head(&mut self) -> HttpResponse {
        self.head().unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Reads that many bytes.
    #[track_caller]
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        self.bytes(length).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Like the above, but the peer may close the connection.
    ///
    /// # Errors
    /// Names what was missing when the connection was closed.
    pub fn try_take(&mut self, length: usize) -> Result<Vec<u8>, String> {
        self.bytes(length)
    }

    /// Reads HTTP/2 frames until a stream has ended. Returns whether it ended with a response, not by a
    /// reset or the end of the connection.
    pub fn read_end_of_stream(&mut self) -> bool {
        while let Ok(head) = self.bytes(FRAME_HEADER_BYTES) {
            let [a, b, c, kind, flags, ..] = head[..] else { return false };
            let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            let _payload = self.bytes(length);
            match kind {
                HEADERS | DATA if flags & END_STREAM != 0 => return true,
                RST_STREAM | GOAWAY => return false,
                _ => {}
            }
        }
        false
    }

    /// Reads until the peer closes the connection, by FIN or RST.
    #[track_caller]
    pub fn read_until_closed(&mut self) -> Vec<u8> {
        self.rest().unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Returns whether the peer has closed the connection; earlier bytes can still be read.
    #[must_use]
    pub fn is_closed(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("an open socket");
        let mut byte = [0];
        let closed = match self.stream.peek(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        self.stream.set_nonblocking(false).expect("an open socket");
        closed
    }

    /// Closes the sending direction.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes the connection by RST.
    pub fn reset(self) {
        ConnectionEnd::Reset.of(self.stream);
    }

    fn whole_answer(&mut self, method: &str) -> Result<HttpResponse, String> {
        let mut answer = self.head()?;
        if method == "HEAD" || matches!(answer.status, 101 | 204 | 304) {
            return Ok(answer);
        }
        let length = answer.header("content-length").map(str::parse::<usize>);
        answer.body = match (answer.header("transfer-encoding"), length) {
            (Some("chunked"), _) => self.chunks()?,
            (_, Some(Ok(length))) => self.bytes(length)?,
            _ => self.rest()?,
        };
        Ok(answer)
    }

    fn head(&mut self) -> Result<HttpResponse, String> {
        loop {
            if let Some(head) = self.parse_head()? {
                return Ok(head);
            }
            self.read_on("an answer")?;
        }
    }

    fn parse_head(&mut self) -> Result<Option<HttpResponse>, String> {
        let mut lines = [httparse::EMPTY_HEADER; 100];
        let mut head = httparse::Response::new(&mut lines);
        let parsed = head.parse(&self.read);
        let parsed = parsed.map_err(|error| format!("no HTTP/1.1, {error}: {}", self.unread()))?;
        let httparse::Status::Complete(length) = parsed else { return Ok(None) };
        let line = |line: &httparse::Header| {
            (line.name.to_ascii_lowercase(), String::from_utf8_lossy(line.value).into_owned())
        };
        let lines = head.headers.iter().map(line).collect();
        let answer =
            HttpResponse { status: head.code.unwrap_or_default(), lines, body: Vec::new() };
        self.read.drain(..length);
        Ok(Some(answer))
    }

    fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let length = usize::from_str_radix(line.trim(), 16);
            let length = length.map_err(|error| format!("chunk length {line:?}: {error}"))?;
            if length == 0 {
                while !self.line()?.trim().is_empty() {} // trailers
                return Ok(body);
            }
            body.extend(self.bytes(length)?);
            self.bytes(2)?;
        }
    }

    fn line(&mut self) -> Result<String, String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                return Ok(String::from_utf8_lossy(&self.bytes(end + 1)?).into_owned());
            }
            self.read_on("the end of a line")?;
        }
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, String> {
        while self.read.len() < length {
            self.read_on("the last byte")?;
        }
        Ok(self.read.drain(..length).collect())
    }

    fn rest(&mut self) -> Result<Vec<u8>, String> {
        while self.read_more()? {}
        Ok(std::mem::take(&mut self.read))
    }

    fn read_on(&mut self, to: &str) -> Result<(), String> {
        if self.read_more()? {
            Ok(())
        } else {
            Err(format!("closed before {to}: {}", self.unread()))
        }
    }

    /// Returns false if the peer has closed the connection.
    fn read_more(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.read.extend(&buffer[..count]);
                Ok(count > 0)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Err(format!("nothing came within {ANSWERS_WITHIN:?}; unread: {}", self.unread()))
            }
            Err(_) => Ok(false),
        }
    }

    fn unread(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
