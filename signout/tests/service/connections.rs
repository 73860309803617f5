//! Promise: slow and idle clients cannot keep others out.
//! Method: the real binary, over real connections.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{ServiceProcess, TOKEN};

/// The longest time that a request may take while somebody attacks the service.
const AT_ONCE: Duration = Duration::from_secs(1);

#[test]
fn slow_unauthenticated_clients_are_closed_and_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve_with_options(folder.path(), &["--head-timeout", "8"]);
    let slow: Vec<_> = (0..1_200).map(|_| open(&process, "GET /healthz HTTP/1.1\r\nx: ")).collect();
    answers_at_once(&process);
    assert!(metric(&process, r#"signout_connections{caller="unauthenticated"}"#) >= 1_200);
    let deadline = Instant::now() + Duration::from_secs(20);
    for mut stream in slow {
        let _ = stream.write_all(b"y"); // the attacker continues slowly
        assert!(is_closed(&mut stream, deadline));
    }
    assert!(metric(&process, r#"signout_connections_closed_total{reason="slow"}"#) >= 1_200);
    assert!(metric(&process, r#"signout_connections{caller="unauthenticated"}"#) < 10);
}

#[test]
fn at_the_limit_the_oldest_unauthenticated_connection_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--max-connections", "40", "--head-timeout", "60"];
    let process = ServiceProcess::serve_with_options(folder.path(), &options);
    let mut known = open(&process, "");
    assert_eq!(status(&mut known, "/v1/status"), 200);
    let mut slow: Vec<_> = (0..200).map(|_| open(&process, "GET /hea")).collect();
    answers_at_once(&process);
    let deadline = Instant::now() + AT_ONCE;
    assert!(slow.iter_mut().take(130).all(|stream| is_closed(stream, deadline)));
    assert_eq!(status(&mut known, "/v1/status"), 200, "an authenticated connection stays");
    assert!(metric(&process, r#"signout_connections_closed_total{reason="limit"}"#) >= 130);
}

#[test]
fn above_the_limit_an_authenticated_caller_gets_503() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve_with_options(folder.path(), &["--max-connections", "3"]);
    let mut known: Vec<_> = (0..3).map(|_| open(&process, "")).collect();
    assert!(known.iter_mut().all(|stream| status(stream, "/v1/status") == 200));
    let mut fourth = open(&process, "");
    assert_eq!(status(&mut fourth, "/v1/status"), 503);
    assert!(is_closed(&mut fourth, Instant::now() + AT_ONCE));
    assert_eq!(status(&mut open(&process, ""), "/healthz"), 200, "the reserve of strangers");
    known.pop();
    let retry_until = Instant::now() + AT_ONCE;
    while status(&mut open(&process, ""), "/v1/status") != 200 {
        assert!(Instant::now() < retry_until, "the place of a closed connection is free");
    }
}

#[test]
fn an_idle_connection_is_closed_but_not_a_long_poll() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--head-timeout", "1", "--idle-timeout", "90"];
    let process = ServiceProcess::serve_with_options(folder.path(), &options);
    let (mut stranger, mut known) = (open(&process, ""), open(&process, ""));
    assert_eq!(status(&mut stranger, "/healthz"), 200);
    assert_eq!(status(&mut known, "/v1/status"), 200);
    let (_, page) = process.get("/v1/revocations").unwrap();
    let poll = format!("/v1/revocations?wait=3&after={}", page["cursor"].as_str().unwrap());
    assert_eq!(status(&mut known, &poll), 200, "the poll outlasts the time for heads");
    assert!(is_closed(&mut stranger, Instant::now() + AT_ONCE));
    assert_eq!(status(&mut known, "/v1/status"), 200);
}

#[test]
fn a_client_that_reads_no_response_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve_with_options(folder.path(), &["--head-timeout", "1"]);
    let mut deaf = open(&process, "");
    deaf.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    while deaf.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").is_ok() {}
    let deadline = Instant::now() + Duration::from_secs(5);
    while metric(&process, r#"signout_connections_closed_total{reason="slow"}"#) == 0 {
        assert!(Instant::now() < deadline, "it is still open");
    }
}

#[test]
fn a_head_beyond_its_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let process = ServiceProcess::serve(folder.path());
    let mut stream = open(&process, "GET /healthz HTTP/1.1\r\n");
    let _ = stream.write_all(format!("x: {}\r\n\r\n", "y".repeat(100_000)).as_bytes());
    assert_eq!(read_status(&mut stream), 431);
}

/// Checks that `/healthz`, a poll and a revocation get a response soon, each on a new connection.
fn answers_at_once(process: &ServiceProcess) {
    let calls: [(&str, &dyn Fn() -> u16); 3] = [
        ("/healthz", &|| process.get("/healthz").unwrap().0),
        ("a poll", &|| process.get("/v1/revocations").unwrap().0),
        ("a revocation", &|| process.post(r#"{"jti": "a", "exp": 4000000000}"#).unwrap().0),
    ];
    for (name, call) in calls {
        let start = Instant::now();
        assert!(matches!(call(), 200 | 201), "{name}");
        assert!(start.elapsed() < AT_ONCE, "{name} took {:?}", start.elapsed());
    }
}

fn open(process: &ServiceProcess, bytes: &str) -> TcpStream {
    let address = process.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let _ = stream.write_all(bytes.as_bytes());
    stream
}

/// Sends a GET, with the API token if the path begins with `/v1`. Returns the status.
fn status(stream: &mut TcpStream, path: &str) -> u16 {
    let authorization = if path.starts_with("/v1") {
        format!("authorization: Bearer {TOKEN}\r\n")
    } else {
        String::new()
    };
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{authorization}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    read_status(stream)
}

/// Reads one whole response. Returns its status.
fn read_status(stream: &mut TcpStream) -> u16 {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    stream.read_exact(&mut vec![0; length.parse().unwrap()]).unwrap();
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn is_closed(stream: &mut TcpStream, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    stream.set_read_timeout(Some(left)).unwrap();
    match stream.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

fn metric(process: &ServiceProcess, name: &str) -> u64 {
    let text = process.text("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().parse().unwrap_or(0)
}
