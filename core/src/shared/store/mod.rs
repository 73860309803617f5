//! Shared data for a process without a sandbox, whose threads share memory.
//!
//! [`SharedStore`] behaves like Envoy's shared data: it maps keys to values and keeps the number of
//! each value's last write. Keys cannot be deleted or listed. The native filter has one store per
//! process.
//!
//! # Why a request waits for no lock
//!
//! A request usually reads only one number, the version of the revocation set's generation. A key
//! is found in a hash table of linked lists that only grow, so lookups need no lock. The number is
//! one atomic. Only the value is protected by a lock, one for each key, which readers share.
//!
//! # Why no change is missed
//!
//! A writer stores the value first and the number last (release). A reader loads the number first
//! (acquire). A reader that sees the number of a write to one key therefore sees every write that
//! its writer made before, to any key. [`revocation::generation`](crate::revocation::generation)
//! relies on that. `core/tests/store.rs` checks all interleavings of a model with loom.

mod slot;
mod sync;

use std::sync::OnceLock;

use crate::shared::names::SharedName;
use crate::shared::{Expect, SharedData, Stored, Version};

use slot::Slot;

/// Shared data of all threads of one process. A key that is longer than every name of
/// [`names`](crate::shared::names) cannot be written.
pub struct SharedStore {
    lists: Box<[NextNode]>,
}

/// The next node of a list, if there is one.
type NextNode = OnceLock<Box<KeyNode>>;

struct KeyNode {
    /// The key itself, not a pointer to it, because a lookup spends most of its time waiting for
    /// memory.
    key: SharedName,
    slot: Slot,
    next: NextNode,
}

impl SharedStore {
    /// Creates a store without keys.
    #[must_use]
    pub fn new() -> Self {
        Self { lists: std::iter::repeat_with(NextNode::new).take(LISTS).collect() }
    }

    fn find(&self, key: &str) -> Option<&Slot> {
        let (mut link, key) = (self.list(key)?, SharedName::of(key)?);
        loop {
            let entry = link.get()?;
            if entry.key == key {
                return Some(&entry.slot);
            }
            link = &entry.next;
        }
    }

    /// Finds the slot of a key, or adds an empty slot that has not been written. Returns `None` if
    /// the key is too long.
    fn find_or_add(&self, key: &str) -> Option<&Slot> {
        let (mut link, key) = (self.list(key)?, SharedName::of(key)?);
        loop {
            let entry = link.get_or_init(|| {
                Box::new(KeyNode { key, slot: Slot::default(), next: NextNode::new() })
            });
            if entry.key == key {
                return Some(&entry.slot);
            }
            link = &entry.next;
        }
    }

    fn list(&self, key: &str) -> Option<&NextNode> {
        self.lists.get(hash(key.as_bytes()) as usize % LISTS)
    }
}

impl Default for SharedStore {
    fn default() -> Self {
        Self::new()
    }
}

impl SharedData for SharedStore {
    fn get(&self, key: &str) -> Option<Stored> {
        let read =
            |value: &[u8], version| Stored { value: value.to_vec(), version: Version(version) };
        self.find(key)?.read(read)
    }

    fn version(&self, key: &str) -> Option<Version> {
        self.find(key)?.version().map(Version)
    }

    fn read(&self, key: &str, reader: &mut dyn FnMut(&[u8], Version)) -> bool {
        let slot = self.find(key);
        slot.and_then(|slot| slot.read(|value, version| reader(value, Version(version)))).is_some()
    }

    fn set_if(&self, key: &str, value: &[u8], expect: Expect) -> bool {
        let admits = |found: Option<u32>| match expect {
            Expect::Absent => found.is_none(),
            Expect::At(Version(number)) => found == Some(number),
            Expect::Anything => true,
        };
        self.find_or_add(key).is_some_and(|slot| slot.write_if(value, admits))
    }
}

/// Hashes a key to choose its list. Clients cannot choose keys. They can only influence which of a
/// fixed number of shards is used.
fn hash(key: &[u8]) -> u64 {
    let (words, rest) = key.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let words = words.iter().copied().chain([last]).map(u64::from_le_bytes);
    let mixed =
        words.fold(key.len() as u64, |hash, word| (hash ^ word).wrapping_mul(ODD).rotate_left(29));
    mixed ^ mixed >> 32
}

/// The number of lists: twice the number of shards of a full set (`revocation/shard.rs`). The table
/// takes 1 MiB.
const LISTS: usize = 1 << 16;

/// 2⁶⁴ divided by the golden ratio. Its multiples are spread evenly.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests;
