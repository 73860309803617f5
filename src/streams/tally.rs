//! How many requests are open in all VMs of this process?
//!
//! A gauge is one number for the whole process, and each VM knows its own streams alone. A VM that
//! added and took away would leave its number behind when it dies. So each notes its own in shared
//! data, once a second, and shows the sum of what was noted lately.

use crate::revocation::swap::swap;
use crate::shared_data::SharedData;

/// One VM's part in the sum.
#[derive(Debug)]
pub struct Tally {
    vm: Vm,
    noted_at: Option<u64>,
}

/// A random number that names a VM (strictly: one root context).
pub type Vm = [u8; 16];

impl Tally {
    /// Of a VM that has noted nothing yet.
    #[must_use]
    pub fn new(vm: Vm) -> Self {
        Self { vm, noted_at: None }
    }

    /// Notes how many are open here, and says how many are in all; `None` where a second has not
    /// passed since the last time. The time is that of the [clock](crate::clock::Now) that all VMs
    /// share.
    pub fn note(&mut self, shared: &dyn SharedData, open: usize, now: u64) -> Option<u64> {
        let is_time = |at: u64| now.abs_diff(at) >= EVERY_MILLISECONDS;
        if !self.noted_at.is_none_or(is_time) {
            return None;
        }
        self.noted_at = Some(now);
        let noted = swap(shared, KEY, |found| {
            let mut notes = read(found.unwrap_or_default());
            notes.retain(|note| note.vm != self.vm && now.abs_diff(note.at) < LIVES_MILLISECONDS);
            if open > 0 && notes.len() < MOST_VMS {
                notes.push(Note { vm: self.vm, at: now, open: open as u64 });
            }
            let sum = notes.iter().map(|note| note.open).fold(0, u64::saturating_add);
            (Some(written(&notes)), sum)
        });
        noted.ok()
    }
}

struct Note {
    vm: Vm,
    at: u64,
    open: u64,
}

fn read(bytes: &[u8]) -> Vec<Note> {
    let note = |bytes: &[u8]| {
        let (vm, rest) = bytes.split_first_chunk()?;
        let (at, open) = rest.split_first_chunk()?;
        let open = u64::from_be_bytes(*open.first_chunk()?);
        Some(Note { vm: *vm, at: u64::from_be_bytes(*at), open })
    };
    bytes.chunks_exact(NOTE_BYTES).filter_map(note).collect()
}

fn written(notes: &[Note]) -> Vec<u8> {
    let note =
        |note: &Note| [&note.vm[..], &note.at.to_be_bytes(), &note.open.to_be_bytes()].concat();
    notes.iter().flat_map(note).collect()
}

/// A metric of the whole process, whatever its configurations are.
const KEY: &str = "session-guard/1/streams";

const NOTE_BYTES: usize = 32;

const EVERY_MILLISECONDS: u64 = 1_000;

/// A VM that was silent for so long has ended.
const LIVES_MILLISECONDS: u64 = 5_000;

/// Old configurations drain beside new ones; an Envoy has no more VMs than this.
const MOST_VMS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared_data::{Expect, InMemory};

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

    #[test]
    fn what_somebody_else_wrote_there_adds_up_to_nothing_lasting() {
        let shared = InMemory::default();
        assert!(shared.set_if(KEY, &[7; NOTE_BYTES + 1], Expect::Anything));
        assert_eq!(Tally::new([1; 16]).note(&shared, 2, 10_000), Some(2));
    }
}
