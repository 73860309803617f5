//! The expected times of signature checks.
//!
//! The times were measured in Envoy 1.40 (V8) on one machine. On another machine all times differ
//! by about the same factor, so their ratios hold. Every check also hashes its text.

use crate::keys::PublicAlgorithm;

/// Returns the time for decoding and parsing a token in WebAssembly, without any check.
pub(super) fn of_reading_nanoseconds(token_bytes: usize) -> u64 {
    with_text(1_000, token_bytes, READ_NANOSECONDS_PER_BYTE)
}

/// Returns the time of a check by HMAC in WebAssembly.
pub(super) fn of_hmac_nanoseconds(text_bytes: usize) -> u64 {
    with_text(1_500, text_bytes, HASH_NANOSECONDS_PER_BYTE)
}

/// Returns the time of a check by the proxy.
pub(super) fn by_host_nanoseconds(
    algorithm: PublicAlgorithm,
    key_bytes: usize,
    text_bytes: usize,
) -> u64 {
    let base = match algorithm {
        PublicAlgorithm::Es256 => 40_000,
        PublicAlgorithm::Es384 => 455_000, // 355 µs in Envoy
        _ => by_modulus(key_bytes, [17_000, 33_000, 56_000]),
    };
    with_text(base, text_bytes, COPY_NANOSECONDS_PER_BYTE)
}

/// Returns the time of a check in WebAssembly.
pub(super) fn here_nanoseconds(
    algorithm: PublicAlgorithm,
    key_bytes: usize,
    text_bytes: usize,
) -> u64 {
    let base = match algorithm {
        PublicAlgorithm::Es256 => 380_000,
        PublicAlgorithm::Es384 => 1_550_000,
        PublicAlgorithm::EdDsa => 150_000,
        _ => by_modulus(key_bytes, [660_000, 1_450_000, 2_720_000]),
    };
    with_text(base, text_bytes, HASH_NANOSECONDS_PER_BYTE)
}

/// Selects a time by the size of the RSA modulus: up to 2,048 bits, up to 3,072 bits, or more.
fn by_modulus(bytes: usize, [small, medium, large]: [u64; 3]) -> u64 {
    match bytes {
        0..=256 => small,
        257..=384 => medium,
        _ => large,
    }
}

fn with_text(base: u64, bytes: usize, nanoseconds_per_byte: u64) -> u64 {
    let text = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(nanoseconds_per_byte);
    base.saturating_add(text)
}

/// The time for decoding base64url and parsing JSON in WebAssembly.
const READ_NANOSECONDS_PER_BYTE: u64 = 6;

/// The time for SHA-256 in WebAssembly.
const HASH_NANOSECONDS_PER_BYTE: u64 = 7;

/// The time for copying and hashing a text in the proxy. The text is copied twice on its way to the
/// proxy, which hashes it with processor instructions.
const COPY_NANOSECONDS_PER_BYTE: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::effort::{FREE_NANOSECONDS, LONGEST_CHECK_NANOSECONDS};

    #[test]
    fn every_single_check_takes_less_than_3_ms() {
        for algorithm in PublicAlgorithm::ALL {
            for (modulus, text) in [(256, 1_000), (512, 16_384)] {
                assert!(here_nanoseconds(algorithm, modulus, text) <= LONGEST_CHECK_NANOSECONDS);
                assert!(by_host_nanoseconds(algorithm, modulus, text) <= LONGEST_CHECK_NANOSECONDS);
            }
        }
    }

    #[test]
    fn a_check_by_hmac_or_by_the_proxy_is_free_unless_by_p_384() {
        for algorithm in PublicAlgorithm::ALL {
            let is_free = by_host_nanoseconds(algorithm, 512, 2_000) <= FREE_NANOSECONDS;
            assert_eq!(is_free, algorithm != PublicAlgorithm::Es384, "{algorithm:?}");
        }
        assert!(of_hmac_nanoseconds(8_000) <= FREE_NANOSECONDS);
    }
}
