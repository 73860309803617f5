//! Where do revocations outlive the process?
//!
//! A store does three things: it appends a batch durably, it reads everything back, and, where
//! several services share it, it tells each what the others appended. The embedded store belongs to
//! one process alone, so the first two are all that it has.
//!
//! Everything else (the live set, the pages of the feed, what is no longer needed) is the service's
//! and the same for every store.

use std::fmt;

use session_guard_core::revocation::record::Record;

mod embedded;
mod redis;

pub use crate::book::Entry;
pub use crate::cursor::Position;
pub use embedded::Embedded;
pub use redis::{Check, Link, Redis, Wait};

/// A place for revocations that outlives the process.
pub trait Store: Send {
    /// Makes the first entry, with that tag and no record, where there is none.
    ///
    /// # Errors
    ///
    /// The store cannot be used.
    fn begin(&mut self, tag: u64) -> Result<(), StoreError>;

    /// Hands out everything: at least one entry, entries in order of sequence, and all records that
    /// no entry has any more.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or holds what this version does not understand.
    fn read_all(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), StoreError>;

    /// Adds `entries`, whose sequence numbers follow `known`, and removes what is in `forget`: all
    /// or nothing, and durable when this returns. Where several services write, what is new of it
    /// gets other numbers.
    ///
    /// # Errors
    ///
    /// Nothing of it may be acknowledged. A later call may succeed: a full disk gets room again.
    /// The store may have [lost](StoreError::is_lost) the entry `known`: then it is to be read anew.
    fn append(
        &mut self,
        known: Position,
        entries: &[Entry],
        forget: &Forget,
    ) -> Result<Appended, StoreError>;

    /// Whether it keeps what it is given, as far as its settings tell.
    fn is_durable(&self) -> bool {
        true
    }

    /// What tells what others append; `None` where there are no others.
    fn follower(&self) -> Option<Box<dyn Follower>> {
        None
    }
}

/// Tells what others append to a store.
pub trait Follower: Send {
    /// What comes after that entry. Waits a moment for it.
    ///
    /// # Errors
    ///
    /// The store cannot be asked, or has [lost](StoreError::is_lost) that entry.
    fn follow(&mut self, known: Position) -> Result<Followed, StoreError>;
}

/// A piece of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// An entry of the log.
    Entry(Entry),
    /// A record whose entry is there no more.
    Record(Record),
}

/// What a batch has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Just the entries that were given.
    AsGiven,
    /// These come after the known one: what was new, and what others have appended.
    Instead(Vec<Entry>),
}

/// What has come after an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The next entries.
    pub entries: Vec<Entry>,
    /// Whether the store had no more of them when it was asked.
    pub is_all: bool,
}

/// What nobody needs any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forget {
    /// Entries that are neither in the log nor hold a record of the set.
    pub rows: Vec<u64>,
    /// Records that are past.
    pub records: Vec<Record>,
}

impl Forget {
    /// How much there is of whatever there is more of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len().max(self.records.len())
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes at most that many of each.
    #[must_use]
    pub fn take(&mut self, most: usize) -> Self {
        let (rows, records) = (self.rows.len(), self.records.len());
        Self {
            rows: self.rows.split_off(rows.saturating_sub(most)),
            records: self.records.split_off(records.saturating_sub(most)),
        }
    }

    /// Adds the other.
    pub fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.records.extend(other.records);
    }
}

/// Why a store cannot be used; for the operator.
#[derive(Debug)]
pub struct StoreError {
    text: String,
    is_lost: bool,
}

impl StoreError {
    /// What cannot be used, and why.
    #[must_use]
    pub fn new(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self { text: format!("{what}: {why}"), is_lost: false }
    }

    /// What has lost entries, and how that shows.
    #[must_use]
    pub fn lost(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self { is_lost: true, ..Self::new(what, why) }
    }

    /// Whether the store no longer has what it had: emptied, restored, or another one.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StoreError {}
