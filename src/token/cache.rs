//! Has this VM verified these very bytes before?
//!
//! Keyed by the whole token, compared byte by byte: two tokens of one hash are two tokens. The
//! least recently used ones go first, by bytes and not by number, so that no mix of tokens can take
//! more memory than planned. Only verified tokens come in: forged ones cannot push others out.

use std::hash::RandomState;
use std::mem::size_of;
use std::rc::Rc;

use lru::LruCache;

use crate::token::VerifiedToken;

/// Verified tokens of one configuration.
pub(super) struct TokenCache {
    // With keys drawn at random in each VM, so that nobody can choose tokens that collide.
    tokens: LruCache<Box<[u8]>, Rc<VerifiedToken>, RandomState>,
    bytes: usize,
}

impl TokenCache {
    pub(super) fn new() -> Self {
        Self { tokens: LruCache::unbounded_with_hasher(RandomState::new()), bytes: 0 }
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

fn entry_bytes(token: &[u8], verified: &VerifiedToken) -> usize {
    token.len() + verified.text_bytes() + size_of::<VerifiedToken>() + ENTRY_OVERHEAD_BYTES
}

/// What all entries of a VM may take: some 6,000 tokens of usual length.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Longer tokens are verified every time (as in Envoy's jwt_authn).
const CACHED_TOKEN_BYTES_LIMIT: usize = 4 * 1024;

/// Reference counts, list node, slot of the hash table at its emptiest, and what the allocator adds
/// to five allocations.
const ENTRY_OVERHEAD_BYTES: usize = 192;
