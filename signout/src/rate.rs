//! How many revocations come in, from any service on the store.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// The newest sequence numbers, one for each second of the last minute.
#[derive(Clone, Default)]
pub(crate) struct RevocationRate {
    heads: Arc<Mutex<VecDeque<u64>>>,
}

impl RevocationRate {
    /// Notes the sequence number of the newest entry. Called once a second.
    pub(crate) fn note(&self, head: u64) {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.push_back(head);
        if heads.len() > SECONDS {
            heads.pop_front();
        }
    }

    /// Returns the number of changes in the last minute, or since the start if that was later.
    pub(crate) fn per_minute(&self, head: u64) -> u64 {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.front().map_or(0, |oldest| head.saturating_sub(*oldest))
    }
}

const SECONDS: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_last_minute_are_counted() {
        let rate = RevocationRate::default();
        assert_eq!(rate.per_minute(7), 0);
        (1..=100).for_each(|head| rate.note(10 * head));
        assert_eq!(rate.per_minute(1_005), 1_005 - 410);
        assert_eq!(rate.per_minute(3), 0, "the store has another log now");
    }
}
