//! Fills a service with revocations, and measures how fast it accepts them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;
use testbed::{Connection, unix_seconds};

use crate::tokens::{LIFETIME_SECONDS, REVOKED_JTI};
use crate::writer::revocation;

/// Revokes the tokens `revoked-0` up to that count, in batches over several connections. Returns
/// how many were acknowledged as durable per second.
///
/// # Errors
/// The service rejected a batch.
pub(crate) fn fill(service: SocketAddr, count: usize) -> Result<f64, String> {
    let (next, exp) = (AtomicUsize::new(0), unix_seconds() + LIFETIME_SECONDS);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let send = || {
            let mut connection = Connection::try_to(service).map_err(|error| error.to_string())?;
            loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                if first >= count {
                    return Ok(());
                }
                let last = (first + BATCH).min(count);
                let one = |n| json!({"jti": format!("{REVOKED_JTI}-{n}"), "exp": exp});
                let body = json!((first..last).map(one).collect::<Vec<_>>()).to_string();
                let answer = connection.try_send(&revocation(&body))?;
                if answer.status != 201 {
                    return Err(format!("a batch was answered {}", answer.status));
                }
            }
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(send)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// Number of revocations in a batch, as in an operator's import.
const BATCH: usize = 1_000;
const CONNECTIONS: usize = 4;
