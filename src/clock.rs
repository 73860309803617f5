//! Where does the time come from?

use std::time::{SystemTime, UNIX_EPOCH};

use session_guard_core::clock::Now;

/// Both clocks. coarsetime's instants have one base in all VMs of a process, std's do not show it.
pub(crate) fn now() -> Now {
    Now { unix_seconds: unix_seconds(), monotonic_milliseconds: monotonic_milliseconds() }
}

/// The monotonic clock alone.
pub(crate) fn monotonic_milliseconds() -> u64 {
    coarsetime::Duration::from_ticks(coarsetime::Instant::now().as_ticks()).as_millis()
}

/// The wall clock alone: what a plain request needs. A clock before 1970 reads as 0, where no
/// token with a past `iat` is valid yet.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
