//! Writer: the thread that makes batches durable.
//!
//! One thread owns the store. When it is ready, it takes all waiting batches into one commit, so
//! with more callers each `fsync` makes more revocations durable. The thread plans the entries,
//! appends them to the store and then to the log, and only then responds to the callers. It stores
//! every batch in the queue, even if the caller has disconnected.
//!
//! Between two commits the thread deletes expired records in small steps, and rows that are no
//! longer needed.
//!
//! A shared store is called even if a batch adds nothing, because a record may be acknowledged only
//! if the store has it now. If the store has lost records that this service knows, the thread
//! stores them again and then retries the batch.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use session_guard_core::revocation::record::RecordId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::accounts::Accounts;
use crate::audit::{AuditEntry, AuditKey, AuditRange, AuditRow};
use crate::capacity::Capacity;
use crate::clock::{unix_milliseconds, unix_seconds};
use crate::entry::Position;
use crate::error::Error;
use crate::freshness::Freshness;
use crate::log::{Log, is_obsolete};
use crate::metrics::ServiceMetrics;
use crate::plan::{BatchOutcome, COMMIT_RECORDS, Plan, Submission};
use crate::rate::RevocationRate;
use crate::recovery;
use crate::store::{Additions, AppendReason, Appended, Durability, Obsolete, Store, StoreError};

/// A client of the writer thread.
pub(crate) struct Writer {
    queue: Sender<Message>,
    room: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The state that the thread owns or shares.
pub(crate) struct Work {
    pub(crate) store: Box<dyn Store>,
    pub(crate) log: Arc<RwLock<Log>>,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) metrics: Arc<ServiceMetrics>,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) durability: watch::Sender<Durability>,
    /// Whether other services write to the store.
    pub(crate) is_shared: bool,
    pub(crate) capacity: Capacity,
    /// Rows and records that may be deleted from the store.
    pub(crate) obsolete: Obsolete,
    /// Number of audit entries that the store keeps.
    pub(crate) audit_limit: usize,
    pub(crate) rate: RevocationRate,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(work: Work) -> std::io::Result<Self> {
        let (queue, messages) = channel();
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let accounts = Accounts::default();
            let now = Instant::now();
            let thread = WriterThread {
                work,
                accounts,
                swept_at: now,
                sweep_from: RecordId::FIRST,
                audit_sweep_from: AuditKey::FIRST,
                audit_sweep_at: now,
                checked_at: now,
            };
            thread.run(&messages);
        })?;
        let room = Arc::new(Semaphore::new(QUEUE_RECORDS));
        Ok(Self { queue, room, thread: Mutex::new(Some(thread)) })
    }

    /// Stores a batch up to the first record that does not fit. Returns when these records are
    /// durable. They are stored together or not at all.
    pub(crate) async fn write(&self, submission: Submission) -> Result<BatchOutcome, Error> {
        let size = u32::try_from(submission.records.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(size).map_err(|_| {
            Error::Busy("Too many revocations are waiting to be stored; try again.")
        })?;
        self.ask(|response| Message::Write(Job { submission, response, _room: room })).await
    }

    /// Checks that the store holds the newest entry of the log, and reads the entries that other
    /// services have appended.
    pub(crate) async fn sync(&self) -> Result<(), Error> {
        self.ask(Message::Sync).await
    }

    /// Takes or renews a lease in the store, and returns whether the owner has it now.
    pub(crate) async fn lease(
        &self,
        name: String,
        owner: u64,
        duration: Duration,
    ) -> Result<bool, Error> {
        self.ask(|response| Message::Lease { name, owner, duration, response }).await
    }

    /// Reads at most `limit` rows of the audit.
    pub(crate) async fn read_audit(
        &self,
        range: AuditRange,
        limit: usize,
    ) -> Result<Vec<AuditRow>, Error> {
        self.ask(|response| Message::ReadAudit { range, limit, response }).await
    }

    /// Sends a message to the thread, and returns its response.
    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Message,
    ) -> Result<T, Error> {
        let (response, responded) = oneshot::channel();
        self.queue.send(message(response)).map_err(|_| Error::StoreUnavailable)?;
        responded.await.unwrap_or(Err(Error::StoreUnavailable))
    }

    /// Returns a sender of messages to the thread.
    pub(crate) fn queue(&self) -> Sender<Message> {
        self.queue.clone()
    }

    /// Returns whether the thread runs.
    pub(crate) fn is_alive(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Finishes everything in the queue, ends the thread and closes the store.
    pub(crate) fn stop(&self) {
        let _ = self.queue.send(Message::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

/// A message to the thread.
pub(crate) enum Message {
    /// Store a batch.
    Write(Job),
    /// Check that the store holds the newest entry of the log, and read the entries of other
    /// services.
    Sync(oneshot::Sender<Result<(), Error>>),
    /// Take or renew a lease.
    Lease {
        name: String,
        owner: u64,
        duration: Duration,
        response: oneshot::Sender<Result<bool, Error>>,
    },
    /// Read a part of the audit.
    ReadAudit {
        range: AuditRange,
        limit: usize,
        response: oneshot::Sender<Result<Vec<AuditRow>, Error>>,
    },
    /// Process the messages before this one, and end.
    Stop,
}

/// A batch, and the caller that waits for it.
pub(crate) struct Job {
    submission: Submission,
    response: oneshot::Sender<Result<BatchOutcome, Error>>,
    _room: OwnedSemaphorePermit,
}

struct WriterThread {
    work: Work,
    accounts: Accounts,
    swept_at: Instant,
    sweep_from: RecordId,
    audit_sweep_from: AuditKey,
    audit_sweep_at: Instant,
    checked_at: Instant,
}

impl WriterThread {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let (mut jobs, mut syncs) = (Vec::new(), Vec::new());
            let mut waiting = 0;
            let mut next = messages.recv_timeout(SWEEP_INTERVAL);
            loop {
                match next {
                    Ok(Message::Write(job)) => {
                        waiting += job.submission.records.len();
                        jobs.push(job);
                    }
                    Ok(Message::Sync(response)) => syncs.push(response),
                    Ok(Message::Lease { name, owner, duration, response }) => {
                        let lease = self.work.store.lease(&name, owner, duration);
                        // A failed send means that the caller has disconnected.
                        let _ = response.send(lease.map_err(|_| Error::StoreUnavailable));
                    }
                    Ok(Message::ReadAudit { range, limit, response }) => {
                        let rows = self.work.store.read_audit(range, limit);
                        let _ = response.send(rows.map_err(|_| Error::StoreUnreachable));
                    }
                    Ok(Message::Stop) | Err(_) => break,
                }
                if waiting >= COMMIT_RECORDS {
                    next = Err(RecvTimeoutError::Timeout);
                    break;
                }
                next = messages.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            }
            if !jobs.is_empty() || !syncs.is_empty() {
                self.commit(jobs, syncs);
            }
            if matches!(next, Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            if self.swept_at.elapsed() >= SWEEP_INTERVAL {
                self.sweep();
            }
            if self.checked_at.elapsed() >= CHECK_INTERVAL {
                self.work.store.check();
                self.publish_durability();
                self.checked_at = Instant::now();
            }
        }
    }

    fn commit(&mut self, jobs: Vec<Job>, syncs: Vec<oneshot::Sender<Result<(), Error>>>) {
        let outcomes = self.write(&jobs).or_else(|error| {
            if !error.is_lost() {
                return Err(error);
            }
            self.restore(&error)?;
            self.write(&jobs)
        });
        let (outcomes, synced) = match outcomes {
            Ok(outcomes) => (outcomes.into_iter().map(Ok).collect(), Ok(())),
            Err(error) => {
                tracing::error!(
                    %error,
                    batches = jobs.len(),
                    "append to the store failed: the revocations got 503, and proxies send them \
                     again; check the store"
                );
                let rejection = match error.refusal() {
                    Some(problem) => Error::StoreNotDurable(problem.to_owned()),
                    None => Error::StoreUnavailable,
                };
                // While the store refuses to acknowledge, reading other services' entries still
                // works.
                let synced = match error.refusal() {
                    Some(_) if !syncs.is_empty() => self.write(&[]).map(|_| ()),
                    _ => Err(error),
                };
                let failed: Vec<_> = jobs.iter().map(|_| Err(rejection.clone())).collect();
                (failed, synced.map_err(|_| Error::StoreUnavailable))
            }
        };
        // A failed send means that the caller has disconnected.
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            let _ = job.response.send(outcome);
        }
        for response in syncs {
            let _ = response.send(synced.clone());
        }
    }

    /// Stores the new records of the batches, and returns the outcome of each batch.
    fn write(&mut self, jobs: &[Job]) -> Result<Vec<BatchOutcome>, StoreError> {
        let (known, mut outcomes, entries) = {
            let log = self.work.log.read().unwrap_or_else(PoisonError::into_inner);
            let mut plan = Plan::new(&log, self.work.capacity);
            let now = unix_milliseconds();
            let add = |job: &Job| plan.add(&job.submission, &mut self.accounts, now);
            let outcomes = jobs.iter().map(add).collect::<Result<Vec<_>, _>>();
            let outcomes = outcomes.map_err(|error| StoreError::new("no random numbers", error))?;
            self.work.metrics.cut_off_accounts.inc_by(plan.cut_off());
            (log.head(), outcomes, plan.into_entries())
        };
        if entries.is_empty() && !self.work.is_shared {
            return Ok(outcomes);
        }
        let purpose =
            if jobs.is_empty() { AppendReason::Maintain } else { AppendReason::Acknowledge };
        let audit = outcomes.iter().flat_map(|outcome| &outcome.audit);
        let audit = audit.map(AuditEntry::row).take(self.work.audit_limit).collect::<Vec<_>>();
        let audit_limit = self.work.audit_limit;
        let new = Additions { entries: &entries, audit: &audit, audit_limit };
        if let Some(head) = self.append(known, new, purpose)? {
            outcomes.iter_mut().for_each(|written| written.position = head);
        }
        Ok(outcomes)
    }

    /// Appends the entries to the store and then to the log. Returns the new head if other services
    /// have appended entries too.
    fn append(
        &mut self,
        known: Position,
        additions: Additions<'_>,
        purpose: AppendReason,
    ) -> Result<Option<Position>, StoreError> {
        let began = Instant::now();
        let work = &mut self.work;
        // Deletes at least as many rows as it adds, so that obsolete rows never accumulate.
        let obsolete = work.obsolete.take(DELETED_ROWS.max(additions.entries.len()));
        let appended = work.store.append(known, additions, &obsolete, purpose);
        work.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        work.metrics.store_up.set(i64::from(appended.is_ok()));
        self.publish_durability();
        let work = &mut self.work;
        let appended = match appended {
            Ok(appended) => appended,
            Err(error) => {
                work.obsolete.extend(obsolete);
                return Err(error);
            }
        };
        let new = match &appended {
            Appended::AsGiven => additions.entries,
            Appended::Instead(entries) => entries,
        };
        let head = {
            let mut log = work.log.write().unwrap_or_else(PoisonError::into_inner);
            if !log.append_after(known, new, &mut work.obsolete) {
                return Err(StoreError::lost("the store", "its log is a different one"));
            }
            log.head()
        };
        work.freshness.confirm(began);
        tracing::debug!(entries = new.len(), deleted = obsolete.len(), "committed");
        if !new.is_empty() {
            work.head.send_replace(head);
        }
        Ok((appended != Appended::AsGiven).then_some(head))
    }

    /// Reads a store that has lost entries, and stores again the records that it lacks.
    fn restore(&mut self, reason: &StoreError) -> Result<(), StoreError> {
        let work = &mut self.work;
        work.metrics.store_losses.inc();
        tracing::error!(%reason, "the store has lost entries; restoring them from memory");
        let began = Instant::now();
        let (mut log, mut obsolete) = recovery::read(work.store.as_mut())?;
        let restored = {
            let old = work.log.read().unwrap_or_else(PoisonError::into_inner);
            let (store, purpose) = (work.store.as_mut(), AppendReason::Maintain);
            recovery::restore(store, &old, &mut log, &mut obsolete, purpose, &mut |_, _| {})?
        };
        let head = log.head();
        *work.log.write().unwrap_or_else(PoisonError::into_inner) = log;
        work.obsolete = obsolete;
        work.freshness.confirm(began);
        work.head.send_replace(head);
        tracing::warn!(records = restored, "the store is complete again");
        Ok(())
    }

    fn publish_durability(&self) {
        let durability = self.work.store.durability();
        self.work.metrics.store_durable.set(i64::from(durability.problem().is_none()));
        self.work.durability.send_if_modified(|known| {
            let is_changed = *known != durability;
            *known = durability;
            is_changed
        });
    }

    fn sweep(&mut self) {
        self.swept_at = Instant::now();
        let head = self.work.log.read().unwrap_or_else(PoisonError::into_inner).head();
        self.work.rate.note(head.sequence);
        if self.work.obsolete.len() < DELETED_ROWS {
            let mut log = self.work.log.write().unwrap_or_else(PoisonError::into_inner);
            let (from, now) = (self.sweep_from, unix_seconds());
            self.sweep_from = log.sweep(from, SWEEP_RECORDS, now, &mut self.work.obsolete);
        }
        if self.audit_sweep_at <= self.swept_at && self.work.obsolete.audit.is_empty() {
            self.sweep_audit();
        }
        if !self.work.obsolete.is_empty() {
            let known = self.work.log.read().unwrap_or_else(PoisonError::into_inner).head();
            if let Err(error) = self.append(known, Additions::from(&[][..]), AppendReason::Maintain)
            {
                tracing::error!(
                    %error,
                    "deleting expired rows failed: the store grows until it succeeds; check the store"
                );
            }
        }
    }

    /// Examines the next [`AUDIT_SWEEP_ROWS`] audit entries, and marks those for deletion whose
    /// revocations have all expired. The next append deletes the marked entries.
    fn sweep_audit(&mut self) {
        let range = AuditRange::After(self.audit_sweep_from);
        let rows = self.work.store.read_audit(range, AUDIT_SWEEP_ROWS).unwrap_or_default();
        let Some(last) = rows.last() else {
            self.audit_sweep_from = AuditKey::FIRST;
            self.audit_sweep_at = self.swept_at + AUDIT_SWEEP_PAUSE;
            return;
        };
        self.audit_sweep_from = last.key;
        let now = unix_seconds();
        let is_past = |entry: &AuditEntry| is_obsolete(entry.exp, now);
        let past = rows.iter().filter_map(AuditEntry::of_row).filter(is_past);
        self.work.obsolete.audit.extend(past.map(|entry| entry.key));
    }
}

/// Number of audit entries that one sweep examines. A sweep of a million takes half an hour.
const AUDIT_SWEEP_ROWS: usize = 500;

/// Pause after all audit entries were examined.
const AUDIT_SWEEP_PAUSE: Duration = Duration::from_secs(600);

/// The maximum number of records that may wait to be stored: some seconds of work, and 10 MB of
/// memory.
const QUEUE_RECORDS: usize = 200_000;

/// Number of rows that a commit may delete even if it adds fewer. Each may lie on a different page
/// of the file.
const DELETED_ROWS: usize = 2_000;

/// Number of records that one sweep examines, in about a millisecond. Sweeping 10 million records
/// takes eight minutes.
const SWEEP_RECORDS: usize = 20_000;

/// Time between two sweeps.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two checks of the store's durability.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
