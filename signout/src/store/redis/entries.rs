//! Entries of the stream `log`: tag, tag of the previous entry, and record.

use redis::{Value, from_redis_value};
use session_guard_core::revocation::record::{RECORD_BYTES, Record};

use crate::entry::{Entry, Position};
use crate::store::StoreError;

/// An entry, and the tag of the entry before it.
pub(super) struct Linked {
    pub(super) entry: Entry,
    before: u64,
}

/// The id of an entry, and the name and value of its field.
pub(super) type RawEntry = (String, Vec<Vec<u8>>);

/// Names and values of the fields of a hash.
pub(super) type RawFields = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) fn decode_all(rows: &[RawEntry]) -> Option<Vec<Linked>> {
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

/// Returns the entries if each follows the previous one and the first follows `known`.
pub(super) fn chained(
    name: &str,
    mut known: Position,
    linked: Vec<Linked>,
) -> Result<Vec<Entry>, StoreError> {
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

/// Returns the entries in the response to a read of one stream.
pub(super) fn stream_of(read: Value) -> Option<Vec<RawEntry>> {
    if read == Value::Nil {
        return Some(Vec::new());
    }
    let streams: Vec<(String, Vec<RawEntry>)> = from_redis_value(read).ok()?;
    streams.into_iter().next().map(|(_, rows)| rows)
}
