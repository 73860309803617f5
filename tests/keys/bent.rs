//! Modified tokens that no verifier may accept.
//!
//! The cases follow those of Project Wycheproof, with the keys of these tests: every flipped bit,
//! every length, numbers out of range, every other spelling. `fixtures.py` makes those that need
//! the private key.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use session_guard_core::refusal::Refusal::{self, *};

use crate::KeyCase;
use crate::table::{ALGORITHMS, SECRET_ALGORITHMS, flipped, token, with_signature};

/// Returns a sample of the modifications for every algorithm.
pub(crate) fn some() -> Vec<KeyCase> {
    let mut cases = vec![];
    for algorithm in algorithms() {
        let genuine = token(algorithm);
        let flips = flipped(&genuine, 20).into_iter().map(|token| ("one bit".to_owned(), token));
        let all = flips.chain(of_other_lengths(&genuine)).chain(constant(&genuine));
        cases.extend(named(algorithm, all, BadSignature));
    }
    for (algorithm, order) in [("ES256", ORDER_OF_P256), ("ES384", ORDER_OF_P384)] {
        cases.extend(named(
            algorithm,
            numbers(&token(algorithm), &big_endian(order)),
            BadSignature,
        ));
    }
    cases.extend(named("EdDSA", points(&token("EdDSA")), BadSignature));
    cases
}

/// Returns every flipped bit and every length for one algorithm of each kind, and every other
/// spelling for all algorithms.
pub(crate) fn every() -> Vec<KeyCase> {
    let mut cases = vec![];
    for algorithm in ["HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA"] {
        let genuine = token(algorithm);
        let (_, signature) = genuine.rsplit_once('.').expect("three parts");
        let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url").len();
        let bits = (0..bytes * 8).map(|bit| {
            let flip = |signature: &mut Vec<u8>| signature[bit / 8] ^= 1 << (bit % 8);
            (format!("bit {bit}"), with_signature(&genuine, flip))
        });
        let lengths = (1..bytes).map(|length| {
            let cut = |signature: &mut Vec<u8>| signature.truncate(length);
            (format!("the first {length} bytes"), with_signature(&genuine, cut))
        });
        cases.extend(named(algorithm, bits.chain(lengths), BadSignature));
    }
    for algorithm in algorithms() {
        cases.extend(named(algorithm, spellings(&token(algorithm)), MalformedToken));
    }
    cases
}

fn algorithms() -> impl Iterator<Item = &'static str> {
    ALGORITHMS.map(|(algorithm, _)| algorithm).into_iter().chain(SECRET_ALGORITHMS)
}

fn named(
    algorithm: &str,
    tokens: impl IntoIterator<Item = (String, String)>,
    refusal: Refusal,
) -> Vec<KeyCase> {
    let case = |(name, token)| (format!("{algorithm}: {name}"), token, Err(refusal));
    tokens.into_iter().map(case).collect()
}

fn of_other_lengths(token: &str) -> Vec<(String, String)> {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 8] = [
        ("a zero before", |signature| signature.insert(0, 0)),
        ("a zero behind", |signature| signature.push(0)),
        ("a zero before each half", |signature| {
            signature.insert(signature.len() / 2, 0);
            signature.insert(0, 0);
        }),
        ("a byte less", |signature| signature.truncate(signature.len() - 1)),
        ("half of it", |signature| signature.truncate(signature.len() / 2)),
        ("one byte", |signature| signature.truncate(1)),
        ("twice", |signature| signature.extend(signature.clone())),
        ("4,000 bytes", |signature| signature.resize(4_000, 0)),
    ];
    let changed =
        |(name, change): (&str, fn(&mut Vec<u8>))| (name.to_owned(), with_signature(token, change));
    changes.map(changed).to_vec()
}

/// Returns signatures of equal bytes: r = s = 0 (CVE-2022-21449), and numbers above every modulus
/// and order.
fn constant(token: &str) -> Vec<(String, String)> {
    let filled = |byte| with_signature(token, |signature| signature.fill(byte));
    [0, 1, 0xff].map(|byte| (format!("all bytes {byte}"), filled(byte))).to_vec()
}

/// Returns ECDSA signatures whose numbers are special or out of range.
fn numbers(token: &str, order: &[u8]) -> Vec<(String, String)> {
    let small = |n: u8| [&vec![0; order.len() - 1][..], &[n]].concat();
    let changed = |by: i8| {
        let mut number = order.to_vec();
        let last = number.last_mut().expect("a number");
        *last = last.wrapping_add_signed(by);
        number
    };
    let special = [
        ("0", small(0)),
        ("1", small(1)),
        ("2", small(2)),
        ("n - 1", changed(-1)),
        ("n", order.to_vec()),
        ("n + 1", changed(1)),
        ("2^bits - 1", vec![0xff; order.len()]),
    ];
    let put = |signature: &mut Vec<u8>, at: usize, number: &[u8]| {
        signature[at..at + number.len()].copy_from_slice(number);
    };
    let mut cases = vec![];
    for (name, number) in &special {
        for (which, at) in [("r", 0), ("s", order.len())] {
            let one = with_signature(token, |signature| put(signature, at, number));
            cases.push((format!("{which} = {name}"), one));
        }
        for (other_name, other) in &special {
            let both = with_signature(token, |signature| {
                put(signature, 0, number);
                put(signature, order.len(), other);
            });
            cases.push((format!("r = {name}, s = {other_name}"), both));
        }
    }
    let swapped = with_signature(token, |signature| signature.rotate_left(order.len()));
    cases.push(("r and s exchanged".to_owned(), swapped));
    cases
}

/// Returns Ed25519 signatures that lenient verifiers accept (RFC 8032 §5.1.7, §8.4).
fn points(token: &str) -> Vec<(String, String)> {
    let halves = |r: Option<&[u8]>, s: Option<&[u8]>| {
        with_signature(token, |signature| {
            let (own_r, own_s) = signature.split_at(32);
            *signature = [r.unwrap_or(own_r), s.unwrap_or(own_s)].concat();
        })
    };
    let identity = little_endian("01");
    let order_2 = little_endian("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffec");
    let not_reduced =
        little_endian("7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffee");
    let order = little_endian(ORDER_OF_ED25519);
    let twin = with_signature(token, |signature| {
        let mut carry = 0;
        for (byte, more) in signature[32..].iter_mut().zip(&order) {
            let sum = u16::from(*byte) + u16::from(*more) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
    });
    let zero = [0; 32];
    let mut cases = vec![("s + the order".to_owned(), twin)];
    for (name, point) in [("identity", &identity), ("order 2", &order_2), ("1 + p", &not_reduced)] {
        cases.push((format!("R of {name}"), halves(Some(point), None)));
        cases.push((format!("R of {name}, s = 0"), halves(Some(point), Some(&zero))));
    }
    cases.push(("s = 0".to_owned(), halves(None, Some(&zero))));
    cases.push(("s = the order".to_owned(), halves(None, Some(&order))));
    cases
}

/// Returns other spellings of each part that some decoders read as the same bytes.
fn spellings(token: &str) -> Vec<(String, String)> {
    let parts: Vec<_> = token.split('.').collect();
    let mut cases = vec![];
    for (index, part) in parts.iter().enumerate() {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
        let mut spelled = with_stray_bits(part, bytes.len());
        spelled.extend([
            ("padding", URL_SAFE.encode(&bytes)),
            ("a padding sign more", format!("{}=", URL_SAFE.encode(&bytes))),
            ("one padding sign", format!("{part}=")),
            ("the other alphabet", STANDARD_NO_PAD.encode(&bytes)),
            ("a space before", format!(" {part}")),
            ("a space behind", format!("{part} ")),
            ("a space inside", format!("{} {}", &part[..4], &part[4..])),
            ("a tab inside", format!("{}\t{}", &part[..4], &part[4..])),
            ("an escape", format!("%{:02X}{}", part.as_bytes()[0], &part[1..])),
            ("a sign that is none", format!("{}!{}", &part[..4], &part[4..])),
            ("a sign beyond ASCII", format!("{}\u{e9}{}", &part[..4], &part[4..])),
        ]);
        for (name, other) in spelled.into_iter().filter(|(_, other)| other != part) {
            let mut parts = parts.clone();
            parts[index] = &other;
            let whole = parts.join(".");
            // White space around a header's value is not part of the value.
            if whole.trim() == whole {
                cases.push((format!("part {index}, {name}"), whole));
            }
        }
    }
    cases
}

/// Returns the part with every combination of the unused bits of its last character.
fn with_stray_bits(part: &str, bytes: usize) -> Vec<(&'static str, String)> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let unused = [0, 4, 2][bytes % 3];
    let (before, last) = part.split_at(part.len() - 1);
    let value = alphabet.iter().position(|sign| *sign == last.as_bytes()[0]).expect("base64url");
    let spelled = |bits: usize| format!("{before}{}", char::from(alphabet[value | bits]));
    (1..1 << unused).map(|bits| ("stray bits", spelled(bits))).collect()
}

fn big_endian(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex");
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn little_endian(hex: &str) -> Vec<u8> {
    let mut bytes = big_endian(&format!("{hex:0>64}"));
    bytes.reverse();
    bytes
}

/// SP 800-186 §3.2.1.
const ORDER_OF_P256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const ORDER_OF_P384: &str = "ffffffffffffffffffffffffffffffffffffffffffffffff\
    c7634d81f4372ddf581a0db248b0a77aecec196accc52973";

/// RFC 8032 §5.1.
const ORDER_OF_ED25519: &str = "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed";
