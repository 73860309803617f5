//! Whose revocations are these, and below which names do they lie in shared data?
//!
//! Istio gives all plugins of a process one name space, so every name begins with
//! `session-guard/<format>/` and 16 hex digits that stand for one feed: realm, cluster and
//! authority. No secret is among them, so that rotating one keeps the set; the format is, so that an
//! old and a new filter run side by side while one of them drains.
//!
//! A name is made on every request, so it is made on the stack.

use std::ops::Deref;

use sha2::{Digest, Sha256};

/// Longest name: the prefix and what follows it.
const KEY_BYTES: usize = 40;

const PREFIX_BYTES: usize = 32;

/// One feed: the service it comes from and the realm that it is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedIdentity {
    prefix: [u8; PREFIX_BYTES],
}

impl FeedIdentity {
    /// The feed of that realm from the service at that cluster and authority.
    #[must_use]
    pub fn new(realm: &str, cluster: &str, authority: &str) -> Self {
        Self::of(&[realm, cluster, authority])
    }

    /// The key set of that path from the issuer at that cluster and authority, read in that way.
    #[must_use]
    pub fn of_key_set(cluster: &str, authority: &str, path: &str, way: &str) -> Self {
        Self::of(&["key set", cluster, authority, path, way])
    }

    fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut prefix = *b"session-guard/2/0000000000000000";
        let digits = prefix.iter_mut().skip(16);
        for (digit, value) in digits.zip(hash.finalize().iter().flat_map(|b| [b >> 4, b & 15])) {
            *digit = hex(value);
        }
        Self { prefix }
    }

    /// The digits that stand for it.
    #[must_use]
    pub fn digits(&self) -> [u8; 16] {
        *self.prefix.last_chunk().unwrap_or(&[0; 16])
    }

    /// The name of a value of this feed: a word and up to four hex digits of a number.
    #[must_use]
    pub fn key(&self, word: &'static str, number: Option<(u16, HexDigits)>) -> Key {
        let mut key = Key { bytes: [0; KEY_BYTES], length: PREFIX_BYTES };
        if let Some(prefix) = key.bytes.first_chunk_mut() {
            *prefix = self.prefix;
        }
        key.push(b'/');
        word.bytes().for_each(|byte| key.push(byte));
        let (number, digits) = number.map_or((0, 0), |(number, digits)| (number, digits as u32));
        for place in (0..digits).rev() {
            key.push(hex((number >> (4 * place)) as u8 & 15));
        }
        key
    }
}

/// How many digits a number in a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HexDigits {
    /// Up to 256 of a kind.
    Two = 2,
    /// Up to 4,096.
    Three = 3,
    /// Up to 65,536.
    Four = 4,
}

/// The name of a value in shared data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; KEY_BYTES],
    length: usize,
}

impl Key {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        let text = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

fn hex(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + value - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_prefix_word_and_number() {
        let identity = FeedIdentity::new("", "signout", "signout");
        let key = identity.key("t", Some((0x0a1f, HexDigits::Four)));
        assert!(key.starts_with("session-guard/2/"), "{}", &*key);
        assert!(key.ends_with("/t0a1f"), "{}", &*key);
        assert_eq!(key.len(), 38);
        assert!(identity.key("u", Some((0x0a1f, HexDigits::Three))).ends_with("/ua1f"));
        assert!(identity.key("lease", None).ends_with("/lease"));
    }

    #[test]
    fn feeds_of_different_parts_never_share_a_name() {
        let parts = [("", "ab", "c"), ("", "a", "bc"), ("a", "b", "c"), ("ab", "", "c")];
        for (index, one) in parts.iter().enumerate() {
            for other in &parts[index + 1..] {
                let one = FeedIdentity::new(one.0, one.1, one.2);
                assert_ne!(one, FeedIdentity::new(other.0, other.1, other.2));
            }
        }
        let of_key_set = FeedIdentity::of_key_set("a", "b", "c", "");
        assert_ne!(of_key_set, FeedIdentity::new("a", "b", "c"));
        assert_ne!(of_key_set, FeedIdentity::new("key set", "a", "b"));
    }
}
