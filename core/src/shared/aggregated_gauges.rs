//! Gauges aggregated over all VMs of the process.
//!
//! Envoy keeps one number per gauge for the whole process. If each VM added and subtracted its
//! share, the share of a VM that dies would remain in the gauge. If each VM set the gauge, it would
//! overwrite the others' values. Each contributor therefore writes its own numbers into shared data
//! periodically, and sets the gauge to the combination of all recent numbers.

use crate::shared::SharedData;
use crate::shared::swap::swap;

/// The identity of a contributor: 16 bytes that no other one has.
pub type Contributor = [u8; 16];

/// A group of `N` gauges with several contributors.
#[derive(Clone, Copy, Debug)]
pub struct AggregatedGauges<const N: usize> {
    /// The name of the contributions in shared data.
    pub key: &'static str,
    /// Entries older than this are dropped.
    pub live_milliseconds: u64,
}

struct Contribution<const N: usize> {
    contributor: Contributor,
    at: u64,
    numbers: [u64; N],
}

impl<const N: usize> AggregatedGauges<N> {
    /// Replaces this contributor's numbers, or removes them if `own` is `None`. Returns the recent
    /// numbers of all contributors, or `None` if other VMs keep writing at the same time. `now` is
    /// the monotonic [clock](crate::clock::Now) that all VMs share.
    pub fn update(
        &self,
        shared: &dyn SharedData,
        contributor: &Contributor,
        own: Option<[u64; N]>,
        now: u64,
    ) -> Option<Vec<[u64; N]>> {
        let updated = swap(shared, self.key, |found| {
            let mut all = read(found.unwrap_or_default());
            let lives = |at: u64| now.abs_diff(at) < self.live_milliseconds;
            all.retain(|one| one.contributor != *contributor && lives(one.at));
            if let Some(numbers) = own.filter(|_| all.len() < MOST) {
                all.push(Contribution { contributor: *contributor, at: now, numbers });
            }
            let numbers = all.iter().map(|one| one.numbers).collect();
            (Some(write(&all)), numbers)
        });
        updated.ok()
    }
}

fn read<const N: usize>(bytes: &[u8]) -> Vec<Contribution<N>> {
    let one = |bytes: &[u8]| {
        let (contributor, rest) = bytes.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (numbers, _) = rest.as_chunks();
        let numbers = <[[u8; 8]; N]>::try_from(numbers).ok()?.map(u64::from_be_bytes);
        Some(Contribution { contributor: *contributor, at: u64::from_be_bytes(*at), numbers })
    };
    bytes.chunks_exact(HEADER_BYTES + 8 * N).filter_map(one).collect()
}

fn write<const N: usize>(all: &[Contribution<N>]) -> Vec<u8> {
    let one = |one: &Contribution<N>| {
        let numbers = one.numbers.map(u64::to_be_bytes);
        [&one.contributor[..], &one.at.to_be_bytes(), numbers.as_flattened()].concat()
    };
    all.iter().flat_map(one).collect()
}

/// The size of contributor and time.
const HEADER_BYTES: usize = 24;

/// The most contributors. An Envoy has fewer VMs, even while old configurations drain and new ones
/// already run.
const MOST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{Expect, InMemory};

    const GAUGES: AggregatedGauges<2> =
        AggregatedGauges { key: "gauges", live_milliseconds: 5_000 };

    fn update(
        shared: &InMemory,
        contributor: u8,
        own: Option<[u64; 2]>,
        now: u64,
    ) -> Vec<[u64; 2]> {
        GAUGES.update(shared, &[contributor; 16], own, now).expect("nobody else writes")
    }

    #[test]
    fn every_contribution_is_returned() {
        let shared = InMemory::default();
        assert_eq!(update(&shared, 1, Some([3, 30]), 10_000), [[3, 30]]);
        assert_eq!(update(&shared, 2, Some([4, 40]), 10_100), [[3, 30], [4, 40]]);
        assert_eq!(update(&shared, 1, Some([5, 50]), 11_000), [[4, 40], [5, 50]]);
        assert_eq!(update(&shared, 1, None, 11_100), [[4, 40]]);
    }

    #[test]
    fn old_contributions_are_dropped() {
        let shared = InMemory::default();
        update(&shared, 1, Some([3, 30]), 10_000);
        assert_eq!(update(&shared, 2, Some([1, 10]), 14_999).len(), 2);
        assert_eq!(update(&shared, 2, Some([1, 10]), 15_000), [[1, 10]]);
    }

    #[test]
    fn foreign_data_is_replaced() {
        let shared = InMemory::default();
        assert!(shared.set_if(GAUGES.key, &[7; 2 * 40 + 1], Expect::Anything));
        assert_eq!(update(&shared, 1, Some([2, 20]), 10_000), [[2, 20]]);
    }

    #[test]
    fn the_number_of_contributors_is_limited() {
        let shared = InMemory::default();
        for number in 0..=MOST as u64 {
            let mut contributor = [0; 16];
            contributor[..8].copy_from_slice(&number.to_be_bytes());
            GAUGES.update(&shared, &contributor, Some([1, 1]), 10_000);
        }
        assert_eq!(update(&shared, 255, None, 10_000).len(), MOST);
    }
}
