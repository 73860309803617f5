//! The map that all VMs of one Envoy process share.
//!
//! Envoy keeps one map for all VMs of a process. It maps names to values, and stores with each
//! value the number of its last write (its CAS). Names cannot be deleted or listed. The core uses
//! the map through the trait [`SharedData`]. [`InMemory`] behaves like Envoy's map and is used by
//! tests and simulations.

pub mod aggregated_gauges;
pub mod lease;
pub mod names;
pub mod store;
pub mod swap;

use std::cell::RefCell;
use std::collections::HashMap;

/// The number of a value's last write. Compare it for equality only: the counter wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub u32);

/// A value with the number of its last write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bytes; may be empty.
    pub value: Vec<u8>,
    /// The number of the write that stored the value.
    pub version: Version,
}

/// The condition of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The name does not exist.
    Absent,
    /// The value has exactly this version.
    At(Version),
    /// No condition: the write always succeeds.
    Anything,
}

/// The map that all VMs of one Envoy process share.
pub trait SharedData {
    /// Returns a copy of a value.
    fn get(&self, key: &str) -> Option<Stored>;

    /// Writes a value if the condition holds. Returns whether it was written.
    #[must_use]
    fn set_if(&self, key: &str, value: &[u8], expect: Expect) -> bool;

    /// Returns the version of a value. Hosts override this to avoid copying the value. Envoy does
    /// not copy an empty value.
    fn version(&self, key: &str) -> Option<Version> {
        self.get(key).map(|stored| stored.version)
    }

    /// Passes a value and its version to `reader`, and returns whether the name exists. Hosts
    /// override this to avoid copying the value.
    fn read(&self, key: &str, reader: &mut dyn FnMut(&[u8], Version)) -> bool {
        let found = self.get(key);
        if let Some(Stored { value, version }) = &found {
            reader(value, *version);
        }
        found.is_some()
    }
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

    fn version(&self, key: &str) -> Option<Version> {
        self.entries.borrow().0.get(key).map(|stored| stored.version)
    }

    fn read(&self, key: &str, reader: &mut dyn FnMut(&[u8], Version)) -> bool {
        let entries = self.entries.borrow();
        let found = entries.0.get(key);
        found.inspect(|stored| reader(&stored.value, stored.version)).is_some()
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
