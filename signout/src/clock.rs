//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns whole seconds since 1970 UTC; 0 if the machine's clock shows an earlier time.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}
