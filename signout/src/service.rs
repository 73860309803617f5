//! What does the service consist of while it runs?
//!
//! The book, the way to the thread that writes it, and what polls wait for. All clones of a
//! [`Service`] are one service.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use session_guard_core::revocation::record::Record;
use tokio::sync::{Semaphore, watch};

use crate::access::Access;
use crate::book::Book;
use crate::currency::Currency;
use crate::cursor::Position;
use crate::error::Error;
use crate::follower::Following;
use crate::metrics::Metrics;
use crate::reading;
use crate::store::{Store, StoreError};
use crate::writer::{Work, Writer, Written};

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
    currency: Arc<Currency>,
    writer: Writer,
    /// As long as this is here, the store is followed.
    _alive: Arc<()>,
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
        let began = Instant::now();
        let (book, dead) = reading::read(store.as_mut())?;
        let follower = store.follower();
        let cannot_start = |error: &dyn std::fmt::Display| StoreError::new("cannot start", error);
        let metrics = Arc::new(Metrics::new().map_err(|error| cannot_start(&error))?);
        metrics.capacity.set(i64::try_from(capacity).unwrap_or(i64::MAX));
        metrics.store_up.set(1);
        metrics.store_durable.set(i64::from(store.is_durable()));
        let currency = Arc::new(Currency::new(follower.is_some(), began));
        let (head, head_changes) = watch::channel(book.head());
        let book = Arc::new(RwLock::new(book));
        let work = Work {
            store,
            book: Arc::clone(&book),
            head: head.clone(),
            currency: Arc::clone(&currency),
            is_shared: follower.is_some(),
            metrics: Arc::clone(&metrics),
            capacity,
            dead,
        };
        let writer = Writer::start(work).map_err(|error| cannot_start(&error))?;
        let alive = Arc::new(());
        if let Some(follower) = follower {
            let following = Following {
                follower,
                book: Arc::clone(&book),
                head,
                currency: Arc::clone(&currency),
                writer: writer.queue(),
                alive: Arc::downgrade(&alive),
            };
            following.start().map_err(|error| cannot_start(&error))?;
        }
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
            currency,
            writer,
            _alive: alive,
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

    /// Asks the store for what others have appended to it.
    pub(crate) async fn catch_up(&self) -> Result<(), Error> {
        self.parts.writer.ask().await
    }

    /// Whether we know everything that the store holds.
    pub(crate) fn is_current(&self) -> bool {
        self.parts.currency.holds(Instant::now())
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
        self.is_alive() && !*self.parts.closing.borrow() && self.is_current()
    }
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
