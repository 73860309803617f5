//! Verifies RSA and ECDSA signatures with ring.
//!
//! ring is mostly assembly and takes a tenth of the time of pure Rust. The core has already parsed
//! each key, an RSA key of 2,048 to 4,096 bits or a point of P-256 or P-384, and re-encoded it as
//! SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). If a key does not have exactly that form, the core's
//! own libraries verify the signature.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use session_guard_core::keys::host::{SignatureCheck, SignatureHost};

/// Signature verification by ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingSignatures;

impl SignatureHost for RingSignatures {
    fn verify(&self, check: &SignatureCheck<'_>) -> Option<bool> {
        let (kind, key) = subject_public_key(check.public_key)?;
        let algorithm: &dyn VerificationAlgorithm = match (kind, check.hash) {
            (RSA, "sha256") => &RSA_PKCS1_2048_8192_SHA256,
            (RSA, "sha384") => &RSA_PKCS1_2048_8192_SHA384,
            (RSA, "sha512") => &RSA_PKCS1_2048_8192_SHA512,
            (P256, "sha256") => &ECDSA_P256_SHA256_ASN1,
            (P384, "sha384") => &ECDSA_P384_SHA384_ASN1,
            _ => return None,
        };
        let key = UnparsedPublicKey::new(algorithm, key);
        Some(key.verify(check.text, check.signature).is_ok())
    }
}

/// Splits a SubjectPublicKeyInfo into its algorithm identifier and the bytes of its key.
fn subject_public_key(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (info, rest) = element(SEQUENCE, der)?;
    let (algorithm, bits) = element(SEQUENCE, info)?;
    let (bits, after) = element(BIT_STRING, bits)?;
    let key = bits.strip_prefix(&[0])?; // no unused bits
    (rest.is_empty() && after.is_empty()).then_some((algorithm, key))
}

/// Splits off the first DER element, which must have this tag. Returns its content and the
/// remaining bytes.
fn element(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, content) = match der.strip_prefix(&[tag])? {
        [length @ 0..=0x7f, content @ ..] => (usize::from(*length), content),
        [0x81, length, content @ ..] => (usize::from(*length), content),
        [0x82, high, low, content @ ..] => {
            (usize::from(u16::from_be_bytes([*high, *low])), content)
        }
        _ => return None,
    };
    content.split_at_checked(length)
}

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;

/// `rsaEncryption` with NULL (RFC 3279 §2.3.1).
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

/// `id-ecPublicKey` with `secp256r1` or `secp384r1` (RFC 5480 §2.1.1).
const P256: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_form_is_left_to_the_core() {
        let check =
            |public_key, hash| SignatureCheck { hash, public_key, signature: b"", text: b"" };
        let rsa = [&b"\x30\x13\x30\x0d"[..], RSA, b"\x03\x02\x00\x01"].concat();
        assert!(subject_public_key(&rsa) == Some((RSA, b"\x01")));
        assert_eq!(RingSignatures.verify(&check(&rsa, "sha256")), Some(false));
        assert_eq!(RingSignatures.verify(&check(&rsa, "sha1")), None);
        for length in 0..rsa.len() {
            assert_eq!(RingSignatures.verify(&check(&rsa[..length], "sha256")), None);
        }
        let longer = [&rsa[..], b"\x00"].concat();
        assert_eq!(RingSignatures.verify(&check(&longer, "sha256")), None);
    }
}
