//! How does a piece of the revocation set lie in shared data?
//!
//! A shard is one value: the sorted records of one kind whose ids begin with the same bits. Fixed
//! sizes and full order make it a canonical form: one content has one spelling, so whatever else is
//! found below its name is damage.
//!
//! # Why so many
//!
//! A look-up copies its shard into the VM, a change copies it back: many shards keep that short. But
//! shared data never forgets a key, takes 155 bytes for each, and is locked while its table grows,
//! for 5 ms at 52,000 keys, the next size after 26,000 (2 ms). So as many as fit below that.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | `SGS1` |
//! | 1 | kind |
//! | 4 | number of records, big endian |
//! | 24 or 32 each | id, issued_before (not for tokens), exp; big endian, in strict order of id |

use crate::revocation::record::{Kind, Record, RecordId};
use crate::shared::names::{FeedIdentity, HexDigits, Key};

/// A value in shared data is not what we wrote there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

/// Which shard: a kind, and the leading bits of the ids in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    kind: Kind,
    number: u16,
}

impl Place {
    /// Where a record of that key belongs.
    #[must_use]
    pub fn of((id, kind): (RecordId, Kind)) -> Self {
        let [high, low, ..] = id.0;
        let bits = u16::from_be_bytes([high, low]);
        Self { kind, number: bits.checked_shr(bits_below(kind)).unwrap_or(0) }
    }

    /// The places of a kind that ids from `first` to `last` belong to, in order.
    pub fn between(kind: Kind, first: RecordId, last: RecordId) -> impl Iterator<Item = Self> {
        let numbers = Self::of((first, kind)).number..=Self::of((last, kind)).number;
        numbers.map(move |number| Self { kind, number })
    }

    /// Every place, 36,865 in all.
    pub fn all() -> impl Iterator<Item = Self> {
        let whole = |kind| Self::between(kind, RecordId::FIRST, RecordId::LAST);
        Kind::ALL.into_iter().flat_map(whole)
    }

    /// What lies here.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// The lowest and the highest id that belong here.
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

    /// The shard's name in shared data.
    #[must_use]
    pub fn key(self, identity: &FeedIdentity) -> Key {
        match self.kind {
            Kind::Token => identity.key("t", Some((self.number, HexDigits::Four))),
            Kind::User => identity.key("u", Some((self.number, HexDigits::Three))),
            Kind::All => identity.key("all", None),
        }
    }

    fn record_bytes(self) -> usize {
        match self.kind {
            Kind::Token => 24,
            Kind::User | Kind::All => 32,
        }
    }
}

/// How many of an id's first 16 bits do not count: tokens have 32,768 shards, users 4,096, the
/// cutoffs for all one.
fn bits_below(kind: Kind) -> u32 {
    match kind {
        Kind::Token => 1,
        Kind::User => 4,
        Kind::All => u16::BITS,
    }
}

/// A well-formed shard, read where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Shard<'a> {
    place: Place,
    records: &'a [u8],
}

impl<'a> Shard<'a> {
    /// Reads the value found at that place; nothing found is an empty shard.
    ///
    /// # Errors
    ///
    /// [`Damaged`] for anything that [`write()`] would not have written there.
    pub fn read(place: Place, value: Option<&'a [u8]>) -> Result<Self, Damaged> {
        let Some(value) = value else { return Ok(Self::empty(place)) };
        let (header, records) = value.split_first_chunk().ok_or(Damaged)?;
        let shard = Self { place, records };
        let count = records.len() / place.record_bytes();
        let whole = count * place.record_bytes() == records.len();
        let sound = whole && *header == self::header(place, count) && shard.is_sound();
        sound.then_some(shard).ok_or(Damaged)
    }

    /// The shard at a place where nothing was ever written.
    #[must_use]
    pub fn empty(place: Place) -> Self {
        Self { place, records: &[] }
    }

    /// The records, in order of id.
    pub fn records(self) -> impl Iterator<Item = Record> + 'a {
        let chunks = self.records.chunks_exact(self.place.record_bytes());
        chunks.filter_map(move |bytes| read_record(self.place.kind, bytes))
    }

    /// The record with that id.
    #[must_use]
    pub fn find(self, id: RecordId) -> Option<Record> {
        self.records().find(|record| record.id >= id).filter(|record| record.id == id)
    }

    /// Asked on every look-up. In an order that holds, the ends say that all ids belong here.
    fn is_sound(self) -> bool {
        let (first, last) = self.place.ids();
        let mut before = None;
        let in_order = self.records().all(|record| {
            let least = before.replace(record.id);
            least.map_or(first <= record.id, |before| before < record.id) && record.is_sound()
        });
        in_order && before.is_none_or(|highest| highest <= last)
    }
}

/// The value of a shard with those records, which belong there and are in strict order of id.
#[must_use]
pub fn write(place: Place, records: &[Record]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER_BYTES + records.len() * place.record_bytes());
    value.extend_from_slice(&header(place, records.len()));
    for record in records {
        value.extend_from_slice(&record.id.0);
        if place.kind != Kind::Token {
            value.extend_from_slice(&record.issued_before.to_be_bytes());
        }
        value.extend_from_slice(&record.exp.to_be_bytes());
    }
    value
}

fn header(place: Place, count: usize) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
    [b'S', b'G', b'S', b'1', place.kind as u8, a, b, c, d]
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

    fn shard() -> impl Strategy<Value = (Place, Vec<Record>)> {
        prop::collection::vec(record(), 1..20).prop_map(|mut records| {
            let place = Place::of(records[0].key());
            records.retain(|record| Place::of(record.key()) == place);
            records.sort_unstable();
            records.dedup_by_key(|record| record.key());
            (place, records)
        })
    }

    proptest! {
        #[test]
        fn a_shard_is_read_back((place, records) in shard()) {
            let value = write(place, &records);
            let read = Shard::read(place, Some(&value)).expect("well-formed");
            prop_assert!(read.records().eq(records.iter().copied()));
            for record in records {
                prop_assert_eq!(read.find(record.id), Some(record));
            }
        }

        #[test]
        fn a_shard_cut_or_prolonged_is_damaged((place, records) in shard(), cut: prop::sample::Index) {
            let mut value = write(place, &records);
            let cut = cut.index(value.len());
            prop_assert_eq!(Shard::read(place, Some(&value[..cut])).err(), Some(Damaged));
            value.push(0);
            prop_assert_eq!(Shard::read(place, Some(&value)).err(), Some(Damaged));
        }

        #[test]
        fn a_well_formed_shard_has_one_spelling(place in shard(), mut value: Vec<u8>) {
            let mut whole = write(place.0, &place.1);
            whole.truncate(HEADER_BYTES);
            whole.append(&mut value);
            if let Ok(read) = Shard::read(place.0, Some(&whole)) {
                prop_assert_eq!(write(place.0, &read.records().collect::<Vec<_>>()), whole);
            }
        }

        #[test]
        fn a_record_belongs_where_its_id_begins(id: [u8; 16], kind in 0..3usize) {
            let (id, kind) = (RecordId(id), Kind::ALL[kind]);
            let place = Place::of((id, kind));
            let (first, last) = place.ids();
            prop_assert!(first <= id && id <= last);
            prop_assert_eq!((Place::of((first, kind)), Place::of((last, kind))), (place, place));
            prop_assert!(Place::between(kind, id, id).eq([place]));
        }
    }

    #[test]
    fn a_shard_of_another_order_place_or_kind_is_damaged() {
        let id = |last| RecordId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        let [one, two] = [1, 2].map(|last| Record::token(id(last), 5));
        let place = Place::of(one.key());
        let read = |value: &[u8], place| Shard::read(place, Some(value)).map(|_| ());
        assert_eq!(read(&write(place, &[one, two]), place), Ok(()));
        assert_eq!(read(&write(place, &[two, one]), place), Err(Damaged));
        assert_eq!(read(&write(place, &[one, one]), place), Err(Damaged));
        let elsewhere = Place::of((RecordId::LAST, Kind::Token));
        assert_eq!(read(&write(place, &[one]), elsewhere), Err(Damaged));
        let users = Place::of((one.id, Kind::User));
        assert_eq!(read(&write(place, &[]), users), Err(Damaged));
        assert_eq!(read(&[], place), Err(Damaged));
    }

    #[test]
    fn every_place_has_its_own_short_name() {
        let identity = FeedIdentity::new("", "signout", "signout");
        let names: std::collections::HashSet<_> =
            Place::all().map(|place| place.key(&identity).to_string()).collect();
        assert_eq!(names.len(), 32_768 + 4_096 + 1);
        assert!(names.iter().all(|name| name.len() <= 40));
    }
}
