//! SHA-256 and hex digits. The core and the service compute them only here.
//!
//! Ids, key spaces and fingerprints are the first bytes of a SHA-256, and are displayed as
//! lower-case hex.

use sha2::{Digest, Sha256};

/// The length of a whole SHA-256, in bytes.
pub const SHA256_BYTES: usize = 32;

/// Returns the first `N` bytes of SHA-256 over the concatenated parts. The caller must ensure that
/// different lists of parts give different bytes.
#[must_use]
pub fn sha256<'a, const N: usize>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; N] {
    const { assert!(N <= SHA256_BYTES) };
    let mut hash = Sha256::new();
    parts.into_iter().for_each(|part| hash.update(part));
    let mut first = [0; N];
    first.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    first
}

/// Returns the first `N` bytes of SHA-256 over the parts, each preceded by its length in eight bytes.
/// Different lists of parts therefore give different bytes.
#[must_use]
pub fn sha256_of_list<'a, const N: usize>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; N] {
    let mut joined = Vec::new();
    for part in parts {
        joined.extend_from_slice(&(part.len() as u64).to_be_bytes());
        joined.extend_from_slice(part);
    }
    sha256([joined.as_slice()])
}

/// Returns the lower-case hex digits of these bytes.
pub fn hex_digits(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit)
}

/// Returns the lower-case hex digits of these bytes as text.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    hex_digits(bytes).map(char::from).collect()
}

/// Returns the lower-case hex digit of a value below 16.
#[must_use]
pub fn hex_digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'a' + (value & 15) - 10,
    }
}

/// Parses hex digits of either case. Returns `None` if they are not pairs of hex digits.
#[must_use]
pub fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha256_of_the_joined_parts() {
        // FIPS 180-4, example "abc".
        let whole = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256::<SHA256_BYTES>([&b"a"[..], b"bc"])), whole);
        assert_eq!(hex(&sha256::<4>([&b"abc"[..]])), whole[..8]);
    }

    #[test]
    fn different_lists_have_different_hashes() {
        let of = |parts: &[&[u8]]| sha256_of_list::<16>(parts.iter().copied());
        let lists: [&[&[u8]]; 5] = [&[], &[b""], &[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"]];
        for (at, one) in lists.iter().enumerate() {
            assert!(lists[at + 1..].iter().all(|other| of(one) != of(other)), "{one:?}");
        }
    }

    #[test]
    fn hex_is_read_back_in_either_case() {
        let bytes: Vec<u8> = (0..=255).collect();
        let digits = hex(&bytes);
        assert_eq!(from_hex(digits.as_bytes()), Some(bytes.clone()));
        assert_eq!(from_hex(digits.to_uppercase().as_bytes()), Some(bytes));
        for bad in ["0", "0g", "+1", "000"] {
            assert_eq!(from_hex(bad.as_bytes()), None, "{bad}");
        }
    }
}
