//! The Redis store: a Redis or Valkey that several services share.
//!
//! Two keys have one hash tag: `records`, a hash of the set, and `log`, a stream of its last changes.
//! One script call (`append.lua`) per batch merges records by maximum and appends what has changed.
//! Services therefore never wait for each other, and the order of their batches does not matter. Each
//! service follows the stream with a blocking read on its own connection.
//!
//! # How a loss is detected
//!
//! An entry carries its own random tag and that of the previous entry. A service that reads the
//! entries after a known one compares the first of them with it; a service that reads nothing asks
//! for the last entry. Therefore a Redis that was emptied, restored, or failed over to a replica that
//! was behind is detected at the next write or within a second, even if sequence numbers agree.
//!
//! The log itself may be broken: when Redis loads an append-only file that ends within a transaction,
//! it may keep the torn half and execute it at the next load. The hash is not harmed, but the chain
//! of entries is. Then a new log is started.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value, cmd, from_redis_value};
use session_guard_core::revocation::record::{RECORD_BYTES, Record};

use self::link::Connected;
use super::{Appended, NextEntries, Obsolete, Row, Store, StoreError, Subscription};
use crate::entry::{Entry, LOG_ENTRIES, Position};
use crate::random::random_number;

mod link;

pub use link::{Check, Link, Wait};

/// A Redis that several services may share.
pub struct Redis {
    link: Arc<Link>,
    wait: Wait,
    connection: Option<Connected>,
    is_durable: bool,
}

impl Redis {
    /// Connects, and looks whether the server keeps what it is given.
    ///
    /// # Errors
    ///
    /// It cannot be reached, lacks what `wait` asks for, or does not keep what it is given and
    /// `check` says to refuse that.
    pub fn open(link: Link, check: Check, wait: Wait) -> Result<Self, StoreError> {
        let wanted = wait != Wait::default();
        if wanted && link.is_cluster() {
            let why = "in a Cluster WAIT does not say which node is meant; \
                set min-replicas-to-write on its nodes instead";
            return Err(StoreError::new(link.name(), why));
        }
        let mut store = Self { link: Arc::new(link), wait, connection: None, is_durable: false };
        let lapses = store.connect()?;
        if check == Check::Refuse && !lapses.is_empty() {
            let why = format!("{} (or start with --redis-check warn)", lapses.join("; and "));
            return Err(StoreError::new(store.link.name(), why));
        }
        if wait.fsync {
            let asked = store.run::<Value>(cmd("WAITAOF").arg(0).arg(0).arg(1));
            let needs = "--redis-wait-fsync needs WAITAOF: Redis 7.2 or later, or Valkey";
            asked.map_err(|error| StoreError::new(error, needs))?;
        }
        Ok(store)
    }

    /// Makes a new connection and answers what is wrong with the server's settings.
    fn connect(&mut self) -> Result<Vec<String>, StoreError> {
        let name = self.link.name();
        let failed = |error| StoreError::new(name, error);
        let mut connection = self.link.connect(ANSWER_TIMEOUT).map_err(failed)?;
        let lapses = link::lapses(&mut connection, RECORDS).map_err(failed)?;
        for lapse in &lapses {
            tracing::error!(store = name, "revocations may be lost: {lapse}");
        }
        self.is_durable = lapses.is_empty();
        self.connection = Some(connection);
        Ok(lapses)
    }

    /// Has a command carried out; after an error the next one makes a new connection.
    fn run<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, StoreError> {
        if self.connection.is_none() {
            self.connect()?;
        }
        let name = self.link.name();
        let mut connection =
            self.connection.take().ok_or_else(|| StoreError::new(name, "not connected"))?;
        let value = connection.query(command).map_err(|error| failure(name, error))?;
        self.connection = Some(connection);
        Ok(value)
    }

    /// Runs the script; the last entry before it, and how many entries it has added.
    fn call(
        &mut self,
        known: Option<Position>,
        first_tag: u64,
        entries: &[Entry],
        obsolete: &[Record],
        broken: Option<u64>,
    ) -> Result<(Position, usize), StoreError> {
        let (sequence, tag) = known.map_or((0, 0), |known| (known.sequence, known.tag));
        let mut new = Vec::with_capacity(entries.len() * (8 + RECORD_BYTES));
        for entry in entries {
            let Some(record) = entry.record else { continue };
            new.extend(entry.position.tag.to_be_bytes());
            new.extend(record.to_bytes());
        }
        let past: Vec<_> = obsolete.iter().flat_map(|record| record.to_bytes()).collect();
        let mut script = cmd("EVAL");
        script.arg(APPEND).arg(2).arg(RECORDS).arg(LOG).arg(FORMAT);
        script.arg(sequence).arg(&tag.to_be_bytes()).arg(&first_tag.to_be_bytes());
        script.arg(new).arg(past).arg(LOG_ENTRIES).arg(u8::from(self.wait != Wait::default()));
        script.arg(broken.map_or(Vec::new(), |tag| tag.to_be_bytes().to_vec()));
        let (sequence, tag, added): (u64, Vec<u8>, usize) = self.run(&script)?;
        let tag = tag.try_into().map_err(|_| self.damaged("the last entry"))?;
        Ok((Position { sequence, tag: u64::from_be_bytes(tag) }, added))
    }

    /// Waits until everybody has it who must, or fails.
    fn wait(&mut self) -> Result<(), StoreError> {
        let Wait { replicas, fsync } = self.wait;
        if fsync {
            let (here, there): (u32, u32) =
                self.run(cmd("WAITAOF").arg(1).arg(replicas).arg(WAIT_TIMEOUT_MS))?;
            if here < 1 || there < replicas {
                let why = format!("on {here} disks here and {there} of {replicas} elsewhere");
                return Err(StoreError::new(self.link.name(), why));
            }
        } else if replicas > 0 {
            let there: u32 = self.run(cmd("WAIT").arg(replicas).arg(WAIT_TIMEOUT_MS))?;
            if there < replicas {
                let why = format!("only {there} of {replicas} replicas have it");
                return Err(StoreError::new(self.link.name(), why));
            }
        }
        Ok(())
    }

    /// The entries of the log from that place on (`-`: the first), a page at most.
    fn entries_from(&mut self, from: &str) -> Result<Vec<Linked>, StoreError> {
        let rows: Vec<RawEntry> =
            self.run(cmd("XRANGE").arg(LOG).arg(from).arg("+").arg("COUNT").arg(PAGE))?;
        decode_all(&rows).ok_or_else(|| self.damaged("the log"))
    }

    /// All entries after that one.
    fn entries_after(&mut self, mut known: Position) -> Result<Vec<Entry>, StoreError> {
        let mut all = Vec::new();
        loop {
            let page = self.entries_from(&format!("({}-0", known.sequence))?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(chained(self.link.name(), known, page)?);
            known = all.last().map_or(known, |entry| entry.position);
        }
    }

    /// Begins a log anew whose entries do not follow each other, unless somebody else has done so:
    /// the hash has everything.
    fn begin_anew(&mut self) -> Result<(), StoreError> {
        let last: Vec<RawEntry> =
            self.run(cmd("XREVRANGE").arg(LOG).arg(&["+", "-", "COUNT", "1"]))?;
        let last = decode_all(&last).and_then(|mut last| last.pop());
        let Some(last) = last else { return Ok(()) };
        tracing::error!(store = self.link.name(), "the log is broken and begun anew");
        let tag = random_number().map_err(|error| StoreError::new(self.link.name(), error))?;
        self.call(None, tag, &[], &[], Some(last.entry.position.tag)).map(|_| ())
    }

    /// Every record that the hash holds.
    fn read_records(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), StoreError> {
        let mut cursor = "0".to_owned();
        loop {
            let (next, fields): (String, RawFields) =
                self.run(cmd("HSCAN").arg(RECORDS).arg(&cursor).arg("COUNT").arg(PAGE))?;
            for (key, value) in fields {
                if key == b"format" {
                    continue;
                }
                let bytes = <[u8; RECORD_BYTES]>::try_from([key, value].concat()).ok();
                let record = bytes.and_then(|bytes| Record::from_bytes(&bytes));
                each(Row::Record(record.ok_or_else(|| self.damaged("a record"))?));
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::new(self.link.name(), format!("{what} is damaged, or another program's"))
    }
}

impl Store for Redis {
    fn begin(&mut self, tag: u64) -> Result<(), StoreError> {
        // A log without its hash: somebody deleted it, or memory ran short. What the log still
        // tells is entered again, in a new log, so that everybody who knew more says so.
        let has_hash: bool = self.run(cmd("HEXISTS").arg(RECORDS).arg("format"))?;
        let mut rest = Vec::new();
        if !has_hash {
            let mut page = self.entries_from("-")?;
            while let Some(last) = page.last() {
                let from = format!("({}-0", last.entry.position.sequence);
                rest.extend(page.into_iter().map(|linked| linked.entry));
                page = self.entries_from(&from)?;
            }
        }
        self.call(None, tag, &rest, &[], None).map(|_| ())
    }

    fn read_all(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), StoreError> {
        let first = self.entries_from("-")?.into_iter().next();
        let first = first.ok_or_else(|| StoreError::lost(self.link.name(), "its log is gone"))?;
        let mut last = first.entry.position;
        each(Row::Entry(first.entry));
        // The log first: a record that is in both is then known by its entry. And the log last:
        // what came while the set was read.
        for is_end in [false, true] {
            let entries = match self.entries_after(last) {
                Err(error) if error.is_lost() => {
                    self.begin_anew()?;
                    return Err(error);
                }
                entries => entries?,
            };
            for entry in entries {
                last = entry.position;
                each(Row::Entry(entry));
            }
            if !is_end {
                self.read_records(each)?;
            }
        }
        self.call(Some(last), 0, &[], &[], None).map(|_| ())
    }

    fn append(
        &mut self,
        known: Position,
        entries: &[Entry],
        obsolete: &Obsolete,
    ) -> Result<Appended, StoreError> {
        let (before, added) = self.call(Some(known), 0, entries, &obsolete.records, None)?;
        self.wait()?;
        if before == known && added == entries.len() {
            return Ok(Appended::AsGiven);
        }
        let entries = self.entries_after(known)?;
        let last = entries.last().map_or(known.sequence, |entry| entry.position.sequence);
        if last < before.sequence + added as u64 {
            return Err(StoreError::lost(self.link.name(), "what was just written is gone"));
        }
        Ok(Appended::Instead(entries))
    }

    fn subscribe(&self) -> Option<Box<dyn Subscription>> {
        Some(Box::new(StreamReader { link: Arc::clone(&self.link), connection: None }))
    }

    fn is_durable(&self) -> bool {
        self.is_durable
    }
}

struct StreamReader {
    link: Arc<Link>,
    connection: Option<Connected>,
}

impl Subscription for StreamReader {
    fn next(&mut self, known: Position) -> Result<NextEntries, StoreError> {
        let name = self.link.name();
        let failed = |error| failure(name, error);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.link.connect(FOLLOW_TIMEOUT).map_err(failed)?,
        };
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(PAGE).arg("BLOCK").arg(BLOCK_MS);
        read.arg("STREAMS").arg(LOG).arg(format!("{}-0", known.sequence));
        let read: Value = connection.query(&read).map_err(failed)?;
        let damaged = || StoreError::new(name, "the log is damaged, or another program's");
        let linked = stream_of(read).and_then(|rows| decode_all(&rows)).ok_or_else(damaged)?;
        let followed = if linked.is_empty() {
            let last = cmd("XREVRANGE").arg(LOG).arg(&["+", "-", "COUNT", "1"]).to_owned();
            let last: Vec<RawEntry> = connection.query(&last).map_err(failed)?;
            let last = decode_all(&last).ok_or_else(damaged)?.pop().map(|last| last.entry.position);
            match last {
                Some(last) if last == known => NextEntries { entries: Vec::new(), is_all: true },
                // Something has come since; the next read shows whether it follows ours.
                Some(last) if last.sequence > known.sequence => {
                    NextEntries { entries: Vec::new(), is_all: false }
                }
                _ => return Err(StoreError::lost(name, "it no longer has its last entry")),
            }
        } else {
            let is_all = linked.len() < PAGE;
            NextEntries { entries: chained(name, known, linked)?, is_all }
        };
        self.connection = Some(connection);
        Ok(followed)
    }
}

/// An entry, and the tag of the one before it.
struct Linked {
    entry: Entry,
    before: u64,
}

/// The id of an entry, its field's name and value.
type RawEntry = (String, Vec<Vec<u8>>);

/// Names and values of a hash.
type RawFields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode_all(rows: &[RawEntry]) -> Option<Vec<Linked>> {
    rows.iter().map(|(id, fields)| decode(id, fields)).collect()
}

fn decode(id: &str, fields: &[Vec<u8>]) -> Option<Linked> {
    let sequence = id.strip_suffix("-0")?.parse().ok()?;
    let [_, value] = fields else { return None };
    let (&tag, rest) = value.split_first_chunk()?;
    let (&before, rest) = rest.split_first_chunk()?;
    let record = match rest {
        [] => None,
        rest => Some(Record::from_bytes(<&[u8; RECORD_BYTES]>::try_from(rest).ok()?)?),
    };
    let position = Position { sequence, tag: u64::from_be_bytes(tag) };
    Some(Linked { entry: Entry { position, record }, before: u64::from_be_bytes(before) })
}

/// The entries, if each follows the one before it and the first follows `known`.
fn chained(name: &str, mut known: Position, linked: Vec<Linked>) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::with_capacity(linked.len());
    for Linked { entry, before } in linked {
        if entry.position.sequence != known.sequence + 1 || before != known.tag {
            let why = format!("entry {} does not follow ours", entry.position.sequence);
            return Err(StoreError::lost(name, why));
        }
        known = entry.position;
        entries.push(entry);
    }
    Ok(entries)
}

/// The entries in the answer to a read of one stream; none where nothing came.
fn stream_of(read: Value) -> Option<Vec<RawEntry>> {
    if read == Value::Nil {
        return Some(Vec::new());
    }
    let streams: Vec<(String, Vec<RawEntry>)> = from_redis_value(read).ok()?;
    streams.into_iter().next().map(|(_, rows)| rows)
}

fn failure(name: &str, error: redis::RedisError) -> StoreError {
    match error.code() {
        Some("LOST") => {
            StoreError::lost(name, format!("it has lost {}", error.detail().unwrap_or_default()))
        }
        Some("FORMAT") => {
            let other = error.detail().unwrap_or_default();
            let why = format!("it has format {other}, this version reads format {FORMAT}");
            StoreError::new(name, why)
        }
        _ => StoreError::new(name, error),
    }
}

const RECORDS: &str = "{session-guard}:records";
const LOG: &str = "{session-guard}:log";
const FORMAT: u64 = 1;
const APPEND: &str = include_str!("append.lua");

/// Entries or records that one answer holds: a few hundred kilobytes.
const PAGE: usize = 5_000;

/// How long a blocking read waits: a loss is noticed after that.
const BLOCK_MS: u64 = 500;

/// Longer than Redis is silent while it rewrites or loads; then the caller gets 503.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(3);

/// A replica that needs longer than this is behind.
const WAIT_TIMEOUT_MS: u64 = 1_000;

#[cfg(test)]
mod tests;
