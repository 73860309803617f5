//! The revocation log in memory: the live set, and the newest changes in order.
//!
//! The service serves everything from here: the live set in order of id and kind, and the newest
//! entries in order of sequence. Every change is an entry with a new sequence number, and an entry
//! holds the whole record after the merge. The set is therefore the join of all entries and records
//! of a store, read in any order. An entry whose record was replaced is needed only while a proxy
//! may have it as its cursor.
//!
//! The log does no I/O and reads no clock.

use std::collections::{BTreeMap, VecDeque, btree_map};

use session_guard_core::revocation::horizon::KEPT_AFTER_EXP_SECONDS;
use session_guard_core::revocation::record::{Kind, NEVER, Record, RecordId};

use crate::entry::{Entry, LOG_ENTRIES, Position};
use crate::store::Obsolete;

/// The live set and the newest entries.
#[derive(Debug)]
pub(crate) struct Log {
    live: BTreeMap<RecordKey, Held>,
    by_kind: [u64; 3],
    newest: VecDeque<LoggedEntry>,
    head: Position,
}

type RecordKey = (RecordId, Kind);

#[derive(Clone, Copy, Debug)]
struct Held {
    issued_before: u64,
    exp: u64,
    /// Sequence number of the entry that contains this record; the row of that entry must stay in
    /// the store. 0 if no such entry exists any more.
    sequence: u64,
}

#[derive(Clone, Copy, Debug)]
struct LoggedEntry {
    entry: Entry,
    /// Whether the set holds the record of this entry. If so, its row stays in the store after the
    /// log has dropped the entry.
    is_held: bool,
}

impl Log {
    /// Returns a log with this one entry.
    pub(crate) fn new(first: Entry) -> Self {
        let mut log = Self {
            live: BTreeMap::new(),
            by_kind: [0; 3],
            newest: VecDeque::new(),
            head: first.position,
        };
        log.append(first, &mut Obsolete::default());
        log
    }

    /// Appends an entry that the store holds. Adds rows that are no longer needed to `obsolete`.
    pub(crate) fn append(&mut self, entry: Entry, obsolete: &mut Obsolete) {
        let sequence = entry.position.sequence;
        if self.head.sequence + 1 != sequence {
            // This happens only while a store is read, if the rows in between were deleted. The log
            // is contiguous, so it starts after the gap.
            self.shorten(0, obsolete);
        }
        self.newest.push_back(LoggedEntry { entry, is_held: entry.record.is_some() });
        self.head = entry.position;
        if let Some(record) = entry.record {
            let held = Held::new(record, sequence);
            match self.live.entry(record.key()) {
                btree_map::Entry::Vacant(slot) => {
                    slot.insert(held);
                    self.count(record.kind, 1);
                }
                btree_map::Entry::Occupied(mut slot) => {
                    let old = *slot.get();
                    slot.insert(Held::new(record.merge(old.record(record.key())), sequence));
                    self.release(old.sequence, obsolete);
                }
            }
        }
        self.shorten(LOG_ENTRIES, obsolete);
    }

    /// Adds a record that the store holds without an entry.
    pub(crate) fn load(&mut self, record: Record) {
        match self.live.entry(record.key()) {
            btree_map::Entry::Vacant(slot) => {
                slot.insert(Held::new(record, 0));
                self.count(record.kind, 1);
            }
            btree_map::Entry::Occupied(mut slot) => {
                let Held { sequence, .. } = *slot.get();
                let merged = slot.get().record(record.key()).merge(record);
                slot.insert(Held::new(merged, sequence));
            }
        }
    }

    /// Appends the entries that the log does not hold yet. `entries` are those that follow `known`
    /// in the store. Returns false and appends nothing if they belong to a different log.
    pub(crate) fn append_after(
        &mut self,
        known: Position,
        entries: &[Entry],
        obsolete: &mut Obsolete,
    ) -> bool {
        let is_ours = |entry: &Entry| {
            entry.position.sequence != self.head.sequence || entry.position == self.head
        };
        let next = if known == self.head {
            Some(0)
        } else {
            entries.iter().position(|entry| entry.position == self.head).map(|at| at + 1)
        };
        let Some(new) = next.and_then(|next| entries.get(next..)) else {
            let last = entries.last().map_or(known, |entry| entry.position);
            return last.sequence <= self.head.sequence && entries.iter().all(is_ours);
        };
        for entry in new {
            self.append(*entry, obsolete);
        }
        true
    }

    /// Examines up to `most` records, starting with id `from`, and deletes the
    /// [obsolete](is_obsolete) ones. Returns the id from which the next sweep must continue, which
    /// after the last record is the lowest id.
    pub(crate) fn sweep(
        &mut self,
        from: RecordId,
        most: usize,
        now: u64,
        obsolete: &mut Obsolete,
    ) -> RecordId {
        let mut examined = self.live.range((from, Kind::Token)..);
        let expired: Vec<_> = (examined.by_ref().take(most))
            .filter(|(_, held)| is_obsolete(held.exp, now))
            .map(|(key, held)| (*key, *held))
            .collect();
        let next = examined.next().map_or(RecordId::FIRST, |(key, _)| key.0);
        for (key, held) in expired {
            self.live.remove(&key);
            self.count(key.1, -1);
            self.release(held.sequence, obsolete);
            obsolete.records.push(held.record(key));
        }
        next
    }

    /// Returns the live record with this key.
    pub(crate) fn find(&self, key: (RecordId, Kind)) -> Option<Record> {
        self.live.get(&key).map(|held| held.record(key))
    }

    /// Returns the live records from this id on, in order of id and kind.
    pub(crate) fn live_from(&self, first: RecordId) -> impl Iterator<Item = Record> {
        self.live.range((first, Kind::Token)..).map(|(key, held)| held.record(*key))
    }

    /// Returns the entries after this position, oldest first. Returns `None` if the log does not
    /// hold the entry at this position.
    pub(crate) fn entries_after(&self, position: Position) -> Option<impl Iterator<Item = &Entry>> {
        let at = self.index_of(position.sequence)?;
        let found = self.newest.get(at)?.entry.position == position;
        found.then(|| self.newest.range(at + 1..).map(|logged| &logged.entry))
    }

    /// Returns whether the log holds exactly this entry.
    pub(crate) fn holds(&self, position: Position) -> bool {
        self.entries_after(position).is_some()
    }

    /// Returns the position of the newest entry.
    pub(crate) fn head(&self) -> Position {
        self.head
    }

    /// Returns the number of live records.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Returns the number of live records of a kind.
    pub(crate) fn count_of(&self, kind: Kind) -> u64 {
        let [tokens, users, all] = self.by_kind;
        match kind {
            Kind::Token => tokens,
            Kind::User => users,
            Kind::All => all,
        }
    }

    /// Returns the number of entries that the log holds.
    pub(crate) fn entry_count(&self) -> usize {
        self.newest.len()
    }

    /// Marks the entry as one whose record the set no longer holds.
    fn release(&mut self, sequence: u64, obsolete: &mut Obsolete) {
        match self.index_of(sequence).and_then(|at| self.newest.get_mut(at)) {
            Some(logged) => logged.is_held = false,
            None => obsolete.rows.push(sequence),
        }
    }

    /// Drops the oldest entries until `most` are left.
    fn shorten(&mut self, most: usize, obsolete: &mut Obsolete) {
        let surplus = self.newest.len().saturating_sub(most);
        let dropped = self.newest.drain(..surplus).filter(|logged| !logged.is_held);
        obsolete.rows.extend(dropped.map(|logged| logged.entry.position.sequence));
    }

    fn index_of(&self, sequence: u64) -> Option<usize> {
        let oldest = self.newest.front()?.entry.position.sequence;
        usize::try_from(sequence.checked_sub(oldest)?).ok()
    }

    fn count(&mut self, kind: Kind, change: i64) {
        let [tokens, users, all] = &mut self.by_kind;
        let number = match kind {
            Kind::Token => tokens,
            Kind::User => users,
            Kind::All => all,
        };
        *number = number.saturating_add_signed(change);
    }
}

impl Held {
    fn new(record: Record, sequence: u64) -> Self {
        Self { issued_before: record.issued_before, exp: record.exp, sequence }
    }

    fn record(self, (id, kind): RecordKey) -> Record {
        Record { id, kind, issued_before: self.issued_before, exp: self.exp }
    }
}

/// Returns whether a record with this `exp` may be deleted at `now`, because no proxy needs it any
/// more.
pub(crate) fn is_obsolete(exp: u64, now: u64) -> bool {
    exp != NEVER && exp.saturating_add(KEPT_AFTER_EXP_SECONDS) < now
}

#[cfg(test)]
mod tests;
