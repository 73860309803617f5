//! Promise: a JWK verifies only tokens of the algorithm that it names, or is refused. Method: the
//! examples of the RFCs, each also with one member changed.

use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::keys::PublicAlgorithm::*;
use crate::keys::fixtures::P_384;

fn read(jwk: &Value) -> Result<Option<Key>, JwkError> {
    let read = Jwk::read(jwk.to_string().as_bytes(), None);
    read.map(|jwk| jwk.map(|jwk| jwk.into_key(None, Vec::new())))
}

fn rsa() -> Value {
    json!({"kty": "RSA", "kid": "a", "use": "sig", "alg": "RS256", "n": RFC_7515_N, "e": "AQAB"})
}

fn ec() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": RFC_7515_X, "y": RFC_7515_Y})
}

/// Returns the fixture on P-384. Its coordinates are the last 96 bytes of its DER.
fn ec384() -> Value {
    let base64 = P_384.lines().filter(|line| !line.starts_with("---")).collect::<String>();
    let der = STANDARD.decode(base64).expect("base64");
    let (x, y) = der[der.len() - 96..].split_at(48);
    let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
    json!({"kty": "EC", "crv": "P-384", "x": x, "y": y})
}

fn okp() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn oct() -> Value {
    json!({"kty": "oct", "alg": "HS256", "k": RFC_7515_K})
}

/// Returns the key with another value for a member, or without it if the value is null.
fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    let members = jwk.as_object_mut().unwrap();
    match value {
        Value::Null => members.remove(name),
        value => members.insert(name.to_owned(), value),
    };
    jwk
}

#[test]
fn the_examples_of_the_rfcs_are_verified_by_the_keys_of_the_rfcs() {
    let mut verified = 0;
    for example in examples() {
        let [name, token] = ["name", "token"].map(|name| example[name].as_str().expect("text"));
        let (input, signature) = token.rsplit_once('.').expect("three parts");
        let (header, _) = input.split_once('.').expect("three parts");
        let header: Value = serde_json::from_slice(&decoded(header)).expect("JSON");
        if header["alg"] == "ES512" {
            assert_eq!(read(&example["key"]).err(), Some(JwkError::Algorithm), "{name}");
            continue;
        }
        let key = read(&example["key"]).expect("a key").expect("for signatures");
        assert_eq!(header["alg"], key.algorithm(), "{name}");
        let mut signature = decoded(signature);
        assert!(key.verifies(input.as_bytes(), &signature), "{name}");
        assert!(!key.verifies(&input.as_bytes()[1..], &signature), "{name}");
        signature[0] ^= 1;
        assert!(!key.verifies(input.as_bytes(), &signature), "{name}");
        verified += 1;
    }
    assert_eq!(verified, 7);
}

/// RFC 7515 A.1 to A.4, RFC 7520 4.1 to 4.4, RFC 8037 A.4.
fn examples() -> Vec<Value> {
    let json = include_str!("../../../../tests/keys/rfc.json");
    serde_json::from_str(json).expect("a list")
}

fn decoded(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

#[test]
fn an_unsupported_algorithm_is_refused() {
    let es512 = json!({"kty": "EC", "crv": "P-521", "alg": "ES512", "x": "AQ", "y": "AQ"});
    for jwk in [
        es512.clone(),
        with(es512, "alg", Value::Null),
        with(ec(), "crv", json!("secp256k1")),
        with(okp(), "crv", json!("X25519")),
        with(okp(), "crv", json!("Ed448")),
        with(rsa(), "alg", json!("RSA-OAEP")),
        with(rsa(), "alg", json!("none")),
        with(oct(), "alg", json!("A128KW")),
    ] {
        assert_eq!(read(&jwk).err(), Some(JwkError::Algorithm), "{jwk}");
    }
}

#[test]
fn a_key_with_an_invalid_member_is_refused() {
    use JwkError::*;
    let not_minimal = format!("AAAA{RFC_7515_N}"); // leading zeros: the same number
    let small = &RFC_7515_N[..172]; // 1,032 bits
    let cases = [
        (rsa(), Ok("RS256")),
        (with(rsa(), "alg", json!("PS512")), Ok("PS512")),
        (with(rsa(), "n", json!(not_minimal)), Ok("RS256")),
        (with(rsa(), "x5c", json!(["MII…"])), Ok("RS256")),
        (with(rsa(), "key_ops", json!(["verify"])), Ok("RS256")),
        (with(rsa(), "alg", Value::Null), Err(NoAlgorithm)),
        (with(rsa(), "alg", json!("ES256")), Err(Key(KeyError::Unfit(Es256)))),
        (with(rsa(), "alg", json!("HS256")), Err(Algorithm)),
        (with(rsa(), "alg", json!(["RS256"])), Err(Member("alg"))),
        (with(rsa(), "kty", Value::Null), Err(Member("kty"))),
        (with(rsa(), "kty", json!("rsa")), Err(Member("kty"))),
        (with(rsa(), "kid", json!(7)), Err(Member("kid"))),
        (with(rsa(), "kid", json!("")), Err(Member("kid"))),
        (with(rsa(), "kid", json!("k".repeat(256))), Ok("RS256")),
        (with(rsa(), "kid", json!("k".repeat(257))), Err(Member("kid"))),
        (with(rsa(), "use", json!(["sig"])), Err(Member("use"))),
        (with(rsa(), "key_ops", json!("verify")), Err(Member("key_ops"))),
        (with(rsa(), "n", json!(format!("{RFC_7515_N}="))), Err(Padded("n"))),
        (with(rsa(), "e", json!("AQABAA==")), Err(Padded("e"))),
        (with(rsa(), "n", Value::Null), Err(Member("n"))),
        (with(rsa(), "n", json!(small)), Err(Key(KeyError::Unfit(Rs256)))),
        (with(rsa(), "e", json!("Aw")), Err(Key(KeyError::Unfit(Rs256)))),
        (with(rsa(), "d", json!("AQ")), Err(Private)),
        (with(rsa(), "k", json!("AQ")), Err(Private)),
        (with(rsa(), "x5c", json!("x".repeat(JWK_BYTES_LIMIT))), Err(NotAnObject)),
        (ec(), Ok("ES256")),
        (with(ec(), "alg", json!("ES256")), Ok("ES256")),
        (with(ec(), "alg", json!("ES384")), Err(Algorithm)),
        (with(ec(), "crv", json!("P-384")), Err(Key(KeyError::Unfit(Es384)))),
        (with(ec(), "y", json!(RFC_7515_X)), Err(Key(KeyError::Unfit(Es256)))), // not on the curve
        (with(ec(), "x", json!(format!("AA{RFC_7515_X}"))), Err(Member("x"))),
        (with(ec(), "x", json!(&RFC_7515_X[..42])), Err(Member("x"))),
        (with(ec(), "x", json!("AAAA")), Err(Key(KeyError::Unfit(Es256)))),
        (with(ec(), "y", json!("AAAA")), Err(Key(KeyError::Unfit(Es256)))),
        (with(ec(), "d", json!("AQ")), Err(Private)),
        (ec384(), Ok("ES384")),
        (with(ec384(), "y", json!(RFC_7515_Y)), Err(Key(KeyError::Unfit(Es384)))),
        (okp(), Ok("EdDSA")),
        (with(okp(), "alg", json!("EdDSA")), Ok("EdDSA")),
        (with(okp(), "alg", json!("Ed25519")), Ok("EdDSA")),
        (with(okp(), "alg", json!("ES256")), Err(Algorithm)),
        (with(okp(), "x", json!("AQ")), Err(Key(KeyError::Unfit(EdDsa)))),
        (with(okp(), "x", json!("A".repeat(43))), Err(Key(KeyError::Unfit(EdDsa)))), // small order
        (with(okp(), "d", json!("AQ")), Err(Private)),
        (oct(), Ok("HS256")),
        (with(oct(), "alg", Value::Null), Err(NoAlgorithm)),
        (with(oct(), "alg", json!("RS256")), Err(Algorithm)),
        (with(oct(), "k", json!("not base64url")), Err(Member("k"))),
        (json!([]), Err(NotAnObject)),
    ];
    for (jwk, expected) in cases {
        let key = read(&jwk).map(|key| key.expect("for signatures").algorithm());
        assert_eq!(key, expected, "{jwk}");
    }
    let with_certificate = |length: usize| with(rsa(), "x5c", json!("x".repeat(length)));
    let around = with_certificate(0).to_string().len();
    let of_length = |bytes: usize| read(&with_certificate(bytes - around)).err();
    assert_eq!([0, 1].map(|more| of_length(16_384 + more)), [None, Some(NotAnObject)]);
    let twice = br#"{"kty": "RSA", "kty": "oct"}"#;
    assert_eq!(Jwk::read(twice, None).err(), Some(JwkError::NotAnObject));
}

#[test]
fn errors_name_a_remedy() {
    for (error, remedy) in [
        (JwkError::NotAnObject, "publish one JSON object"),
        (JwkError::Member("n"), "correct the member"),
        (JwkError::Private, "use only the public members"),
        (JwkError::Algorithm, "sign with one of RS256"),
        (JwkError::NoAlgorithm, "add `alg` to it"),
        (JwkError::Key(KeyError::NotPublicKeyPem), "replace the key"),
    ] {
        let (problem, told) = error.told();
        assert!(!problem.is_empty() && told.starts_with(remedy), "{error:?}: {told}");
    }
}

#[test]
fn a_key_for_another_purpose_is_skipped() {
    for (name, value) in [
        ("use", json!("enc")),
        ("use", json!("SIG")),
        ("key_ops", json!([])),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!(["encrypt", 7])),
    ] {
        let jwk = with(rsa(), name, value);
        assert!(read(&jwk).expect("no mistake").is_none(), "{jwk}");
    }
    let sealed = json!({"kty": "RSA", "use": "enc", "alg": "RSA-OAEP", "n": "", "e": ""});
    assert!(read(&sealed).expect("no mistake").is_none());
}

#[test]
fn only_rsa_keys_without_alg_use_the_configured_algorithm() {
    for (jwk, expected) in [
        (with(rsa(), "alg", Value::Null), Ok("PS256")),
        (rsa(), Ok("RS256")),
        (ec(), Ok("ES256")),
        (with(oct(), "alg", Value::Null), Err(JwkError::NoAlgorithm)),
    ] {
        let read = Jwk::read(jwk.to_string().as_bytes(), Some(Ps256));
        let key = read.map(|jwk| jwk.expect("a key").into_key(None, vec![]).algorithm());
        assert_eq!(key, expected, "{jwk}");
    }
}

const RFC_7515_K: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

const RFC_7515_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEz\
    P1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5\
    z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxX\
    FvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

const RFC_7515_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const RFC_7515_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
