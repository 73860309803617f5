//! Promise: a token is tried only with keys of its algorithm that take its `kid`.

use std::cell::{Cell, RefCell};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::keys::fixtures::{ED25519, P_256, P_384, PS256_SHORT_SALT, RSA_1024, RSA_2048, TOKENS};
use crate::keys::host::Question;

fn key(algorithm: Algorithm, id: Option<&str>) -> Key {
    Key::hmac(algorithm, &[7; 64], id.map(str::to_owned), None, Vec::new())
}

fn tried(ring: &KeyRing, algorithm: &str, kid: Option<&str>) -> Result<Vec<String>, Refusal> {
    let candidates = ring.candidates(algorithm, kid, None)?;
    Ok(candidates.map(|key| key.id.clone().unwrap_or_default()).collect())
}

#[test]
fn a_key_takes_its_own_kid_or_none_and_a_key_without_id_takes_any() {
    use Algorithm::{Hs256, Hs512};
    let ring = KeyRing::new(vec![key(Hs256, Some("a")), key(Hs256, Some("b")), key(Hs512, None)]);
    type Case = (&'static str, Option<&'static str>, Result<&'static [&'static str], Refusal>);
    let cases: [Case; 9] = [
        ("HS256", None, Ok(&["a", "b"])),
        ("HS256", Some("a"), Ok(&["a"])),
        ("HS256", Some("b"), Ok(&["b"])),
        ("HS256", Some("c"), Err(Refusal::UnknownKey)),
        ("HS256", Some(""), Err(Refusal::UnknownKey)),
        ("HS512", Some("c"), Ok(&[""])),
        ("HS384", Some("a"), Err(Refusal::UnsupportedAlgorithm)),
        ("hs256", Some("a"), Err(Refusal::UnsupportedAlgorithm)),
        ("none", None, Err(Refusal::UnsupportedAlgorithm)),
    ];
    for (algorithm, kid, expected) in cases {
        let expected = expected.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(tried(&ring, algorithm, kid), expected, "{algorithm} {kid:?}");
    }
}

#[test]
fn at_most_eight_keys_are_tried_and_the_named_one_is_the_first() {
    let mut keys: Vec<Key> = (0..9).map(|_| key(Algorithm::Hs256, None)).collect();
    keys.push(key(Algorithm::Hs256, Some("last")));
    let tried = tried(&KeyRing::new(keys), "HS256", Some("last")).expect("candidates");
    assert_eq!((tried.len(), tried[0].as_str()), (KEYS_TRIED, "last"));
}

#[test]
fn a_ring_names_each_of_its_algorithms_once() {
    use Algorithm::{Hs256, Hs512};
    let ring = KeyRing::new([Hs512, Hs256, Hs512].map(|algorithm| key(algorithm, None)).into());
    assert_eq!(ring.algorithms(), ["HS512", "HS256"]);
    assert_eq!(KeyRing::default().algorithms(), [""; 0]);
}

#[test]
fn without_keys_nothing_can_be_told() {
    assert_eq!(tried(&KeyRing::default(), "HS256", None), Err(Refusal::Unavailable));
}

#[test]
fn every_algorithm_is_found_by_its_name() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
    }
}

#[test]
fn a_key_never_shows_its_secret() {
    let key =
        Key::hmac(Algorithm::Hs256, b"canary-canary-canary-canary-canary", None, None, vec![]);
    let shown = "KeyRing { keys: [Key(HS256, None)], lacks_some: false }";
    assert_eq!(format!("{:?}", KeyRing::new(vec![key])), shown);
}

fn public(algorithm: &str, pem: &str) -> Result<Key, KeyError> {
    let algorithm = PublicAlgorithm::from_name(algorithm).expect("an algorithm");
    Key::public(algorithm, pem, None, None, Vec::new())
}

/// Signing input and signature.
fn parts(token: &str) -> (&[u8], Vec<u8>) {
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    (input.as_bytes(), URL_SAFE_NO_PAD.decode(signature).expect("base64url"))
}

#[test]
fn what_openssl_signed_is_verified_by_the_key_of_that_algorithm_only() {
    for (algorithm, pem, token) in TOKENS {
        let (input, signature) = parts(token);
        for (other, other_pem, _) in TOKENS {
            let verified = public(other, other_pem).expect("a key").verifies(input, &signature);
            assert_eq!(verified, algorithm == other, "{algorithm} token, {other} key");
        }
        assert!(public(algorithm, pem).expect("a key").verifies(input, &signature));
    }
}

#[test]
fn every_changed_byte_of_a_signature_and_every_other_length_is_refused() {
    for (algorithm, pem, token) in TOKENS {
        let key = public(algorithm, pem).expect("a key");
        let (input, signature) = parts(token);
        let step = signature.len() / 16; // these are slow without optimisation
        for at in (0..signature.len()).step_by(step) {
            let mut mutated = signature.clone();
            mutated[at] ^= 1 << (at / step % 8);
            assert!(!key.verifies(input, &mutated), "{algorithm}: byte {at}");
            assert!(!key.verifies(input, &signature[..at]), "{algorithm}: first {at}");
        }
        let longer = [&signature[..], &[0]].concat();
        let led = [&[0], &signature[..]].concat();
        assert!(!key.verifies(input, &longer) && !key.verifies(input, &led), "{algorithm}");
        for bytes in [0, 1, u8::MAX] {
            let constant = vec![bytes; signature.len()]; // r = s = 0 among them: CVE-2022-21449
            assert!(!key.verifies(input, &constant), "{algorithm}: all {bytes}");
        }
        assert!(!key.verifies(&input[1..], &signature), "{algorithm}: another input");
    }
}

/// Says always the same.
struct Saying {
    verdict: Option<bool>,
    asked: Cell<usize>,
}

impl SignatureHost for Saying {
    fn verify(&self, _: &Question<'_>) -> Option<bool> {
        self.asked.set(self.asked.get() + 1);
        self.verdict
    }
}

/// Whether the key says yes, with that host and that many slow verifications left; and how often the
/// host was asked.
fn told(
    key: &Key,
    (input, signature): (&[u8], &[u8]),
    verdict: Option<bool>,
    left: u64,
) -> (Result<bool, Refusal>, usize) {
    let host = Saying { verdict, asked: Cell::new(0) };
    let budget = &Budget::new(left);
    let told = key.verify(input, signature, Effort { host: &host, budget, unix_seconds: 1 });
    (told, host.asked.get())
}

#[test]
fn a_host_is_asked_where_it_knows_more_and_what_is_slow_has_a_bound() {
    for (algorithm, pem, token) in TOKENS {
        let key = public(algorithm, pem).expect("a key");
        let (input, signature) = parts(token);
        let cut = (input, &signature[1..]);
        assert_eq!(told(&key, cut, Some(true), 0), (Ok(false), 0), "{algorithm}: another form");
        for verdict in [Some(true), Some(false), None] {
            let own = verdict.unwrap_or(true);
            let (with_none_left, with_one_left) = match algorithm {
                "ES384" => ((Err(Refusal::Unavailable), 0), (Ok(own), 1)),
                "EdDSA" | "PS256" | "PS384" | "PS512" => {
                    ((Err(Refusal::Unavailable), 0), (Ok(true), 0))
                }
                _ => ((verdict.ok_or(Refusal::Unavailable), 1), (Ok(own), 1)),
            };
            let whole = (input, &*signature);
            assert_eq!(told(&key, whole, verdict, 0), with_none_left, "{algorithm} {verdict:?}");
            assert_eq!(told(&key, whole, verdict, 1), with_one_left, "{algorithm} {verdict:?}");
        }
    }
    let secret = key(Algorithm::Hs256, None);
    assert_eq!(told(&secret, (b"a", &[0; 32]), Some(true), 0), (Ok(false), 0), "no key pair");
}

/// Remembers the key that it was asked about.
#[derive(Default)]
struct Remembering(RefCell<Vec<u8>>);

impl SignatureHost for Remembering {
    fn verify(&self, question: &Question<'_>) -> Option<bool> {
        self.0.replace(question.public_key.to_vec());
        Some(true)
    }
}

#[test]
fn a_host_is_given_the_key_that_the_pem_has() {
    for (algorithm, pem, token) in TOKENS {
        let (input, signature) = parts(token);
        let (host, budget) = (Remembering::default(), &Budget::new(1));
        let effort = Effort { host: &host, budget, unix_seconds: 1 };
        assert_eq!(
            public(algorithm, pem).expect("a key").verify(input, &signature, effort),
            Ok(true)
        );
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(base64).expect("base64");
        let asked = !host.0.borrow().is_empty();
        assert_eq!(asked, ["RS", "ES"].iter().any(|family| algorithm.starts_with(family)));
        assert!(!asked || *host.0.borrow() == der, "{algorithm}");
    }
}

#[test]
fn two_keys_are_told_apart_by_what_they_are() {
    let other = jwt_simple::algorithms::Ed25519KeyPair::generate().public_key().to_pem();
    let fingerprint = |pem: &str| public("EdDSA", pem).expect("a key").fingerprint();
    assert_eq!(fingerprint(ED25519), fingerprint(ED25519));
    assert_ne!(fingerprint(ED25519), fingerprint(&other));
}

#[test]
fn what_an_algorithm_needs_is_said() {
    for (algorithm, needed) in [
        ("RS256", "RS256 needs an RSA key of 2,048 to 4,096 bits"),
        ("PS512", "PS512 needs an RSA key of 2,048 to 4,096 bits"),
        ("ES256", "ES256 needs a key on P-256"),
        ("ES384", "ES384 needs a key on P-384"),
        ("EdDSA", "EdDSA needs an Ed25519 key"),
    ] {
        let error = public(algorithm, RSA_1024).expect_err("too weak, and no curve");
        assert!(error.to_string().starts_with(needed), "{error}");
    }
    let error = public("RS256", "a secret").expect_err("no PEM").to_string();
    assert!(error.contains("-----BEGIN PUBLIC KEY-----"), "{error}");
}

#[test]
fn a_salt_of_another_length_is_refused() {
    let (input, signature) = parts(PS256_SHORT_SALT);
    assert!(!public("PS256", RSA_2048).expect("a key").verifies(input, &signature));
}

#[test]
fn a_public_key_fits_its_algorithm_or_is_refused() {
    use PublicAlgorithm::*;
    let certificate = RSA_2048.replace("PUBLIC KEY", "CERTIFICATE");
    let pkcs1 = RSA_2048.replace("PUBLIC KEY", "RSA PUBLIC KEY");
    let damaged = RSA_2048.replace("MIIB", "MIIC");
    let twice = format!("{RSA_2048}{RSA_2048}");
    let cases = [
        (Rs256, RSA_2048, None),
        (Rs256, &format!("\n {RSA_2048}\n"), None),
        (Ps512, RSA_2048, None),
        (Rs256, RSA_1024, Some(KeyError::Unfit(Rs256))),
        (Rs256, P_256, Some(KeyError::Unfit(Rs256))),
        (Rs256, ED25519, Some(KeyError::Unfit(Rs256))),
        (Rs256, &damaged, Some(KeyError::Unfit(Rs256))),
        (Es256, P_256, None),
        (Es256, P_384, Some(KeyError::Unfit(Es256))),
        (Es384, P_256, Some(KeyError::Unfit(Es384))),
        (Es384, RSA_2048, Some(KeyError::Unfit(Es384))),
        (EdDsa, ED25519, None),
        (EdDsa, P_256, Some(KeyError::Unfit(EdDsa))),
        (Rs256, &certificate, Some(KeyError::NotPublicKeyPem)),
        (Rs256, &pkcs1, Some(KeyError::NotPublicKeyPem)),
        (Rs256, &twice, Some(KeyError::NotPublicKeyPem)),
        (Rs256, "", Some(KeyError::NotPublicKeyPem)),
        (Rs256, "-----BEGIN PUBLIC KEY-----", Some(KeyError::Unfit(Rs256))),
    ];
    for (algorithm, pem, expected) in cases {
        let read = Key::public(algorithm, pem, None, None, vec![]);
        assert_eq!(read.err(), expected, "{algorithm:?} {pem}");
    }
}

#[test]
fn a_public_key_is_no_secret() {
    // CVE-2016-5431 and its many siblings: HS256 over the text of the public key.
    let ring = KeyRing::new(vec![public("RS256", RSA_2048).expect("a key")]);
    assert_eq!(tried(&ring, "HS256", None), Err(Refusal::UnsupportedAlgorithm));
    assert_eq!(tried(&ring, "RS384", None), Err(Refusal::UnsupportedAlgorithm));
    assert_eq!(tried(&ring, "RS256", None), Ok(vec![String::new()]));
}
