//! A bounded memory of tokens, keyed by their exact bytes.
//!
//! The verifier has two of these: one for verified tokens, and one for tokens that it refused after
//! a signature check. A forged token can therefore not displace a verified one. An entry is found
//! by a hash and then compared byte by byte, so a token never gets another token's verdict. The
//! least recently used entries are dropped first. The limit counts bytes, not entries, so no mix of
//! tokens can use more memory than planned.
//!
//! # Which bytes are hashed
//!
//! A verified token is found by its end. The end is its signature, which differs between any two
//! genuine tokens and which only the issuer can choose. Hashing these bytes spreads tokens as well as
//! hashing all bytes: a look-up of 400 bytes took 24 ns instead of 91. A client chooses the ends of
//! forged tokens, so a refused token is found by a keyed hash of all its bytes.

use std::hash::{BuildHasher, RandomState};
use std::mem::size_of;

use lru::LruCache;

/// A value in a memory of tokens.
pub(super) trait Remembered {
    /// Returns the memory that belongs to the value, in bytes, in addition to its `size_of`. Memory
    /// that it shares through an `Rc` is included in full.
    fn bytes(&self) -> usize;
}

/// A memory of tokens of one configuration.
pub(super) struct TokenCache<V> {
    tokens: LruCache<CacheKey, CachedToken<V>>,
    keyed_by: KeyedBy,
    bytes: usize,
    limit_bytes: usize,
    longest_token_bytes: usize,
}

/// The last bytes of a token, which are 24 characters of base64url or 144 bits; or a hash.
type CacheKey = [u8; 24];

/// The bytes of a token from which its key is made.
enum KeyedBy {
    End,
    AllBytes(RandomState),
}

struct CachedToken<V> {
    token: Box<[u8]>,
    value: V,
    /// The memory of the entry. It is stored because the value of an old entry is in no processor
    /// cache.
    bytes: usize,
}

impl<V: Remembered> TokenCache<V> {
    /// Creates an empty memory of at most `limit_bytes`, for genuine tokens of at most
    /// `longest_token_bytes`.
    pub(super) fn of_genuine(limit_bytes: usize, longest_token_bytes: usize) -> Self {
        Self::new(KeyedBy::End, limit_bytes, longest_token_bytes)
    }

    /// Creates an empty memory of at most `limit_bytes`, for tokens whose bytes a client may have
    /// chosen.
    pub(super) fn of_any(limit_bytes: usize) -> Self {
        Self::new(KeyedBy::AllBytes(RandomState::new()), limit_bytes, limit_bytes)
    }

    fn new(keyed_by: KeyedBy, limit_bytes: usize, longest_token_bytes: usize) -> Self {
        Self { tokens: LruCache::unbounded(), keyed_by, bytes: 0, limit_bytes, longest_token_bytes }
    }

    /// Returns the key of this token. Returns `None` if no token is in the cache, or this one is too
    /// short to have a key.
    fn key_to_find(&self, token: &[u8]) -> Option<CacheKey> {
        (!self.tokens.is_empty()).then(|| self.key(token))?
    }

    /// Returns the key of this token, or `None` if the token is too short to have one.
    fn key(&self, token: &[u8]) -> Option<CacheKey> {
        let state = match &self.keyed_by {
            KeyedBy::End => return token.last_chunk().copied(),
            KeyedBy::AllBytes(state) => state,
        };
        let mut key = CacheKey::default();
        *key.first_chunk_mut()? = state.hash_one(token).to_ne_bytes();
        Some(key)
    }

    /// Returns the value of this token.
    pub(super) fn find(&mut self, token: &[u8]) -> Option<&V> {
        let key = self.key_to_find(token)?;
        let entry = self.tokens.get(&key)?;
        are_equal(&entry.token, token).then_some(&entry.value)
    }

    /// Returns whether there is a value for this token. This does not affect which entry is dropped
    /// first.
    pub(super) fn has(&self, token: &[u8]) -> bool {
        let entry = self.key_to_find(token).and_then(|key| self.tokens.peek(&key));
        entry.is_some_and(|entry| are_equal(&entry.token, token))
    }

    /// Adds or replaces a token, unless it is too long.
    pub(super) fn keep(&mut self, token: &[u8], value: V) {
        let Some(key) = self.key(token) else { return };
        if token.len() > self.longest_token_bytes {
            return;
        }
        let entry = CachedToken::new(token, value);
        self.bytes += entry.bytes;
        if let Some((_, replaced)) = self.tokens.push(key, entry) {
            self.bytes -= replaced.bytes;
        }
        while self.bytes > self.limit_bytes {
            let Some((_, oldest)) = self.tokens.pop_lru() else { break };
            self.bytes -= oldest.bytes;
        }
    }

    /// Drops every token whose value does not satisfy the condition.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&V) -> bool) {
        let dropped = self.tokens.iter().filter(|(_, entry)| !is_kept(&entry.value));
        let dropped: Vec<CacheKey> = dropped.map(|(key, _)| *key).collect();
        for entry in dropped.iter().filter_map(|key| self.tokens.pop(key)) {
            self.bytes -= entry.bytes;
        }
    }
}

impl<V: Remembered> CachedToken<V> {
    fn new(token: &[u8], value: V) -> Self {
        let bytes = token.len() + size_of::<Self>() + value.bytes() + ENTRY_OVERHEAD_BYTES;
        Self { token: token.into(), value, bytes }
    }
}

/// Like `==`, but compares eight bytes at a time. In WebAssembly, `==` compiles to a loop over
/// single bytes.
fn are_equal(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    a.len() == b.len()
        && a_words.iter().zip(b_words).all(|(a, b)| word(a) == word(b))
        && a_rest == b_rest
}

/// The memory of an entry besides token and value: the reference counts, the list node, the slot of
/// the hash table when it is emptiest, and the allocator's overhead for five allocations.
const ENTRY_OVERHEAD_BYTES: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT_BYTES: usize = 256 * 1024;
    const LONGEST_TOKEN_BYTES: usize = 4 * 1024;

    impl Remembered for String {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    fn cache() -> TokenCache<String> {
        TokenCache::of_genuine(LIMIT_BYTES, LONGEST_TOKEN_BYTES)
    }

    fn entry(token: &[u8], value: &str) -> CachedToken<String> {
        CachedToken::new(token, value.to_owned())
    }

    #[test]
    fn the_least_recently_used_tokens_are_dropped_first() {
        let mut cache = cache();
        let token = |n: usize| format!("{n:04000}").into_bytes();
        let kept = LIMIT_BYTES / entry(&token(0), "user").bytes;
        for n in 0..kept {
            cache.keep(&token(n), "user".into());
        }
        assert!(cache.find(&token(0)).is_some(), "all fit, and this one is now the latest");
        assert!(cache.has(&token(1)), "which is no use");
        cache.keep(&token(kept), "user".into());
        assert_eq!((cache.tokens.len(), cache.find(&token(1)).is_some()), (kept, false));
        assert!(cache.find(&token(0)).is_some() && cache.find(&token(kept)).is_some());
        for n in 0..3 * kept {
            cache.keep(&token(n), "u".repeat(n % 200));
            assert!(cache.bytes <= LIMIT_BYTES);
        }
        while let Some((_, entry)) = cache.tokens.pop_lru() {
            cache.bytes -= entry.bytes;
        }
        assert_eq!(cache.bytes, 0, "every addition and removal was counted");
    }

    #[test]
    fn an_exactly_full_cache_drops_nothing() {
        let mut cache = cache();
        let token = |n: usize, length: usize| format!("{n:0length$}").into_bytes();
        let each = entry(&token(0, 100), "user").bytes;
        let (count, rest) = (LIMIT_BYTES / each, LIMIT_BYTES % each);
        for n in 1..=count {
            let length = 100 + if n == count { rest } else { 0 };
            cache.keep(&token(n, length), "user".into());
        }
        assert_eq!((cache.bytes, cache.tokens.len()), (LIMIT_BYTES, count));
    }

    #[test]
    fn a_replaced_token_is_counted_once() {
        let mut cache = cache();
        let token = [b'a'; 100];
        cache.keep(&token, "a long value".into());
        cache.keep(&token, "b".into());
        assert_eq!(cache.bytes, entry(&token, "b").bytes);
    }

    #[test]
    fn retain_drops_the_others_and_their_bytes() {
        let mut cache = cache();
        let token = |n: u8| [n; 100];
        for n in 0..6 {
            cache.keep(&token(n), (n % 3).to_string());
        }
        cache.retain(|value| value != "1");
        let kept: Vec<_> = (0..6).filter(|n| cache.find(&token(*n)).is_some()).collect();
        assert_eq!(kept, [0, 2, 3, 5]);
        assert_eq!(cache.bytes, 4 * entry(&token(0), "0").bytes);
    }

    #[test]
    fn tokens_with_equal_ends_are_different_tokens() {
        let mut cache = cache();
        let end = "e".repeat(2 * size_of::<CacheKey>());
        cache.keep(format!("a{end}").as_bytes(), "a".into());
        for other in [format!("b{end}"), end.clone()] {
            assert!(cache.find(other.as_bytes()).is_none() && !cache.has(other.as_bytes()));
        }
        assert!(cache.find(format!("a{end}").as_bytes()).is_some());
    }

    #[test]
    fn forged_tokens_with_equal_ends_do_not_displace_each_other() {
        let mut cache = TokenCache::of_any(LIMIT_BYTES);
        let token = |n: usize| format!("{n:04}{}", "e".repeat(200)).into_bytes();
        for n in 0..300 {
            cache.keep(&token(n), n.to_string());
        }
        for n in 0..300 {
            assert_eq!(cache.find(&token(n)), Some(&n.to_string()));
        }
        cache.keep(b"short", "short".to_owned());
        assert!(cache.has(b"short"));
    }

    #[test]
    fn a_long_token_is_not_kept() {
        let mut cache = cache();
        for (length, is_kept) in [(4_096, true), (4_097, false)] {
            let token = vec![b'a'; length];
            cache.keep(&token, "user".into());
            assert_eq!(cache.has(&token), is_kept, "{length} bytes");
        }
    }

    #[test]
    fn tokens_are_compared_up_to_their_last_byte() {
        let token: Vec<u8> = (0..40).collect();
        for length in 0..token.len() {
            let token = &token[..length];
            assert!(are_equal(token, token));
            assert!(!are_equal(token, &[token, b"x"].concat()));
            for at in 0..length {
                let mut other = token.to_vec();
                other[at] ^= 0x80;
                assert!(!are_equal(token, &other), "byte {at} of {length}");
            }
        }
    }
}
