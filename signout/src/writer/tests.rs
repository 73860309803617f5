//! Promise: a batch is acknowledged only after the store has appended it.
//! Method: the real thread, with a store in memory that fails or waits while a flag is set.

use std::sync::atomic::{AtomicBool, Ordering};

use session_guard_core::revocation::record::Record;

use super::*;
use crate::entry::Entry;
use crate::plan::PlannedRecord;
use crate::store::{Row, StoreError};

/// A store in memory that fails or waits while a flag is set.
#[derive(Clone, Default)]
struct MemoryStore {
    rows: Arc<Mutex<Vec<Entry>>>,
    audit: Arc<Mutex<Vec<AuditRow>>>,
    deleted: Arc<Mutex<Obsolete>>,
    fails: Arc<AtomicBool>,
    waits: Arc<AtomicBool>,
}

impl Store for MemoryStore {
    fn begin(&mut self, _: u64) -> Result<(), StoreError> {
        unreachable!("the log is given")
    }

    fn read_all(&mut self, _: &mut dyn FnMut(Row)) -> Result<(), StoreError> {
        unreachable!("the log is given")
    }

    fn append(
        &mut self,
        _: Position,
        new: Additions<'_>,
        obsolete: &Obsolete,
        _: AppendReason,
    ) -> Result<Appended, StoreError> {
        while self.waits.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::new("the disk", "full"));
        }
        self.rows.lock().unwrap().extend(new.entries);
        self.audit.lock().unwrap().extend(new.audit.iter().cloned());
        self.deleted.lock().unwrap().extend(obsolete.clone());
        Ok(Appended::AsGiven)
    }

    fn read_audit(&mut self, range: AuditRange, _: usize) -> Result<Vec<AuditRow>, StoreError> {
        let AuditRange::After(key) = range else { unreachable!("a sweep begins with the oldest") };
        let rows = self.audit.lock().unwrap();
        Ok(rows.iter().filter(|row| row.key > key).cloned().collect())
    }
}

/// Rows that are obsolete from the start.
const OBSOLETE_ROWS: [u64; 2] = [7, 9];

struct WriterBench {
    store: MemoryStore,
    writer: Writer,
    log: Arc<RwLock<Log>>,
}

fn bench() -> WriterBench {
    let store = MemoryStore::default();
    let first = Entry { position: Position { sequence: 1, tag: 1 }, record: None };
    let log = Arc::new(RwLock::new(Log::new(first)));
    let writer = Writer::start(Work {
        store: Box::new(store.clone()),
        log: Arc::clone(&log),
        head: watch::Sender::new(first.position),
        metrics: Arc::new(ServiceMetrics::new().unwrap()),
        durability: watch::Sender::new(Durability::Durable),
        freshness: Arc::new(Freshness::new(false, Instant::now())),
        is_shared: false,
        capacity: Capacity::of(1_000_000),
        obsolete: Obsolete { rows: OBSOLETE_ROWS.to_vec(), ..Obsolete::default() },
        audit_limit: 10,
        rate: RevocationRate::default(),
    });
    WriterBench { store, writer: writer.unwrap(), log }
}

/// A token that expires so late that no sweep deletes it.
fn token(number: u64, seconds: u64) -> Record {
    let exp = 4_000_000_000_u64.saturating_add(seconds);
    Record::token(RecordId(u128::from(number).to_be_bytes()), exp)
}

fn sequence(written: Result<BatchOutcome, Error>) -> u64 {
    written.unwrap().position.sequence
}

fn revocations(records: &[Record]) -> Submission {
    let records = records.iter().copied().map(PlannedRecord::from).collect();
    Submission { records, ..Submission::default() }
}

#[tokio::test]
async fn only_new_records_and_later_exp_add_entries() {
    let WriterBench { store, writer, log } = bench();
    let write = |records: &[Record]| writer.write(revocations(records));
    assert_eq!(sequence(write(&[token(1, 5), token(2, 5), token(1, 5)]).await), 3);
    let known = write(&[token(2, 5), token(1, 4)]).await.unwrap();
    let head = log.read().unwrap().head();
    assert_eq!(known, BatchOutcome { position: head, is_new: false, stored: 2, audit: Vec::new() });
    assert_eq!(sequence(write(&[token(1, 9), token(2, 5)]).await), 4);
    let rows: Vec<_> = store.rows.lock().unwrap().iter().filter_map(|row| row.record).collect();
    assert_eq!(rows, [token(1, 5), token(2, 5), token(1, 9)]);
    let audit =
        store.audit.lock().unwrap().iter().filter_map(AuditEntry::of_row).collect::<Vec<_>>();
    let sizes: Vec<_> = audit.iter().map(|entry| entry.revocations.len()).collect();
    assert_eq!(sizes, [2, 1], "one entry for each call that changes something");
}

#[tokio::test]
async fn a_failed_append_is_not_acknowledged_and_later_writes_work() {
    let WriterBench { store, writer, log } = bench();
    store.fails.store(true, Ordering::Relaxed);
    assert_eq!(writer.write(revocations(&[token(1, 5)])).await, Err(Error::StoreUnavailable));
    assert_eq!(log.read().unwrap().len(), 0);
    store.fails.store(false, Ordering::Relaxed);
    assert_eq!(sequence(writer.write(revocations(&[token(1, 5)])).await), 2);
}

#[tokio::test]
async fn a_full_queue_rejects_and_writes_of_disconnected_callers_finish() {
    let WriterBench { store, writer, log } = bench();
    store.waits.store(true, Ordering::Relaxed);
    let half = QUEUE_RECORDS as u64 / 2;
    let batch = |first: u64| {
        revocations(&(first..first + half).map(|number| token(number, 5)).collect::<Vec<_>>())
    };
    for first in [0, half] {
        // The caller disconnects as soon as its batch is in the queue.
        let write = writer.write(batch(first));
        assert!(tokio::time::timeout(Duration::ZERO, write).await.is_err());
    }
    assert!(matches!(writer.write(revocations(&[token(0, 5)])).await, Err(Error::Busy(_))));
    store.waits.store(false, Ordering::Relaxed);
    writer.stop();
    assert_eq!(log.read().unwrap().len(), QUEUE_RECORDS);
    assert!(!writer.is_alive());
    assert_eq!(writer.write(revocations(&[token(0, 5)])).await, Err(Error::StoreUnavailable));
}

#[tokio::test]
async fn expired_records_and_obsolete_rows_are_deleted() {
    let WriterBench { store, writer, log } = bench();
    let expired = Record::token(RecordId::LAST, 5);
    for record in [expired, token(1, 5)] {
        writer.write(revocations(&[record])).await.unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while log.read().unwrap().len() > 1 || store.deleted.lock().unwrap().audit.is_empty() {
        assert!(Instant::now() < deadline, "nothing was deleted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(log.read().unwrap().find(expired.key()), None);
    let deleted = store.deleted.lock().unwrap();
    assert_eq!(deleted.rows, OBSOLETE_ROWS, "the log still needs the other rows");
    assert_eq!(deleted.records, [expired]);
    assert_eq!(deleted.audit, [store.audit.lock().unwrap()[0].key], "it expires with its record");
}
