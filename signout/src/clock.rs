//! The wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns whole seconds since 1970 UTC; 0 if the machine's clock shows an earlier time.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

/// Waits until `second` has begun, but at most [`WAIT_TIMEOUT`]: our clock may be set back, and the
/// clock of an identity provider may be ahead of it.
pub(crate) async fn wait_until(second: u64) {
    let began = Instant::now();
    while unix_seconds() < second && began.elapsed() < WAIT_TIMEOUT {
        tokio::time::sleep(CLOCK_INTERVAL).await;
    }
}

/// Longest delay of a response until its cutoff has begun. If the clocks agree, it needs less than
/// a second.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the clock is read while a response waits for the next second.
const CLOCK_INTERVAL: Duration = Duration::from_millis(5);
