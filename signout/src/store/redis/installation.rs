//! The installation that a Redis belongs to.
//!
//! Two installations, for example production and staging, must not share keys: each would sign out
//! the users of the other. Services of one installation share their API tokens, and installations
//! have different ones. At its start a service therefore compares fingerprints of its API tokens
//! with those in Redis, and does not start if Redis contains fingerprints but none of its own. Then
//! it stores the fingerprints of all its tokens. While tokens are rotated, old and new tokens are
//! valid together, so an installation always recognises its Redis.
//!
//! # Why a fingerprint has 16 bits
//!
//! A fingerprint must distinguish installations, but must not help anybody who reads Redis to guess
//! a token. With 16 bits, two installations with one token each are confused with a probability of
//! 1 in 65,536, and a random token stays impossible to guess.

use session_guard_core::hash::{SHA256_BYTES, hex, sha256};

/// The installation that this service belongs to, identified by fingerprints of its API tokens.
#[derive(Clone, Debug)]
pub struct Installation {
    fingerprints: Vec<String>,
    adopts: bool,
}

impl Installation {
    /// Returns the installation whose services use the API tokens with these hashes. `adopts` is whether the
    /// service may start with a Redis of another installation. It then keeps the data in that Redis
    /// and replaces the fingerprints there by its own.
    #[must_use]
    pub fn of_tokens(hashes: impl IntoIterator<Item = [u8; SHA256_BYTES]>, adopts: bool) -> Self {
        let fingerprints = hashes.into_iter().map(|hash| fingerprint(&hash)).collect();
        Self { fingerprints, adopts }
    }

    /// Returns the arguments of `claim.lua`.
    pub(super) fn arguments(&self) -> impl Iterator<Item = &str> {
        let adopts = if self.adopts { "1" } else { "0" };
        std::iter::once(adopts).chain(self.fingerprints.iter().map(String::as_str))
    }
}

fn fingerprint(hash: &[u8; SHA256_BYTES]) -> String {
    hex(&sha256::<2>([b"session-guard installation\0", hash.as_slice()]))
}

/// What an operator can do about a Redis of another installation.
pub(super) const REMEDY: &str = "it belongs to another installation: no API token of this service has \
    been used with it. Give this installation its own keys (--redis-prefix), or its own Redis. If it \
    is the same installation and all its API tokens were replaced at once, start one service once \
    with --redis-adopt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_four_digits_that_hide_the_token() {
        let of = |tokens: &[&str]| {
            let installation = Installation::of_tokens(
                tokens.iter().map(|token| sha256([token.as_bytes()])),
                false,
            );
            installation.arguments().map(str::to_owned).collect::<Vec<_>>()
        };
        let one = of(&["one", "two"]);
        assert_eq!((one.len(), &*one[0], one[1].len()), (3, "0", 4));
        assert_eq!(of(&["two"])[1], one[2]);
        assert_ne!(one[1], one[2]);
    }
}
