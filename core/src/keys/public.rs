//! Did the holder of the private key sign these bytes?
//!
//! Public keys come as PEM of SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) or as the members of a JWK. It
//! is jwt-simple that reads and checks them: RSA of 2,048 to 4,096 bits with exponent 65,537, points on their curve, no Ed25519 key of
//! small order. It has no verification without its own parser and its own judgement of claims, so
//! the signature goes straight to the crates below it, at the versions that it uses.
//!
//! An ECDSA signature (r, s) has a twin (r, n − s) that anybody can compute and that verifies as
//! well (FIPS 186-5 allows both). The twins are one token here: revocations name tokens by their
//! jti or their signing input, never by their signature.

use std::borrow::Cow;
use std::fmt;

use ed25519_compact as ed25519;
use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike, ECDSAP384PublicKeyLike, ES256PublicKey, ES384PublicKey,
    Ed25519PublicKey, EdDSAPublicKeyLike, RS256PublicKey, RSAPublicKeyLike,
};
use p256::ecdsa::signature::Verifier as _;
use superboring::hash::MessageDigest;
use superboring::pkey::{PKey, Public};
use superboring::rsa::Padding;

use crate::keys::host::Question;
use crate::keys::{Effort, ecdsa};
use crate::refusal::Refusal;

/// How a token is signed with a key pair (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublicAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl PublicAlgorithm {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// Its name in `alg`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether it is for RSA keys, which do not say themselves for which algorithm they are.
    #[must_use]
    pub fn is_rsa(self) -> bool {
        !matches!(self, Self::Es256 | Self::Es384 | Self::EdDsa)
    }

    /// The name of its hash where a host may verify it: not for PSS and Ed25519.
    fn hash_of_host(self) -> Option<&'static str> {
        match self {
            Self::Rs256 | Self::Es256 => Some("sha256"),
            Self::Rs384 | Self::Es384 => Some("sha384"),
            Self::Rs512 => Some("sha512"),
            Self::Ps256 | Self::Ps384 | Self::Ps512 | Self::EdDsa => None,
        }
    }

    /// The algorithm of exactly that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Why a text is no public key for an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Not one PEM block `PUBLIC KEY`: a certificate, a private key, or no PEM.
    NotPublicKeyPem,
    /// Damaged, of another kind than the algorithm needs, or weaker than we take.
    Unfit(PublicAlgorithm),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (algorithm, needed) = match self {
            Self::NotPublicKeyPem => {
                return f.write_str(
                    "not one PEM block that begins with -----BEGIN PUBLIC KEY-----; \
                     make one with openssl pkey -pubout, or openssl x509 -noout -pubkey",
                );
            }
            Self::Unfit(algorithm) => match algorithm {
                PublicAlgorithm::Es256 => (algorithm, "a key on P-256"),
                PublicAlgorithm::Es384 => (algorithm, "a key on P-384"),
                PublicAlgorithm::EdDsa => (algorithm, "an Ed25519 key"),
                _ => (algorithm, "an RSA key of 2,048 to 4,096 bits with exponent 65,537"),
            },
        };
        write!(f, "{} needs {needed}, written whole and with its line breaks", algorithm.name())
    }
}

/// A public key bound to its algorithm.
pub(crate) struct PublicKey {
    algorithm: PublicAlgorithm,
    native: Native,
    /// SubjectPublicKeyInfo in DER, as the library writes the key that it has read.
    der: Vec<u8>,
}

/// How a public key may be written down.
pub(super) enum Written<'a> {
    /// PEM of SubjectPublicKeyInfo.
    Pem(&'a str),
    /// Modulus and exponent (RFC 7518 §6.3.1).
    Rsa { n: &'a [u8], e: &'a [u8] },
    /// A point, each coordinate in full length (RFC 7518 §6.2.1).
    Point { x: &'a [u8], y: &'a [u8] },
    /// An Ed25519 key (RFC 8037 §2).
    Ed25519(&'a [u8]),
}

#[expect(clippy::large_enum_variant, reason = "a configuration has a handful of keys")]
enum Native {
    Rsa { key: PKey<Public>, hash: MessageDigest, padding: Padding, modulus_bytes: usize },
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Ed25519(ed25519::PublicKey),
}

impl PublicKey {
    pub(super) fn read(
        algorithm: PublicAlgorithm,
        written: &Written<'_>,
    ) -> Result<Self, KeyError> {
        if let Written::Pem(pem) = written {
            let is_public = pem.trim_start().starts_with("-----BEGIN PUBLIC KEY-----");
            if !is_public || pem.matches("-----BEGIN").count() != 1 {
                return Err(KeyError::NotPublicKeyPem);
            }
        }
        let read = Native::read(algorithm, written).ok_or(KeyError::Unfit(algorithm))?;
        let (native, der) = read;
        Ok(Self { algorithm, native, der })
    }

    /// The one algorithm that it verifies.
    pub(super) fn algorithm(&self) -> PublicAlgorithm {
        self.algorithm
    }

    /// SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether the signature holds, in its one form: exactly as long as the modulus for RSA, r and
    /// s in full length for ECDSA (RFC 7518 §3.4), 64 bytes for Ed25519.
    ///
    /// What has another form costs nothing. Else the host is asked, and where it cannot tell, or
    /// takes long itself, the signature comes out of the budget.
    pub(super) fn verify(
        &self,
        signing_input: &[u8],
        signature: &[u8],
        effort: Effort<'_>,
    ) -> Result<bool, Refusal> {
        let Some(form) = self.form(signature) else { return Ok(false) };
        let by_host = || {
            let question = Question {
                hash: self.algorithm.hash_of_host()?,
                public_key: &self.der,
                signature: &form,
                text: signing_input,
            };
            effort.host.verify(&question)
        };
        let is_slow_for_host = self.algorithm == PublicAlgorithm::Es384; // 0.35 ms
        if !is_slow_for_host && let Some(verdict) = by_host() {
            return Ok(verdict);
        }
        if !effort.budget.take(effort.unix_seconds) {
            return Err(Refusal::Unavailable);
        }
        let by_host = if is_slow_for_host { by_host() } else { None };
        Ok(by_host.unwrap_or_else(|| self.native.verifies(signing_input, signature)))
    }

    /// The signature as a host wants it; `None` if it cannot be one of this key's.
    fn form<'a>(&self, signature: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let of_length = |bytes| (signature.len() == bytes).then_some(Cow::Borrowed(signature));
        match &self.native {
            Native::Rsa { modulus_bytes, .. } => of_length(*modulus_bytes),
            Native::P256(_) => ecdsa::to_der(signature, &ecdsa::ORDER_OF_P256).map(Cow::Owned),
            Native::P384(_) => ecdsa::to_der(signature, &ecdsa::ORDER_OF_P384).map(Cow::Owned),
            Native::Ed25519(_) => of_length(ed25519::Signature::BYTES),
        }
    }
}

impl Native {
    fn verifies(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { key, hash, padding, .. } => {
                rsa_verifies(key, hash.clone(), *padding, signing_input, signature).unwrap_or(false)
            }
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signing_input, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signing_input, &signature).is_ok()),
            Self::Ed25519(key) => ed25519::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(signing_input, &signature).is_ok()),
        }
    }

    /// The key, and the same in DER.
    fn read(algorithm: PublicAlgorithm, written: &Written<'_>) -> Option<(Self, Vec<u8>)> {
        match algorithm {
            PublicAlgorithm::Rs256 => rsa(written, MessageDigest::sha256(), Padding::PKCS1),
            PublicAlgorithm::Rs384 => rsa(written, MessageDigest::sha384(), Padding::PKCS1),
            PublicAlgorithm::Rs512 => rsa(written, MessageDigest::sha512(), Padding::PKCS1),
            PublicAlgorithm::Ps256 => rsa(written, MessageDigest::sha256(), Padding::PKCS1_PSS),
            PublicAlgorithm::Ps384 => rsa(written, MessageDigest::sha384(), Padding::PKCS1_PSS),
            PublicAlgorithm::Ps512 => rsa(written, MessageDigest::sha512(), Padding::PKCS1_PSS),
            PublicAlgorithm::Es256 => {
                let key = match written {
                    Written::Pem(pem) => ES256PublicKey::from_pem(pem.trim()),
                    Written::Point { x, y } => ES256PublicKey::from_bytes(&sec1::<32>(x, y)?),
                    _ => return None,
                };
                let key = key.ok()?;
                Some((Self::P256(*key.public_key().as_ref()), key.to_der().ok()?))
            }
            PublicAlgorithm::Es384 => {
                let key = match written {
                    Written::Pem(pem) => ES384PublicKey::from_pem(pem.trim()),
                    Written::Point { x, y } => ES384PublicKey::from_bytes(&sec1::<48>(x, y)?),
                    _ => return None,
                };
                let key = key.ok()?;
                Some((Self::P384(*key.public_key().as_ref()), key.to_der().ok()?))
            }
            PublicAlgorithm::EdDsa => {
                let key = match written {
                    Written::Pem(pem) => Ed25519PublicKey::from_pem(pem.trim()),
                    Written::Ed25519(x) => Ed25519PublicKey::from_bytes(x),
                    _ => return None,
                };
                let key = key.ok()?;
                Some((Self::Ed25519(*key.public_key().as_ref()), key.to_der()))
            }
        }
    }
}

/// Reads any RSA key; nothing in it is of RS256.
fn rsa(written: &Written<'_>, hash: MessageDigest, padding: Padding) -> Option<(Native, Vec<u8>)> {
    let key = match written {
        Written::Pem(pem) => RS256PublicKey::from_pem(pem.trim()),
        Written::Rsa { n, e } => RS256PublicKey::from_components(n, e),
        _ => return None,
    };
    let key = key.ok()?;
    let modulus_bytes = key.to_components().n.into_iter().skip_while(|byte| *byte == 0).count();
    let der = key.to_der().ok()?;
    let key = PKey::from_rsa(key.public_key().as_ref().clone()).ok()?;
    Some((Native::Rsa { key, hash, padding, modulus_bytes }, der))
}

/// An uncompressed point (SEC 1 §2.3.3) whose first coordinate has exactly that length; the length of
/// both together is for the library to judge.
fn sec1<const LENGTH: usize>(x: &[u8], y: &[u8]) -> Option<Vec<u8>> {
    (x.len() == LENGTH).then(|| [&[UNCOMPRESSED], x, y].concat())
}

fn rsa_verifies(
    key: &PKey<Public>,
    hash: MessageDigest,
    padding: Padding,
    signing_input: &[u8],
    signature: &[u8],
) -> Result<bool, superboring::error::ErrorStack> {
    let mut verifier = superboring::sign::Verifier::new(hash, key)?;
    verifier.set_rsa_padding(padding)?;
    verifier.update(signing_input)?;
    verifier.verify(signature)
}

const UNCOMPRESSED: u8 = 4;
