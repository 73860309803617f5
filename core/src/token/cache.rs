//! Has this VM verified these very bytes before?
//!
//! Found by its end and compared byte by byte: two tokens of one end are two tokens. The least
//! recently used ones go first, by bytes and not by number, so that no mix of tokens can take more
//! memory than planned. Only verified tokens come in: forged ones cannot push others out.
//!
//! # Why the end of a token is the key
//!
//! A token ends with its signature, which differs wherever two tokens differ and which nobody but
//! the issuer can choose. Hashing these bytes alone spreads tokens as well as hashing all of them: a
//! look-up of 400 bytes took 24 ns instead of 91.

use std::hash::RandomState;
use std::mem::size_of;
use std::rc::Rc;

use lru::LruCache;

use crate::keys::Fingerprint;
use crate::token::VerifiedToken;

/// Verified tokens of one configuration.
pub(super) struct TokenCache {
    tokens: LruCache<End, Entry, RandomState>,
    bytes: usize,
}

/// The last bytes of a token: 24 characters of base64url, 144 bits.
type End = [u8; 24];

struct Entry {
    token: Box<[u8]>,
    verified: Rc<VerifiedToken>,
    signer: Fingerprint,
}

impl TokenCache {
    pub(super) fn new() -> Self {
        Self { tokens: LruCache::unbounded_with_hasher(RandomState::new()), bytes: 0 }
    }

    /// What this token was verified to be.
    pub(super) fn find(&mut self, token: &[u8]) -> Option<Rc<VerifiedToken>> {
        let entry = self.tokens.get(token.last_chunk::<{ size_of::<End>() }>()?)?;
        are_equal(&entry.token, token).then(|| Rc::clone(&entry.verified))
    }

    /// Remembers a token, unless it is so long that it would take the place of many.
    pub(super) fn keep(&mut self, token: &[u8], verified: Rc<VerifiedToken>, signer: Fingerprint) {
        let Some(end) = token.last_chunk::<{ size_of::<End>() }>() else { return };
        if token.len() > CACHED_TOKEN_BYTES_LIMIT {
            return;
        }
        let entry = Entry { token: token.into(), verified, signer };
        self.bytes += entry.bytes();
        if let Some((_, replaced)) = self.tokens.push(*end, entry) {
            self.bytes -= replaced.bytes();
        }
        while self.bytes > CACHE_BYTES {
            let Some((_, oldest)) = self.tokens.pop_lru() else { break };
            self.bytes -= oldest.bytes();
        }
    }

    /// Forgets the tokens of every key that is not to be trusted any more.
    pub(super) fn forget_unless(&mut self, is_trusted: impl Fn(Fingerprint) -> bool) {
        let gone = self.tokens.iter().filter(|(_, entry)| !is_trusted(entry.signer));
        let gone: Vec<End> = gone.map(|(end, _)| *end).collect();
        for entry in gone.iter().filter_map(|end| self.tokens.pop(end)) {
            self.bytes -= entry.bytes();
        }
    }
}

impl Entry {
    fn bytes(&self) -> usize {
        let text = self.token.len() + self.verified.text_bytes();
        text + size_of::<Self>() + size_of::<VerifiedToken>() + ENTRY_OVERHEAD_BYTES
    }
}

/// As `==`, but eight bytes at a time: for WebAssembly `==` becomes a loop over single bytes.
fn are_equal(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    a.len() == b.len()
        && a_words.iter().zip(b_words).all(|(a, b)| word(a) == word(b))
        && a_rest == b_rest
}

/// What all entries of a VM may take: some 6,000 tokens of usual length.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Longer tokens are verified every time (Envoy's jwt_authn does so above 4 KiB). Tokens with many
/// groups, of 9 KiB or so, are cached.
const CACHED_TOKEN_BYTES_LIMIT: usize = 16 * 1024;

/// Reference counts, list node, slot of the hash table at its emptiest, and what the allocator adds
/// to five allocations.
const ENTRY_OVERHEAD_BYTES: usize = 192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::claims::{Claims, Times};

    fn verified(user_id: &str) -> Rc<VerifiedToken> {
        let claims = Claims {
            times: Times::default(),
            jti: None,
            user_id: Some(user_id.into()),
            forwarded: Vec::new(),
        };
        Rc::new(VerifiedToken::new(claims, b"", ""))
    }

    fn entry(token: &[u8], user_id: &str) -> Entry {
        Entry { token: token.into(), verified: verified(user_id), signer: signer(1) }
    }

    fn signer(number: u8) -> Fingerprint {
        Fingerprint::of([&[number][..]].into_iter())
    }

    #[test]
    fn the_cache_keeps_within_its_budget_and_forgets_the_least_recently_used() {
        let mut cache = TokenCache::new();
        let token = |n: usize| format!("{n:04000}").into_bytes();
        let kept = CACHE_BYTES / entry(&token(0), "user").bytes();
        for n in 0..kept {
            cache.keep(&token(n), verified("user"), signer(1));
        }
        assert!(cache.find(&token(0)).is_some(), "all fit, and this one is now the latest");
        cache.keep(&token(kept), verified("user"), signer(1));
        assert_eq!((cache.tokens.len(), cache.find(&token(1)).is_some()), (kept, false));
        assert!(cache.find(&token(0)).is_some() && cache.find(&token(kept)).is_some());
        for n in 0..3 * kept {
            cache.keep(&token(n), verified(&"u".repeat(n % 200)), signer(1));
            assert!(cache.bytes <= CACHE_BYTES);
        }
        while let Some((_, entry)) = cache.tokens.pop_lru() {
            cache.bytes -= entry.bytes();
        }
        assert_eq!(cache.bytes, 0, "what came in was counted as what went out");
    }

    #[test]
    fn what_fills_the_budget_exactly_stays() {
        let mut cache = TokenCache::new();
        let token = |n: usize, length: usize| format!("{n:0length$}").into_bytes();
        let each = entry(&token(0, 100), "user").bytes();
        let (count, rest) = (CACHE_BYTES / each, CACHE_BYTES % each);
        for n in 1..=count {
            let length = 100 + if n == count { rest } else { 0 };
            cache.keep(&token(n, length), verified("user"), signer(1));
        }
        assert_eq!((cache.bytes, cache.tokens.len()), (4_194_304, count));
    }

    #[test]
    fn an_entry_weighs_what_it_holds() {
        let fixed = size_of::<Entry>() + size_of::<VerifiedToken>() + ENTRY_OVERHEAD_BYTES;
        for (token, user_id) in [(0, ""), (100, "ada"), (1_000, "u")] {
            let entry = entry(&vec![b'a'; token], user_id);
            assert_eq!(entry.bytes(), token + user_id.len() + fixed);
        }
    }

    #[test]
    fn a_token_kept_twice_is_counted_once() {
        let mut cache = TokenCache::new();
        let token = [b'a'; 100];
        cache.keep(&token, verified("a long user id"), signer(1));
        cache.keep(&token, verified("b"), signer(1));
        assert_eq!(cache.bytes, entry(&token, "b").bytes());
    }

    #[test]
    fn tokens_of_a_key_that_is_gone_are_forgotten_and_no_others() {
        let mut cache = TokenCache::new();
        let token = |n: u8| [n; 100];
        for n in 0..6 {
            cache.keep(&token(n), verified("user"), signer(n % 3));
        }
        cache.forget_unless(|known| known != signer(1));
        let kept: Vec<_> = (0..6).filter(|n| cache.find(&token(*n)).is_some()).collect();
        assert_eq!(kept, [0, 2, 3, 5]);
        assert_eq!(cache.bytes, 4 * entry(&token(0), "user").bytes());
    }

    #[test]
    fn tokens_that_end_alike_are_different_tokens() {
        let mut cache = TokenCache::new();
        let end = "e".repeat(2 * size_of::<End>());
        cache.keep(format!("a{end}").as_bytes(), verified("a"), signer(1));
        assert!(cache.find(format!("b{end}").as_bytes()).is_none());
        assert!(cache.find(end.as_bytes()).is_none());
        assert!(cache.find(format!("a{end}").as_bytes()).is_some());
    }

    #[test]
    fn a_long_token_is_not_kept() {
        let mut cache = TokenCache::new();
        for (length, kept) in [(16_384, true), (16_385, false)] {
            let token = vec![b'a'; length];
            cache.keep(&token, verified("user"), signer(1));
            assert_eq!(cache.find(&token).is_some(), kept, "{length} bytes");
        }
    }

    #[test]
    fn tokens_are_compared_to_their_last_byte() {
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
