//! Where do revocations outlive the process?
//!
//! A store keeps rows ([`Entry`]) and does three things: it appends a batch durably, it reads all
//! rows back, and, where several services share it, it tells each what the others appended. The
//! embedded store belongs to one process alone, so the first two are all that it has.
//!
//! Everything else (merging, the live set, what is no longer needed) is the service's and the same
//! for every store.

use std::fmt;

mod embedded;

pub use crate::book::Entry;
pub use crate::cursor::Position;
pub use embedded::Embedded;

/// A place for rows that outlives the process.
pub trait Store: Send {
    /// Hands out every row, in order of sequence.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or holds what this version does not understand.
    fn read_all(&mut self, each: &mut dyn FnMut(Entry)) -> Result<(), StoreError>;

    /// Adds `entries`, whose sequence numbers follow the last, and removes the rows named in
    /// `forget`: all or nothing, and durable when this returns.
    ///
    /// # Errors
    ///
    /// Nothing of it counts. A later call may succeed: a full disk gets room again.
    fn append(&mut self, entries: &[Entry], forget: &[u64]) -> Result<(), StoreError>;
}

/// Why a store cannot be used; for the operator.
#[derive(Debug)]
pub struct StoreError(String);

impl StoreError {
    /// What cannot be used, and why.
    #[must_use]
    pub fn new(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self(format!("{what}: {why}"))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StoreError {}
