//! Reads the log from a store, and restores a store that has lost records.
//!
//! At its start the service reads its whole store. The store may later lose entries, because it is
//! emptied, restored from a backup, or fails over to a replica that was behind. Then the service
//! reads the store again, and stores the records that it still knows. Revocations are only ever
//! added, so this is harmless. Proxies do the same when the service does not find their cursors.

use std::time::Instant;

use session_guard_core::revocation::horizon::KEPT_AFTER_EXP_SECONDS;
use session_guard_core::revocation::record::{Record, RecordId};

use crate::accounts::Accounts;
use crate::capacity::Capacity;
use crate::clock::unix_seconds;
use crate::log::{Log, is_obsolete};
use crate::plan::{COMMIT_RECORDS, Plan, PlannedRecord, Submission};
use crate::random::random_number;
use crate::store::{Additions, AppendReason, Appended, Obsolete, Row, Store, StoreError};

/// Reads the log of a store. Also returns the rows and records that may be deleted from the store.
/// Reads a second time if the first read finds that the store has lost entries or has just started
/// a new log.
pub(crate) fn read(store: &mut dyn Store) -> Result<(Log, Obsolete), StoreError> {
    match read_once(store) {
        Err(error) if error.is_lost() => read_once(store),
        read => read,
    }
}

fn read_once(store: &mut dyn Store) -> Result<(Log, Obsolete), StoreError> {
    let began = Instant::now();
    store.begin(random_number().map_err(|error| StoreError::new("cannot start", error))?)?;
    let (mut log, mut obsolete) = (None::<Log>, Obsolete::default());
    store.read_all(&mut |row| match (&mut log, row) {
        (Some(log), Row::Entry(entry)) => log.append(entry, &mut obsolete),
        (Some(log), Row::Record(record)) => log.load(record),
        (None, Row::Entry(entry)) => log = Some(Log::new(entry)),
        (None, Row::Record(_)) => {} // a store returns an entry first
    })?;
    let mut log = log.ok_or_else(|| StoreError::new("the store", "it holds no entry"))?;
    log.sweep(RecordId::FIRST, usize::MAX, unix_seconds(), &mut obsolete);
    tracing::info!(
        revocations = log.len(),
        log_entries = log.entry_count(),
        rows_to_delete = obsolete.len(),
        milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        kept_after_exp_seconds = KEPT_AFTER_EXP_SECONDS,
        "the revocations were read from the store"
    );
    Ok((log, obsolete))
}

/// Stores the records that `old` holds and `log` lacks, and adds them to `log`. Returns their
/// number. Calls `progress` with the number of records that are stored so far, and the total
/// number.
pub(crate) fn restore(
    store: &mut dyn Store,
    old: &Log,
    log: &mut Log,
    obsolete: &mut Obsolete,
    purpose: AppendReason,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<usize, StoreError> {
    let missing = missing(old, log);
    let mut done = 0;
    for records in missing.chunks(COMMIT_RECORDS) {
        let known = log.head();
        let records = records.iter().copied().map(PlannedRecord::from).collect();
        let batch = Submission { records, ..Submission::default() };
        let mut plan = Plan::new(log, Capacity::UNLIMITED);
        plan.add(&batch, &mut Accounts::default(), 0) // these records were audited before
            .map_err(|error| StoreError::new("cannot restore the store", error))?;
        let entries = plan.into_entries();
        let appended =
            store.append(known, Additions::from(&*entries), &Obsolete::default(), purpose)?;
        let is_same_log = match &appended {
            Appended::AsGiven => log.append_after(known, &entries, obsolete),
            Appended::Instead(entries) => log.append_after(known, entries, obsolete),
        };
        if !is_same_log {
            return Err(StoreError::lost("the store", "it changed again while it was restored"));
        }
        done += batch.records.len();
        progress(done, missing.len());
    }
    Ok(missing.len())
}

/// Returns the records that `old` contains and `log` lacks, except obsolete ones.
pub(crate) fn missing(old: &Log, log: &Log) -> Vec<Record> {
    let now = unix_seconds();
    let is_missing = |record: &Record| {
        let known = log.find(record.key());
        !is_obsolete(record.exp, now) && !known.is_some_and(|known| known.covers(record))
    };
    old.live_from(RecordId::FIRST).filter(is_missing).collect()
}
