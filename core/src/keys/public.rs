//! Public keys: reads them and checks signatures with them.
//!
//! A key is given as PEM of SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) or as the members of a JWK.
//! jwt-simple reads and checks it: RSA of 2,048 to 4,096 bits with exponent 65,537, points on their
//! curve, no Ed25519 key of small order. It verifies signatures only together with its own parser
//! and its own checks of claims. Signatures are therefore checked by the crates on which it
//! depends, in the versions that it uses.
//!
//! An ECDSA signature (r, s) has a twin (r, n − s) that anybody can compute and that is valid as
//! well (FIPS 186-5 allows both). Both signatures belong to one token here: revocations name a
//! token by its jti or its signing input, never by its signature.

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

use crate::keys::OutOfTime;
use crate::keys::cost;
use crate::keys::effort::Effort;
use crate::keys::host::SignatureCheck;

/// An algorithm that signs with a key pair (RFC 7518 §3.1, RFC 8037 §3.1).
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
    /// All algorithms.
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

    /// Returns its name in `alg`.
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

    /// Returns whether it uses RSA keys, which do not name an algorithm themselves.
    #[must_use]
    pub fn is_rsa(self) -> bool {
        !matches!(self, Self::Es256 | Self::Es384 | Self::EdDsa)
    }

    /// Returns the name of its hash if a host can check signatures of this algorithm. Envoy
    /// supports neither PSS nor Ed25519.
    fn hash_of_host(self) -> Option<&'static str> {
        match self {
            Self::Rs256 | Self::Es256 => Some("sha256"),
            Self::Rs384 | Self::Es384 => Some("sha384"),
            Self::Rs512 => Some("sha512"),
            Self::Ps256 | Self::Ps384 | Self::Ps512 | Self::EdDsa => None,
        }
    }

    /// Returns the algorithm with exactly this name. `Ed25519` (RFC 9864 §2.2) is the one kind of
    /// EdDSA that is supported.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let is_named = |algorithm: &Self| algorithm.name() == name;
        let other_name = (name == "Ed25519").then_some(Self::EdDsa);
        Self::ALL.into_iter().find(is_named).or(other_name)
    }
}

/// The reason why a text is not a public key for an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The text is not one PEM block `PUBLIC KEY`, but a certificate, a private key, or no PEM.
    NotPublicKeyPem,
    /// The key is damaged, of another kind than the algorithm needs, or too weak.
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
        write!(f, "{} needs {needed}, complete and with its line breaks", algorithm.name())
    }
}

/// A public key, bound to one algorithm.
pub(crate) struct PublicKey {
    algorithm: PublicAlgorithm,
    native: Native,
    /// SubjectPublicKeyInfo in DER, re-encoded by the library that read the key.
    der: Vec<u8>,
}

/// The forms in which a public key can be given.
pub(super) enum PublicKeyForm<'a> {
    /// PEM of SubjectPublicKeyInfo.
    Pem(&'a str),
    /// Modulus and exponent (RFC 7518 §6.3.1).
    Rsa { n: &'a [u8], e: &'a [u8] },
    /// A point with each coordinate in full length (RFC 7518 §6.2.1).
    Point { x: &'a [u8], y: &'a [u8] },
    /// An Ed25519 key (RFC 8037 §2).
    Ed25519(&'a [u8]),
}

#[expect(clippy::large_enum_variant, reason = "a configuration has few keys")]
enum Native {
    Rsa { key: PKey<Public>, hash: MessageDigest, padding: Padding, modulus_bytes: usize },
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Ed25519(ed25519::PublicKey),
}

impl PublicKey {
    pub(super) fn read(
        algorithm: PublicAlgorithm,
        written: &PublicKeyForm<'_>,
    ) -> Result<Self, KeyError> {
        if let PublicKeyForm::Pem(pem) = written {
            let is_public = pem.trim_start().starts_with("-----BEGIN PUBLIC KEY-----");
            if !is_public || pem.matches("-----BEGIN").count() != 1 {
                return Err(KeyError::NotPublicKeyPem);
            }
        }
        let read = Native::read(algorithm, written).ok_or(KeyError::Unfit(algorithm))?;
        let (native, der) = read;
        Ok(Self { algorithm, native, der })
    }

    /// Returns the algorithm that this key is bound to.
    pub(super) fn algorithm(&self) -> PublicAlgorithm {
        self.algorithm
    }

    /// Returns the SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7).
    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Returns whether the signature is valid.
    ///
    /// A signature has one form: as long as the modulus for RSA, r and s in full length for ECDSA
    /// (RFC 7518 §3.4), 64 bytes for Ed25519. Another form is refused without a check. The host is
    /// asked first if it supports the algorithm.
    ///
    /// # Errors
    ///
    /// [`OutOfTime`] if this request may not spend the time that the check takes.
    pub(super) fn verify(
        &self,
        signing_input: &[u8],
        signature: &[u8],
        effort: &Effort<'_>,
    ) -> Result<bool, OutOfTime> {
        let Some(form) = self.form(signature) else { return Ok(false) };
        let (key_bytes, text_bytes) = (signature.len(), signing_input.len());
        if let Some(hash) = self.algorithm.hash_of_host() {
            let cost = cost::by_host_nanoseconds(self.algorithm, key_bytes, text_bytes);
            if !effort.spend(cost) {
                return Err(OutOfTime);
            }
            let (public_key, text) = (&*self.der, signing_input);
            let check = SignatureCheck { hash, public_key, signature: &form, text };
            if let Some(is_valid) = effort.host().verify(&check) {
                return Ok(is_valid);
            }
            effort.return_unspent(cost); // the host has not made the check
        }
        if !effort.spend(cost::here_nanoseconds(self.algorithm, key_bytes, text_bytes)) {
            return Err(OutOfTime);
        }
        Ok(self.native.verifies(signing_input, signature))
    }

    /// Returns the signature in the form that a host expects, or `None` if its form is wrong.
    ///
    /// For ECDSA, r and s must be 1 to n − 1 (FIPS 186-5 §6.4.2). Some verifiers did not check this
    /// (CVE-2022-21449).
    fn form<'a>(&self, signature: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let of_length = |bytes| (signature.len() == bytes).then_some(Cow::Borrowed(signature));
        match &self.native {
            Native::Rsa { modulus_bytes, .. } => of_length(*modulus_bytes),
            Native::P256(_) => {
                let signature = p256::ecdsa::Signature::from_slice(signature).ok()?;
                Some(Cow::Owned(signature.to_der().as_bytes().to_vec()))
            }
            Native::P384(_) => {
                let signature = p384::ecdsa::Signature::from_slice(signature).ok()?;
                Some(Cow::Owned(signature.to_der().as_bytes().to_vec()))
            }
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

    /// Reads a key. Returns it with its DER encoding.
    fn read(algorithm: PublicAlgorithm, written: &PublicKeyForm<'_>) -> Option<(Self, Vec<u8>)> {
        match algorithm {
            PublicAlgorithm::Rs256 => rsa(written, MessageDigest::sha256(), Padding::PKCS1),
            PublicAlgorithm::Rs384 => rsa(written, MessageDigest::sha384(), Padding::PKCS1),
            PublicAlgorithm::Rs512 => rsa(written, MessageDigest::sha512(), Padding::PKCS1),
            PublicAlgorithm::Ps256 => rsa(written, MessageDigest::sha256(), Padding::PKCS1_PSS),
            PublicAlgorithm::Ps384 => rsa(written, MessageDigest::sha384(), Padding::PKCS1_PSS),
            PublicAlgorithm::Ps512 => rsa(written, MessageDigest::sha512(), Padding::PKCS1_PSS),
            PublicAlgorithm::Es256 => {
                let key = match written {
                    PublicKeyForm::Pem(pem) => ES256PublicKey::from_pem(pem.trim()),
                    PublicKeyForm::Point { x, y } => ES256PublicKey::from_bytes(&sec1::<32>(x, y)?),
                    _ => return None,
                };
                let key = key.ok()?;
                Some((Self::P256(*key.public_key().as_ref()), key.to_der().ok()?))
            }
            PublicAlgorithm::Es384 => {
                let key = match written {
                    PublicKeyForm::Pem(pem) => ES384PublicKey::from_pem(pem.trim()),
                    PublicKeyForm::Point { x, y } => ES384PublicKey::from_bytes(&sec1::<48>(x, y)?),
                    _ => return None,
                };
                let key = key.ok()?;
                Some((Self::P384(*key.public_key().as_ref()), key.to_der().ok()?))
            }
            PublicAlgorithm::EdDsa => {
                let key = match written {
                    PublicKeyForm::Pem(pem) => Ed25519PublicKey::from_pem(pem.trim()),
                    PublicKeyForm::Ed25519(x) => Ed25519PublicKey::from_bytes(x),
                    _ => return None,
                };
                let key = key.ok()?;
                Some((Self::Ed25519(*key.public_key().as_ref()), key.to_der()))
            }
        }
    }
}

/// Reads any RSA key; the type `RS256PublicKey` does not bind it to RS256.
fn rsa(
    written: &PublicKeyForm<'_>,
    hash: MessageDigest,
    padding: Padding,
) -> Option<(Native, Vec<u8>)> {
    let key = match written {
        PublicKeyForm::Pem(pem) => RS256PublicKey::from_pem(pem.trim()),
        PublicKeyForm::Rsa { n, e } => RS256PublicKey::from_components(n, e),
        _ => return None,
    };
    let key = key.ok()?;
    let modulus_bytes = key.to_components().n.into_iter().skip_while(|byte| *byte == 0).count();
    let der = key.to_der().ok()?;
    let key = PKey::from_rsa(key.public_key().as_ref().clone()).ok()?;
    Some((Native::Rsa { key, hash, padding, modulus_bytes }, der))
}

/// Returns an uncompressed point (SEC 1 §2.3.3) if the first coordinate has exactly this length.
/// The library checks the length of both together.
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
