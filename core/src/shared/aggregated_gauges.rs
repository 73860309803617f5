//! What does this process look like as a whole, where each of many knows a part?
//!
//! A gauge is one number for the whole process. Who added to it and took away would leave its part
//! behind when it dies, and who sets it hides all others. So each notes its own part in shared data
//! now and then, and shows what was noted lately, taken together.

use crate::shared::SharedData;
use crate::shared::swap::swap;

/// Who notes: 16 bytes that nobody else has.
pub type Who = [u8; 16];

/// Where notes of so many numbers lie, and for how long each counts.
#[derive(Clone, Copy, Debug)]
pub struct AggregatedGauges<const N: usize> {
    /// A name in shared data.
    pub key: &'static str,
    /// Who was silent for so long has ended.
    pub live_milliseconds: u64,
}

struct Note<const N: usize> {
    who: Who,
    at: u64,
    numbers: [u64; N],
}

impl<const N: usize> AggregatedGauges<N> {
    /// Replaces one's own note, or takes it away, and gives all that count; `None` where others write
    /// all the time. The time is that of the [clock](crate::clock::Now) that all VMs share.
    pub fn note(
        &self,
        shared: &dyn SharedData,
        who: &Who,
        own: Option<[u64; N]>,
        now: u64,
    ) -> Option<Vec<[u64; N]>> {
        let noted = swap(shared, self.key, |found| {
            let mut notes = read(found.unwrap_or_default());
            let lives = |at: u64| now.abs_diff(at) < self.live_milliseconds;
            notes.retain(|note| note.who != *who && lives(note.at));
            if let Some(numbers) = own.filter(|_| notes.len() < MOST) {
                notes.push(Note { who: *who, at: now, numbers });
            }
            let numbers = notes.iter().map(|note| note.numbers).collect();
            (Some(written(&notes)), numbers)
        });
        noted.ok()
    }
}

fn read<const N: usize>(bytes: &[u8]) -> Vec<Note<N>> {
    let note = |bytes: &[u8]| {
        let (who, rest) = bytes.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (numbers, _) = rest.as_chunks();
        let numbers = <[[u8; 8]; N]>::try_from(numbers).ok()?.map(u64::from_be_bytes);
        Some(Note { who: *who, at: u64::from_be_bytes(*at), numbers })
    };
    bytes.chunks_exact(WHO_AND_WHEN_BYTES + 8 * N).filter_map(note).collect()
}

fn written<const N: usize>(notes: &[Note<N>]) -> Vec<u8> {
    let note = |note: &Note<N>| {
        let numbers = note.numbers.map(u64::to_be_bytes);
        [&note.who[..], &note.at.to_be_bytes(), numbers.as_flattened()].concat()
    };
    notes.iter().flat_map(note).collect()
}

const WHO_AND_WHEN_BYTES: usize = 24;

/// Old configurations drain beside new ones; an Envoy has no more VMs than this.
const MOST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{Expect, InMemory};

    const NOTES: AggregatedGauges<2> = AggregatedGauges { key: "notes", live_milliseconds: 5_000 };

    fn note(shared: &InMemory, who: u8, own: Option<[u64; 2]>, now: u64) -> Vec<[u64; 2]> {
        NOTES.note(shared, &[who; 16], own, now).expect("nobody else writes")
    }

    #[test]
    fn each_sees_what_all_have_noted() {
        let shared = InMemory::default();
        assert_eq!(note(&shared, 1, Some([3, 30]), 10_000), [[3, 30]]);
        assert_eq!(note(&shared, 2, Some([4, 40]), 10_100), [[3, 30], [4, 40]]);
        assert_eq!(note(&shared, 1, Some([5, 50]), 11_000), [[4, 40], [5, 50]]);
        assert_eq!(note(&shared, 1, None, 11_100), [[4, 40]]);
    }

    #[test]
    fn who_died_is_forgotten() {
        let shared = InMemory::default();
        note(&shared, 1, Some([3, 30]), 10_000);
        assert_eq!(note(&shared, 2, Some([1, 10]), 14_999).len(), 2);
        assert_eq!(note(&shared, 2, Some([1, 10]), 15_000), [[1, 10]]);
    }

    #[test]
    fn what_somebody_else_wrote_there_comes_to_nothing_lasting() {
        let shared = InMemory::default();
        assert!(shared.set_if(NOTES.key, &[7; 2 * 40 + 1], Expect::Anything));
        assert_eq!(note(&shared, 1, Some([2, 20]), 10_000), [[2, 20]]);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let shared = InMemory::default();
        for number in 0..=MOST as u64 {
            let mut who = [0; 16];
            who[..8].copy_from_slice(&number.to_be_bytes());
            NOTES.note(&shared, &who, Some([1, 1]), 10_000);
        }
        assert_eq!(note(&shared, 255, None, 10_000).len(), MOST);
    }
}
