//! How does a batch become durable?
//!
//! One thread writes to the store. Whatever waits when it comes round is one commit: the more callers,
//! the more revocations a `fsync` carries. It decides what a batch adds, has the store append it,
//! enters it in the book, and only then answers. A batch that is in the queue is carried out,
//! whether its caller still waits or not.
//!
//! Between two commits the thread sweeps: a bounded look at the set for records that are past, and
//! the removal of what nobody needs any more.
//!
//! A store that several services share is asked even where a batch adds nothing: only what it holds
//! now may be acknowledged. Should it have lost what we know, it gets it back, and the batch is tried
//! again.

use std::collections::{HashMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use session_guard_core::revocation::record::{Kind, Record, RecordId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::book::{Book, Entry};
use crate::clock::unix_seconds;
use crate::currency::Currency;
use crate::cursor::Position;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::reading;
use crate::store::{Appended, Forget, Store, StoreError};

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
    pub(crate) currency: Arc<Currency>,
    /// Whether others write to the store as well.
    pub(crate) is_shared: bool,
    pub(crate) capacity: usize,
    /// What nobody needs any more.
    pub(crate) dead: Forget,
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

    /// Asks the store whether it holds what we know, and for what others have appended.
    pub(crate) async fn ask(&self) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Message::Ask(answer)).map_err(|_| Error::StoreUnavailable)?;
        answered.await.unwrap_or(Err(Error::StoreUnavailable))
    }

    /// A way to the thread for others.
    pub(crate) fn queue(&self) -> Sender<Message> {
        self.queue.clone()
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

/// What the thread is told.
pub(crate) enum Message {
    /// Store a batch.
    Write(Job),
    /// Look whether the store holds what we know, and what others have appended.
    Ask(oneshot::Sender<Result<(), Error>>),
    /// Finish and end.
    Stop,
}

/// A batch and who waits for it.
pub(crate) struct Job {
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
            let (mut jobs, mut asked) = (Vec::new(), Vec::new());
            let mut waiting = 0;
            let mut next = messages.recv_timeout(SWEEP_INTERVAL);
            loop {
                match next {
                    Ok(Message::Write(job)) => {
                        waiting += job.records.len();
                        jobs.push(job);
                    }
                    Ok(Message::Ask(answer)) => asked.push(answer),
                    Ok(Message::Stop) | Err(_) => break,
                }
                if waiting >= COMMIT_RECORDS {
                    next = Err(RecvTimeoutError::Timeout);
                    break;
                }
                next = messages.try_recv().map_err(|_| RecvTimeoutError::Timeout);
            }
            if !jobs.is_empty() || !asked.is_empty() {
                self.commit(jobs, asked);
            }
            if matches!(next, Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            if self.swept_at.elapsed() >= SWEEP_INTERVAL {
                self.sweep();
            }
        }
    }

    fn commit(&mut self, jobs: Vec<Job>, asked: Vec<oneshot::Sender<Result<(), Error>>>) {
        let outcomes = self.carry_out(&jobs).or_else(|error| {
            if !error.is_lost() {
                return Err(error);
            }
            self.restore(&error)?;
            self.carry_out(&jobs)
        });
        let (outcomes, asked_for) = match outcomes {
            Ok(outcomes) => (outcomes, Ok(())),
            Err(error) => {
                tracing::error!(%error, batches = jobs.len(), "the store takes nothing");
                let none = jobs.iter().map(|_| Err(Error::StoreUnavailable)).collect();
                (none, Err(Error::StoreUnavailable))
            }
        };
        // The callers may have gone.
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            let _ = job.answer.send(outcome);
        }
        for answer in asked {
            let _ = answer.send(asked_for.clone());
        }
    }

    /// Stores what is new in the batches; what became of each.
    fn carry_out(&mut self, jobs: &[Job]) -> Result<Vec<Result<Written, Error>>, StoreError> {
        let (known, mut outcomes, entries) = {
            let book = self.work.book.read().unwrap_or_else(PoisonError::into_inner);
            let mut plan = Plan::new(&book, self.work.capacity);
            let outcomes: Vec<_> = jobs.iter().map(|job| plan.add(&job.records)).collect();
            (book.head(), outcomes, plan.into_entries())
        };
        if entries.is_empty() && !self.work.is_shared {
            return Ok(outcomes);
        }
        if let Some(head) = self.store(known, &entries)? {
            for written in outcomes.iter_mut().flatten() {
                match written {
                    Written::Added(position) | Written::Known(position) => *position = head,
                }
            }
        }
        Ok(outcomes)
    }

    /// Has the store append the entries, then enters them in the book. The new head, where others
    /// have appended as well.
    fn store(
        &mut self,
        known: Position,
        entries: &[Entry],
    ) -> Result<Option<Position>, StoreError> {
        let work = &mut self.work;
        let began = Instant::now();
        // As many as are added at least, so that they never pile up.
        let forget = work.dead.take(FORGET_ROWS.max(entries.len()));
        let appended = work.store.append(known, entries, &forget);
        work.metrics.commit_seconds.observe(began.elapsed().as_secs_f64());
        work.metrics.store_up.set(i64::from(appended.is_ok()));
        work.metrics.store_durable.set(i64::from(work.store.is_durable()));
        let appended = match appended {
            Ok(appended) => appended,
            Err(error) => {
                work.dead.extend(forget);
                return Err(error);
            }
        };
        let news = match &appended {
            Appended::AsGiven => entries,
            Appended::Instead(news) => news,
        };
        let head = {
            let mut book = work.book.write().unwrap_or_else(PoisonError::into_inner);
            if !book.follow(known, news, &mut work.dead) {
                return Err(StoreError::lost("the store", "its log is another one"));
            }
            book.head()
        };
        work.currency.prove(began);
        tracing::debug!(entries = news.len(), forgotten = forget.len(), "committed");
        if !news.is_empty() {
            work.head.send_replace(head);
        }
        Ok((appended != Appended::AsGiven).then_some(head))
    }

    /// Reads a store anew that has lost what we know, and gives it back.
    fn restore(&mut self, why: &StoreError) -> Result<(), StoreError> {
        let work = &mut self.work;
        work.metrics.store_losses.inc();
        tracing::error!(%why, "the store has lost entries; it is read anew");
        let began = Instant::now();
        let (mut book, mut dead) = reading::read(work.store.as_mut())?;
        let given_back = {
            let old = work.book.read().unwrap_or_else(PoisonError::into_inner);
            reading::give_back(work.store.as_mut(), &old, &mut book, &mut dead, &mut |_, _| {})?
        };
        let head = book.head();
        *work.book.write().unwrap_or_else(PoisonError::into_inner) = book;
        work.dead = dead;
        work.currency.prove(began);
        work.head.send_replace(head);
        tracing::warn!(records = given_back, "the store has got back what it had lost");
        Ok(())
    }

    fn sweep(&mut self) {
        self.swept_at = Instant::now();
        if self.work.dead.len() < FORGET_ROWS {
            let mut book = self.work.book.write().unwrap_or_else(PoisonError::into_inner);
            let (from, now) = (self.sweep_from, unix_seconds());
            self.sweep_from = book.sweep(from, SWEEP_RECORDS, now, &mut self.work.dead);
        }
        if !self.work.dead.is_empty() {
            let known = self.work.book.read().unwrap_or_else(PoisonError::into_inner).head();
            if let Err(error) = self.store(known, &[]) {
                tracing::error!(%error, "the store forgets nothing");
            }
        }
    }
}

/// What the batches of one commit add to the book.
pub(crate) struct Plan<'a> {
    book: &'a Book,
    added: HashMap<(RecordId, Kind), Record>,
    new_keys: usize,
    capacity: usize,
    head: Position,
    entries: Vec<Entry>,
}

impl<'a> Plan<'a> {
    /// Nothing so far.
    pub(crate) fn new(book: &'a Book, capacity: usize) -> Self {
        let (added, entries) = (HashMap::new(), Vec::new());
        Self { book, added, new_keys: 0, capacity, head: book.head(), entries }
    }

    /// Adds what is new in a batch, or nothing of it.
    pub(crate) fn add(&mut self, records: &[Record]) -> Result<Written, Error> {
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

    /// The entries that were added.
    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
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
pub(crate) const COMMIT_RECORDS: usize = 20_000;

/// Rows that a commit which adds fewer removes at most: each may lie on another page of the file.
const FORGET_ROWS: usize = 2_000;

/// Records that one sweep looks at: a millisecond; 10 million are swept in eight minutes.
const SWEEP_RECORDS: usize = 20_000;

const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "writer/tests.rs"]
mod tests;
