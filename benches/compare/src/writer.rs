//! Sends revocations to the service during a measurement.
//!
//! They are sent one by one, as when users sign out: each is a separate POST, which gets its
//! response when the revocation is durable.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{Connection, Request, SIGNOUT_TOKEN, unix_seconds};

use crate::tokens::LIFETIME_SECONDS;

/// Sends revocations at a constant rate until it is stopped.
pub(crate) struct RevocationLoad {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<u64, String>>>,
    start: Instant,
    per_second: u32,
}

impl RevocationLoad {
    /// Starts sending.
    pub(crate) fn start(service: SocketAddr, per_second: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let interval = Duration::from_secs(1) * CONNECTIONS / per_second;
        let spawn = |number| {
            let stop = Arc::clone(&stop);
            let lag = interval * number / CONNECTIONS;
            thread::spawn(move || write(service, interval, lag, &stop))
        };
        let threads = (0..CONNECTIONS).map(spawn).collect();
        Self { stop, threads, start: Instant::now(), per_second }
    }

    /// Stops. Returns whether the rate was reached.
    ///
    /// # Errors
    /// The service rejected a revocation.
    pub(crate) fn stop(self) -> Result<bool, String> {
        self.stop.store(true, Ordering::Relaxed);
        let seconds = self.start.elapsed().as_secs_f64();
        let mut written = 0;
        for thread in self.threads {
            written += thread.join().map_err(|_| "the writer has panicked")??;
        }
        Ok(written as f64 >= seconds * f64::from(self.per_second) * KEPT_PACE)
    }
}

fn write(
    service: SocketAddr,
    interval: Duration,
    lag: Duration,
    stop: &AtomicBool,
) -> Result<u64, String> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut connection = Connection::try_to(service).map_err(|error| error.to_string())?;
    let mut due = Instant::now() + lag;
    let mut written = 0;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due += interval;
        let jti = format!("busy-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let body = json!({"jti": jti, "exp": unix_seconds() + LIFETIME_SECONDS}).to_string();
        let answer = connection.try_send(&revocation(&body))?;
        if answer.status != 201 {
            return Err(format!("a revocation was answered {}", answer.status));
        }
        written += 1;
    }
    Ok(written)
}

/// Returns the bytes of a `POST /v1/revocations` with that body.
pub(crate) fn revocation(body: &str) -> Request {
    let request = Request::post("/v1/revocations").header("content-type", "application/json");
    request.header("authorization", format!("Bearer {SIGNOUT_TOKEN}")).body(body)
}

/// Number of connections: so many that a slow disk does not limit the rate.
const CONNECTIONS: u32 = 8;

/// The fraction of the intended rate that must be reached. A slice with less is discarded.
const KEPT_PACE: f64 = 0.8;
