//! Did the holder of this key sign these bytes?
//!
//! One variant for each kind of key. HMAC is the `hmac` crate's, which keeps the two blocks that only
//! depend on the secret, some quarter of the work for a token. All else is jwt-simple's cryptography;
//! its parser and its judgement of claims are not used.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Sha256, Sha384, Sha512};

use crate::keys::public::PublicKey;
use crate::keys::{Algorithm, Effort};
use crate::refusal::Refusal;

/// What a signature is verified with.
pub(super) enum SignatureKey {
    Hs256(Hmac<Sha256>),
    Hs384(Hmac<Sha384>),
    Hs512(Hmac<Sha512>),
    Public(PublicKey),
}

impl SignatureKey {
    pub(super) fn hmac(algorithm: Algorithm, secret: &[u8]) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::Hs256(key_of(secret)),
            Algorithm::Hs384 => Self::Hs384(key_of(secret)),
            Algorithm::Hs512 => Self::Hs512(key_of(secret)),
        }
    }

    /// Whether the signature holds. An HMAC is compared in constant time, length included.
    pub(super) fn verify(
        &self,
        signing_input: &[u8],
        signature: &[u8],
        effort: Effort<'_>,
    ) -> Result<bool, Refusal> {
        Ok(match self {
            Self::Hs256(key) => is_tag(key, signing_input, signature),
            Self::Hs384(key) => is_tag(key, signing_input, signature),
            Self::Hs512(key) => is_tag(key, signing_input, signature),
            Self::Public(key) => return key.verify(signing_input, signature, effort),
        })
    }
}

#[expect(
    clippy::expect_used,
    reason = "in the types alone: a secret may have any length (RFC 2104 §3)"
)]
fn key_of<M: KeyInit>(secret: &[u8]) -> M {
    M::new_from_slice(secret).expect("a secret of any length")
}

fn is_tag<M: Mac + Clone>(key: &M, text: &[u8], tag: &[u8]) -> bool {
    key.clone().chain_update(text).verify_slice(tag).is_ok()
}
