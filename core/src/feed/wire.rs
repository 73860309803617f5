//! The binary form of one response of the feed.
//!
//! Proxies request it as `application/vnd.session-guard.feed`. All numbers are big endian:
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | `SGF2` |
//! | 1 | flags: 1 = reset, 2 = more; the others are 0 |
//! | 8 | the service's `now`, seconds since 1970 UTC |
//! | 4 | `held_milliseconds`: the time from when the service received the poll until it made the page |
//! | 1 + n | cursor: length, then that many printable ASCII bytes |
//! | 1 + n | head: length, then that many printable ASCII bytes |
//! | 16 + 16 | lowest and highest record id that the page covers |
//! | 4 | number of records |
//! | 33 each | the records |
//! | 16 | the first bytes of HMAC-SHA-256 of all preceding bytes; the key is the caller's API token |
//!
//! A response is accepted only if it is complete and every bit is as the service wrote it.
//! Otherwise it changes nothing.
//!
//! # Why the checksum has a key
//!
//! The API token authenticates the proxy to the service. The checksum authenticates the service to
//! the proxy, because only a service with the same API token can make it. A cache, a misrouted
//! connection, another signout service or any other intermediary that cannot read the request
//! headers can neither make nor change a page. It also cannot pass on a page that was made for a
//! caller with another token. This does not replace TLS: anybody who can read the requests has the
//! token.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::revocation::record::{RECORD_BYTES, Record, RecordId};

/// The media type of the binary form.
pub const CONTENT_TYPE: &str = "application/vnd.session-guard.feed";

/// The maximum number of records in one page of a reset. The signout service sends far fewer, so
/// that no page blocks a worker for long.
pub const RESET_PAGE_RECORDS: usize = 20_000;

/// The maximum number of records in one page of changes, each of which may be in another shard. The
/// signout service sends fewer.
pub const CHANGES_PAGE_RECORDS: usize = 1_000;

/// The number of leading bits that determine the range of one page of a reset. A page covers 1/32
/// of the id space, so that comparing an empty page with a full set reads 1,024 shards and not
/// 32,768. Only the service obeys this limit. A proxy also accepts a wider page, which takes a
/// worker 20 ms at worst.
pub const RESET_PAGE_PREFIX_BITS: u32 = 5;

/// Longest cursor.
pub const CURSOR_BYTES: usize = 128;

/// A position in the feed, named by the service and opaque to proxies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor(String);

impl Cursor {
    /// Parses a cursor, which must be 1 to 128 bytes of printable ASCII without space.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let sound = (1..=CURSOR_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        sound.then(|| Self(text.to_owned()))
    }

    /// Returns the text.
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
    /// Whether the page is a part of the whole live set, sorted by id and kind without duplicates.
    /// If not, it contains changes in the order in which they were made.
    pub reset: bool,
    /// Whether the service has more records, so that the proxy should poll again at once.
    pub more: bool,
    /// The service's wall clock, seconds since 1970 UTC.
    pub now: u64,
    /// The time for which the service held the poll, from receiving the request until making the
    /// page.
    pub held_milliseconds: u32,
    /// The cursor for the next poll.
    pub cursor: Cursor,
    /// The position of the newest record in the log when the response was made.
    pub head: Cursor,
    /// The lowest and the highest record id that a page of a reset covers. If a proxy has a record
    /// in this range that the page lacks, the service has lost it. A page of changes covers all
    /// ids.
    pub range: (RecordId, RecordId),
    /// The records.
    pub records: Vec<Record>,
}

/// The key of a page's checksum: the API token of the caller that requested the page.
#[derive(Clone)]
pub struct PageKey(Hmac<Sha256>);

impl PageKey {
    /// Creates the key for callers with this API token.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "in the types alone: a key may have any length (RFC 2104 §3)"
    )]
    pub fn new(api_token: &[u8]) -> Self {
        Self(Hmac::new_from_slice(api_token).expect("a key of any length"))
    }

    /// Returns the checksum of a page's bytes.
    #[must_use]
    pub fn checksum(&self, content: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let tag = self.0.clone().chain_update(content).finalize().into_bytes();
        let mut checksum = [0; CHECKSUM_BYTES];
        for (byte, from) in checksum.iter_mut().zip(tag) {
            *byte = from;
        }
        checksum
    }

    /// Compares the checksum in constant time.
    fn verifies(&self, content: &[u8], checksum: &[u8; CHECKSUM_BYTES]) -> bool {
        self.0.clone().chain_update(content).verify_truncated_left(checksum).is_ok()
    }
}

impl fmt::Debug for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageKey(…)")
    }
}

/// The length of the checksum at the end of a page.
pub const CHECKSUM_BYTES: usize = 16;

/// The reason why a page is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// The response does not begin with `SGF2`.
    NotAFeed,
    /// The checksum is wrong: the page was truncated or changed, or was made for another API token.
    Damaged,
    /// The page is intact, but its content is invalid.
    Unsound,
}

impl Page {
    /// Encodes the page for callers with this key.
    #[must_use]
    pub fn encode(&self, key: &PageKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128 + self.records.len() * RECORD_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.push(u8::from(self.reset) * RESET + u8::from(self.more) * MORE);
        bytes.extend_from_slice(&self.now.to_be_bytes());
        bytes.extend_from_slice(&self.held_milliseconds.to_be_bytes());
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
        let checksum = key.checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        bytes
    }

    /// Decodes a page.
    ///
    /// # Errors
    ///
    /// [`WireError`] for anything that [`Page::encode`] would not have written.
    pub fn decode(bytes: &[u8], key: &PageKey) -> Result<Self, WireError> {
        if !bytes.starts_with(MAGIC) {
            return Err(WireError::NotAFeed);
        }
        let (content, checksum) = bytes.split_last_chunk().ok_or(WireError::Damaged)?;
        if !key.verifies(content, checksum) {
            return Err(WireError::Damaged);
        }
        let page = Self::read(content.get(MAGIC.len()..).unwrap_or_default());
        page.filter(Self::is_sound).ok_or(WireError::Unsound)
    }

    fn read(mut rest: &[u8]) -> Option<Self> {
        let [flags] = take(&mut rest)?;
        let now = u64::from_be_bytes(take(&mut rest)?);
        let held_milliseconds = u32::from_be_bytes(take(&mut rest)?);
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
        Some(Self { reset, more, now, held_milliseconds, cursor, head, range, records })
    }

    fn is_sound(&self) -> bool {
        let (first, last) = self.range;
        let most = if self.reset { RESET_PAGE_RECORDS } else { CHANGES_PAGE_RECORDS };
        let ordered = || self.records.is_sorted_by(|a, b| a.key() < b.key());
        let covered = || self.records.iter().all(|r| first <= r.id && r.id <= last);
        first <= last && self.records.len() <= most && (!self.reset || ordered()) && covered()
    }
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

const MAGIC: &[u8] = b"SGF2";
const RESET: u8 = 1;
const MORE: u8 = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::revocation::record::strategies::record;

    fn key() -> PageKey {
        PageKey::new(b"an API token")
    }

    fn page() -> impl Strategy<Value = Page> {
        let flags = (any::<bool>(), any::<bool>());
        let records = prop::collection::vec(record(), 0..30);
        let times = (any::<u64>(), any::<u32>());
        (flags, times, "[!-~]{1,128}", "[!-~]{1,128}", records).prop_map(
            |((reset, more), (now, held_milliseconds), cursor, head, mut records)| {
                if reset {
                    records.sort_unstable();
                    records.dedup_by_key(|record| record.key());
                }
                let cursor = Cursor::new(&cursor).expect("printable");
                let head = Cursor::new(&head).expect("printable");
                let range = (RecordId::FIRST, RecordId::LAST);
                Page { reset, more, now, held_milliseconds, cursor, head, range, records }
            },
        )
    }

    proptest! {
        #[test]
        fn a_page_is_read_back(page in page()) {
            prop_assert_eq!(Page::decode(&page.encode(&key()), &key()), Ok(page));
        }

        #[test]
        fn a_page_for_another_token_is_damaged(page in page(), token: Vec<u8>, other: Vec<u8>) {
            // An HMAC key is padded with zeros (RFC 2104 §2). The tokens of this test do not end in
            // a zero byte.
            let keys = [token, other].map(|token| [b"t", token.as_slice(), b"t"].concat());
            prop_assume!(keys[0] != keys[1]);
            let [key, other] = keys.map(|token| PageKey::new(&token));
            prop_assert_eq!(Page::decode(&page.encode(&key), &other), Err(WireError::Damaged));
        }

        #[test]
        fn a_page_with_a_changed_bit_is_rejected(page in page(), at: prop::sample::Index, bit in 0..8) {
            let mut bytes = page.encode(&key());
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(Page::decode(&bytes, &key()).is_err());
        }

        #[test]
        fn a_truncated_page_is_rejected(page in page(), at: prop::sample::Index) {
            let bytes = page.encode(&key());
            prop_assert!(Page::decode(&bytes[..at.index(bytes.len())], &key()).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>) {
            let _ = Page::decode(&bytes, &key());
            bytes.splice(0..0, MAGIC.iter().copied());
            let sum = key().checksum(&bytes);
            bytes.extend(sum);
            let _ = Page::decode(&bytes, &key());
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
                held_milliseconds: 0,
                cursor: cursor.clone(),
                head: cursor.clone(),
                range,
                records,
            };
            Page::decode(&page.encode(&key()), &key()).map(|_| ())
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

    /// A fixed example that every other implementation must reproduce.
    #[test]
    fn the_bytes_of_a_page_are_as_documented() {
        let cursor = Cursor::new("1.a").unwrap();
        let page = Page {
            reset: false,
            more: false,
            now: 0x0102,
            held_milliseconds: 0x0304,
            cursor: cursor.clone(),
            head: cursor,
            range: (RecordId::FIRST, RecordId::LAST),
            records: Vec::new(),
        };
        let bytes = page.encode(&PageKey::new(b"key"));
        let content = [
            &b"SGF2\0\0\0\0\0\0\0\x01\x02\0\0\x03\x04\x031.a\x031.a"[..],
            &[0; 16],
            &[255; 16],
            &[0; 4],
        ]
        .concat();
        let mut hmac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
        hmac.update(&content);
        let (left, right) = bytes.split_at(content.len());
        assert_eq!(left, content);
        assert_eq!(right, &hmac.finalize().into_bytes()[..16]);
    }

    #[test]
    fn a_cursor_is_printable_and_short() {
        assert!(Cursor::new("17.0123456789abcdef").is_some());
        for text in ["", "a b", "a\n", "é", &"x".repeat(129)] {
            assert!(Cursor::new(text).is_none(), "{text:?}");
        }
    }
}
