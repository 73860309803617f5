//! The gauges for the state of all feeds of this process.
//!
//! Most processes have one feed. A process has several if its configurations use several realms, or
//! while an old configuration drains. The gauges are combined so that a single feed that is cut off
//! remains visible.

use crate::revocation::sweep::Counts;
use crate::shared::SharedData;
use crate::shared::aggregated_gauges::AggregatedGauges;
use crate::shared::names::KeySpace;

/// The gauges that a leader sets once a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// `feed_current_timestamp_seconds`: Unix time of the last complete update, 0 before the first.
    pub feed_current_timestamp_seconds: u64,
    /// `clock_difference_seconds`: the absolute difference between the service's clock and the
    /// proxy's, at the service's last response.
    pub clock_difference_seconds: u64,
    /// `revocations` by kind, in the order of [`Kind::ALL`](crate::revocation::record::Kind::ALL),
    /// as of the last complete sweep.
    pub revocations: Counts,
    /// `outbox`: revocations that the service has not yet acknowledged, or not yet shown in the
    /// feed.
    pub outbox: u64,
}

impl Gauges {
    /// Combines the gauges of one feed with those of the others: the oldest update, the largest
    /// difference, and sums.
    #[must_use]
    pub fn with_others(self, shared: &dyn SharedData, feed: &KeySpace, now: u64) -> Self {
        let all = ALL_FEEDS.update(shared, &feed.digits(), Some(self.to_numbers()), now);
        let all = all.into_iter().flatten().map(Self::from_numbers);
        all.reduce(Self::together).unwrap_or(self)
    }

    fn together(self, other: Self) -> Self {
        let sum = |[a, b]: [u64; 2]| a.saturating_add(b);
        let [token, user, all] = self.revocations;
        let [other_token, other_user, other_all] = other.revocations;
        Self {
            feed_current_timestamp_seconds: self
                .feed_current_timestamp_seconds
                .min(other.feed_current_timestamp_seconds),
            clock_difference_seconds: self
                .clock_difference_seconds
                .max(other.clock_difference_seconds),
            revocations: [[token, other_token], [user, other_user], [all, other_all]].map(sum),
            outbox: sum([self.outbox, other.outbox]),
        }
    }

    fn to_numbers(self) -> [u64; 6] {
        let [token, user, all] = self.revocations;
        let (proof, difference) =
            (self.feed_current_timestamp_seconds, self.clock_difference_seconds);
        [proof, difference, token, user, all, self.outbox]
    }

    fn from_numbers([proof, difference, token, user, all, outbox]: [u64; 6]) -> Self {
        Self {
            feed_current_timestamp_seconds: proof,
            clock_difference_seconds: difference,
            revocations: [token, user, all],
            outbox,
        }
    }
}

/// A feed is left out of the gauges after it has had no leader for this long, because its
/// configuration has ended. The time is shorter than alerts usually wait, and longer than it takes
/// to replace a dead leader.
const ALL_FEEDS: AggregatedGauges<6> =
    AggregatedGauges { key: "session-guard/1/feeds", live_milliseconds: 45_000 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::InMemory;

    #[test]
    fn a_feed_does_not_hide_another_that_is_cut_off() {
        let shared = InMemory::default();
        let [well, cut_off] =
            ["", "other"].map(|realm| KeySpace::of_feed(realm, "signout", "signout"));
        let good = Gauges {
            feed_current_timestamp_seconds: 1_000,
            clock_difference_seconds: 2,
            revocations: [5, 6, 7],
            outbox: 1,
        };
        let bad = Gauges { feed_current_timestamp_seconds: 0, outbox: 3, ..good };
        assert_eq!(good.with_others(&shared, &well, 10_000), good, "alone");
        let both = Gauges {
            feed_current_timestamp_seconds: 0,
            clock_difference_seconds: 2,
            revocations: [10, 12, 14],
            outbox: 4,
        };
        assert_eq!(bad.with_others(&shared, &cut_off, 10_500), both);
        assert_eq!(good.with_others(&shared, &well, 11_000), both, "both show the same");
        assert_eq!(good.with_others(&shared, &well, 56_000), good, "the other is gone");
    }
}
