//! How does a batch become durable?
//!
//! One thread owns the store. Whatever waits when it comes round is one commit: the more callers,
//! the more revocations a `fsync` carries. It decides what a batch adds, has the store append it,
//! enters it in the book, and only then answers. A batch that is in the queue is carried out,
//! whether its caller still waits or not.
//!
//! Between two commits the thread sweeps: a bounded look at the set for records that are past, and
//! the removal of rows that nobody needs any more.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use session_guard::revocation::record::{Kind, Record, RecordId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::book::{Book, Entry};
use crate::clock::unix_seconds;
use crate::cursor::Position;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::store::Store;

/// The way to the thread that owns the store.
pub(crate) struct Writer {
    queue: Sender<Message>,
    room: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is durable; its last entry is there.
    Added(Position),
    /// All of it was known; the newest entry is there.
    Known(Position),
}

/// What the thread works on.
pub(crate) struct Work {
    pub(crate) store: Box<dyn Store>,
    pub(crate) book: Arc<RwLock<Book>>,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) capacity: usize,
    /// Rows that nobody needs any more.
    pub(crate) dead: Vec<u64>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(work: Work) -> std::io::Result<Self> {
        let (queue, messages) = channel();
        let thread = std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            Running { work, swept_at: Instant::now(), sweep_from: RecordId::FIRST }.run(&messages)
        })?;
        let room = Arc::new(Semaphore::new(QUEUE_RECORDS));
        Ok(Self { queue, room, thread: Mutex::new(Some(thread)) })
    }

    /// Stores a batch, all or nothing.
    pub(crate) async fn write(&self, records: Vec<Record>) -> Result<Written, Error> {
        let size = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(size).map_err(|_| {
            Error::Busy("Too many revocations are waiting to be stored; try again.")
        })?;
        let (answer, answered) = oneshot::channel();
        let job = Job { records, answer, _room: room };
        self.queue.send(Message::Write(job)).map_err(|_| Error::StoreUnavailable)?;
        answered.await.unwrap_or(Err(Error::StoreUnavailable))
    }

    /// Whether the thread is still there.
    pub(crate) fn is_alive(&self) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Finishes everything that is in the queue, then ends the thread and closes the store.
    pub(crate) fn stop(&self) {
        let _ = self.queue.send(Message::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

enum Message {
    Write(Job),
    Stop,
}

struct Job {
    records: Vec<Record>,
    answer: oneshot::Sender<Result<Written, Error>>,
    _room: OwnedSemaphorePermit,
}

struct Running {
    work: Work,
    swept_at: Instant,
    sweep_from: RecordId,
}

impl Running {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let mut jobs = Vec::new();
            let mut waiting = 0;
            let mut next = messages.recv_timeout(SWEEP_INTERVAL);
            while let Ok(Message::Write(job)) = next {
                waiting += job.records.len();
                jobs.push(job);
                if waiting >= COMMIT_RECORDS {
                    next = Err(RecvTimeoutError::Timeout);
                    break;
                }
                next = messages.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            }
            self.commit(jobs);
            if matches!(next, Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            if self.swept_at.elapsed() >= SWEEP_INTERVAL {
                self.sweep();
            }
        }
    }

    fn commit(&mut self, jobs: Vec<Job>) {
        let (outcomes, entries) = {
            let book = self.work.book.read().unwrap_or_else(PoisonError::into_inner);
            let mut plan = Plan::new(&book, self.work.capacity);
            let outcomes: Vec<_> = jobs.iter().map(|job| plan.add(&job.records)).collect();
            (outcomes, plan.entries)
        };
        let stored = entries.is_empty() || self.store(&entries);
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            let outcome = if stored { outcome } else { Err(Error::StoreUnavailable) };
            let _ = job.answer.send(outcome); // the caller may have gone
        }
    }

    /// Has the store append the entries, then enters them in the book.
    fn store(&mut self, entries: &[Entry]) -> bool {
        let work = &mut self.work;
        let began = Instant::now();
        // As many as are added at least, so that they never pile up.
        let forget = FORGET_ROWS.max(entries.len());
        let forget = work.dead.split_off(work.dead.len().saturating_sub(forget));
        let appended = work.store.append(entries, &forget);
        work.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        work.metrics.store_up.set(i64::from(appended.is_ok()));
        if let Err(error) = appended {
            work.dead.extend(forget);
            tracing::error!(%error, entries = entries.len(), "the store takes nothing");
            return false;
        }
        let head = {
            let mut book = work.book.write().unwrap_or_else(PoisonError::into_inner);
            for entry in entries {
                book.append(*entry, &mut work.dead);
            }
            book.head()
        };
        tracing::debug!(entries = entries.len(), forgotten = forget.len(), "committed");
        if !entries.is_empty() {
            work.head.send_replace(head);
        }
        true
    }

    fn sweep(&mut self) {
        self.swept_at = Instant::now();
        if self.work.dead.len() < FORGET_ROWS {
            let mut book = self.work.book.write().unwrap_or_else(PoisonError::into_inner);
            let (from, now) = (self.sweep_from, unix_seconds());
            self.sweep_from = book.sweep(from, SWEEP_RECORDS, now, &mut self.work.dead);
        }
        if !self.work.dead.is_empty() {
            self.store(&[]);
        }
    }
}

/// What the batches of one commit add to the book.
struct Plan<'a> {
    book: &'a Book,
    added: HashMap<(RecordId, Kind), Record>,
    new_keys: usize,
    capacity: usize,
    head: Position,
    entries: Vec<Entry>,
}

impl<'a> Plan<'a> {
    fn new(book: &'a Book, capacity: usize) -> Self {
        let (added, entries) = (HashMap::new(), Vec::new());
        Self { book, added, new_keys: 0, capacity, head: book.head(), entries }
    }

    /// Adds what is new in a batch, or nothing of it.
    fn add(&mut self, records: &[Record]) -> Result<Written, Error> {
        let unknown = records.iter().map(Record::key).filter(|key| self.find(*key).is_none());
        let new_keys = self.new_keys + unknown.collect::<HashSet<_>>().len();
        if new_keys > self.new_keys && self.book.len() + new_keys > self.capacity {
            return Err(Error::Full);
        }
        // Drawn before anything changes: all or nothing.
        let tags = random_numbers(records.len())?;
        self.new_keys = new_keys;
        let before = self.entries.len();
        for (record, tag) in records.iter().zip(tags) {
            let known = self.find(record.key());
            if known.is_some_and(|known| known.covers(record)) {
                continue;
            }
            let merged = known.map_or(*record, |known| known.merge(*record));
            self.head = Position { sequence: self.head.sequence + 1, tag };
            self.added.insert(merged.key(), merged);
            self.entries.push(Entry { position: self.head, record: Some(merged) });
        }
        let added = self.entries.len() > before;
        Ok(if added { Written::Added(self.head) } else { Written::Known(self.head) })
    }

    fn find(&self, key: (RecordId, Kind)) -> Option<Record> {
        self.added.get(&key).copied().or_else(|| self.book.find(key))
    }
}

/// Tags for that many entries.
pub(crate) fn random_numbers(count: usize) -> Result<impl Iterator<Item = u64>, Error> {
    let mut bytes = vec![0; count * 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random numbers");
        Error::StoreUnavailable
    })?;
    let (numbers, _) = bytes.as_chunks::<8>();
    Ok(numbers.iter().map(|number| u64::from_be_bytes(*number)).collect::<Vec<_>>().into_iter())
}

/// Records that may wait to be stored: some seconds of work, and 10 MB.
const QUEUE_RECORDS: usize = 200_000;

/// Records after which a commit waits for no more: what follows is another commit.
const COMMIT_RECORDS: usize = 20_000;

/// Rows that a commit which adds fewer removes at most: each may lie on another page of the file.
const FORGET_ROWS: usize = 2_000;

/// Records that one sweep looks at: a millisecond; 10 million are swept in eight minutes.
const SWEEP_RECORDS: usize = 20_000;

const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "writer/tests.rs"]
mod tests;
