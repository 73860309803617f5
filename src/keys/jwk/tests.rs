//! Promise: a JWK verifies tokens of the one algorithm that it names itself, or is no key for us.
//! Method: the examples of the RFCs, and each bent in one member.

use serde_json::{Value, json};

use super::*;
use crate::keys::PublicAlgorithm::*;

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

fn okp() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
}

fn oct() -> Value {
    json!({"kty": "oct", "alg": "HS256", "k": RFC_7515_K})
}

/// The key with another member, or, for null, without it.
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
    let jwk_7520 = |alg| json!({"kty": "RSA", "alg": alg, "n": RFC_7520_N, "e": "AQAB"});
    let hs_7520 = json!({"kty": "oct", "alg": "HS256", "use": "sig",
        "k": "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"});
    let examples = [
        ("RFC 7515 A.1", oct(), RFC_7515_A1),
        ("RFC 7515 A.2", rsa(), RFC_7515_A2),
        ("RFC 7515 A.3", ec(), RFC_7515_A3),
        ("RFC 7520 4.1", jwk_7520("RS256"), RFC_7520_41),
        ("RFC 7520 4.2", jwk_7520("PS384"), RFC_7520_42),
        ("RFC 7520 4.4", hs_7520, RFC_7520_44),
        ("RFC 8037 A.4", okp(), RFC_8037_A4),
    ];
    for (name, jwk, [header, payload, signature]) in examples {
        let key = read(&jwk).expect("a key").expect("for signatures");
        let decoded = URL_SAFE_NO_PAD.decode(header).expect("base64url");
        let decoded: Value = serde_json::from_slice(&decoded).expect("JSON");
        assert_eq!(decoded["alg"], key.algorithm(), "{name}");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let input = format!("{header}.{payload}");
        assert!(key.verifies(input.as_bytes(), &signature), "{name}");
        assert!(!key.verifies(&input.as_bytes()[1..], &signature), "{name}");
    }
}

#[test]
fn an_algorithm_that_we_do_not_have_makes_no_key() {
    // RFC 7515 A.4 and RFC 7520 4.3 use ES512 on P-521.
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
fn each_member_is_what_the_rfc_says_or_the_key_is_refused() {
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
        (with(rsa(), "kid", json!("k".repeat(257))), Err(Member("kid"))),
        (with(rsa(), "use", json!(["sig"])), Err(Member("use"))),
        (with(rsa(), "key_ops", json!("verify")), Err(Member("key_ops"))),
        (with(rsa(), "n", json!(format!("{RFC_7515_N}="))), Err(Member("n"))),
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
        (with(ec(), "d", json!("AQ")), Err(Private)),
        (okp(), Ok("EdDSA")),
        (with(okp(), "alg", json!("EdDSA")), Ok("EdDSA")),
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
    let twice = br#"{"kty": "RSA", "kty": "oct"}"#;
    assert_eq!(Jwk::read(twice, None).err(), Some(JwkError::NotAnObject));
}

#[test]
fn a_key_for_something_else_is_no_key_and_no_mistake() {
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
fn rsa_keys_without_alg_and_no_others_take_the_algorithm_beside_the_set() {
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

const RFC_7515_PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

const RFC_7515_A1: [&str; 3] = [
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
    RFC_7515_PAYLOAD,
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
];

const RFC_7515_A2: [&str; 3] = [
    "eyJhbGciOiJSUzI1NiJ9",
    RFC_7515_PAYLOAD,
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5juj\
     Gbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7\
     K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np\
     6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
];

const RFC_7515_A3: [&str; 3] = [
    "eyJhbGciOiJFUzI1NiJ9",
    RFC_7515_PAYLOAD,
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
];

const RFC_7520_N: &str = "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZ\
    QHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tp\
    e-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKw\
    uCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw";

const RFC_7520_PAYLOAD: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0\
    ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcg\
    d2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";

const RFC_7520_41: [&str; 3] = [
    "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
    RFC_7520_PAYLOAD,
    "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7\
     PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9\
     eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F\
     4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg",
];

const RFC_7520_42: [&str; 3] = [
    "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9",
    RFC_7520_PAYLOAD,
    "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5d\
     DDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_i\
     jQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAA\
     jVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
];

const RFC_7520_44: [&str; 3] = [
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9",
    RFC_7520_PAYLOAD,
    "s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
];

const RFC_8037_A4: [&str; 3] = [
    "eyJhbGciOiJFZERTQSJ9",
    "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
];
