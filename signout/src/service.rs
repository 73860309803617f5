//! What does the service consist of while it runs?
//!
//! The book, the way to the thread that writes it, and what polls wait for. All clones of a
//! [`Service`] are one service.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use session_guard::revocation::record::{Record, RecordId};
use tokio::sync::{Semaphore, watch};

use crate::access::Access;
use crate::book::{Book, Entry, KEPT_BEYOND_EXP_SECONDS};
use crate::clock::unix_seconds;
use crate::cursor::Position;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::{Store, StoreError};
use crate::writer::{self, Work, Writer, Written};

/// A running service.
#[derive(Clone)]
pub struct Service {
    pub(crate) parts: Arc<Parts>,
}

/// What a service is made of.
pub struct Settings {
    /// Where revocations are kept.
    pub store: Box<dyn Store>,
    /// Who may call.
    pub access: Access,
    /// Most live revocations.
    pub capacity: usize,
}

/// `--capacity` where it is not given: about a gigabyte of memory.
pub const DEFAULT_CAPACITY: usize = 10_000_000;

/// Resets that are answered at a time: each copies up to 660 KB.
pub(crate) const RESETS_AT_A_TIME: usize = 16;

/// Polls that may wait at a time: one a proxy.
pub(crate) const WAITING_POLLS: usize = 10_000;

pub(crate) struct Parts {
    pub(crate) access: Access,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) capacity: usize,
    pub(crate) resets: Semaphore,
    pub(crate) polls: Semaphore,
    pub(crate) began: Instant,
    book: Arc<RwLock<Book>>,
    writer: Writer,
    bell: watch::Sender<()>,
    closing: watch::Sender<bool>,
}

impl Service {
    /// Reads the store and starts to serve from it. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the system gives no thread or no random numbers.
    pub fn start(settings: Settings) -> Result<Self, StoreError> {
        let Settings { mut store, access, capacity } = settings;
        let (book, dead) = open_book(store.as_mut())?;
        let cannot_start = |error: &dyn std::fmt::Display| StoreError::new("cannot start", error);
        let metrics = Arc::new(Metrics::new().map_err(|error| cannot_start(&error))?);
        metrics.capacity.set(i64::try_from(capacity).unwrap_or(i64::MAX));
        metrics.store_up.set(1);
        let (head, head_changes) = watch::channel(book.head());
        let book = Arc::new(RwLock::new(book));
        let work = Work {
            store,
            book: Arc::clone(&book),
            head,
            metrics: Arc::clone(&metrics),
            capacity,
            dead,
        };
        let bell = watch::Sender::new(());
        tokio::spawn(ring(head_changes, bell.clone()));
        let parts = Parts {
            access,
            metrics,
            capacity,
            resets: Semaphore::new(RESETS_AT_A_TIME),
            polls: Semaphore::new(WAITING_POLLS),
            began: Instant::now(),
            book,
            writer: Writer::start(work).map_err(|error| cannot_start(&error))?,
            bell,
            closing: watch::Sender::new(false),
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Has all waiting polls answered, now and from now on.
    pub fn close(&self) {
        self.parts.closing.send_replace(true);
    }

    /// Returns when the service closes; at once if it has.
    pub async fn closed(&self) {
        // An error would mean that the sender has gone, which lives as long as we do.
        let _ = self.parts.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Finishes all writes and closes the store. Blocks.
    pub fn stop(&self) {
        self.close();
        self.parts.writer.stop();
    }

    /// What is served. To be let go at once: the writer waits for it.
    pub(crate) fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.parts.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a batch, all or nothing.
    pub(crate) async fn write(&self, records: Vec<Record>) -> Result<Written, Error> {
        if records.is_empty() {
            return Ok(Written::Known(self.book().head()));
        }
        self.parts.writer.write(records).await
    }

    /// Changes whenever waiting polls are to look again.
    pub(crate) fn bell(&self) -> watch::Receiver<()> {
        self.parts.bell.subscribe()
    }

    /// Whether revocations can be stored, now or when the disk is well again.
    pub(crate) fn is_alive(&self) -> bool {
        self.parts.writer.is_alive()
    }

    /// Whether calls should come here.
    pub(crate) fn is_ready(&self) -> bool {
        self.is_alive() && !*self.parts.closing.borrow()
    }
}

/// The book of a store, and the rows of it that nobody needs.
fn open_book(store: &mut dyn Store) -> Result<(Book, Vec<u64>), StoreError> {
    let began = Instant::now();
    let (mut book, mut dead) = (None::<Book>, Vec::new());
    store.read_all(&mut |entry| match &mut book {
        Some(book) => book.append(entry, &mut dead),
        None => book = Some(Book::new(entry)),
    })?;
    let book = match book {
        Some(mut book) => {
            book.sweep(RecordId::FIRST, usize::MAX, unix_seconds(), &mut dead);
            book
        }
        None => {
            let tag = writer::random_numbers(1).ok().and_then(|mut tags| tags.next());
            let tag = tag.ok_or_else(|| StoreError::new("cannot start", "no random numbers"))?;
            let first = Entry { position: Position { sequence: 1, tag }, record: None };
            store.append(&[first], &[])?;
            Book::new(first)
        }
    };
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

/// Rings when the head has changed, but not again within [`RING_INTERVAL`]: all polls that wait are
/// answered together, and a burst of writes costs each proxy few answers.
async fn ring(mut head: watch::Receiver<Position>, bell: watch::Sender<()>) {
    while head.changed().await.is_ok() {
        bell.send_replace(());
        tokio::time::sleep(RING_INTERVAL).await;
    }
}

const RING_INTERVAL: Duration = Duration::from_millis(10);
