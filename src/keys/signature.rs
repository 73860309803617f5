//! Did the holder of this key sign these bytes?
//!
//! One variant for each kind of key. The cryptography is jwt-simple's; its parser and its judgement
//! of claims are not used.

use jwt_simple::algorithms::{HS256Key, HS384Key, HS512Key, MACLike};
use jwt_simple::reexports::ct_codecs;

use crate::keys::public::PublicKey;
use crate::keys::{Algorithm, Effort};
use crate::refusal::Refusal;

/// What a signature is verified with.
pub(super) enum SignatureKey {
    Hs256(HS256Key),
    Hs384(HS384Key),
    Hs512(HS512Key),
    Public(PublicKey),
}

impl SignatureKey {
    pub(super) fn hmac(algorithm: Algorithm, secret: &[u8]) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::Hs256(HS256Key::from_bytes(secret)),
            Algorithm::Hs384 => Self::Hs384(HS384Key::from_bytes(secret)),
            Algorithm::Hs512 => Self::Hs512(HS512Key::from_bytes(secret)),
        }
    }

    /// Whether the signature holds. An HMAC is compared in constant time, length included.
    pub(super) fn verify(
        &self,
        signing_input: &[u8],
        signature: &[u8],
        effort: Effort<'_>,
    ) -> Result<bool, Refusal> {
        let expected = match self {
            Self::Hs256(key) => key.authentication_tag(signing_input),
            Self::Hs384(key) => key.authentication_tag(signing_input),
            Self::Hs512(key) => key.authentication_tag(signing_input),
            Self::Public(key) => return key.verify(signing_input, signature, effort),
        };
        Ok(ct_codecs::verify(&expected, signature))
    }
}
