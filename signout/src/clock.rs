//! What time is it?

use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock: whole seconds since 1970 UTC; 0 on a machine that believes it is earlier.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}
