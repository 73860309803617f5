//! The outbox: revocations that the service may not have.
//!
//! The outbox is stored in shared data, so it outlives the request and the VM that wrote it, but
//! not the process. A record is added before the service is called. After the service has
//! acknowledged the record, it remains until the feed has shown it. There are 64 values with at
//! most 4,096 entries each. The last byte of the id chooses the value. The first bytes would not
//! spread the records of one page of a reset, whose ids all begin alike.
//!
//! # Why the acknowledgement is not enough
//!
//! The proxy has read the feed up to its cursor. If the service returns to an earlier state (a
//! restored backup, a replica that was behind), it does not know that cursor. It then sends
//! everything again, and the proxy re-sends what is missing. But the service could also lose a
//! record that it acknowledged *after* the proxy's cursor, and then it still knows the cursor. The
//! entry therefore remains until the cursor has passed it. Every record in the set either came
//! through the feed, or is in the outbox.
//!
//! If the feed is complete ten seconds after an acknowledgement and has not shown the record, the
//! service has lost it, or has shown it before it was added to the outbox. The record is then
//! [missing](Outbox::is_missing_any), and the feed is reloaded, which shows the record or re-sends
//! it. Reloading the feed periodically instead would cost every proxy 33 MB an hour at a million
//! revocations, and other proxies would lack the record for an hour.
//!
//! A value is `SGO2`, then sorted entries of fixed size. If a value is not well-formed, its entries
//! are lost. Their records are still in the set, so the feed is [reloaded](state::forget), which
//! re-sends the records that the service lacks.
//!
//! | bytes of an entry | content |
//! | --- | --- |
//! | 33 | the record, as in the feed |
//! | 1 | 1 if it was acknowledged, else 0 |
//! | 8 | time of the acknowledgement or of its addition in monotonic milliseconds, big endian |
//! | 1 | 0: no account; 1: an account; 2: an account with `iat` |
//! | 16 | the id of the account's user, or zeros |
//! | 8 | `iat`, or zeros; big endian |

mod outgoing;

pub use outgoing::{Account, OutgoingRecord};

use std::collections::BTreeMap;

use crate::clock::Now;
use crate::feed::state;
use crate::revocation::horizon::is_past_for_service;
use crate::revocation::record::{RECORD_BYTES, Record, RecordId};
use crate::shared::SharedData;
use crate::shared::names::{HexDigits, KeySpace, SharedName};
use crate::shared::swap::{Contended, swap};

/// The number of values over which the outbox is spread.
pub const VALUES: u16 = 64;

/// The maximum number of entries in one value. The whole value is copied whenever an entry changes.
pub const ENTRIES_A_KEY: usize = 4_096;

/// How long the VM that added an entry has to deliver it. After that the leader delivers it.
pub const GRACE_MILLISECONDS: u64 = 2_000;

/// The longest time from the acknowledgement of a record until the feed shows it. No replica is
/// further behind.
pub const SHOWN_WITHIN_MILLISECONDS: u64 = 10_000;

/// The leader delivers a cutoff only if it is at most this far ahead of the proxy's clock. The
/// service accepts cutoffs that are four minutes further ahead of its own clock, which may be
/// behind.
const CUTOFF_AHEAD_SECONDS: u64 = 60;

/// The undelivered revocations of one feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outbox {
    space: KeySpace,
}

/// The time when the leader delivers an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueTime {
    /// At once.
    AtOnce,
    /// After the grace period of the VM that added the entry at this time (monotonic milliseconds).
    AfterGraceFrom(u64),
}

/// The reason why records could not be added to the outbox. Some of them may have been added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    /// The value for the records already has 4,096 entries.
    Full,
    /// Other VMs kept writing the same value.
    Contended,
}

impl Outbox {
    /// Returns the outbox of the feed with this key space.
    #[must_use]
    pub fn new(space: KeySpace) -> Self {
        Self { space }
    }

    /// Adds records. A record with the key of an existing entry is merged with it.
    ///
    /// # Errors
    ///
    /// [`PutError`]. Records for which there was room have been added.
    pub fn put(
        &self,
        shared: &dyn SharedData,
        records: &[impl Into<OutgoingRecord> + Copy],
        due: DueTime,
    ) -> Result<(), PutError> {
        let since = match due {
            DueTime::AtOnce => AT_ONCE,
            DueTime::AfterGraceFrom(now) => now,
        };
        let records: Vec<OutgoingRecord> = records.iter().map(|&it| it.into()).collect();
        let mut result = Ok(());
        for (number, records) in by_number(&records, |outgoing| outgoing.record) {
            let put = self.change(shared, number, |entries| insert(entries, &records, since));
            result = result.and(put.unwrap_or(Err(PutError::Contended)));
        }
        result
    }

    /// Marks entries as acknowledged by the service if they still equal these records.
    ///
    /// # Errors
    ///
    /// [`Contended`]: some of the records will be sent again.
    pub fn acknowledged(
        &self,
        shared: &dyn SharedData,
        records: &[Record],
        now: Now,
    ) -> Result<(), Contended> {
        for (number, records) in by_number(records, |record| *record) {
            self.change(shared, number, |entries| {
                let equal =
                    |entry: &&mut OutboxEntry| records.binary_search(&entry.record()).is_ok();
                for entry in entries.iter_mut().filter(equal) {
                    entry.state = DeliveryState::Acknowledged;
                    entry.since = now.monotonic_milliseconds;
                }
            })?;
        }
        Ok(())
    }

    /// Removes the entries that the feed has shown, which are those that these records cover.
    ///
    /// # Errors
    ///
    /// [`Contended`]: some of the entries remain.
    pub fn shown(&self, shared: &dyn SharedData, records: &[Record]) -> Result<(), Contended> {
        if self.len(shared) == 0 {
            return Ok(()); // nearly always
        }
        for (number, records) in by_number(records, |record| *record) {
            let covers = |entry: &OutboxEntry| {
                let key = entry.record().key();
                let at = records.partition_point(|record| record.key() < key);
                let mut same = records.iter().skip(at).take_while(|r| r.key() == key);
                same.any(|record| record.covers(&entry.record()))
            };
            self.change(shared, number, |entries| entries.retain(|entry| !covers(entry)))?;
        }
        Ok(())
    }

    /// Removes records that the service rejects permanently, if their entries still equal them.
    ///
    /// # Errors
    ///
    /// [`Contended`]: some of the entries remain and will be sent again.
    pub fn remove(&self, shared: &dyn SharedData, records: &[Record]) -> Result<(), Contended> {
        for (number, records) in by_number(records, |record| *record) {
            self.change(shared, number, |entries| {
                entries.retain(|entry| records.binary_search(&entry.record()).is_err());
            })?;
        }
        Ok(())
    }

    /// Removes expired entries. The service neither stores nor shows their records.
    pub fn forget_past(&self, shared: &dyn SharedData, service_unix_seconds: u64) {
        let is_past =
            |entry: &OutboxEntry| is_past_for_service(&entry.record(), service_unix_seconds);
        for number in 0..VALUES {
            if self.entries(shared, number).iter().any(is_past) {
                // If this fails, the next maintenance run repeats it.
                let _ = self.change(shared, number, |entries| entries.retain(|e| !is_past(e)));
            }
        }
    }

    /// Returns whether the feed, which was complete at `current_at` (monotonic milliseconds), lacks
    /// a record that it should have shown by then.
    #[must_use]
    pub fn is_missing_any(&self, shared: &dyn SharedData, current_at: u64) -> bool {
        let is_missing = |entry: &OutboxEntry| {
            entry.state == DeliveryState::Acknowledged
                && entry.since.saturating_add(SHOWN_WITHIN_MILLISECONDS) <= current_at
        };
        (0..VALUES).any(|number| self.entries(shared, number).iter().any(is_missing))
    }

    /// Returns at most `limit` records that are due.
    #[must_use]
    pub fn due(&self, shared: &dyn SharedData, now: Now, limit: usize) -> Vec<OutgoingRecord> {
        let mut due = Vec::new();
        for number in 0..VALUES {
            if due.len() >= limit {
                break;
            }
            let entries = self.entries(shared, number);
            let room = limit - due.len();
            due.extend(entries.iter().filter(|e| e.is_due(now)).map(|e| e.outgoing).take(room));
        }
        due
    }

    /// Returns the number of entries in one value, and the records among them that are due.
    #[must_use]
    pub fn due_in(
        &self,
        shared: &dyn SharedData,
        now: Now,
        number: u16,
    ) -> (usize, Vec<OutgoingRecord>) {
        let entries = self.entries(shared, number);
        let due = entries.iter().filter(|entry| entry.is_due(now)).map(|entry| entry.outgoing);
        (entries.len(), due.collect())
    }

    /// Returns every record.
    #[must_use]
    pub fn records(&self, shared: &dyn SharedData) -> Vec<Record> {
        self.outgoing(shared).into_iter().map(|outgoing| outgoing.record).collect()
    }

    /// Returns every record with its account.
    #[must_use]
    pub fn outgoing(&self, shared: &dyn SharedData) -> Vec<OutgoingRecord> {
        let entries = (0..VALUES).flat_map(|number| self.entries(shared, number));
        entries.map(|entry| entry.outgoing).collect()
    }

    /// Returns whether the outbox has an entry with this record's key that the service has not
    /// acknowledged.
    #[must_use]
    pub fn owes(&self, shared: &dyn SharedData, record: &Record) -> bool {
        self.owed(shared, record).is_some()
    }

    /// Returns the record, with the account of the entry that has its key, if the service has not
    /// acknowledged that entry.
    #[must_use]
    pub fn owed(&self, shared: &dyn SharedData, record: &Record) -> Option<OutgoingRecord> {
        let is_owed = |e: &&OutboxEntry| {
            e.record().key() == record.key() && e.state == DeliveryState::Undelivered
        };
        let entries = self.entries(shared, number(record));
        let account = entries.iter().find(is_owed)?.outgoing.account;
        Some(OutgoingRecord { record: *record, account })
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self, shared: &dyn SharedData) -> usize {
        let mut count = 0;
        for number in 0..VALUES {
            let mut add = |value: &[u8], _| count += value.len() / ENTRY_BYTES;
            shared.read(&self.name(number), &mut add);
        }
        count
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
    outgoing: OutgoingRecord,
    state: DeliveryState,
    /// The time of the acknowledgement, or of the addition, in monotonic milliseconds.
    since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeliveryState {
    Undelivered = 0,
    Acknowledged = 1,
}

impl OutboxEntry {
    fn record(&self) -> Record {
        self.outgoing.record
    }

    fn is_due(&self, now: Now) -> bool {
        let latest = now.unix_seconds.saturating_add(CUTOFF_AHEAD_SECONDS);
        // A time in the future was not written by this filter. Delivering twice is better than
        // never.
        let age = now.monotonic_milliseconds.checked_sub(self.since);
        self.state == DeliveryState::Undelivered
            && self.record().issued_before <= latest
            && age.is_none_or(|age| age >= GRACE_MILLISECONDS)
    }
}

/// Adds records to a sorted list. Each is merged with the entry that has the same key.
fn insert(
    entries: &mut Vec<OutboxEntry>,
    records: &[OutgoingRecord],
    since: u64,
) -> Result<(), PutError> {
    let mut fresh = Vec::new();
    for &outgoing in records {
        let key = outgoing.record.key();
        let found = entries.binary_search_by_key(&key, |entry| entry.record().key());
        match found.ok().and_then(|at| entries.get_mut(at)) {
            Some(entry) => {
                entry.outgoing = entry.outgoing.merge(outgoing);
                entry.since = match entry.state {
                    DeliveryState::Undelivered => entry.since.min(since),
                    DeliveryState::Acknowledged => since,
                };
                entry.state = DeliveryState::Undelivered;
            }
            None => fresh.push(OutboxEntry { outgoing, state: DeliveryState::Undelivered, since }),
        }
    }
    fresh.dedup_by(|later, kept| {
        let same = later.record().key() == kept.record().key();
        if same {
            kept.outgoing = kept.outgoing.merge(later.outgoing);
        }
        same
    });
    let room = ENTRIES_A_KEY.saturating_sub(entries.len());
    let fits = fresh.len() <= room;
    entries.extend(fresh.into_iter().take(room));
    entries.sort_by_key(|entry| entry.record().key());
    if fits { Ok(()) } else { Err(PutError::Full) }
}

/// Returns the number of the value that contains this record.
fn number(record: &Record) -> u16 {
    let [.., last] = record.id.0;
    u16::from(last) % VALUES
}

/// Groups items by the number of the value of their record, and sorts them by record.
fn by_number<T: Copy>(items: &[T], record: impl Fn(&T) -> Record) -> BTreeMap<u16, Vec<T>> {
    let mut numbers: BTreeMap<u16, Vec<T>> = BTreeMap::new();
    for &item in items {
        numbers.entry(number(&record(&item))).or_default().push(item);
    }
    numbers.values_mut().for_each(|items| items.sort_by_key(&record));
    numbers
}

fn write(entries: &[OutboxEntry]) -> Vec<u8> {
    if entries.is_empty() {
        return Vec::new(); // nothing is copied into the VM when it is read
    }
    let mut value = Vec::with_capacity(MAGIC.len() + entries.len() * ENTRY_BYTES);
    value.extend_from_slice(MAGIC);
    for entry in entries {
        value.extend_from_slice(&entry.record().to_bytes());
        value.push(entry.state as u8);
        value.extend_from_slice(&entry.since.to_be_bytes());
        let account = entry.outgoing.account;
        value.push(account.map_or(0, |account| 1 + u8::from(account.iat.is_some())));
        value.extend_from_slice(&account.map_or([0; 16], |account| account.user.0));
        let iat = account.and_then(|account| account.iat).unwrap_or_default();
        value.extend_from_slice(&iat.to_be_bytes());
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
        && entries.is_sorted_by(|a, b| a.record().key() < b.record().key());
    sound.then_some(entries)
}

fn read_entry(bytes: &[u8; ENTRY_BYTES]) -> Option<OutboxEntry> {
    let (record, rest) = bytes.split_first_chunk()?;
    let (&state, rest) = rest.split_first()?;
    let (since, rest) = rest.split_first_chunk()?;
    let (&form, rest) = rest.split_first()?;
    let (&user, iat) = rest.split_first_chunk()?;
    let iat = u64::from_be_bytes(iat.try_into().ok()?);
    let account = match (form, user, iat) {
        (0, user, 0) if user == [0; 16] => None,
        (1, user, 0) => Some(Account { user: RecordId(user), iat: None }),
        (2, user, iat) => Some(Account { user: RecordId(user), iat: Some(iat) }),
        _ => return None,
    };
    let state = match state {
        0 => DeliveryState::Undelivered,
        1 => DeliveryState::Acknowledged,
        _ => return None,
    };
    let outgoing = OutgoingRecord { record: Record::from_bytes(record)?, account };
    Some(OutboxEntry { outgoing, state, since: u64::from_be_bytes(*since) })
}

const MAGIC: &[u8] = b"SGO2";
const ENTRY_BYTES: usize = RECORD_BYTES + 1 + 8 + 1 + 16 + 8;

/// The time of an entry that is due at once. It lies before the grace period, except in the first
/// two seconds of a monotonic clock.
const AT_ONCE: u64 = 0;

#[cfg(test)]
mod tests;
