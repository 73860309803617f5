//! An entry of the log: a numbered and tagged change of the revocation set.
//!
//! Stores keep entries, the service holds the newest of them in memory, and a proxy's cursor names
//! the newest entry that it knows.

use std::fmt;

use session_guard_core::revocation::record::Record;

/// Identifies an entry of the log.
///
/// Two stores, or a store and its restored backup, may use the same sequence number for different
/// entries. The random tags of these entries differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The number of the entry. The first entry has 1, and each further entry one more.
    pub sequence: u64,
    /// Random number that is stored with the entry.
    pub tag: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.sequence, self.tag)
    }
}

/// One entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number and the tag of the entry.
    pub position: Position,
    /// The record after it was merged with the known one; `None` in the first entry of a new store.
    pub record: Option<Record>,
}

/// Number of newest entries that the log keeps, expired or not. A proxy that has missed fewer
/// changes than this receives only the changes; any other proxy receives the whole set.
pub(crate) const LOG_ENTRIES: usize = 100_000;
