//! The running service: the log, the threads that change it, and the notification of waiting polls.
//!
//! All clones of a [`Service`] are one service.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::access::ApiTokens;
use crate::audit::{AUDIT_ENTRIES, AuditEntry, AuditRange, AuditRow};
use crate::capacity::Capacity;
use crate::entry::Position;
use crate::error::Error;
use crate::follower::Follower;
use crate::freshness::Freshness;
use crate::log::Log;
use crate::log_limit::LogLimit;
use crate::metrics::ServiceMetrics;
use crate::plan::{BatchOutcome, Submission};
use crate::proxies::Proxies;
use crate::rate::RevocationRate;
use crate::recovery;
use crate::store::{Durability, Store, StoreError};
use crate::writer::{Work, Writer};

/// A running service.
#[derive(Clone)]
pub struct Service {
    pub(crate) parts: Arc<Parts>,
}

/// Settings of a service.
pub struct ServiceSettings {
    /// The store that keeps the revocations.
    pub store: Box<dyn Store>,
    /// The API tokens.
    pub access: ApiTokens,
    /// Largest number of live revocations of single tokens. Cutoffs have a reserve.
    pub capacity: usize,
}

/// Default of `--capacity`: about a gigabyte of memory.
pub const DEFAULT_CAPACITY: usize = 10_000_000;

/// Largest number of resets at a time: each copies up to 660 KB.
pub(crate) const RESETS_AT_A_TIME: usize = 16;

/// Largest number of waiting polls: one per proxy.
pub(crate) const WAITING_POLLS: usize = 10_000;

pub(crate) struct Parts {
    pub(crate) access: ApiTokens,
    /// The names of API tokens whose calls lack a right, for the log.
    pub(crate) forbidden: LogLimit<String>,
    pub(crate) metrics: Arc<ServiceMetrics>,
    pub(crate) capacity: Capacity,
    pub(crate) resets: Semaphore,
    pub(crate) polls: Semaphore,
    pub(crate) began: Instant,
    pub(crate) proxies: Proxies,
    pub(crate) rate: RevocationRate,
    pub(crate) unauthorized_log: LogLimit<()>,
    log: Arc<RwLock<Log>>,
    freshness: Arc<Freshness>,
    durability: watch::Receiver<Durability>,
    writer: Writer,
    /// The follower ends when this is dropped.
    _alive: Arc<()>,
    changes: watch::Sender<()>,
    closing: watch::Sender<bool>,
}

impl Service {
    /// Reads the store and starts the threads of the service. Must be called in a tokio runtime.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or the operating system provides no thread or no random numbers.
    pub fn start(settings: ServiceSettings) -> Result<Self, StoreError> {
        let ServiceSettings { mut store, access, capacity } = settings;
        let capacity = Capacity::of(capacity);
        let began = Instant::now();
        let (log, obsolete) = recovery::read(store.as_mut())?;
        let subscription = store.subscribe();
        let cannot_start = |error: &dyn std::fmt::Display| StoreError::new("cannot start", error);
        let metrics = Arc::new(ServiceMetrics::new().map_err(|error| cannot_start(&error))?);
        metrics.capacity.set(i64::try_from(capacity.tokens).unwrap_or(i64::MAX));
        metrics.store_up.set(1);
        let (durability, durability_changes) = watch::channel(store.durability());
        metrics.store_durable.set(i64::from(store.durability().problem().is_none()));
        let freshness = Arc::new(Freshness::new(subscription.is_some(), began));
        let (head, head_changes) = watch::channel(log.head());
        let log = Arc::new(RwLock::new(log));
        let rate = RevocationRate::default();
        let work = Work {
            store,
            log: Arc::clone(&log),
            head: head.clone(),
            freshness: Arc::clone(&freshness),
            durability,
            is_shared: subscription.is_some(),
            metrics: Arc::clone(&metrics),
            capacity,
            obsolete,
            audit_limit: AUDIT_ENTRIES,
            rate: rate.clone(),
        };
        let writer = Writer::start(work).map_err(|error| cannot_start(&error))?;
        let alive = Arc::new(());
        if let Some(subscription) = subscription {
            let follower = Follower {
                subscription,
                log: Arc::clone(&log),
                head,
                freshness: Arc::clone(&freshness),
                writer: writer.queue(),
                alive: Arc::downgrade(&alive),
            };
            follower.start().map_err(|error| cannot_start(&error))?;
        }
        let changes = watch::Sender::new(());
        tokio::spawn(notify(head_changes, changes.clone()));
        let parts = Parts {
            access,
            forbidden: LogLimit::new(),
            metrics,
            capacity,
            resets: Semaphore::new(RESETS_AT_A_TIME),
            polls: Semaphore::new(WAITING_POLLS),
            began: Instant::now(),
            proxies: Proxies::default(),
            rate,
            unauthorized_log: LogLimit::new(),
            log,
            freshness,
            durability: durability_changes,
            writer,
            _alive: alive,
            changes,
            closing: watch::Sender::new(false),
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Closes the service: responds to all waiting polls at once, and to later polls without
    /// waiting.
    pub fn close(&self) {
        self.parts.closing.send_replace(true);
    }

    /// Returns when the service closes, or at once if it is closed.
    pub async fn closed(&self) {
        // An error is impossible: the sender lives as long as `self`.
        let _ = self.parts.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Finishes all writes and closes the store. Blocks.
    pub fn stop(&self) {
        self.close();
        self.parts.writer.stop();
    }

    /// Locks the log for reading. The writer thread waits until the guard is dropped.
    pub(crate) fn log(&self) -> RwLockReadGuard<'_, Log> {
        self.parts.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a batch up to the first record that does not fit. Returns when it is durable. Also
    /// writes each new audit entry to the program's log.
    pub(crate) async fn write(&self, submission: Submission) -> Result<BatchOutcome, Error> {
        if submission.records.is_empty() {
            let position = self.log().head();
            return Ok(BatchOutcome { position, is_new: false, stored: 0, audit: Vec::new() });
        }
        let written = self.parts.writer.write(submission).await?;
        written.audit.iter().for_each(AuditEntry::log);
        Ok(written)
    }

    /// Reads at most `limit` rows of the audit. Returns none only if no rows are left in the range.
    pub(crate) async fn read_audit(
        &self,
        range: AuditRange,
        limit: usize,
    ) -> Result<Vec<AuditRow>, Error> {
        self.parts.writer.read_audit(range, limit).await
    }

    /// Reads from the store what other services have appended.
    pub(crate) async fn catch_up(&self) -> Result<(), Error> {
        self.parts.writer.sync().await
    }

    /// Takes or renews the lease with this name, which only one of the services on this store can
    /// hold. Returns whether the owner holds it now.
    pub(crate) async fn lease(
        &self,
        name: String,
        owner: u64,
        duration: Duration,
    ) -> Result<bool, Error> {
        self.parts.writer.lease(name, owner, duration).await
    }

    /// Returns whether this service knew everything that the store held a few seconds ago.
    pub(crate) fn is_current(&self) -> bool {
        self.parts.freshness.is_current(Instant::now())
    }

    /// Returns whether the store keeps what it acknowledges.
    pub(crate) fn durability(&self) -> Durability {
        self.parts.durability.borrow().clone()
    }

    /// Returns a receiver that changes when waiting polls should check the log again.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.parts.changes.subscribe()
    }

    /// Returns whether the writer thread runs. If it has ended, only a restart of the process
    /// helps.
    pub(crate) fn is_alive(&self) -> bool {
        self.parts.writer.is_alive()
    }

    /// Returns whether this service should receive calls. If not, its writer thread has ended, it
    /// is stopping, or it is not up to date.
    pub(crate) fn is_ready(&self) -> bool {
        self.unready_reason().is_none()
    }

    /// Returns why this service should receive no calls, or `None` if it should.
    pub(crate) fn unready_reason(&self) -> Option<&'static str> {
        if !self.is_alive() {
            Some(WRITER_ENDED)
        } else if *self.parts.closing.borrow() {
            Some("The service is stopping.")
        } else if !self.is_current() {
            Some("The shared store cannot be read, so revocations may be unknown here.")
        } else {
            None
        }
    }
}

/// The reason why a service is not alive.
pub(crate) const WRITER_ENDED: &str = "The writer thread has ended; restart the service.";

/// Notifies all waiting polls together when the head has changed, at most once in
/// [`NOTIFY_INTERVAL`]. During a burst of writes, each proxy therefore receives few responses.
async fn notify(mut head: watch::Receiver<Position>, changes: watch::Sender<()>) {
    while head.changed().await.is_ok() {
        changes.send_replace(());
        tokio::time::sleep(NOTIFY_INTERVAL).await;
    }
}

const NOTIFY_INTERVAL: Duration = Duration::from_millis(10);
