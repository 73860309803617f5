//! Decides whether the revocation set is recent enough for verdicts.
//!
//! The set is as fresh as its last complete update. On its tick, each VM compares the time of that
//! update with its own clock.

use serde::Deserialize;

use crate::clock::Now;
use crate::feed::state::FeedState;

/// The state of the revocation set of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// The set has not been loaded.
    Never,
    /// The last complete update is recent enough.
    Current,
    /// The last complete update is too old.
    Stale,
}

/// How to decide while the set is stale: `revocation.when_unknown`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhenUnknown {
    /// Respond 503.
    #[default]
    Refuse,
    /// Use the last set.
    UseLast,
}

impl Knowledge {
    /// Returns the state of the set now.
    #[must_use]
    pub fn of(state: &FeedState, now: Now, max_staleness_seconds: u64) -> Self {
        let Some(current_at) = state.current_at else { return Self::Never };
        // A time far in the future was not written by this filter.
        let distance = now.monotonic_milliseconds.abs_diff(current_at);
        if distance <= max_staleness_seconds.saturating_mul(1_000) {
            Self::Current
        } else {
            Self::Stale
        }
    }

    /// Returns whether the set may be used for verdicts. A set that was never loaded may not.
    #[must_use]
    pub fn admits(self, when_unknown: WhenUnknown) -> bool {
        match self {
            Self::Current => true,
            Self::Stale => when_unknown == WhenUnknown::UseLast,
            Self::Never => false,
        }
    }
}
