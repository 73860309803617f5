//! Freshness: whether a service with a shared store knows everything that the other services have
//! acknowledged.
//!
//! A service that cannot read the shared store does not know what the other services have stored
//! since its last read. It must not confirm to its proxies that they are up to date, because they
//! would then accept tokens that were signed out elsewhere.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time when this service last knew everything in its store. `None` if no other service uses
/// the store: then the service is always up to date.
#[derive(Debug)]
pub(crate) struct Freshness(Option<Mutex<Instant>>);

impl Freshness {
    /// Returns the freshness of a service that read its store at `now`.
    pub(crate) fn new(is_shared: bool, now: Instant) -> Self {
        Self(is_shared.then(|| Mutex::new(now)))
    }

    /// Records that the service knew everything that the store held at this time.
    pub(crate) fn confirm(&self, at: Instant) {
        if let Some(confirmed) = &self.0 {
            let mut confirmed = confirmed.lock().unwrap_or_else(PoisonError::into_inner);
            *confirmed = at.max(*confirmed);
        }
    }

    /// Returns whether the last confirmation is recent enough at `now`.
    pub(crate) fn is_current(&self, now: Instant) -> bool {
        self.0.as_ref().is_none_or(|confirmed| {
            let confirmed = *confirmed.lock().unwrap_or_else(PoisonError::into_inner);
            now.saturating_duration_since(confirmed) < CONFIRMATION_LASTS
        })
    }
}

/// How long a confirmation is valid. One arrives every half second, so a few slow responses of the
/// store do no harm. If the service is cut off from the store, its proxies learn it within this
/// time.
pub(crate) const CONFIRMATION_LASTS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confirmation_lasts_some_seconds_and_never_moves_back() {
        let began = Instant::now();
        let freshness = Freshness::new(true, began);
        let later = began + Duration::from_secs(3);
        freshness.confirm(later);
        freshness.confirm(began);
        assert!(freshness.is_current(later + CONFIRMATION_LASTS - Duration::from_millis(1)));
        assert!(!freshness.is_current(later + CONFIRMATION_LASTS));
        let own = Freshness::new(false, began);
        assert!(own.is_current(later + CONFIRMATION_LASTS), "a store of its own");
    }
}
