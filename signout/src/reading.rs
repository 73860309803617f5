//! How does a service learn what its store holds?
//!
//! At its start it reads everything. Should a store that it knew have lost something since (emptied,
//! restored from a backup, failed over to a replica that was behind), it reads everything again and
//! puts back what it still knows: revocations only ever add up, so that can do no harm. Proxies do
//! the same when their cursors are not found.

use std::time::Instant;

use session_guard_core::revocation::record::RecordId;

use crate::book::{Book, KEPT_BEYOND_EXP_SECONDS};
use crate::clock::unix_seconds;
use crate::copy::missing;
use crate::store::{Appended, Forget, Row, Store, StoreError};
use crate::writer::{COMMIT_RECORDS, Plan, random_numbers};

/// The book of a store, and what in the store nobody needs. A store that changes while it is read, or
/// has to be mended first, is read once more.
pub(crate) fn read(store: &mut dyn Store) -> Result<(Book, Forget), StoreError> {
    match read_once(store) {
        Err(error) if error.is_lost() => read_once(store),
        read => read,
    }
}

fn read_once(store: &mut dyn Store) -> Result<(Book, Forget), StoreError> {
    let began = Instant::now();
    let tag = random_numbers(1).ok().and_then(|mut tags| tags.next());
    let tag = tag.ok_or_else(|| StoreError::new("cannot start", "no random numbers"))?;
    store.begin(tag)?;
    let (mut book, mut dead) = (None::<Book>, Forget::default());
    store.read_all(&mut |row| match (&mut book, row) {
        (Some(book), Row::Entry(entry)) => book.append(entry, &mut dead),
        (Some(book), Row::Record(record)) => book.load(record),
        (None, Row::Entry(entry)) => book = Some(Book::new(entry)),
        (None, Row::Record(_)) => {} // a store hands out an entry first
    })?;
    let mut book = book.ok_or_else(|| StoreError::new("the store", "it holds no entry"))?;
    book.sweep(RecordId::FIRST, usize::MAX, unix_seconds(), &mut dead);
    tracing::info!(
        revocations = book.len(),
        log_entries = book.log_len(),
        rows_to_drop = dead.len(),
        milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        kept_beyond_exp_seconds = KEPT_BEYOND_EXP_SECONDS,
        "the store is read"
    );
    Ok((book, dead))
}

/// Puts what `old` knows and `book` lacks into the store and into `book`; how many records.
/// `progress` gets how many are done, and of how many.
pub(crate) fn give_back(
    store: &mut dyn Store,
    old: &Book,
    book: &mut Book,
    dead: &mut Forget,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<usize, StoreError> {
    let missing = missing(old, book);
    let mut done = 0;
    for piece in missing.chunks(COMMIT_RECORDS) {
        let known = book.head();
        let mut plan = Plan::new(book, usize::MAX);
        plan.add(piece).map_err(|error| StoreError::new("cannot restore", error.answer().2))?;
        let entries = plan.into_entries();
        let appended = store.append(known, &entries, &Forget::default())?;
        let followed = match &appended {
            Appended::AsGiven => book.follow(known, &entries, dead),
            Appended::Instead(entries) => book.follow(known, entries, dead),
        };
        if !followed {
            return Err(StoreError::lost("the store", "it has changed again"));
        }
        done += piece.len();
        progress(done, missing.len());
    }
    Ok(missing.len())
}
