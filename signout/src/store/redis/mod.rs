//! The Redis store: a Redis or Valkey that several services share.
//!
//! The store has three keys with one hash tag: `records`, a hash that contains the set; `log`, a
//! stream of the newest changes; and `audit`, a sorted set that is ordered by the bytes of its
//! members. A member of `audit` is the key of an audit entry (16 bytes, big endian) and its
//! content. For each batch, one call of a script (`append.lua`) merges records by maximum and
//! appends the changed ones to the stream. Services therefore never wait for each other, and the
//! order of their batches does not matter. Each service follows the stream with a blocking read on
//! its own connection.
//!
//! # How a loss is detected
//!
//! An entry contains its own random tag and that of the previous entry. When a service reads the
//! entries after one that it knows, it checks that the first of them follows the known entry. If
//! there are no such entries, it reads the last entry and compares it with the known one. A Redis
//! that was emptied, restored, or failed over to a replica that was behind is therefore detected at
//! the next write or within a second, even if its sequence numbers match.
//!
//! The stream itself may be broken. When Redis loads an append-only file that ends within a
//! transaction, it may keep the incomplete half and execute it at the next load. This does not harm
//! the hash, but it breaks the chain of entries. Then the service starts a new log.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value, cmd};
use session_guard_core::revocation::record::{RECORD_BYTES, Record};

use self::entries::{Linked, RawEntry, RawFields, chained, decode_all};
use self::link::Connected;
use self::options::Keys;
use self::subscription::StreamReader;
use super::{
    Additions, AppendReason, Appended, AuditKey, AuditRange, AuditRow, Durability, Obsolete, Row,
    Store, StoreError, Subscription,
};
use crate::entry::{Entry, LOG_ENTRIES, Position};
use crate::random::random_number;

mod entries;
mod installation;
mod link;
mod options;
mod settings;
mod subscription;

pub use installation::Installation;
pub use link::Link;
pub use options::{Options, Wait, WhenNotDurable};

/// A Redis that several services may share.
pub struct RedisStore {
    link: Arc<Link>,
    keys: Arc<Keys>,
    options: Options,
    connection: Option<Connected>,
    durability: Durability,
}

impl RedisStore {
    /// Connects, and checks whether the server keeps what it acknowledges.
    ///
    /// # Errors
    ///
    /// The server cannot be reached or does not support the option `wait`; or the server does not
    /// keep what it acknowledges, and the option `check` is [`WhenNotDurable::Refuse`].
    pub fn open(link: Link, options: Options) -> Result<Self, StoreError> {
        let keys = Keys::new(&options.prefix).ok_or_else(|| {
            let reason = "--redis-prefix must be 1 to 64 letters, digits and -_.:";
            StoreError::new(link.name(), reason)
        })?;
        if options.wait != Wait::default() && link.is_cluster() {
            let reason = "--redis-wait does not work with a Cluster, where WAIT names no node; \
                set min-replicas-to-write on its nodes instead";
            return Err(StoreError::new(link.name(), reason));
        }
        let (link, keys) = (Arc::new(link), Arc::new(keys));
        let needs_fsync = options.wait.fsync;
        let durability = Durability::Durable;
        let mut store = Self { link, keys, options, connection: None, durability };
        store.connect()?;
        if let Some(problem) = store.durability.refusal() {
            let reason = format!("{problem} (or start with --redis-check warn)");
            return Err(StoreError::new(store.link.name(), reason));
        }
        if needs_fsync {
            let response = store.run::<Value>(cmd("WAITAOF").arg(0).arg(0).arg(1));
            let needs = "--redis-wait-fsync needs WAITAOF: Redis 7.2 or later, or Valkey";
            response.map_err(|error| StoreError::new(error, needs))?;
        }
        Ok(store)
    }

    /// Opens a new connection, and checks the settings of the server, because after a failover it
    /// is another server.
    fn connect(&mut self) -> Result<(), StoreError> {
        let failed = |error| StoreError::new(self.link.name(), error);
        let mut connection = self.link.connect(RESPONSE_TIMEOUT).map_err(failed)?;
        self.inspect(&mut connection).map_err(|error| StoreError::new(self.link.name(), error))?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Executes a command. After an error the next command opens a new connection.
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

    /// Records that the keys belong to this installation, or fails if they belong to another one.
    fn claim(&mut self) -> Result<(), StoreError> {
        let Some(installation) = &self.options.installation else { return Ok(()) };
        let mut script = cmd("EVAL");
        script.arg(CLAIM).arg(1).arg(&self.keys.records);
        for argument in installation.arguments() {
            script.arg(argument);
        }
        self.run::<String>(&script).map(|_| ())
    }

    /// Runs `append.lua`. Returns the position of the last entry before the call, and the number of
    /// entries that it has added.
    fn call(
        &mut self,
        known: Option<Position>,
        first_tag: u64,
        additions: Additions<'_>,
        obsolete: &Obsolete,
        broken: Option<u64>,
        purpose: AppendReason,
    ) -> Result<(Position, usize), StoreError> {
        let (sequence, tag) = known.map_or((0, 0), |known| (known.sequence, known.tag));
        let mut new = Vec::with_capacity(additions.entries.len() * (8 + RECORD_BYTES));
        for entry in additions.entries {
            let Some(record) = entry.record else { continue };
            new.extend(entry.position.tag.to_be_bytes());
            new.extend(record.to_bytes());
        }
        let (records, audit) = (&obsolete.records, &obsolete.audit);
        let obsolete: Vec<_> = records.iter().flat_map(|record| record.to_bytes()).collect();
        let obsolete_audit: Vec<_> = audit.iter().flat_map(|key| key.0.to_be_bytes()).collect();
        let mut script = cmd("EVAL");
        script.arg(APPEND).arg(3).arg(&self.keys.records).arg(&self.keys.log);
        script.arg(&self.keys.audit).arg(FORMAT);
        script.arg(sequence).arg(&tag.to_be_bytes()).arg(&first_tag.to_be_bytes());
        let touch = u8::from(self.options.wait != Wait::default());
        script.arg(new).arg(obsolete).arg(LOG_ENTRIES).arg(touch);
        script.arg(broken.map_or(Vec::new(), |tag| tag.to_be_bytes().to_vec()));
        let is_strict =
            purpose == AppendReason::Acknowledge && self.options.check == WhenNotDurable::Refuse;
        script.arg(u8::from(is_strict)).arg(additions.audit_limit).arg(obsolete_audit);
        for AuditRow { key, content } in additions.audit {
            script.arg([&key.0.to_be_bytes(), content.as_slice()].concat());
        }
        let (sequence, tag, added): (u64, Vec<u8>, usize) = self.run(&script)?;
        let tag = tag.try_into().map_err(|_| self.damaged("the last entry"))?;
        Ok((Position { sequence, tag: u64::from_be_bytes(tag) }, added))
    }

    /// Waits until the replicas and disks that the option `wait` requires have all writes, or
    /// fails.
    fn wait(&mut self) -> Result<(), StoreError> {
        let Wait { replicas, fsync } = self.options.wait;
        if fsync {
            let (here, there): (u32, u32) =
                self.run(cmd("WAITAOF").arg(1).arg(replicas).arg(FSYNC_TIMEOUT_MS))?;
            if here < 1 || there < replicas {
                let why = format!(
                    "written to {here} of 1 local disks and to those of {there} of {replicas} replicas"
                );
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

    /// Returns at most [`PAGE`] entries of the log, from this id on. The id `-` stands for the
    /// first entry.
    fn entries_from(&mut self, from: &str) -> Result<Vec<Linked>, StoreError> {
        let rows: Vec<RawEntry> =
            self.run(cmd("XRANGE").arg(&self.keys.log).arg(from).arg("+").arg("COUNT").arg(PAGE))?;
        decode_all(&rows).ok_or_else(|| self.damaged("the log"))
    }

    /// Returns all entries after `known`.
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

    /// Starts a new log, because the entries of the present one do not follow each other. Does
    /// nothing if another service has just done so. The hash contains every record, so none is
    /// lost.
    fn start_new_log(&mut self) -> Result<(), StoreError> {
        let last: Vec<RawEntry> =
            self.run(cmd("XREVRANGE").arg(&self.keys.log).arg(&["+", "-", "COUNT", "1"]))?;
        let last = decode_all(&last).and_then(|mut last| last.pop());
        let Some(last) = last else { return Ok(()) };
        tracing::error!(
            store = self.link.name(),
            "the log in Redis is broken: starting a new one, and proxies load the whole set again"
        );
        let tag = random_number().map_err(|error| StoreError::new(self.link.name(), error))?;
        let broken = Some(last.entry.position.tag);
        self.maintain(None, tag, &[], broken)
    }

    /// Runs `append.lua` with entries that no caller waits for.
    fn maintain(
        &mut self,
        known: Option<Position>,
        first_tag: u64,
        entries: &[Entry],
        broken: Option<u64>,
    ) -> Result<(), StoreError> {
        let (new, nothing) = (Additions::from(entries), Obsolete::default());
        self.call(known, first_tag, new, &nothing, broken, AppendReason::Maintain).map(|_| ())
    }

    /// Calls `each` with every record in the hash.
    fn read_records(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), StoreError> {
        let mut cursor = "0".to_owned();
        loop {
            let (next, fields): (String, RawFields) =
                self.run(cmd("HSCAN").arg(&self.keys.records).arg(&cursor).arg("COUNT").arg(PAGE))?;
            for (key, value) in fields {
                if key == b"format" || key == b"installation" {
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
        StoreError::new(
            self.link.name(),
            format!("{what} is damaged, or was written by another program"),
        )
    }
}

impl Store for RedisStore {
    fn begin(&mut self, tag: u64) -> Result<(), StoreError> {
        // If the hash was deleted or evicted but the log was not, the entries of the log become the
        // first entries of a new log. Services and proxies do not find their entry in it, so they
        // send back the records that it lacks.
        let has_hash: bool = self.run(cmd("HEXISTS").arg(&self.keys.records).arg("format"))?;
        let mut rest = Vec::new();
        if !has_hash {
            let mut page = self.entries_from("-")?;
            while let Some(last) = page.last() {
                let from = format!("({}-0", last.entry.position.sequence);
                rest.extend(page.into_iter().map(|linked| linked.entry));
                page = self.entries_from(&from)?;
            }
        }
        self.maintain(None, tag, &rest, None)?;
        self.claim()
    }

    fn read_all(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), StoreError> {
        let first = self.entries_from("-")?.into_iter().next();
        let first = first.ok_or_else(|| StoreError::lost(self.link.name(), "its log is gone"))?;
        let mut last = first.entry.position;
        each(Row::Entry(first.entry));
        // The log is read first, so that the service knows the entry of a record that is in both.
        // It is read again at the end, for the entries that were appended while the hash was read.
        for is_end in [false, true] {
            let entries = match self.entries_after(last) {
                Err(error) if error.is_lost() => {
                    self.start_new_log()?;
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
        self.maintain(Some(last), 0, &[], None)
    }

    fn append(
        &mut self,
        known: Position,
        new: Additions<'_>,
        obsolete: &Obsolete,
        purpose: AppendReason,
    ) -> Result<Appended, StoreError> {
        if purpose == AppendReason::Acknowledge {
            self.require_durability()?;
        }
        let called = self.call(Some(known), 0, new, obsolete, None, purpose);
        let (before, added) = match called {
            Err(error) if error.refusal().is_some() => {
                self.check();
                self.require_durability()?;
                return Err(error); // the settings are good again: the caller tries again
            }
            called => called?,
        };
        self.wait()?;
        if before == known && added == new.entries.len() {
            return Ok(Appended::AsGiven);
        }
        let entries = self.entries_after(known)?;
        let last = entries.last().map_or(known.sequence, |entry| entry.position.sequence);
        if last < before.sequence + added as u64 {
            return Err(StoreError::lost(
                self.link.name(),
                "an entry that was just written is gone",
            ));
        }
        Ok(Appended::Instead(entries))
    }

    fn read_audit(&mut self, range: AuditRange, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let bound = |sign: &[u8], key: AuditKey| [sign, &key.0.to_be_bytes()].concat();
        let command = match range {
            AuditRange::Before(key) => {
                let mut command = cmd("ZREVRANGEBYLEX");
                command.arg(&self.keys.audit).arg(bound(b"(", key)).arg("-");
                command
            }
            AuditRange::After(AuditKey(key)) => {
                let mut command = cmd("ZRANGEBYLEX");
                let next = AuditKey(key.saturating_add(1));
                command.arg(&self.keys.audit).arg(bound(b"[", next)).arg("+");
                command
            }
        };
        let members: Vec<Vec<u8>> = self.run(command.clone().arg("LIMIT").arg(0).arg(limit))?;
        let row = |member: Vec<u8>| {
            let (&key, content) = member.split_first_chunk()?;
            Some(AuditRow { key: AuditKey(u128::from_be_bytes(key)), content: content.to_vec() })
        };
        Ok(members.into_iter().filter_map(row).collect())
    }

    fn lease(&mut self, name: &str, owner: u64, duration: Duration) -> Result<bool, StoreError> {
        let mut script = cmd("EVAL");
        script.arg(LEASE).arg(1).arg(self.keys.lease(name)).arg(owner);
        script.arg(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        Ok(self.run::<u64>(&script)? == 1)
    }

    fn subscribe(&self) -> Option<Box<dyn Subscription>> {
        Some(Box::new(StreamReader {
            link: Arc::clone(&self.link),
            keys: Arc::clone(&self.keys),
            connection: None,
        }))
    }

    fn durability(&self) -> Durability {
        self.durability.clone()
    }

    fn check(&mut self) {
        let checked = match self.connection.take() {
            None => self.connect(),
            Some(mut connection) => {
                let inspected = self.inspect(&mut connection);
                inspected
                    .map(|()| self.connection = Some(connection))
                    .map_err(|error| StoreError::new(self.link.name(), error))
            }
        };
        if let Err(error) = checked {
            tracing::debug!(%error, "the settings of the store cannot be checked");
        }
    }
}

fn failure(name: &str, error: redis::RedisError) -> StoreError {
    match error.code() {
        Some("LOST") => {
            StoreError::lost(name, format!("it has lost {}", error.detail().unwrap_or_default()))
        }
        Some("NOTDURABLE") => StoreError::not_durable(name, NOT_DURABLE),
        Some("INSTALLATION") => StoreError::new(name, installation::REMEDY),
        Some("FORMAT") => {
            let other = error.detail().unwrap_or_default();
            let why = format!(
                "its data has format {other}, and this version reads only format {FORMAT}: run the \
                 version that wrote it, or use another --redis-prefix"
            );
            StoreError::new(name, why)
        }
        _ => StoreError::new(name, error),
    }
}

const FORMAT: u64 = 1;
const NOT_DURABLE: &str = "its settings have just changed";
const APPEND: &str = include_str!("append.lua");
const CLAIM: &str = include_str!("claim.lua");
const LEASE: &str = include_str!("lease.lua");

/// The most entries or records in one response. They have a few hundred kilobytes.
const PAGE: usize = 5_000;

/// How long to wait for a response: longer than Redis pauses while it rewrites its file or loads.
/// After this time the caller gets 503.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for replicas. After this time the caller gets 503.
const WAIT_TIMEOUT_MS: u64 = 1_000;

/// How long to wait for disks: with `appendfsync everysec` each server syncs once a second.
const FSYNC_TIMEOUT_MS: u64 = 3_000;

#[cfg(test)]
mod tests;
