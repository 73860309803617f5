//! How do the VMs of one Envoy process share what they know?
//!
//! Envoy keeps one map for all VMs of a process: keys to values, each value with the number of its
//! last write (its CAS). There is no deletion and no list of keys. The core sees it through this
//! trait; [`InMemory`] behaves alike and serves tests and simulations.

pub mod aggregated_gauges;
pub mod lease;
pub mod names;
pub mod swap;

use std::cell::RefCell;
use std::collections::HashMap;

/// The number of a value's last write. Equality is all that it is good for: the counter wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub u32);

/// A value with the number of its last write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bytes; may be empty.
    pub value: Vec<u8>,
    /// Number of the write that put them there.
    pub version: Version,
}

/// What a conditional write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the key is not there.
    Absent,
    /// The value of exactly that write.
    At(Version),
    /// Whatever is there.
    Anything,
}

/// The map that all VMs of one Envoy process share.
pub trait SharedData {
    /// The value below a key, copied.
    fn get(&self, key: &str) -> Option<Stored>;

    /// Writes the value if the key is as expected; says whether it was.
    #[must_use]
    fn set_if(&self, key: &str, value: &[u8], expect: Expect) -> bool;
}

/// Shared data within one process, for tests and simulations.
#[derive(Debug, Default)]
pub struct InMemory {
    entries: RefCell<(HashMap<String, Stored>, u32)>,
}

impl SharedData for InMemory {
    fn get(&self, key: &str) -> Option<Stored> {
        self.entries.borrow().0.get(key).cloned()
    }

    fn set_if(&self, key: &str, value: &[u8], expect: Expect) -> bool {
        let (entries, writes) = &mut *self.entries.borrow_mut();
        let found = entries.get(key).map(|stored| stored.version);
        let admitted = match expect {
            Expect::Absent => found.is_none(),
            Expect::At(version) => found == Some(version),
            Expect::Anything => true,
        };
        if admitted {
            *writes = writes.wrapping_add(1).max(1);
            let stored = Stored { value: value.to_vec(), version: Version(*writes) };
            entries.insert(key.to_owned(), stored);
        }
        admitted
    }
}
