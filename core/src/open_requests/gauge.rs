//! How many requests are open in all VMs of this process?

use crate::shared::SharedData;
use crate::shared::aggregated_gauges::{AggregatedGauges, Contributor};

/// One VM's part in the sum.
#[derive(Debug)]
pub struct Tally {
    /// A random number that names a VM (strictly: one root context).
    vm: Contributor,
    noted_at: Option<u64>,
}

impl Tally {
    /// Of a VM that has noted nothing yet.
    #[must_use]
    pub fn new(vm: Contributor) -> Self {
        Self { vm, noted_at: None }
    }

    /// AggregatedGauges how many are open here, and says how many are in all; `None` where a second has not
    /// passed since the last time. The time is that of the [clock](crate::clock::Now) that all VMs
    /// share.
    pub fn note(&mut self, shared: &dyn SharedData, open: usize, now: u64) -> Option<u64> {
        let is_time = |at: u64| now.abs_diff(at) >= EVERY_MILLISECONDS;
        if !self.noted_at.is_none_or(is_time) {
            return None;
        }
        self.noted_at = Some(now);
        let own = (open > 0).then_some([open as u64]);
        let all = NOTES.update(shared, &self.vm, own, now)?;
        Some(all.into_iter().flatten().fold(0, u64::saturating_add))
    }
}

const NOTES: AggregatedGauges<1> =
    AggregatedGauges { key: "session-guard/1/streams", live_milliseconds: 5_000 };

const EVERY_MILLISECONDS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::InMemory;

    #[test]
    fn each_vm_shows_the_sum() {
        let shared = InMemory::default();
        let [mut a, mut b] = [1, 2].map(|n| Tally::new([n; 16]));
        assert_eq!(a.note(&shared, 3, 10_000), Some(3));
        assert_eq!(b.note(&shared, 4, 10_100), Some(7));
        assert_eq!(a.note(&shared, 9, 10_900), None, "not yet");
        assert_eq!(a.note(&shared, 0, 11_000), Some(4));
        assert_eq!(b.note(&shared, 0, 11_100), Some(0));
    }

    #[test]
    fn a_vm_that_died_is_forgotten() {
        let shared = InMemory::default();
        let [mut dead, mut live] = [1, 2].map(|n| Tally::new([n; 16]));
        dead.note(&shared, 3, 10_000);
        assert_eq!(live.note(&shared, 1, 14_900), Some(4));
        assert_eq!(live.note(&shared, 1, 15_900), Some(1));
    }
}
