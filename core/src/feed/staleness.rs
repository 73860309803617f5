//! May a verdict be given from what this process knows?
//!
//! The set is as good as its last proof: the moment at which an response of the feed showed it to be
//! complete. Each VM compares that moment with its own clock on its tick.

use crate::clock::Now;
use crate::feed::state::FeedState;

/// What this process knows about revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// The feed was never read to its end: there is no set to judge by.
    Never,
    /// The set was complete recently enough.
    Current,
    /// The set was complete once, too long ago.
    Stale,
}

/// What to do while the set is stale: `revocation.when_unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenUnknown {
    /// Response 503.
    #[default]
    Refuse,
    /// Judge by the last set.
    UseLast,
}

impl Knowledge {
    /// What that state amounts to now.
    #[must_use]
    pub fn of(state: &FeedState, now: Now, max_staleness_seconds: u64) -> Self {
        let Some(current_at) = state.current_at else { return Self::Never };
        // A proof from the future is none: the value is not ours.
        let distance = now.monotonic_milliseconds.abs_diff(current_at);
        if distance <= max_staleness_seconds.saturating_mul(1_000) {
            Self::Current
        } else {
            Self::Stale
        }
    }

    /// Whether requests may be judged by the set. Before the first load there is no last set.
    #[must_use]
    pub fn admits(self, when_unknown: WhenUnknown) -> bool {
        match self {
            Self::Current => true,
            Self::Stale => when_unknown == WhenUnknown::UseLast,
            Self::Never => false,
        }
    }
}
