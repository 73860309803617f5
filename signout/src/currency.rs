//! Does this service know everything that others have acknowledged?
//!
//! Where several share a store, one that cannot reach it does not know what the others have stored
//! meanwhile. It must not tell its proxies that they are up to date: they would take that for a
//! proof and accept, for as long as it lasts, what was signed out elsewhere.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When this service last knew everything; always, where the store is its own.
#[derive(Debug)]
pub(crate) struct Currency(Option<Mutex<Instant>>);

impl Currency {
    /// Of a service that has just read its store.
    pub(crate) fn new(is_shared: bool, now: Instant) -> Self {
        Self(is_shared.then(|| Mutex::new(now)))
    }

    /// Notes that everything was known that the store held at that moment.
    pub(crate) fn prove(&self, at: Instant) {
        if let Some(proved) = &self.0 {
            let mut proved = proved.lock().unwrap_or_else(PoisonError::into_inner);
            *proved = at.max(*proved);
        }
    }

    /// Whether that was so not long before `now`.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        self.0.as_ref().is_none_or(|proved| {
            let proved = *proved.lock().unwrap_or_else(PoisonError::into_inner);
            now.saturating_duration_since(proved) < PROOF_LASTS
        })
    }
}

/// How long a proof counts: it comes every half second, so a slow answer or two do no harm, and a
/// proxy learns with this delay at most that its service is cut off.
pub(crate) const PROOF_LASTS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_lasts_for_some_seconds_and_an_older_one_changes_nothing() {
        let began = Instant::now();
        let currency = Currency::new(true, began);
        let later = began + Duration::from_secs(3);
        currency.prove(later);
        currency.prove(began);
        assert!(currency.holds(later + PROOF_LASTS - Duration::from_millis(1)));
        assert!(!currency.holds(later + PROOF_LASTS));
        assert!(Currency::new(false, began).holds(later + PROOF_LASTS), "its own store");
    }
}
