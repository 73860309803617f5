//! The time, as an argument of every decision that needs it.
//!
//! The core never reads a clock of its own. A function takes a [`Now`], which contains the wall
//! clock and the monotonic clock, or a [`Clock`], which reads each of them on demand. Tests and
//! simulations therefore control the time.

/// One reading of the proxy's two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock: whole seconds since 1970 UTC, the NumericDate of RFC 7519 §2. Verdicts use it.
    pub unix_seconds: u64,
    /// Monotonic clock with one base in all VMs of a process. Waiting, lease and staleness use it.
    pub monotonic_milliseconds: u64,
}

/// The proxy's two clocks. Reading one costs a call into the proxy, so each is read only if needed.
pub trait Clock {
    /// Reads the wall clock, in milliseconds since 1970 UTC.
    fn unix_milliseconds(&self) -> u64;

    /// Reads the wall clock, in whole seconds since 1970 UTC.
    fn unix_seconds(&self) -> u64 {
        self.unix_milliseconds() / 1_000
    }

    /// Reads the monotonic clock.
    fn monotonic_milliseconds(&self) -> u64;

    /// Reads both clocks.
    fn now(&self) -> Now {
        Now {
            unix_seconds: self.unix_seconds(),
            monotonic_milliseconds: self.monotonic_milliseconds(),
        }
    }
}

/// A clock that stands still, for tests.
impl Clock for Now {
    fn unix_milliseconds(&self) -> u64 {
        self.unix_seconds.saturating_mul(1_000)
    }

    fn monotonic_milliseconds(&self) -> u64 {
        self.monotonic_milliseconds
    }
}
