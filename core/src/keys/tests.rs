//! Promise: a token is tried only with keys of its algorithm and its `kid`. Only the holder of the
//! private key can make a signature that a key accepts. No check exceeds its limits.

use std::cell::{Cell, RefCell};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::*;
use crate::keys::effort::{FREE_NANOSECONDS, FailureBudget, MOST_NANOSECONDS};
use crate::keys::fixtures::{ED25519, P_256, P_384, PS256_SHORT_SALT, RSA_1024, RSA_2048, TOKENS};
use crate::keys::host::{NoHost, SignatureCheck, SignatureHost};

fn key(algorithm: Algorithm, id: Option<&str>) -> Key {
    Key::hmac(algorithm, &[7; 64], id.map(str::to_owned), None, Vec::new())
}

fn tried(ring: &KeyRing, algorithm: &str, kid: Option<&str>) -> Result<Vec<String>, Refusal> {
    let candidates = ring.candidates(algorithm, kid, None)?;
    Ok(candidates.iter().map(|key| key.id.clone().unwrap_or_default()).collect())
}

#[test]
fn a_kid_selects_its_keys_or_those_without_id() {
    use Algorithm::{Hs256, Hs384, Hs512};
    let ids = [
        (Hs256, Some("a")),
        (Hs256, None),
        (Hs256, Some("b")),
        (Hs256, Some("a")),
        (Hs384, Some("a")),
        (Hs512, None),
    ];
    let ring = KeyRing::new(ids.map(|(algorithm, id)| key(algorithm, id)).into());
    type Case = (&'static str, Option<&'static str>, Result<&'static [&'static str], Refusal>);
    let cases: [Case; 11] = [
        ("HS256", None, Ok(&["a", "", "b", "a"])),
        ("HS256", Some("a"), Ok(&["a", "a"])),
        ("HS256", Some("b"), Ok(&["b"])),
        ("HS256", Some("c"), Ok(&[""])),
        ("HS256", Some(""), Ok(&[""])),
        ("HS384", Some("a"), Ok(&["a"])),
        ("HS384", Some("c"), Err(Refusal::UnknownKey)),
        ("HS512", Some("a"), Ok(&[""])),
        ("RS256", Some("a"), Err(Refusal::UnsupportedAlgorithm)),
        ("hs256", Some("a"), Err(Refusal::UnsupportedAlgorithm)),
        ("none", None, Err(Refusal::UnsupportedAlgorithm)),
    ];
    for (algorithm, kid, expected) in cases {
        let expected = expected.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        assert_eq!(tried(&ring, algorithm, kid), expected, "{algorithm} {kid:?}");
    }
}

#[test]
fn at_most_eight_keys_are_tried() {
    let ring = KeyRing::new((0..9).map(|_| key(Algorithm::Hs256, None)).collect());
    assert_eq!(tried(&ring, "HS256", Some("any")).expect("candidates").len(), 8);
}

#[test]
fn a_ring_names_each_of_its_algorithms_once() {
    use Algorithm::{Hs256, Hs512};
    let ring = KeyRing::new([Hs512, Hs256, Hs512].map(|algorithm| key(algorithm, None)).into());
    assert_eq!(ring.algorithms(), ["HS512", "HS256"]);
    assert_eq!(KeyRing::default().algorithms(), [""; 0]);
}

#[test]
fn without_keys_every_token_is_unknown() {
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
fn an_openssl_signature_is_verified_by_its_algorithms_key_only() {
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

/// A host that always returns the same verdict.
struct FixedHost {
    verdict: Option<bool>,
    calls: Cell<usize>,
}

impl SignatureHost for FixedHost {
    fn verify(&self, _: &SignatureCheck<'_>) -> Option<bool> {
        self.calls.set(self.calls.get() + 1);
        self.verdict
    }
}

/// Returns the key's verdict with this host, the number of calls to the host, and the time spent.
fn checked(
    key: &Key,
    (input, signature): (&[u8], &[u8]),
    verdict: Option<bool>,
    budget: &FailureBudget,
) -> (Result<bool, OutOfTime>, usize, u64) {
    let host = FixedHost { verdict, calls: Cell::new(0) };
    let effort = Effort::new(&host, budget, 1_000, u64::MAX);
    let result = key.verify(input, signature, &effort);
    (result, host.calls.get(), effort.spent_nanoseconds())
}

/// Returns a bucket that is empty.
fn empty_budget() -> FailureBudget {
    let budget = FailureBudget::new(1);
    for _ in 0..2 {
        let effort = Effort::new(&NoHost, &budget, 1_000, u64::MAX);
        effort.spend(MOST_NANOSECONDS);
        effort.note_failure(0, 0);
    }
    budget
}

#[test]
fn a_slow_check_needs_a_budget_and_a_fast_one_does_not() {
    let full = FailureBudget::new(100);
    for (algorithm, pem, token) in TOKENS {
        let key = public(algorithm, pem).expect("a key");
        let (input, signature) = parts(token);
        let whole = (input, &*signature);
        let malformed = (input, &signature[1..]);
        let other_form = checked(&key, malformed, Some(true), &empty_budget());
        assert_eq!(other_form, (Ok(false), 0, 0), "{algorithm}: another form costs nothing");
        for verdict in [Some(true), Some(false), None] {
            let is_by_host = algorithm.starts_with("RS") || algorithm.starts_with("ES");
            let calls = usize::from(is_by_host);
            let by_host = if is_by_host { verdict } else { None };
            let expected = by_host.unwrap_or(true);
            let (result, called, spent) = checked(&key, whole, verdict, &full);
            assert_eq!((result, called), (Ok(expected), calls), "{algorithm} {verdict:?}");
            let is_free = by_host.is_some() && algorithm != "ES384";
            assert_eq!(spent <= FREE_NANOSECONDS, is_free, "{algorithm} {verdict:?}: {spent}");
            let (result, called, spent) = checked(&key, whole, verdict, &empty_budget());
            let expected = if is_free { Ok(expected) } else { Err(OutOfTime) };
            let calls = if algorithm == "ES384" { 0 } else { calls };
            assert_eq!((result, called), (expected, calls), "{algorithm} {verdict:?}");
            assert!(spent <= FREE_NANOSECONDS, "{algorithm}: {spent}");
        }
    }
    let hmac = checked(&key(Algorithm::Hs256, None), (b"a", &[0; 32]), None, &empty_budget());
    assert_eq!((hmac.0, hmac.1), (Ok(false), 0));
}

/// A host that stores the check that it received.
#[derive(Default)]
struct RecordingHost {
    public_key: RefCell<Vec<u8>>,
    signature: RefCell<Vec<u8>>,
}

impl SignatureHost for RecordingHost {
    fn verify(&self, check: &SignatureCheck<'_>) -> Option<bool> {
        self.public_key.replace(check.public_key.to_vec());
        self.signature.replace(check.signature.to_vec());
        Some(true)
    }
}

/// Returns the DER that a host receives for this signature, or `None` if the signature is refused
/// before.
fn der_for_host(key: &Key, signature: &[u8]) -> Option<Vec<u8>> {
    let (host, budget) = (RecordingHost::default(), FailureBudget::new(100));
    let result = key.verify(b"text", signature, &Effort::new(&host, &budget, 1_000, u64::MAX));
    (result == Ok(true)).then(|| host.signature.take())
}

#[test]
fn a_host_gets_the_key_of_the_pem() {
    for (algorithm, pem, token) in TOKENS {
        let (input, signature) = parts(token);
        let (host, budget) = (RecordingHost::default(), FailureBudget::new(100));
        let effort = Effort::new(&host, &budget, 1_000, u64::MAX);
        let key = public(algorithm, pem).expect("a key");
        assert_eq!(key.verify(input, &signature, &effort), Ok(true));
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(base64).expect("base64");
        let asked = !host.public_key.borrow().is_empty();
        assert_eq!(asked, ["RS", "ES"].iter().any(|family| algorithm.starts_with(family)));
        assert!(!asked || *host.public_key.borrow() == der, "{algorithm}");
    }
}

#[test]
fn an_ecdsa_signature_has_numbers_from_one_to_below_the_order() {
    for (algorithm, pem, order) in
        [("ES256", P_256, &ORDER_OF_P256[..]), ("ES384", P_384, &ORDER_OF_P384)]
    {
        let key = public(algorithm, pem).expect("a key");
        let number = |last: u8| [&vec![0; order.len() - 1][..], &[last]].concat();
        let moved = |by: i8| {
            let mut number = order.to_vec();
            let last = number.last_mut().expect("a byte");
            *last = last.checked_add_signed(by).expect("no carry");
            number
        };
        for (n, is_valid) in [
            (number(0), false),
            (number(1), true),
            (moved(-1), true),
            (moved(0), false),
            (moved(1), false),
            (vec![0xff; order.len()], false),
        ] {
            let is_taken = |r: &[u8], s: &[u8]| der_for_host(&key, &[r, s].concat()).is_some();
            assert_eq!(is_taken(&n, &number(1)), is_valid, "{algorithm} r {n:?}");
            assert_eq!(is_taken(&number(1), &n), is_valid, "{algorithm} s {n:?}");
        }
        for length in 0..200 {
            let is_taken = der_for_host(&key, &vec![1; length]).is_some();
            assert_eq!(is_taken, length == 2 * order.len(), "{algorithm} {length}");
        }
    }
}

#[test]
fn an_integer_in_der_has_the_shortest_form() {
    let key = public("ES256", P_256).expect("a key");
    let number = |last: u8| [&[0; 31][..], &[last]].concat();
    let der = |r, s| der_for_host(&key, &[number(r), number(s)].concat()).expect("valid");
    assert_eq!(der(1, 0x7f), [0x30, 6, 2, 1, 1, 2, 1, 0x7f]);
    assert_eq!(der(0x80, 0xff), [0x30, 8, 2, 2, 0, 0x80, 2, 2, 0, 0xff]);
}

/// The order n of P-256 (SP 800-186 §3.2.1.3).
const ORDER_OF_P256: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The order n of P-384 (SP 800-186 §3.2.1.4).
const ORDER_OF_P384: [u8; 48] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xc7, 0x63, 0x4d, 0x81, 0xf4, 0x37, 0x2d, 0xdf,
    0x58, 0x1a, 0x0d, 0xb2, 0x48, 0xb0, 0xa7, 0x7a, 0xec, 0xec, 0x19, 0x6a, 0xcc, 0xc5, 0x29, 0x73,
];

#[test]
fn different_keys_have_different_fingerprints() {
    let other = jwt_simple::algorithms::Ed25519KeyPair::generate().public_key().to_pem();
    let fingerprint = |pem: &str| public("EdDSA", pem).expect("a key").fingerprint();
    assert_eq!(fingerprint(ED25519), fingerprint(ED25519));
    assert_ne!(fingerprint(ED25519), fingerprint(&other));
}

#[test]
fn an_unfit_key_names_what_the_algorithm_needs() {
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
fn the_text_of_a_public_key_is_not_a_secret() {
    // CVE-2016-5431 and its many siblings: HS256 over the text of the public key.
    let ring = KeyRing::new(vec![public("RS256", RSA_2048).expect("a key")]);
    assert_eq!(tried(&ring, "HS256", None), Err(Refusal::UnsupportedAlgorithm));
    assert_eq!(tried(&ring, "RS384", None), Err(Refusal::UnsupportedAlgorithm));
    assert_eq!(tried(&ring, "RS256", None), Ok(vec![String::new()]));
}
