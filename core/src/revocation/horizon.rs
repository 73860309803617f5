//! When may a revocation be forgotten?
//!
//! When no proxy can accept its tokens any more: 300 s after `exp`, the largest clock skew that a
//! configuration may admit. And only when two clocks say so, the proxy's and the service's, because
//! a clock that jumps ahead and back would otherwise bring a revoked token back to life.

use crate::revocation::record::Record;

/// The largest `clock_skew_seconds` that a configuration may set.
pub const LARGEST_SKEW_SECONDS: u64 = 300;

/// Whether the service has no use for the record any more: no proxy may accept its tokens, not even
/// one whose clock is a minute behind. It is acknowledged and not stored.
#[must_use]
pub fn is_past_for_service(record: &Record, service_unix_seconds: u64) -> bool {
    record.exp.saturating_add(LARGEST_SKEW_SECONDS + CLOCK_DIFFERENCE_SECONDS)
        < service_unix_seconds
}

/// Records that expired before this moment may be dropped; seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Horizon(u64);

impl Horizon {
    /// Nothing may be dropped.
    pub const NONE: Self = Self(0);

    /// What both clocks have left behind.
    #[must_use]
    pub fn of(proxy_unix_seconds: u64, service_unix_seconds: u64) -> Self {
        let earlier = proxy_unix_seconds.min(service_unix_seconds);
        Self(earlier.saturating_sub(LARGEST_SKEW_SECONDS))
    }

    /// Whether the record may be dropped.
    #[must_use]
    pub fn has_passed(self, record: &Record) -> bool {
        record.exp < self.0
    }
}

/// How far the clocks of a proxy and the service may be apart.
const CLOCK_DIFFERENCE_SECONDS: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::record::{NEVER, RecordId};

    #[test]
    fn both_clocks_must_be_past_exp_and_the_skew() {
        let record = Record::token(RecordId::FIRST, 1_000);
        assert!(Horizon::of(1_301, 1_301).has_passed(&record));
        assert!(!Horizon::of(1_300, 9_999).has_passed(&record));
        assert!(!Horizon::of(9_999, 1_300).has_passed(&record));
        assert!(!Horizon::NONE.has_passed(&Record::token(RecordId::FIRST, 0)));
    }

    #[test]
    fn a_record_without_end_is_kept() {
        let record = Record::token(RecordId::FIRST, NEVER);
        assert!(!Horizon::of(u64::MAX, u64::MAX).has_passed(&record));
    }
}
