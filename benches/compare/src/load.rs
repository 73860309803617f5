//! How do requests get to Envoy, and do their answers say what they should?
//!
//! One thread, kept connections, one request at a time on each. Every answer's status is looked at:
//! a benchmark that measures refusals is void.
//!
//! # Why not wrk
//!
//! It opens its connections anew for each run, cycles tokens in Lua, and says at the end how many
//! statuses were bad. Slices of a tenth of a second need connections that stay open, requests made
//! before the clock starts, and an exact count.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Requests, written out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Requests {
    /// One `GET /page` for each token, with this header line.
    pub(crate) fn with(tokens: &[String], line: impl Fn(&str) -> String) -> Self {
        let mut requests = Self::default();
        for token in tokens {
            let line = line(token);
            let text = format!(
                "GET /api/v1/page HTTP/1.1\r\nhost: app.example.com\r\nuser-agent: bench\r\n\
                 accept: */*\r\n{line}\r\n"
            );
            requests.bytes.extend_from_slice(text.as_bytes());
            requests.ends.push(requests.bytes.len());
        }
        requests
    }

    /// `GET /`, without a token.
    pub(crate) fn to_public_page() -> Self {
        let bytes = b"GET / HTTP/1.1\r\nhost: app.example.com\r\n\r\n".to_vec();
        Self { ends: vec![bytes.len()], bytes }
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    fn at(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}

/// How fast they go out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Each connection sends as soon as it has its answer.
    AtOnce,
    /// One is due in each such time; latency counts from when it was due.
    Every(Duration),
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadResponse {
    /// Answers, all with the expected status.
    pub(crate) requests: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// How long each was waited for.
    pub(crate) latencies_nanoseconds: Vec<u64>,
}

impl LoadResponse {
    /// How long each was waited for.
    pub(crate) fn milliseconds(&self) -> Vec<f64> {
        self.latencies_nanoseconds.iter().map(|waited| *waited as f64 / 1e6).collect()
    }
}

/// Connections to one listener.
pub(crate) struct ListenerLoad {
    poll: Poll,
    events: Events,
    connections: Vec<LoadConnection>,
    free: Vec<usize>,
    next: usize,
}

struct LoadConnection {
    stream: TcpStream,
    read: Vec<u8>,
    due: Instant,
}

impl ListenerLoad {
    /// Connects.
    pub(crate) fn to(address: SocketAddr, connections: usize) -> Self {
        let poll = Poll::new().expect("epoll");
        let connect = |index| {
            // Blocking until connected: what comes later has no need to think of it.
            let stream = std::net::TcpStream::connect(address).expect("a connection");
            stream.set_nodelay(true).expect("an open socket");
            stream.set_nonblocking(true).expect("an open socket");
            let mut stream = TcpStream::from_std(stream);
            let registry = poll.registry();
            registry.register(&mut stream, Token(index), Interest::READABLE).expect("epoll");
            LoadConnection { stream, read: Vec::with_capacity(4096), due: Instant::now() }
        };
        let connections: Vec<_> = (0..connections).map(connect).collect();
        let free = (0..connections.len()).collect();
        Self { poll, events: Events::with_capacity(256), connections, free, next: 0 }
    }

    /// Sends requests for that long, in a circle, and waits for the last answer.
    ///
    /// # Errors
    /// An answer that is not 200, or none at all.
    pub(crate) fn run_for(
        &mut self,
        requests: &Requests,
        time: Duration,
    ) -> Result<LoadResponse, String> {
        self.run(requests, Pace::AtOnce, usize::MAX, &mut |elapsed| elapsed < time)
    }

    /// Sends that many requests, going on where the last run stopped.
    ///
    /// # Errors
    /// As [`ListenerLoad::run_for`].
    pub(crate) fn run_count(
        &mut self,
        requests: &Requests,
        count: usize,
    ) -> Result<LoadResponse, String> {
        self.run(requests, Pace::AtOnce, count, &mut |_| true)
    }

    /// Sends each request at most once.
    ///
    /// # Errors
    /// As [`ListenerLoad::run_for`].
    pub(crate) fn run_once(
        &mut self,
        requests: &Requests,
        time: Duration,
    ) -> Result<LoadResponse, String> {
        self.next = 0;
        self.run(requests, Pace::AtOnce, requests.len(), &mut |elapsed| elapsed < time)
    }

    /// Sends requests at that pace as long as `goes_on` says.
    ///
    /// # Errors
    /// As [`ListenerLoad::run_for`].
    pub(crate) fn run_paced(
        &mut self,
        requests: &Requests,
        pace: Duration,
        goes_on: &mut dyn FnMut(Duration) -> bool,
    ) -> Result<LoadResponse, String> {
        self.run(requests, Pace::Every(pace), usize::MAX, goes_on)
    }

    fn run(
        &mut self,
        requests: &Requests,
        pace: Pace,
        most: usize,
        goes_on: &mut dyn FnMut(Duration) -> bool,
    ) -> Result<LoadResponse, String> {
        let start = Instant::now();
        let (mut sent, mut going) = (0, true);
        let mut answered = LoadResponse::default();
        let mut due = VecDeque::new();
        let mut scheduled = start;
        loop {
            let now = Instant::now();
            going = going && sent < most && goes_on(now - start);
            if let Pace::Every(interval) = pace {
                while going && scheduled <= now {
                    due.push_back(scheduled);
                    scheduled += interval;
                }
            }
            while going && sent < most && (matches!(pace, Pace::AtOnce) || !due.is_empty()) {
                let Some(free) = self.free.pop() else { break };
                let due = due.pop_front().unwrap_or(now);
                self.send(free, requests.at(self.next % requests.len()), due)?;
                self.next = (self.next + 1) % requests.len();
                sent += 1;
            }
            if !going && self.free.len() == self.connections.len() {
                break;
            }
            let wait = match pace {
                Pace::Every(_) if going => scheduled.saturating_duration_since(Instant::now()),
                _ => ANSWERS_WITHIN,
            };
            self.receive(wait, &mut answered)?;
        }
        answered.requests = sent as u64;
        answered.seconds = start.elapsed().as_secs_f64();
        Ok(answered)
    }

    fn send(&mut self, index: usize, request: &[u8], due: Instant) -> Result<(), String> {
        let connection = &mut self.connections[index];
        connection.due = due;
        match connection.stream.write(request) {
            Ok(written) if written == request.len() => Ok(()),
            other => Err(format!("a request was not sent: {other:?}")),
        }
    }

    fn receive(&mut self, wait: Duration, answered: &mut LoadResponse) -> Result<(), String> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            other => other.map_err(|error| error.to_string())?,
        }
        if self.events.is_empty() && wait == ANSWERS_WITHIN {
            return Err(format!("no answer within {ANSWERS_WITHIN:?}"));
        }
        for event in &self.events {
            let Token(index) = event.token();
            let connection = &mut self.connections[index];
            if connection.read_answer()? {
                let waited = connection.due.elapsed().as_nanos();
                answered.latencies_nanoseconds.push(u64::try_from(waited).unwrap_or(u64::MAX));
                self.free.push(index);
            }
        }
        Ok(())
    }
}

impl LoadConnection {
    /// Whether the whole answer is there.
    fn read_answer(&mut self) -> Result<bool, String> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err("the connection was closed".to_owned()),
            Ok(count) => self.read.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.to_string()),
        }
        let mut lines = [httparse::EMPTY_HEADER; 40];
        let mut head = httparse::Response::new(&mut lines);
        let parsed = head.parse(&self.read).map_err(|error| error.to_string())?;
        let httparse::Status::Complete(length) = parsed else { return Ok(false) };
        if head.code != Some(200) {
            return Err(format!("not 200: {}", String::from_utf8_lossy(&self.read)));
        }
        let line =
            head.headers.iter().find(|line| line.name.eq_ignore_ascii_case("content-length"));
        let body = line.and_then(|line| str::from_utf8(line.value).ok()?.parse().ok());
        let whole = length + body.unwrap_or(0usize);
        if self.read.len() == whole {
            self.read.clear();
            return Ok(true);
        }
        Ok(false)
    }
}

/// A busy machine may keep an answer that long; longer means that none comes.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
