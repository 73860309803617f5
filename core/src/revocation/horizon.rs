//! Decides when a revocation may be removed.
//!
//! A record may be removed when no proxy can accept its tokens any more, which is 300 s after
//! `exp`: the largest clock skew that a configuration may set. Both the proxy's and the service's
//! clock must be past that time. Otherwise a clock that jumps forward and back would make a revoked
//! token valid again.
//!
//! # Why a token's record is kept for a day longer
//!
//! A sliding session renews its token: the `exp` changes, and the `jti` stays. A record contains
//! the `exp` that the token had at the sign-out. A token with the same `jti` that was issued later
//! expires later, and must be refused as well. The proxy and the service therefore keep a token's
//! record for 24 hours after its `exp`. If `max_lifetime_seconds` is longer, the record gets a
//! later `exp` ([`kept_until`]).

use crate::revocation::record::{Kind, Record};

/// The largest `clock_skew_seconds` that a configuration may set.
pub const LARGEST_SKEW_SECONDS: u64 = 300;

/// How long a token's record is kept after its `exp`, by proxies and by the service.
pub const KEPT_AFTER_EXP_SECONDS: u64 = 24 * 60 * 60;

/// Returns the `exp` for the record of a token that expires at `exp` and is revoked at
/// `unix_seconds`, so that the record is kept for at least `max_lifetime_seconds` after the
/// revocation.
#[must_use]
pub fn kept_until(exp: u64, unix_seconds: u64, max_lifetime_seconds: Option<u64>) -> u64 {
    let longer = max_lifetime_seconds.unwrap_or(0).saturating_sub(KEPT_AFTER_EXP_SECONDS);
    exp.max(if longer > 0 { unix_seconds.saturating_add(longer) } else { 0 })
}

/// Returns whether the service need not store this record. A cutoff is past when no proxy can accept
/// its tokens any more, not even a proxy whose clock is a minute behind. A token's record is past
/// shortly before the service would delete it: until then a store that has lost it gets it back from
/// the proxies, because a token with the same `jti` may still be valid. The minute between the two
/// keeps a record from coming back if the service's clock is set back.
#[must_use]
pub fn is_past_for_service(record: &Record, service_unix_seconds: u64) -> bool {
    let kept_seconds = match record.kind {
        Kind::Token => KEPT_AFTER_EXP_SECONDS - CLOCK_DIFFERENCE_SECONDS,
        Kind::User | Kind::All => LARGEST_SKEW_SECONDS + CLOCK_DIFFERENCE_SECONDS,
    };
    record.exp.saturating_add(kept_seconds) < service_unix_seconds
}

/// The time that decides which records may be removed, in seconds since 1970 UTC. A cutoff whose
/// `exp` is earlier may be removed. A token's record is kept for longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Horizon(u64);

impl Horizon {
    /// A horizon that no record has passed.
    pub const NONE: Self = Self(0);

    /// Returns the horizon for the earlier of the two clocks.
    #[must_use]
    pub fn of(proxy_unix_seconds: u64, service_unix_seconds: u64) -> Self {
        let earlier = proxy_unix_seconds.min(service_unix_seconds);
        Self(earlier.saturating_sub(LARGEST_SKEW_SECONDS))
    }

    /// Returns whether the record may be removed.
    #[must_use]
    pub fn has_passed(self, record: &Record) -> bool {
        let kept_longer = match record.kind {
            Kind::Token => KEPT_AFTER_EXP_SECONDS - LARGEST_SKEW_SECONDS,
            Kind::User | Kind::All => 0,
        };
        record.exp.saturating_add(kept_longer) < self.0
    }
}

/// The largest difference between the clocks of a proxy and the service, and the largest step back
/// of a clock, that is allowed for.
const CLOCK_DIFFERENCE_SECONDS: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::record::{NEVER, RecordId};

    #[test]
    fn a_cutoff_is_kept_until_both_clocks_are_past_it() {
        let record = Record::user(RecordId::FIRST, 5, 1_000);
        assert!(Horizon::of(1_301, 1_301).has_passed(&record));
        assert!(!Horizon::of(1_300, 9_999).has_passed(&record));
        assert!(!Horizon::of(9_999, 1_300).has_passed(&record));
        assert!(!Horizon::NONE.has_passed(&Record::user(RecordId::FIRST, 5, 0)));
    }

    #[test]
    fn a_token_is_kept_for_a_day_after_its_exp() {
        let record = Record::token(RecordId::FIRST, 1_000);
        assert!(Horizon::of(87_401, 87_401).has_passed(&record));
        assert!(!Horizon::of(87_400, 99_999).has_passed(&record));
        assert!(!Horizon::of(99_999, 87_400).has_passed(&record));
        assert!(!Horizon::NONE.has_passed(&Record::token(RecordId::FIRST, 0)));
    }

    #[test]
    fn the_service_stores_a_tokens_record_for_a_day_after_its_exp() {
        let is_past = |record: Record, now| is_past_for_service(&record, now);
        let token = Record::token(RecordId::FIRST, 1_000);
        assert!(!is_past(token, 87_340) && is_past(token, 87_341), "a day less a minute");
        for cutoff in [Record::user(RecordId::FIRST, 5, 1_000), Record::all("", 5, 1_000)] {
            assert!(!is_past(cutoff, 1_360) && is_past(cutoff, 1_361), "{cutoff:?}");
        }
        assert!(!is_past(Record::token(RecordId::FIRST, NEVER), u64::MAX));
    }

    #[test]
    fn a_record_without_end_is_kept() {
        let record = Record::token(RecordId::FIRST, NEVER);
        assert!(!Horizon::of(u64::MAX, u64::MAX).has_passed(&record));
    }

    #[test]
    fn a_token_is_kept_for_its_largest_lifetime() {
        let day = KEPT_AFTER_EXP_SECONDS;
        for (exp, lifetime, expected) in [
            (1_000, None, 1_000),
            (1_000, Some(day), 1_000),
            (1_000, Some(day + 1), 5_001),
            (1_000, Some(30 * day), 5_000 + 29 * day),
            (9_000, Some(day + 1), 9_000),
            (NEVER, Some(30 * day), NEVER),
        ] {
            assert_eq!(kept_until(exp, 5_000, lifetime), expected, "{exp} {lifetime:?}");
        }
    }
}
