//! Which revocations may the service not have?
//!
//! They wait in shared data, so that they outlive the request and the VM that made them, though not
//! the process. An entry goes in before the service is told; when the service has acknowledged it,
//! it waits on until the feed has shown its record. There are 64 keys with at most 4,096 entries
//! each; the last byte of the id chooses the key, since a page of a reset gives back ids that begin
//! alike.
//!
//! # Why the service's word is not enough
//!
//! The feed is at its cursor, and a service that falls back to before that (a restored backup, a
//! replica that was behind) does not hold it: it sends everything again, and gets back what it
//! lacks. What it acknowledged *after* our cursor it could lose without a sign, unless it waits here
//! until the cursor has passed it. So everything in the set either came by the feed, or is here.
//!
//! If the feed is complete ten seconds after an acknowledgement and has not shown the record, the
//! service has lost it, or has shown it before we asked for it: it is
//! [missing](Outbox::is_missing_any), and the feed is read again from its beginning, which shows the
//! record or gives it back. The other remedy, to read everything again now and then, would cost every
//! proxy 33 MB an hour at a million revocations, and leave the others an hour without the record.
//!
//! A value is `SGO1`, then sorted entries: a record as in the feed, 1 where it was acknowledged, and
//! the monotonic milliseconds since when it is so, big endian. A value that is not well-formed is
//! lost; its records are still in the set, so the feed is [forgotten](state::forget): the reload
//! gives back what the service lacks.

use std::collections::BTreeMap;

use crate::clock::Now;
use crate::feed::state;
use crate::revocation::horizon::is_past_for_service;
use crate::revocation::record::{RECORD_BYTES, Record};
use crate::shared::SharedData;
use crate::shared::names::{HexDigits, KeySpace, SharedName};
use crate::shared::swap::{Contended, swap};

/// Keys that the outbox is spread over.
const KEYS: u16 = 64;

/// Most entries below one key: it is copied whole whenever one of them changes.
pub const ENTRIES_A_KEY: usize = 4_096;

/// How long whoever made an entry has to deliver it; then the lease owner does.
pub const GRACE_MILLISECONDS: u64 = 2_000;

/// How much later than an acknowledgement the feed shows the record, if at all: longer than any
/// replica is behind.
pub const SHOWN_WITHIN_MILLISECONDS: u64 = 10_000;

/// How far ahead of our clock a cutoff may lie that the lease owner delivers; one further ahead waits.
/// Four minutes less than what the service takes, for its clock may be behind ours.
const CUTOFF_AHEAD_SECONDS: u64 = 60;

/// The outbox of one feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbox {
    space: KeySpace,
}

/// When an entry is to be delivered by the lease owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueTime {
    /// Now.
    AtOnce,
    /// When whoever made it at that moment (monotonic milliseconds) has had time to.
    AfterGraceFrom(u64),
}

/// Why records could not be put into the outbox. Some of them may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// There are 4,096 entries below their key.
    Full,
    /// Other VMs kept writing.
    Contended,
}

impl Outbox {
    /// The outbox of that feed.
    #[must_use]
    pub fn new(space: KeySpace) -> Self {
        Self { space }
    }

    /// Puts records in; those of a key that is there already are merged with it.
    ///
    /// # Errors
    ///
    /// [`PutError`]; what fits is in all the same.
    pub fn put(
        &self,
        shared: &dyn SharedData,
        records: &[Record],
        due: DueTime,
    ) -> Result<(), PutError> {
        let since = match due {
            DueTime::AtOnce => AT_ONCE,
            DueTime::AfterGraceFrom(now) => now,
        };
        let mut result = Ok(());
        for (number, records) in by_number(records) {
            let put = self.change(shared, number, |entries| insert(entries, &records, since));
            result = result.and(put.unwrap_or(Err(PutError::Contended)));
        }
        result
    }

    /// Notes what the service has acknowledged: the entries that still equal these records.
    ///
    /// # Errors
    ///
    /// [`Contended`]: some will be sent again.
    pub fn acknowledged(
        &self,
        shared: &dyn SharedData,
        records: &[Record],
        now: Now,
    ) -> Result<(), Contended> {
        for (number, records) in by_number(records) {
            self.change(shared, number, |entries| {
                let equal = |entry: &&mut OutboxEntry| records.binary_search(&entry.record).is_ok();
                for entry in entries.iter_mut().filter(equal) {
                    entry.state = DeliveryState::Acknowledged;
                    entry.since = now.monotonic_milliseconds;
                }
            })?;
        }
        Ok(())
    }

    /// Takes out what the feed has shown: the entries that these records cover.
    ///
    /// # Errors
    ///
    /// [`Contended`]: some are still in.
    pub fn shown(&self, shared: &dyn SharedData, records: &[Record]) -> Result<(), Contended> {
        if self.len(shared) == 0 {
            return Ok(()); // as nearly always
        }
        for (number, records) in by_number(records) {
            let covers = |entry: &OutboxEntry| {
                let at = records.partition_point(|record| record.key() < entry.record.key());
                let mut same =
                    records.iter().skip(at).take_while(|r| r.key() == entry.record.key());
                same.any(|record| record.covers(&entry.record))
            };
            self.change(shared, number, |entries| entries.retain(|entry| !covers(entry)))?;
        }
        Ok(())
    }

    /// Takes out what the service will never have: the entries that still equal these records.
    ///
    /// # Errors
    ///
    /// [`Contended`]: some are still in and will be sent again.
    pub fn remove(&self, shared: &dyn SharedData, records: &[Record]) -> Result<(), Contended> {
        for (number, records) in by_number(records) {
            self.change(shared, number, |entries| {
                entries.retain(|entry| records.binary_search(&entry.record).is_err());
            })?;
        }
        Ok(())
    }

    /// Takes out what is past for the service, which neither stores nor shows it.
    pub fn forget_past(&self, shared: &dyn SharedData, service_unix_seconds: u64) {
        let is_past =
            |entry: &OutboxEntry| is_past_for_service(&entry.record, service_unix_seconds);
        for number in 0..KEYS {
            if self.entries(shared, number).iter().any(is_past) {
                // What fails is done when somebody comes by again.
                let _ = self.change(shared, number, |entries| entries.retain(|e| !is_past(e)));
            }
        }
    }

    /// Whether a feed that was complete at `current_at` (monotonic milliseconds) should have shown
    /// something that it has not.
    #[must_use]
    pub fn is_missing_any(&self, shared: &dyn SharedData, current_at: u64) -> bool {
        let is_missing = |entry: &OutboxEntry| {
            entry.state == DeliveryState::Acknowledged
                && entry.since.saturating_add(SHOWN_WITHIN_MILLISECONDS) <= current_at
        };
        (0..KEYS).any(|number| self.entries(shared, number).iter().any(is_missing))
    }

    /// At most `limit` records that are due.
    #[must_use]
    pub fn due(&self, shared: &dyn SharedData, now: Now, limit: usize) -> Vec<Record> {
        let mut due = Vec::new();
        for number in 0..KEYS {
            if due.len() >= limit {
                break;
            }
            let entries = self.entries(shared, number);
            let room = limit - due.len();
            due.extend(entries.iter().filter(|e| e.is_due(now)).map(|e| e.record).take(room));
        }
        due
    }

    /// Every record in it.
    #[must_use]
    pub fn records(&self, shared: &dyn SharedData) -> Vec<Record> {
        let entries = (0..KEYS).flat_map(|number| self.entries(shared, number));
        entries.map(|entry| entry.record).collect()
    }

    /// Whether a record of that key waits to be acknowledged.
    #[must_use]
    pub fn owes(&self, shared: &dyn SharedData, record: &Record) -> bool {
        let owed = |e: &OutboxEntry| {
            e.record.key() == record.key() && e.state == DeliveryState::Undelivered
        };
        self.entries(shared, number(record)).iter().any(owed)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self, shared: &dyn SharedData) -> usize {
        let values = (0..KEYS).filter_map(|number| shared.get(&self.name(number)));
        values.map(|found| found.value.len() / ENTRY_BYTES).sum()
    }

    fn entries(&self, shared: &dyn SharedData, number: u16) -> Vec<OutboxEntry> {
        let found = shared.get(&self.name(number));
        let entries = found.map_or(Some(Vec::new()), |found| read(&found.value));
        entries.unwrap_or_else(|| {
            let _mended = self.change(shared, number, |_| ());
            Vec::new()
        })
    }

    fn change<T>(
        &self,
        shared: &dyn SharedData,
        number: u16,
        mut change: impl FnMut(&mut Vec<OutboxEntry>) -> T,
    ) -> Result<T, Contended> {
        swap(shared, &self.name(number), |value| {
            let held = value.map_or(Some(Vec::new()), read);
            if held.is_none() {
                state::forget(shared, &self.space);
            }
            let mut entries = held.clone().unwrap_or_default();
            let result = change(&mut entries);
            let changed = held.as_ref() != Some(&entries);
            (changed.then(|| write(&entries)), result)
        })
    }

    fn name(&self, number: u16) -> SharedName {
        self.space.name("out", Some((number, HexDigits::Two)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OutboxEntry {
    record: Record,
    state: DeliveryState,
    /// Monotonic milliseconds.
    since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeliveryState {
    Undelivered = 0,
    Acknowledged = 1,
}

impl OutboxEntry {
    fn is_due(&self, now: Now) -> bool {
        let latest = now.unix_seconds.saturating_add(CUTOFF_AHEAD_SECONDS);
        // A moment that lies ahead is not of our making: better told twice than never.
        let age = now.monotonic_milliseconds.checked_sub(self.since);
        self.state == DeliveryState::Undelivered
            && self.record.issued_before <= latest
            && age.is_none_or(|age| age >= GRACE_MILLISECONDS)
    }
}

/// Puts records into a sorted list, each merged with the one of its key.
fn insert(entries: &mut Vec<OutboxEntry>, records: &[Record], since: u64) -> Result<(), PutError> {
    let mut fresh = Vec::new();
    for &record in records {
        let found = entries.binary_search_by_key(&record.key(), |entry| entry.record.key());
        match found.ok().and_then(|at| entries.get_mut(at)) {
            Some(entry) => {
                entry.record = entry.record.merge(record);
                entry.since = match entry.state {
                    DeliveryState::Undelivered => entry.since.min(since),
                    DeliveryState::Acknowledged => since,
                };
                entry.state = DeliveryState::Undelivered;
            }
            None => fresh.push(OutboxEntry { record, state: DeliveryState::Undelivered, since }),
        }
    }
    fresh.dedup_by(|later, kept| {
        let same = later.record.key() == kept.record.key();
        if same {
            kept.record = kept.record.merge(later.record);
        }
        same
    });
    let room = ENTRIES_A_KEY.saturating_sub(entries.len());
    let fits = fresh.len() <= room;
    entries.extend(fresh.into_iter().take(room));
    entries.sort_by_key(|entry| entry.record.key());
    if fits { Ok(()) } else { Err(PutError::Full) }
}

/// The number of a record's key.
fn number(record: &Record) -> u16 {
    let [.., last] = record.id.0;
    u16::from(last) % KEYS
}

/// The records, sorted, by the number of their key.
fn by_number(records: &[Record]) -> BTreeMap<u16, Vec<Record>> {
    let mut numbers: BTreeMap<u16, Vec<Record>> = BTreeMap::new();
    for &record in records {
        numbers.entry(number(&record)).or_default().push(record);
    }
    numbers.values_mut().for_each(|records| records.sort_unstable());
    numbers
}

fn write(entries: &[OutboxEntry]) -> Vec<u8> {
    if entries.is_empty() {
        return Vec::new(); // nothing is copied into the VM when it is read
    }
    let mut value = Vec::with_capacity(MAGIC.len() + entries.len() * ENTRY_BYTES);
    value.extend_from_slice(MAGIC);
    for entry in entries {
        value.extend_from_slice(&entry.record.to_bytes());
        value.push(entry.state as u8);
        value.extend_from_slice(&entry.since.to_be_bytes());
    }
    value
}

fn read(value: &[u8]) -> Option<Vec<OutboxEntry>> {
    if value.is_empty() {
        return Some(Vec::new());
    }
    let (entries, rest) = value.strip_prefix(MAGIC)?.as_chunks::<ENTRY_BYTES>();
    let entries = entries.iter().map(read_entry).collect::<Option<Vec<_>>>()?;
    let sound = rest.is_empty()
        && (1..=ENTRIES_A_KEY).contains(&entries.len())
        && entries.is_sorted_by(|a, b| a.record.key() < b.record.key());
    sound.then_some(entries)
}

fn read_entry(bytes: &[u8; ENTRY_BYTES]) -> Option<OutboxEntry> {
    let (record, rest) = bytes.split_first_chunk()?;
    let (&state, since) = rest.split_first()?;
    let state = match state {
        0 => DeliveryState::Undelivered,
        1 => DeliveryState::Acknowledged,
        _ => return None,
    };
    let since = u64::from_be_bytes(since.try_into().ok()?);
    Some(OutboxEntry { record: Record::from_bytes(record)?, state, since })
}

const MAGIC: &[u8] = b"SGO1";
const ENTRY_BYTES: usize = RECORD_BYTES + 1 + 8;

/// Longer ago than any grace, except in the first two seconds of a monotonic clock.
const AT_ONCE: u64 = 0;

#[cfg(test)]
mod tests;
