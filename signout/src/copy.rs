//! How do revocations move from one store to another?
//!
//! The target keeps what it has: records are merged, as everywhere, so copying twice or in both
//! directions loses nothing. It is read again at the end, and only what is found there counts.
//! Proxies that come from the other store name entries which the target does not hold: they get the
//! whole set and give back what they know.

use session_guard_core::revocation::record::{Record, RecordId};

use crate::book::{Book, is_past};
use crate::clock::unix_seconds;
use crate::reading::{give_back, read};
use crate::store::{Store, StoreError};

/// What a copy has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Live revocations of the source.
    pub read: usize,
    /// How many of them the target did not have, or not as far.
    pub added: usize,
}

/// Adds all live revocations of one store to another; `progress` gets how many are done, and of how
/// many.
///
/// # Errors
///
/// A store cannot be used, or the target does not hold everything at the end.
pub fn copy(
    from: &mut dyn Store,
    to: &mut dyn Store,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Copied, StoreError> {
    let (source, _) = read(from)?;
    let (mut target, mut dead) = read(to)?;
    let added = give_back(to, &source, &mut target, &mut dead, progress)?;
    let (target, _) = read(to)?;
    let missing = missing(&source, &target).len();
    if missing > 0 {
        return Err(StoreError::new("the target", format!("{missing} revocations are missing")));
    }
    Ok(Copied { read: source.len(), added })
}

/// What `old` knows and `book` lacks, unless it is past.
pub(crate) fn missing(old: &Book, book: &Book) -> Vec<Record> {
    let now = unix_seconds();
    let is_missing = |record: &Record| {
        let known = book.find(record.key());
        !is_past(record.exp, now) && !known.is_some_and(|known| known.covers(record))
    };
    old.live_from(RecordId::FIRST).filter(is_missing).collect()
}
