//! What time is it, as far as a decision is concerned?
//!
//! The core reads no clock: every function that depends on time takes a [`Now`]. Tests pass the
//! moment that they are about, and a simulation moves time as it likes.

/// One reading of the proxy's two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock: whole seconds since 1970 UTC, the NumericDate of RFC 7519 §2. Verdicts use it.
    pub unix_seconds: u64,
    /// Monotonic clock with one base in all VMs of a process. Waiting, lease and staleness use it.
    pub monotonic_milliseconds: u64,
}
