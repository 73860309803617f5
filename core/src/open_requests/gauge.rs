//! The number of open requests in all VMs of this process.

use crate::shared::SharedData;
use crate::shared::aggregated_gauges::{AggregatedGauges, Contributor};

/// The gauge of open requests, to which each VM contributes its own number.
#[derive(Debug)]
pub struct OpenRequestsGauge {
    /// The random identity of this VM (strictly: of one root context).
    vm: Contributor,
    updated_at: Option<u64>,
}

impl OpenRequestsGauge {
    /// Creates the contribution of a VM that has no open request yet.
    #[must_use]
    pub fn new(vm: Contributor) -> Self {
        Self { vm, updated_at: None }
    }

    /// Writes the number of requests that are open in this VM, and returns the number for all VMs.
    /// Returns `None` if the last update was less than a second ago. `now` is the monotonic
    /// [clock](crate::clock::Now) that all VMs share.
    pub fn update(&mut self, shared: &dyn SharedData, open: usize, now: u64) -> Option<u64> {
        let is_time = |at: u64| now.abs_diff(at) >= EVERY_MILLISECONDS;
        if !self.updated_at.is_none_or(is_time) {
            return None;
        }
        self.updated_at = Some(now);
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
        let [mut a, mut b] = [1, 2].map(|n| OpenRequestsGauge::new([n; 16]));
        assert_eq!(a.update(&shared, 3, 10_000), Some(3));
        assert_eq!(b.update(&shared, 4, 10_100), Some(7));
        assert_eq!(a.update(&shared, 9, 10_900), None, "less than a second later");
        assert_eq!(a.update(&shared, 0, 11_000), Some(4));
        assert_eq!(b.update(&shared, 0, 11_100), Some(0));
    }

    #[test]
    fn the_part_of_a_dead_vm_is_dropped() {
        let shared = InMemory::default();
        let [mut dead, mut live] = [1, 2].map(|n| OpenRequestsGauge::new([n; 16]));
        dead.update(&shared, 3, 10_000);
        assert_eq!(live.update(&shared, 1, 14_900), Some(4));
        assert_eq!(live.update(&shared, 1, 15_900), Some(1));
    }
}
