//! A batch is stored whole or not at all, and nothing is acknowledged that the store did not take:
//! the real thread over a store in memory that fails or waits on command.

use std::sync::atomic::{AtomicBool, Ordering};

use session_guard_core::revocation::record::NEVER;

use super::*;
use crate::store::{Row, StoreError};

/// Rows in memory; fails while told to, and waits.
#[derive(Clone, Default)]
struct Memory {
    rows: Arc<Mutex<Vec<Entry>>>,
    forgotten: Arc<Mutex<Forget>>,
    fails: Arc<AtomicBool>,
    waits: Arc<AtomicBool>,
}

impl Store for Memory {
    fn begin(&mut self, _: u64) -> Result<(), StoreError> {
        unreachable!("the book is given")
    }

    fn read_all(&mut self, _: &mut dyn FnMut(Row)) -> Result<(), StoreError> {
        unreachable!("the book is given")
    }

    fn append(
        &mut self,
        _: Position,
        entries: &[Entry],
        forget: &Forget,
    ) -> Result<Appended, StoreError> {
        while self.waits.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.fails.load(Ordering::Relaxed) {
            return Err(StoreError::new("the disk", "full"));
        }
        self.rows.lock().unwrap().extend(entries);
        self.forgotten.lock().unwrap().extend(forget.clone());
        Ok(Appended::AsGiven)
    }
}

/// Rows that nobody needs from the beginning.
const DEAD: [u64; 2] = [7, 9];

struct Bench {
    store: Memory,
    writer: Writer,
    book: Arc<RwLock<Book>>,
}

fn bench(capacity: usize) -> Bench {
    let store = Memory::default();
    let first = Entry { position: Position { sequence: 1, tag: 1 }, record: None };
    let book = Arc::new(RwLock::new(Book::new(first)));
    let writer = Writer::start(Work {
        store: Box::new(store.clone()),
        book: Arc::clone(&book),
        head: watch::Sender::new(first.position),
        metrics: Arc::new(Metrics::new().unwrap()),
        currency: Arc::new(Currency::new(false, Instant::now())),
        is_shared: false,
        capacity,
        dead: Forget { rows: DEAD.to_vec(), records: Vec::new() },
    });
    Bench { store, writer: writer.unwrap(), book }
}

/// A token that expires so many seconds after a moment which no sweep will see.
fn token(number: u64, seconds: u64) -> Record {
    let exp = 4_000_000_000_u64.saturating_add(seconds);
    Record::token(RecordId(u128::from(number).to_be_bytes()), exp)
}

fn sequence(written: Result<Written, Error>) -> u64 {
    match written.unwrap() {
        Written::Added(position) | Written::Known(position) => position.sequence,
    }
}

#[tokio::test]
async fn only_what_is_new_is_added_and_a_later_exp_is_new() {
    let Bench { store, writer, book } = bench(10);
    let write = |records: &[Record]| writer.write(records.to_vec());
    assert_eq!(sequence(write(&[token(1, 5), token(2, 5), token(1, 5)]).await), 3);
    let known = write(&[token(2, 5), token(1, 4)]).await.unwrap();
    assert_eq!(known, Written::Known(book.read().unwrap().head()));
    assert_eq!(sequence(write(&[token(1, 9), token(2, 5)]).await), 4);
    let rows: Vec<_> = store.rows.lock().unwrap().iter().filter_map(|row| row.record).collect();
    assert_eq!(rows, [token(1, 5), token(2, 5), token(1, 9)]);
}

#[tokio::test]
async fn beyond_its_capacity_a_batch_is_refused_whole() {
    let Bench { writer, book, .. } = bench(3);
    let write = |records: &[Record]| writer.write(records.to_vec());
    assert!(write(&[token(1, 5), token(2, 5)]).await.is_ok());
    assert_eq!(write(&[token(3, 5), token(4, 5)]).await, Err(Error::Full));
    assert_eq!(book.read().unwrap().len(), 2);
    assert!(write(&[token(3, 5), token(3, 6), token(1, 9)]).await.is_ok());
    assert!(write(&[token(1, NEVER)]).await.is_ok(), "what is held may still grow");
    assert_eq!(write(&[token(4, 5)]).await, Err(Error::Full));
}

#[tokio::test]
async fn what_the_store_does_not_take_is_not_acknowledged_and_later_writes_work_again() {
    let Bench { store, writer, book } = bench(10);
    store.fails.store(true, Ordering::Relaxed);
    assert_eq!(writer.write(vec![token(1, 5)]).await, Err(Error::StoreUnavailable));
    assert_eq!(book.read().unwrap().len(), 0);
    store.fails.store(false, Ordering::Relaxed);
    assert_eq!(sequence(writer.write(vec![token(1, 5)]).await), 2);
}

#[tokio::test]
async fn a_full_queue_is_busy_and_a_write_whose_caller_has_gone_is_finished() {
    let Bench { store, writer, book } = bench(usize::MAX);
    store.waits.store(true, Ordering::Relaxed);
    let half = QUEUE_RECORDS as u64 / 2;
    let batch = |first: u64| (first..first + half).map(|number| token(number, 5)).collect();
    for first in [0, half] {
        // The caller leaves as soon as its batch is in the queue.
        let write = writer.write(batch(first));
        assert!(tokio::time::timeout(Duration::ZERO, write).await.is_err());
    }
    assert!(matches!(writer.write(vec![token(0, 5)]).await, Err(Error::Busy(_))));
    store.waits.store(false, Ordering::Relaxed);
    writer.stop();
    assert_eq!(book.read().unwrap().len(), QUEUE_RECORDS);
    assert!(!writer.is_alive());
    assert_eq!(writer.write(vec![token(0, 5)]).await, Err(Error::StoreUnavailable));
}

#[tokio::test]
async fn what_is_past_goes_by_itself_and_so_do_rows_that_nobody_needs() {
    let Bench { store, writer, book } = bench(10);
    let past = Record::token(RecordId::LAST, 5);
    writer.write(vec![past, token(1, 5)]).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while book.read().unwrap().len() > 1 {
        assert!(Instant::now() < deadline, "nothing was swept");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(book.read().unwrap().find(past.key()), None);
    let forgotten = store.forgotten.lock().unwrap();
    assert_eq!(forgotten.rows, DEAD, "the log still needs the others");
    assert_eq!(forgotten.records, [past]);
}
