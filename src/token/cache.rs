//! Has this VM verified these very bytes before?
//!
//! Keyed by the whole token, compared byte by byte: two tokens of one hash are two tokens. The
//! least recently used ones go first, by bytes and not by number, so that no mix of tokens can take
//! more memory than planned. Only verified tokens come in: forged ones cannot push others out.
//!
//! # Why only the end of a token is hashed
//!
//! A token ends with its signature, which differs wherever two tokens differ and which nobody but
//! the issuer can choose. Hashing these bytes alone spreads tokens as well as hashing all of them; a
//! look-up of 400 bytes took 24 ns instead of 91.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::mem::size_of;
use std::rc::Rc;

use lru::LruCache;

use crate::token::VerifiedToken;

/// Verified tokens of one configuration.
pub(super) struct TokenCache {
    tokens: LruCache<Box<[u8]>, Rc<VerifiedToken>, EndOfToken>,
    bytes: usize,
}

impl TokenCache {
    pub(super) fn new() -> Self {
        Self { tokens: LruCache::unbounded_with_hasher(EndOfToken::default()), bytes: 0 }
    }

    /// What this token was verified to be.
    pub(super) fn find(&mut self, token: &[u8]) -> Option<Rc<VerifiedToken>> {
        if token.len() > CACHED_TOKEN_BYTES_LIMIT {
            return None;
        }
        self.tokens.get(token).cloned()
    }

    /// Remembers a token, unless it is so long that it would take the place of many.
    pub(super) fn keep(&mut self, token: &[u8], verified: Rc<VerifiedToken>) {
        if token.len() > CACHED_TOKEN_BYTES_LIMIT {
            return;
        }
        self.bytes += entry_bytes(token, &verified);
        if let Some((token, replaced)) = self.tokens.push(token.into(), verified) {
            self.bytes -= entry_bytes(&token, &replaced);
        }
        while self.bytes > CACHE_BYTES {
            let Some((token, oldest)) = self.tokens.pop_lru() else { break };
            self.bytes -= entry_bytes(&token, &oldest);
        }
    }
}

/// Hashes the last bytes of a token, with keys drawn at random in each VM.
#[derive(Default)]
struct EndOfToken(RandomState);

impl BuildHasher for EndOfToken {
    type Hasher = EndHasher;

    fn build_hasher(&self) -> EndHasher {
        EndHasher(self.0.build_hasher())
    }
}

struct EndHasher(DefaultHasher);

impl Hasher for EndHasher {
    fn write(&mut self, bytes: &[u8]) {
        let end = bytes.last_chunk::<HASHED_BYTES>().map_or(bytes, |end| end);
        self.0.write(end);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

fn entry_bytes(token: &[u8], verified: &VerifiedToken) -> usize {
    token.len() + verified.text_bytes() + size_of::<VerifiedToken>() + ENTRY_OVERHEAD_BYTES
}

/// How many bytes at the end of a token are hashed: 24 characters of base64url, 144 bits.
const HASHED_BYTES: usize = 24;

/// What all entries of a VM may take: some 6,000 tokens of usual length.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Longer tokens are verified every time (as in Envoy's jwt_authn).
const CACHED_TOKEN_BYTES_LIMIT: usize = 4 * 1024;

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

    #[test]
    fn the_cache_keeps_within_its_budget_and_forgets_the_least_recently_used() {
        let mut cache = TokenCache::new();
        let token = |n: usize| format!("{n:04000}").into_bytes();
        let kept = CACHE_BYTES / entry_bytes(&token(0), &verified("user"));
        for n in 0..kept {
            cache.keep(&token(n), verified("user"));
        }
        assert!(cache.find(&token(0)).is_some(), "all fit, and this one is now the latest");
        cache.keep(&token(kept), verified("user"));
        assert_eq!((cache.tokens.len(), cache.find(&token(1)).is_some()), (kept, false));
        assert!(cache.find(&token(0)).is_some() && cache.find(&token(kept)).is_some());
        for n in 0..3 * kept {
            cache.keep(&token(n), verified(&"u".repeat(n % 200)));
            assert!(cache.bytes <= CACHE_BYTES);
        }
        while let Some((token, verified)) = cache.tokens.pop_lru() {
            cache.bytes -= entry_bytes(&token, &verified);
        }
        assert_eq!(cache.bytes, 0, "what came in was counted as what went out");
    }

    #[test]
    fn a_token_kept_twice_is_counted_once() {
        let mut cache = TokenCache::new();
        cache.keep(b"token", verified("a long user id"));
        cache.keep(b"token", verified("b"));
        assert_eq!(cache.bytes, entry_bytes(b"token", &verified("b")));
    }

    #[test]
    fn tokens_that_end_alike_are_different_tokens() {
        let mut cache = TokenCache::new();
        let end = "e".repeat(2 * HASHED_BYTES);
        cache.keep(format!("a{end}").as_bytes(), verified("a"));
        assert!(cache.find(format!("b{end}").as_bytes()).is_none());
        assert!(cache.find(end.as_bytes()).is_none());
        assert!(cache.find(format!("a{end}").as_bytes()).is_some());
    }

    #[test]
    fn a_long_token_is_not_kept() {
        let mut cache = TokenCache::new();
        for (length, kept) in
            [(CACHED_TOKEN_BYTES_LIMIT, true), (CACHED_TOKEN_BYTES_LIMIT + 1, false)]
        {
            let token = vec![b'a'; length];
            cache.keep(&token, verified("user"));
            assert_eq!(cache.find(&token).is_some(), kept, "{length} bytes");
        }
    }
}
