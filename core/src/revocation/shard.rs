//! One shard: the form in which a part of the revocation set is stored in shared data.
//!
//! A shard is one value that contains the sorted records of one kind whose ids begin with the same
//! bits. Its form is canonical: sizes are fixed and the order is strict, so the same records always
//! give the same bytes. A value of any other form is damaged.
//!
//! # Why there are so many shards
//!
//! A lookup copies its shard into the VM, and a change copies it back. Many shards keep these
//! copies short. But shared data never deletes a name and needs 155 bytes for each. It is also
//! locked while its table grows: for 2 ms at 26,000 names, and for 5 ms at 52,000. There are fewer
//! than 52,000 shards for that reason.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | `SGS1` |
//! | 1 | kind |
//! | 4 | number of records, big endian |
//! | 24 or 32 each | id, issued_before (not for tokens), exp; big endian, in strict order of id |

use crate::revocation::name::NamePair;
use crate::revocation::record::{Kind, Record, RecordId};
use crate::shared::names::{HexDigits, KeySpace, SharedName};

/// The error for a value in shared data that this filter has not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Identifies a shard by its kind and the leading bits of its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShardSlot {
    kind: Kind,
    number: u16,
}

impl ShardSlot {
    /// Returns the slot of a record with this key.
    #[must_use]
    pub fn of((id, kind): (RecordId, Kind)) -> Self {
        Self { kind, number: id.leading_bits().checked_shr(bits_below(kind)).unwrap_or(0) }
    }

    /// Returns the slots of a kind for the ids from `first` to `last`, in order.
    pub fn between(kind: Kind, first: RecordId, last: RecordId) -> impl Iterator<Item = Self> {
        let numbers = Self::of((first, kind)).number..=Self::of((last, kind)).number;
        numbers.map(move |number| Self { kind, number })
    }

    /// Returns every slot, 36,865 in all.
    pub fn all() -> impl Iterator<Item = Self> {
        let whole = |kind| Self::between(kind, RecordId::FIRST, RecordId::LAST);
        Kind::ALL.into_iter().flat_map(whole)
    }

    /// Returns the kind of its records.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// Returns the lowest and the highest id of this slot.
    #[must_use]
    pub fn ids(self) -> (RecordId, RecordId) {
        let (mut first, mut last) = (RecordId::FIRST, RecordId::LAST);
        let below = bits_below(self.kind);
        let lowest = self.number.checked_shl(below).unwrap_or(0);
        let highest = lowest | u16::MAX.checked_shr(u16::BITS - below).unwrap_or(0);
        for (id, bits) in [(&mut first, lowest), (&mut last, highest)] {
            let [high, low, ..] = &mut id.0;
            [*high, *low] = bits.to_be_bytes();
        }
        (first, last)
    }

    /// Returns the shard's name in shared data.
    #[must_use]
    pub fn name(self, space: &KeySpace) -> SharedName {
        match self.kind {
            Kind::Token => space.name("t", Some((self.number, HexDigits::Four))),
            Kind::User => space.name("u", Some((self.number, HexDigits::Three))),
            Kind::All => space.name("all", None),
        }
    }

    fn record_bytes(self) -> usize {
        match self.kind {
            Kind::Token => 24,
            Kind::User | Kind::All => 32,
        }
    }
}

/// Returns how many of an id's first 16 bits do not choose the shard. There are 32,768 shards for
/// tokens, 4,096 for users and sessions, and one for the cutoff for all.
fn bits_below(kind: Kind) -> u32 {
    match kind {
        Kind::Token => 1,
        Kind::User => 4,
        Kind::All => u16::BITS,
    }
}

/// A well-formed shard, read without copying it.
#[derive(Clone, Copy, Debug)]
pub struct Shard<'a> {
    slot: ShardSlot,
    records: &'a [u8],
}

impl<'a> Shard<'a> {
    /// Reads the value found at this slot. If there is no value, the shard is empty.
    ///
    /// # Errors
    ///
    /// [`Damaged`] for anything that [`write()`] would not have written there.
    pub fn read(slot: ShardSlot, value: Option<&'a [u8]>) -> Result<Self, Damaged> {
        let Some(value) = value else { return Ok(Self::empty(slot)) };
        let (header, records) = value.split_first_chunk().ok_or(Damaged)?;
        let shard = Self { slot, records };
        let count = records.len() / slot.record_bytes();
        let whole = count * slot.record_bytes() == records.len();
        let sound = whole && *header == self::header(slot, count) && shard.is_sound();
        sound.then_some(shard).ok_or(Damaged)
    }

    /// Returns the shard of a slot that was never written.
    #[must_use]
    pub fn empty(slot: ShardSlot) -> Self {
        Self { slot, records: &[] }
    }

    /// Returns the records, in order of id.
    pub fn records(self) -> impl Iterator<Item = Record> + 'a {
        let chunks = self.records.chunks_exact(self.slot.record_bytes());
        chunks.filter_map(move |bytes| read_record(self.slot.kind, bytes))
    }

    /// Returns the record with this id.
    #[must_use]
    pub fn find(self, id: RecordId) -> Option<Record> {
        self.records().find(|record| record.id >= id).filter(|record| record.id == id)
    }

    /// Returns the records with either of these names. Both names lie in the same shard.
    pub fn find_pair(self, names: NamePair) -> impl Iterator<Item = Record> + 'a {
        let (low, high) = names.in_order();
        let between = self.records().skip_while(move |record| record.id < low);
        let between = between.take_while(move |record| record.id <= high);
        between.filter(move |record| record.id == low || record.id == high)
    }

    /// Returns whether the ids are in strict order and belong to this shard. This is checked on
    /// every lookup. Because the order is checked, only the first and the last id need a range
    /// check.
    fn is_sound(self) -> bool {
        let (first, last) = self.slot.ids();
        let mut before = None;
        let in_order = self.records().all(|record| {
            let least = before.replace(record.id);
            least.map_or(first <= record.id, |before| before < record.id) && record.is_sound()
        });
        in_order && before.is_none_or(|highest| highest <= last)
    }
}

/// Returns the value of a shard with these records, which must belong there and be in strict order
/// of id.
#[must_use]
pub fn write(slot: ShardSlot, records: &[Record]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER_BYTES + records.len() * slot.record_bytes());
    value.extend_from_slice(&header(slot, records.len()));
    for record in records {
        value.extend_from_slice(&record.id.0);
        if slot.kind != Kind::Token {
            value.extend_from_slice(&record.issued_before.to_be_bytes());
        }
        value.extend_from_slice(&record.exp.to_be_bytes());
    }
    value
}

fn header(slot: ShardSlot, count: usize) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
    [b'S', b'G', b'S', b'1', slot.kind as u8, a, b, c, d]
}

fn read_record(kind: Kind, bytes: &[u8]) -> Option<Record> {
    let (&id, rest) = bytes.split_first_chunk()?;
    let (issued_before, exp) = match kind {
        Kind::Token => ([0; 8], rest.first_chunk()?),
        Kind::User | Kind::All => (*rest.first_chunk()?, rest.last_chunk()?),
    };
    let (issued_before, exp) = (u64::from_be_bytes(issued_before), u64::from_be_bytes(*exp));
    Some(Record { id: RecordId(id), kind, issued_before, exp })
}

const HEADER_BYTES: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::revocation::record::strategies::record;

    fn shard() -> impl Strategy<Value = (ShardSlot, Vec<Record>)> {
        prop::collection::vec(record(), 1..20).prop_map(|mut records| {
            let slot = ShardSlot::of(records[0].key());
            records.retain(|record| ShardSlot::of(record.key()) == slot);
            records.sort_unstable();
            records.dedup_by_key(|record| record.key());
            (slot, records)
        })
    }

    proptest! {
        #[test]
        fn a_shard_is_read_back((slot, records) in shard()) {
            let value = write(slot, &records);
            let read = Shard::read(slot, Some(&value)).expect("well-formed");
            prop_assert!(read.records().eq(records.iter().copied()));
            for record in records {
                prop_assert_eq!(read.find(record.id), Some(record));
            }
        }

        #[test]
        fn a_shard_of_another_length_is_damaged((slot, records) in shard(), cut: prop::sample::Index) {
            let mut value = write(slot, &records);
            let cut = cut.index(value.len());
            prop_assert_eq!(Shard::read(slot, Some(&value[..cut])).err(), Some(Damaged));
            value.push(0);
            prop_assert_eq!(Shard::read(slot, Some(&value)).err(), Some(Damaged));
        }

        #[test]
        fn the_same_records_give_the_same_bytes(slot in shard(), mut value: Vec<u8>) {
            let mut whole = write(slot.0, &slot.1);
            whole.truncate(HEADER_BYTES);
            whole.append(&mut value);
            if let Ok(read) = Shard::read(slot.0, Some(&whole)) {
                prop_assert_eq!(write(slot.0, &read.records().collect::<Vec<_>>()), whole);
            }
        }

        #[test]
        fn the_id_chooses_the_slot(id: [u8; 16], kind in 0..3usize) {
            let (id, kind) = (RecordId(id), Kind::ALL[kind]);
            let slot = ShardSlot::of((id, kind));
            let (first, last) = slot.ids();
            prop_assert!(first <= id && id <= last);
            prop_assert_eq!((ShardSlot::of((first, kind)), ShardSlot::of((last, kind))), (slot, slot));
            prop_assert!(ShardSlot::between(kind, id, id).eq([slot]));
        }
    }

    #[test]
    fn a_shard_of_another_order_slot_or_kind_is_damaged() {
        let id = |last| RecordId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        let [one, two] = [1, 2].map(|last| Record::token(id(last), 5));
        let slot = ShardSlot::of(one.key());
        let read = |value: &[u8], slot| Shard::read(slot, Some(value)).map(|_| ());
        assert_eq!(read(&write(slot, &[one, two]), slot), Ok(()));
        assert_eq!(read(&write(slot, &[two, one]), slot), Err(Damaged));
        assert_eq!(read(&write(slot, &[one, one]), slot), Err(Damaged));
        let elsewhere = ShardSlot::of((RecordId::LAST, Kind::Token));
        assert_eq!(read(&write(slot, &[one]), elsewhere), Err(Damaged));
        let users = ShardSlot::of((one.id, Kind::User));
        assert_eq!(read(&write(slot, &[]), users), Err(Damaged));
        assert_eq!(read(&[], slot), Err(Damaged));
    }

    #[test]
    fn every_slot_has_its_own_short_name() {
        let space = KeySpace::of_feed("", "signout", "signout");
        let names: std::collections::HashSet<_> =
            ShardSlot::all().map(|slot| slot.name(&space).to_string()).collect();
        assert_eq!(names.len(), 32_768 + 4_096 + 1);
        assert!(names.iter().all(|name| name.len() <= 40));
    }
}
