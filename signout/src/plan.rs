//! Plan of a commit: which entries do its batches add to the log?
//!
//! Each record is merged with the known record of its key. A record that adds nothing gets no entry.

use std::collections::{HashMap, HashSet};

use session_guard_core::revocation::record::{Kind, Record, RecordId};

use crate::entry::{Entry, Position};
use crate::error::Error;
use crate::log::Log;
use crate::random::random_numbers;

/// Most records in one commit: what else waits becomes the next commit.
pub(crate) const COMMIT_RECORDS: usize = 20_000;

/// The entries that the batches of one commit add.
pub(crate) struct Plan<'a> {
    log: &'a Log,
    added: HashMap<(RecordId, Kind), Record>,
    new_keys: usize,
    capacity: usize,
    head: Position,
    entries: Vec<Entry>,
}

/// Outcome of a batch that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It added entries; the last one is at this position.
    Added(Position),
    /// All of it was known; the newest entry is at this position.
    Known(Position),
}

impl<'a> Plan<'a> {
    /// Returns an empty plan.
    pub(crate) fn new(log: &'a Log, capacity: usize) -> Self {
        let (added, entries) = (HashMap::new(), Vec::new());
        Self { log, added, new_keys: 0, capacity, head: log.head(), entries }
    }

    /// Adds what is new in a batch, all or nothing.
    pub(crate) fn add(&mut self, records: &[Record]) -> Result<Written, Error> {
        let unknown = records.iter().map(Record::key).filter(|key| self.find(*key).is_none());
        let new_keys = self.new_keys + unknown.collect::<HashSet<_>>().len();
        if new_keys > self.new_keys && self.log.len() + new_keys > self.capacity {
            return Err(Error::Full);
        }
        let tags = random_numbers(records.len()).map_err(|error| {
            tracing::error!(%error, "no random numbers: the operating system provides none");
            Error::StoreUnavailable
        })?;
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

    /// Returns the entries that were added.
    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    fn find(&self, key: (RecordId, Kind)) -> Option<Record> {
        self.added.get(&key).copied().or_else(|| self.log.find(key))
    }
}
