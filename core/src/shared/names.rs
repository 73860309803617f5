//! The names of values in shared data.
//!
//! Istio gives all plugins of a process one name space. Every name therefore begins with
//! `session-guard/<format>/` and 16 hex digits, which identify a feed (realm, cluster and
//! authority) or a published key set. The digits depend on no secret, so rotating a secret keeps
//! the data. They depend on the format, so an old and a new version of the filter can run side by
//! side while the old one drains.
//!
//! A name is built on every request, so it is built on the stack.

use std::ops::Deref;

use crate::hash::{hex_digit, hex_digits, sha256_of_list};

/// The longest name: the prefix, a slash, a word and a number.
pub(super) const NAME_BYTES: usize = 40;

const PREFIX_BYTES: usize = 32;

/// A namespace in shared data: all names with the same prefix and 16 hex digits. Each feed, realm
/// and key set has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpace {
    prefix: [u8; PREFIX_BYTES],
}

impl KeySpace {
    /// Returns the key space of the feed of a realm. `cluster` and `authority` are those of the
    /// signout service.
    #[must_use]
    pub fn of_feed(realm: &str, cluster: &str, authority: &str) -> Self {
        Self::of(&[realm, cluster, authority])
    }

    /// Returns the key space that all feeds of a realm share.
    #[must_use]
    pub fn of_realm(realm: &str) -> Self {
        Self::of(&["realm", realm])
    }

    /// Returns the key space of the key set at this cluster, authority and path. `rsa` is the
    /// algorithm that the configuration assigns to RSA keys without `alg`.
    #[must_use]
    pub fn of_key_set(cluster: &str, authority: &str, path: &str, rsa: &str) -> Self {
        Self::of(&["key set", cluster, authority, path, rsa])
    }

    /// Returns the key space for which [`KeySpace::digits`] has returned these digits. Returns
    /// `None` unless all are lower-case hex digits; nothing else about them is checked.
    #[must_use]
    pub fn from_digits(digits: &[u8; 16]) -> Option<Self> {
        let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        digits.iter().all(is_hex).then(|| Self::with_digits(digits.iter().copied()))
    }

    /// Returns the 16 lower-case hex digits that identify this key space.
    #[must_use]
    pub fn digits(&self) -> [u8; 16] {
        *self.prefix.last_chunk().unwrap_or(&[0; 16])
    }

    /// Returns the name of a value: a word and up to four hex digits of a number.
    #[must_use]
    pub fn name(&self, word: &'static str, number: Option<(u16, HexDigits)>) -> SharedName {
        let mut name = SharedName { bytes: [0; NAME_BYTES], length: PREFIX_BYTES };
        if let Some(prefix) = name.bytes.first_chunk_mut() {
            *prefix = self.prefix;
        }
        name.push(b'/');
        word.bytes().for_each(|byte| name.push(byte));
        let (number, digits) = number.map_or((0, 0), |(number, digits)| (number, digits as u32));
        for position in (0..digits).rev() {
            name.push(hex_digit((number >> (4 * position)) as u8 & 15));
        }
        name
    }

    fn of(parts: &[&str]) -> Self {
        let hash: [u8; 8] = sha256_of_list(parts.iter().map(|part| part.as_bytes()));
        Self::with_digits(hex_digits(&hash))
    }

    fn with_digits(digits: impl Iterator<Item = u8>) -> Self {
        let mut prefix = *b"session-guard/2/0000000000000000";
        for (byte, digit) in prefix.iter_mut().skip(16).zip(digits) {
            *byte = digit;
        }
        Self { prefix }
    }
}

/// The number of digits of the number in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HexDigits {
    /// Two digits, for up to 256 values.
    Two = 2,
    /// Three digits, for up to 4,096 values.
    Three = 3,
    /// Four digits, for up to 65,536 values.
    Four = 4,
}

/// The name of one value in shared data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedName {
    bytes: [u8; NAME_BYTES],
    length: usize,
}

impl SharedName {
    /// Copies a name. Returns `None` if it is longer than every name of a [`KeySpace`].
    pub(super) fn of(name: &str) -> Option<Self> {
        let mut bytes = [0; NAME_BYTES];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        Some(Self { bytes, length: name.len() })
    }

    fn push(&mut self, byte: u8) {
        if let Some(next) = self.bytes.get_mut(self.length) {
            *next = byte;
            self.length += 1;
        }
    }
}

impl Deref for SharedName {
    type Target = str;

    fn deref(&self) -> &str {
        let text = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_prefix_word_and_number() {
        let space = KeySpace::of_feed("", "signout", "signout");
        let name = space.name("t", Some((0x0a1f, HexDigits::Four)));
        assert!(name.starts_with("session-guard/2/"), "{}", &*name);
        assert!(name.ends_with("/t0a1f"), "{}", &*name);
        assert_eq!(name.len(), 38);
        assert!(space.name("u", Some((0x0a1f, HexDigits::Three))).ends_with("/ua1f"));
        assert!(space.name("lease", None).ends_with("/lease"));
    }

    #[test]
    fn different_feeds_share_no_name() {
        let parts = [("", "ab", "c"), ("", "a", "bc"), ("a", "b", "c"), ("ab", "", "c")];
        for (index, one) in parts.iter().enumerate() {
            for other in &parts[index + 1..] {
                let one = KeySpace::of_feed(one.0, one.1, one.2);
                assert_ne!(one, KeySpace::of_feed(other.0, other.1, other.2));
            }
        }
        let of_key_set = KeySpace::of_key_set("a", "b", "c", "");
        assert_ne!(of_key_set, KeySpace::of_feed("a", "b", "c"));
        assert_ne!(of_key_set, KeySpace::of_feed("key set", "a", "b"));
        assert_ne!(KeySpace::of_realm("a"), KeySpace::of_feed("realm", "a", ""));
    }

    #[test]
    fn digits_identify_a_key_space() {
        let space = KeySpace::of_feed("", "signout", "signout");
        assert_eq!(KeySpace::from_digits(&space.digits()), Some(space));
        assert_eq!(KeySpace::from_digits(b"0123456789abcdeF"), None);
    }
}
