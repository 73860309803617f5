//! Checks a signature with a key of any kind.
//!
//! HMAC uses the `hmac` crate, which computes the two blocks that depend only on the secret once.
//! These are about a quarter of the work for a token. Public keys use jwt-simple's cryptography,
//! without its parser and its checks of claims.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};

use crate::keys::cost;
use crate::keys::effort::Effort;
use crate::keys::public::PublicKey;
use crate::keys::{Algorithm, OutOfTime};

/// The key material of one algorithm.
pub(super) enum SignatureKey {
    Hs256(Hmac<Sha256>),
    Hs384(Hmac<Sha384>),
    Hs512(Hmac<Sha512>),
    Public(PublicKey),
}

impl SignatureKey {
    pub(super) fn hmac(algorithm: Algorithm, secret: &[u8]) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::Hs256(keyed(secret)),
            Algorithm::Hs384 => Self::Hs384(keyed(secret)),
            Algorithm::Hs512 => Self::Hs512(keyed(secret)),
        }
    }

    /// Returns whether the signature is valid. An HMAC is compared in constant time, including its
    /// length.
    pub(super) fn verify(
        &self,
        signing_input: &[u8],
        signature: &[u8],
        effort: &Effort<'_>,
    ) -> Result<bool, OutOfTime> {
        if let Self::Public(key) = self {
            return key.verify(signing_input, signature, effort);
        }
        if !effort.spend(cost::of_hmac_nanoseconds(signing_input.len())) {
            return Err(OutOfTime);
        }
        Ok(match self {
            Self::Hs256(key) => is_tag(key, signing_input, signature),
            Self::Hs384(key) => is_tag(key, signing_input, signature),
            Self::Hs512(key) => is_tag(key, signing_input, signature),
            Self::Public(_) => false,
        })
    }
}

#[expect(
    clippy::expect_used,
    reason = "the type allows an error, but a secret may have any length (RFC 2104 §3)"
)]
fn keyed<M: KeyInit>(secret: &[u8]) -> M {
    M::new_from_slice(secret).expect("a secret of any length")
}

fn is_tag<M: Mac + Clone>(key: &M, text: &[u8], tag: &[u8]) -> bool {
    key.clone().chain_update(text).verify_slice(tag).is_ok()
}
