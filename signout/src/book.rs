//! What is revoked, and in what order did it come?
//!
//! Everything is served from here: the live set in order of id and kind, and the newest entries of
//! the log in order of sequence. Every change is an entry with a new sequence number, and an entry
//! holds the whole record after the merge. So the set is the join of all that a store holds, in
//! whatever order it is read, and an entry that a later one replaced is needed only as long as a
//! proxy may name it as its cursor.
//!
//! The book itself never waits for anything and knows no clock.

use std::collections::{BTreeMap, VecDeque, btree_map};

use session_guard_core::revocation::record::{Kind, NEVER, Record, RecordId};

use crate::cursor::Position;
use crate::store::Forget;

/// Entries that the log keeps at least, expired or not: a proxy that was away for fewer gets the
/// changes, any other the whole set.
pub(crate) const LOG_ENTRIES: usize = 100_000;

/// How long a record is kept beyond its `exp`: longer than any clock skew that a proxy admits and
/// any clock that is noticed to be wrong.
pub(crate) const KEPT_BEYOND_EXP_SECONDS: u64 = 24 * 60 * 60;

/// One entry of the log: a row of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place and tag.
    pub position: Position,
    /// The record after the merge; none in the entry that a fresh store begins with.
    pub record: Option<Record>,
}

/// The live set and the newest entries of the log.
#[derive(Debug)]
pub(crate) struct Book {
    live: BTreeMap<Key, Held>,
    by_kind: [u64; 3],
    log: VecDeque<Logged>,
    head: Position,
}

type Key = (RecordId, Kind);

#[derive(Clone, Copy, Debug)]
struct Held {
    issued_before: u64,
    exp: u64,
    /// The entry that this came with: its row must stay. 0 where no entry is there any more.
    sequence: u64,
}

#[derive(Clone, Copy, Debug)]
struct Logged {
    entry: Entry,
    /// Whether its row stays when it leaves the log: the set holds a record by it.
    is_held: bool,
}

impl Book {
    /// The book of a log that has this one entry.
    pub(crate) fn new(first: Entry) -> Self {
        let mut book = Self {
            live: BTreeMap::new(),
            by_kind: [0; 3],
            log: VecDeque::new(),
            head: first.position,
        };
        book.append(first, &mut Forget::default());
        book
    }

    /// Enters what the store now holds. What is no longer needed is added to `dead`.
    pub(crate) fn append(&mut self, entry: Entry, dead: &mut Forget) {
        let sequence = entry.position.sequence;
        if self.head.sequence + 1 != sequence {
            // Only while a store is read: rows between these two were needed no more, and what lies
            // before the gap is no part of the log.
            self.shorten_log(0, dead);
        }
        self.log.push_back(Logged { entry, is_held: entry.record.is_some() });
        self.head = entry.position;
        if let Some(record) = entry.record {
            let held = Held::new(record, sequence);
            match self.live.entry(record.key()) {
                btree_map::Entry::Vacant(place) => {
                    place.insert(held);
                    self.count(record.kind, 1);
                }
                btree_map::Entry::Occupied(mut place) => {
                    let old = *place.get();
                    place.insert(Held::new(record.merge(old.record(record.key())), sequence));
                    self.let_go(old.sequence, dead);
                }
            }
        }
        self.shorten_log(LOG_ENTRIES, dead);
    }

    /// Enters a record that the store holds without an entry.
    pub(crate) fn load(&mut self, record: Record) {
        match self.live.entry(record.key()) {
            btree_map::Entry::Vacant(place) => {
                place.insert(Held::new(record, 0));
                self.count(record.kind, 1);
            }
            btree_map::Entry::Occupied(mut place) => {
                let Held { sequence, .. } = *place.get();
                let merged = place.get().record(record.key()).merge(record);
                place.insert(Held::new(merged, sequence));
            }
        }
    }

    /// Enters what was appended to the log after `known`, as far as it is not here yet. False if it
    /// belongs to another log than ours; then nothing is entered.
    pub(crate) fn follow(&mut self, known: Position, entries: &[Entry], dead: &mut Forget) -> bool {
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
            self.append(*entry, dead);
        }
        true
    }

    /// Looks at up to `most` records, beginning with id `from`, and drops those that nobody needs
    /// any more. Answers where to go on; after the last record that is the lowest id again.
    pub(crate) fn sweep(
        &mut self,
        from: RecordId,
        most: usize,
        now: u64,
        dead: &mut Forget,
    ) -> RecordId {
        let mut looked_at = self.live.range((from, Kind::Token)..);
        let past: Vec<_> = (looked_at.by_ref().take(most))
            .filter(|(_, held)| is_past(held.exp, now))
            .map(|(key, held)| (*key, *held))
            .collect();
        let next = looked_at.next().map_or(RecordId::FIRST, |(key, _)| key.0);
        for (key, held) in past {
            self.live.remove(&key);
            self.count(key.1, -1);
            self.let_go(held.sequence, dead);
            dead.records.push(held.record(key));
        }
        next
    }

    /// The live record of that key.
    pub(crate) fn find(&self, key: (RecordId, Kind)) -> Option<Record> {
        self.live.get(&key).map(|held| held.record(key))
    }

    /// The live records from that id on, in order of id and kind.
    pub(crate) fn live_from(&self, first: RecordId) -> impl Iterator<Item = Record> {
        self.live.range((first, Kind::Token)..).map(|(key, held)| held.record(*key))
    }

    /// The entries after that position, oldest first; `None` if the log does not hold it.
    pub(crate) fn entries_after(&self, position: Position) -> Option<impl Iterator<Item = &Entry>> {
        let at = self.place_in_log(position.sequence)?;
        let found = self.log.get(at)?.entry.position == position;
        found.then(|| self.log.range(at + 1..).map(|logged| &logged.entry))
    }

    /// Whether the log holds exactly that entry.
    pub(crate) fn holds(&self, position: Position) -> bool {
        self.entries_after(position).is_some()
    }

    /// The newest entry.
    pub(crate) fn head(&self) -> Position {
        self.head
    }

    /// Number of live records.
    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Number of live records of a kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> u64 {
        let [tokens, users, all] = self.by_kind;
        match kind {
            Kind::Token => tokens,
            Kind::User => users,
            Kind::All => all,
        }
    }

    /// Number of entries that the log holds.
    pub(crate) fn log_len(&self) -> usize {
        self.log.len()
    }

    /// Notes that the set no longer holds anything by that entry.
    fn let_go(&mut self, sequence: u64, dead: &mut Forget) {
        match self.place_in_log(sequence).and_then(|at| self.log.get_mut(at)) {
            Some(logged) => logged.is_held = false,
            None => dead.rows.push(sequence),
        }
    }

    /// Drops the oldest entries of the log, until that many are left.
    fn shorten_log(&mut self, most: usize, dead: &mut Forget) {
        let surplus = self.log.len().saturating_sub(most);
        let dropped = self.log.drain(..surplus).filter(|logged| !logged.is_held);
        dead.rows.extend(dropped.map(|logged| logged.entry.position.sequence));
    }

    fn place_in_log(&self, sequence: u64) -> Option<usize> {
        let oldest = self.log.front()?.entry.position.sequence;
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

    fn record(self, (id, kind): Key) -> Record {
        Record { id, kind, issued_before: self.issued_before, exp: self.exp }
    }
}

/// Whether a record with that `exp` is of no use to anybody at `now`.
pub(crate) fn is_past(exp: u64, now: u64) -> bool {
    exp != NEVER && exp.saturating_add(KEPT_BEYOND_EXP_SECONDS) < now
}

#[cfg(test)]
#[path = "book/tests.rs"]
mod tests;
