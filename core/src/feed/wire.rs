//! What does one response of the feed look like?
//!
//! Proxies read the binary form, `application/vnd.session-guard.feed`; all numbers big endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | `SGF1` |
//! | 1 | flags: 1 = reset, 2 = more; the others are 0 |
//! | 8 | the service's `now`, seconds since 1970 UTC |
//! | 1 + n | cursor: length, then that many printable ASCII bytes |
//! | 1 + n | head, likewise |
//! | 16 + 16 | lowest and highest record id that the page covers |
//! | 4 | number of records |
//! | 33 each | the records |
//! | 16 | the first bytes of SHA-256 of all before |
//!
//! An response counts only whole: whatever differs from this by one bit is an error, and an error
//! changes nothing.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::revocation::record::{RECORD_BYTES, Record, RecordId};

/// Media type of the binary form.
pub const CONTENT_TYPE: &str = "application/vnd.session-guard.feed";

/// Most records in one page of a reset. Our service sends far fewer, so that none holds a worker for
/// long.
pub const RESET_PAGE_RECORDS: usize = 20_000;

/// Most records in one page of changes: each may touch another shard. Our service sends fewer.
pub const CHANGES_PAGE_RECORDS: usize = 1_000;

/// Most of the id space that one page of a reset covers, as a number of leading bits: 1/32 of it,
/// so that comparing an empty page with a full proxy touches 1,024 shards and not 32,768. The service
/// keeps to it; a wider page counts all the same, and takes a worker 20 ms at worst.
pub const RESET_PAGE_PREFIX_BITS: u32 = 5;

/// Longest cursor.
pub const CURSOR_BYTES: usize = 128;

/// A position in the feed, as the service names it; opaque to proxies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor is 1 to 128 bytes of printable ASCII without space.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let sound = (1..=CURSOR_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        sound.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One response of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whether the page is a piece of the whole live set, in order of id and kind, each once.
    /// Otherwise it holds changes in the order in which they came.
    pub reset: bool,
    /// Whether there is more to fetch at once.
    pub more: bool,
    /// The service's wall clock, seconds since 1970 UTC.
    pub now: u64,
    /// Where to go on from.
    pub cursor: Cursor,
    /// The newest record of the log when the response was made.
    pub head: Cursor,
    /// Lowest and highest record id that a page of a reset covers: what a proxy holds in between
    /// and the page lacks, the service has lost. For changes: everything.
    pub range: (RecordId, RecordId),
    /// The records.
    pub records: Vec<Record>,
}

/// Why an response does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// It does not begin with `SGF1`.
    NotAFeed,
    /// It ends early, goes on after its end, or its checksum differs.
    Damaged,
    /// It is intact and says what no service may say.
    Unsound,
}

impl Page {
    /// The binary form.
    ///
    /// # Panics
    ///
    /// Never for a page of at most `u32::MAX` records: a [`Cursor`] fits its length byte.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128 + self.records.len() * RECORD_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.push(u8::from(self.reset) * RESET + u8::from(self.more) * MORE);
        bytes.extend_from_slice(&self.now.to_be_bytes());
        for cursor in [&self.cursor, &self.head] {
            bytes.push(u8::try_from(cursor.0.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(cursor.0.as_bytes());
        }
        bytes.extend_from_slice(&self.range.0.0);
        bytes.extend_from_slice(&self.range.1.0);
        let count = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&count.to_be_bytes());
        for record in &self.records {
            bytes.extend_from_slice(&record.to_bytes());
        }
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// Reads the binary form.
    ///
    /// # Errors
    ///
    /// Anything that [`Page::encode`] would not have written.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if !bytes.starts_with(MAGIC) {
            return Err(WireError::NotAFeed);
        }
        let (content, sum) = bytes.split_last_chunk().ok_or(WireError::Damaged)?;
        if checksum(content) != *sum {
            return Err(WireError::Damaged);
        }
        let page = Self::read(content.get(MAGIC.len()..).unwrap_or_default());
        page.filter(Self::is_sound).ok_or(WireError::Unsound)
    }

    fn read(mut rest: &[u8]) -> Option<Self> {
        let [flags] = take(&mut rest)?;
        let now = u64::from_be_bytes(take(&mut rest)?);
        let cursor = take_cursor(&mut rest)?;
        let head = take_cursor(&mut rest)?;
        let range = (RecordId(take(&mut rest)?), RecordId(take(&mut rest)?));
        let count = usize::try_from(u32::from_be_bytes(take(&mut rest)?)).ok()?;
        let (records, tail) = rest.as_chunks::<RECORD_BYTES>();
        if flags & !(RESET | MORE) != 0 || records.len() != count || !tail.is_empty() {
            return None;
        }
        let records = records.iter().map(Record::from_bytes).collect::<Option<_>>()?;
        let (reset, more) = (flags & RESET != 0, flags & MORE != 0);
        Some(Self { reset, more, now, cursor, head, range, records })
    }

    fn is_sound(&self) -> bool {
        let (first, last) = self.range;
        let most = if self.reset { RESET_PAGE_RECORDS } else { CHANGES_PAGE_RECORDS };
        let ordered = || self.records.is_sorted_by(|a, b| a.key() < b.key());
        let covered = || self.records.iter().all(|r| first <= r.id && r.id <= last);
        first <= last && self.records.len() <= most && (!self.reset || ordered()) && covered()
    }
}

fn checksum(content: &[u8]) -> [u8; 16] {
    let digest = Sha256::digest(content);
    let mut sum = [0; 16];
    for (byte, from) in sum.iter_mut().zip(digest) {
        *byte = from;
    }
    sum
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (&taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(taken)
}

fn take_cursor(rest: &mut &[u8]) -> Option<Cursor> {
    let [length] = take(rest)?;
    let (text, left) = rest.split_at_checked(usize::from(length))?;
    *rest = left;
    Cursor::new(std::str::from_utf8(text).ok()?)
}

const MAGIC: &[u8] = b"SGF1";
const RESET: u8 = 1;
const MORE: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::revocation::record::strategies::record;

    fn page() -> impl Strategy<Value = Page> {
        let flags = (any::<bool>(), any::<bool>());
        let records = prop::collection::vec(record(), 0..30);
        (flags, any::<u64>(), "[!-~]{1,128}", "[!-~]{1,128}", records).prop_map(
            |((reset, more), now, cursor, head, mut records)| {
                if reset {
                    records.sort_unstable();
                    records.dedup_by_key(|record| record.key());
                }
                let cursor = Cursor::new(&cursor).expect("printable");
                let head = Cursor::new(&head).expect("printable");
                let range = (RecordId::FIRST, RecordId::LAST);
                Page { reset, more, now, cursor, head, range, records }
            },
        )
    }

    proptest! {
        #[test]
        fn a_page_is_read_back(page in page()) {
            prop_assert_eq!(Page::decode(&page.encode()), Ok(page));
        }

        #[test]
        fn one_changed_bit_makes_a_page_worthless(page in page(), at: prop::sample::Index, bit in 0..8) {
            let mut bytes = page.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(Page::decode(&bytes).is_err());
        }

        #[test]
        fn a_page_cut_anywhere_is_worthless(page in page(), at: prop::sample::Index) {
            let bytes = page.encode();
            prop_assert!(Page::decode(&bytes[..at.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>) {
            let _ = Page::decode(&bytes);
            bytes.splice(0..0, MAGIC.iter().copied());
            let sum = checksum(&bytes);
            bytes.extend(sum);
            let _ = Page::decode(&bytes);
        }
    }

    #[test]
    fn a_reset_out_of_order_or_range_is_unsound() {
        let record = |byte| Record::token(RecordId([byte; 16]), 5);
        let cursor = Cursor::new("1.a").unwrap();
        let page = |range, records| {
            let page = Page {
                reset: true,
                more: false,
                now: 1,
                cursor: cursor.clone(),
                head: cursor.clone(),
                range,
                records,
            };
            Page::decode(&page.encode()).map(|_| ())
        };
        let all = (RecordId::FIRST, RecordId::LAST);
        assert_eq!(page(all, vec![record(1), record(2)]), Ok(()));
        assert_eq!(page(all, vec![record(2), record(1)]), Err(WireError::Unsound));
        assert_eq!(page(all, vec![record(1), record(1)]), Err(WireError::Unsound));
        assert_eq!(
            page((RecordId([2; 16]), RecordId::LAST), vec![record(1)]),
            Err(WireError::Unsound)
        );
        assert_eq!(page((RecordId::LAST, RecordId::FIRST), vec![]), Err(WireError::Unsound));
    }

    #[test]
    fn a_cursor_is_printable_and_short() {
        assert!(Cursor::new("17.0123456789abcdef").is_some());
        for text in ["", "a b", "a\n", "é", &"x".repeat(129)] {
            assert!(Cursor::new(text).is_none(), "{text:?}");
        }
    }
}
