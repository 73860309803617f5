//! Verifies RSA and ECDSA signatures with AWS-LC.
//!
//! AWS-LC is mostly assembly and takes a tenth of the time of pure Rust. The core has already read
//! each key, an RSA key of 2,048 to 4,096 bits or a point of P-256 or P-384, and re-encoded it as
//! SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). If AWS-LC cannot read a key, the core's own libraries
//! verify its signatures.
//!
//! Reading an RSA key takes an eighth of the time of a check, so each worker keeps the keys that it
//! has read. Keys come from the configuration and from key sets, never from a request.

use std::cell::RefCell;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, VerificationAlgorithm,
};
use session_guard_core::keys::host::{SignatureCheck, SignatureHost};

/// Signature verification by AWS-LC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AwsLcSignatures;

impl SignatureHost for AwsLcSignatures {
    fn verify(&self, check: &SignatureCheck<'_>) -> Option<bool> {
        KEYS.with_borrow_mut(|keys| {
            let at = match keys.iter().position(|key| key.is_for(check)) {
                Some(at) => at,
                None => keep(keys, ReadKey::of(check)?),
            };
            Some(keys.get(at)?.key.verify_sig(check.text, check.signature).is_ok())
        })
    }
}

thread_local! {
    static KEYS: RefCell<Vec<ReadKey>> = const { RefCell::new(Vec::new()) };
}

/// A public key that this thread has read, for one hash.
struct ReadKey {
    der: Box<[u8]>,
    hash: &'static str,
    key: ParsedPublicKey,
}

impl ReadKey {
    /// Reads the key of a check. Its algorithm follows from its kind and the hash.
    fn of(check: &SignatureCheck<'_>) -> Option<Self> {
        let algorithms: &[&'static dyn VerificationAlgorithm] = match check.hash {
            "sha256" => &[&RSA_PKCS1_2048_8192_SHA256, &ECDSA_P256_SHA256_ASN1],
            "sha384" => &[&RSA_PKCS1_2048_8192_SHA384, &ECDSA_P384_SHA384_ASN1],
            "sha512" => &[&RSA_PKCS1_2048_8192_SHA512],
            _ => return None,
        };
        let read = |algorithm: &_| ParsedPublicKey::new(*algorithm, check.public_key).ok();
        let key = algorithms.iter().find_map(read)?;
        Some(Self { der: check.public_key.into(), hash: check.hash, key })
    }

    fn is_for(&self, check: &SignatureCheck<'_>) -> bool {
        *self.der == *check.public_key && self.hash == check.hash
    }
}

/// Adds a key and returns its index. Keys that are no longer in use are dropped together with all
/// others when the list is full.
fn keep(keys: &mut Vec<ReadKey>, key: ReadKey) -> usize {
    if keys.len() >= MOST_KEYS {
        keys.clear();
    }
    keys.push(key);
    keys.len() - 1
}

/// The most keys that a thread keeps. A configuration tries at most 8 keys on one token.
const MOST_KEYS: usize = 64;

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair,
    };

    use super::*;

    const TEXT: &[u8] = b"header.payload";

    fn verify(hash: &'static str, public_key: &[u8], signature: &[u8]) -> Option<bool> {
        AwsLcSignatures.verify(&SignatureCheck { hash, public_key, signature, text: TEXT })
    }

    fn der_of<K: AsDer<PublicKeyX509Der<'static>>>(key: &K) -> Vec<u8> {
        key.as_der().unwrap().as_ref().to_vec()
    }

    fn rsa_signature(pair: &RsaKeyPair, padding: &'static dyn RsaEncoding) -> Vec<u8> {
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(padding, &SystemRandom::new(), TEXT, &mut signature).unwrap();
        signature
    }

    #[test]
    fn a_signature_is_valid_under_its_own_key_and_hash_alone() {
        let rsa = [(); 2].map(|()| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
        let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
        let signed = |pair: &EcdsaKeyPair| pair.sign(&SystemRandom::new(), TEXT).unwrap();
        let keys = [
            ("sha256", der_of(rsa[0].public_key()), rsa_signature(&rsa[0], &RSA_PKCS1_SHA256)),
            ("sha256", der_of(rsa[1].public_key()), rsa_signature(&rsa[1], &RSA_PKCS1_SHA256)),
            ("sha512", der_of(rsa[0].public_key()), rsa_signature(&rsa[0], &RSA_PKCS1_SHA512)),
            ("sha256", der_of(p256.public_key()), signed(&p256).as_ref().to_vec()),
            ("sha384", der_of(p384.public_key()), signed(&p384).as_ref().to_vec()),
        ];
        for _ in 0..2 {
            for (at, (hash, key, _)) in keys.iter().enumerate() {
                for (other, (.., signature)) in keys.iter().enumerate() {
                    assert_eq!(verify(hash, key, signature), Some(at == other), "{at} {other}");
                }
            }
        }
        assert_eq!(verify("sha384", &keys[3].1, &keys[3].2), None, "P-256 has one hash");
        assert_eq!(verify("sha1", &keys[0].1, &keys[0].2), None);
    }

    #[test]
    fn a_key_that_is_cut_off_is_left_to_the_core() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let key = der_of(pair.public_key());
        for length in 0..key.len() {
            assert_eq!(verify("sha256", &key[..length], b""), None, "{length} bytes");
        }
    }

    #[test]
    fn a_full_list_forgets_the_keys_that_are_no_longer_used() {
        for _ in 0..MOST_KEYS + 2 {
            let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
            let signature = pair.sign(&SystemRandom::new(), TEXT).unwrap();
            let key = der_of(pair.public_key());
            assert_eq!(verify("sha256", &key, signature.as_ref()), Some(true));
            assert!(KEYS.with_borrow(|keys| keys.len() <= MOST_KEYS));
        }
    }
}
