//! The table of signed tokens and their verdicts: for our own verifier, for the module in Envoy,
//! and for Envoy's own filter.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jwt_simple::algorithms::{HS256Key, HS384Key, HS512Key, MACLike};
use serde_json::{Value, json};
use session_guard_core::refusal::Refusal::*;

use crate::{KeyCase, KeyVerdict, bent, rfc};

/// Every public algorithm with the name of its key.
pub(crate) const ALGORITHMS: [(&str, &str); 9] = [
    ("RS256", "RSA"),
    ("RS384", "RSA"),
    ("RS512", "RSA"),
    ("PS256", "RSA"),
    ("PS384", "RSA"),
    ("PS512", "RSA"),
    ("ES256", "P-256"),
    ("ES384", "P-384"),
    ("EdDSA", "Ed25519"),
];

/// The algorithms that sign with a secret.
pub(crate) const SECRET_ALGORITHMS: [&str; 3] = ["HS256", "HS384", "HS512"];

/// Returns the keys in each form: its name, the filter's configuration, and the tokens for it.
pub(crate) fn sets() -> Vec<(&'static str, Value, Vec<KeyCase>)> {
    let cases = || [as_openssl_made_them(), confused(), bent::some()].concat();
    vec![
        ("PEM", filter(keys_in_pem()), [cases(), bent::every()].concat()),
        ("JWK", filter(keys_as_jwks()), cases()),
        ("RFC", rfc::filter(), rfc::cases()),
    ]
}

pub(crate) fn filter(mut keys: Vec<Value>) -> Value {
    let secret = |name| json!({"algorithm": name, "secret": {"inline": SECRET}});
    keys.extend(SECRET_ALGORITHMS.map(secret));
    json!({
        "keys": keys,
        "claims": {"required": []},
        "forged_token_milliseconds_per_second": 400,
        "routes": [{"path": "/.session-guard/ready", "access": "ready"}],
        "revocation": {"upstream": {"token": {"inline": testbed::SIGNOUT_TOKEN}}},
    })
}

pub(crate) fn keys_in_pem() -> Vec<Value> {
    let pem = &fixtures()["pem"];
    let key = |(name, key): (&str, &str)| json!({"id": name, "algorithm": name, "public_key_pem": pem[key]});
    ALGORITHMS.map(key).to_vec()
}

fn keys_as_jwks() -> Vec<Value> {
    vec![json!({"jwks": {"inline": {"keys": jwks()}}})]
}

pub(crate) fn jwks() -> Vec<Value> {
    let fixtures = fixtures();
    let jwk = |(algorithm, key): (&str, &str)| {
        let mut jwk = fixtures["jwk"][key].clone();
        jwk["alg"] = json!(algorithm);
        jwk["kid"] = json!(algorithm);
        jwk
    };
    ALGORITHMS.map(jwk).to_vec()
}

fn as_openssl_made_them() -> Vec<KeyCase> {
    let verdict = |name: &str| match name {
        "ES256 the twin of a signature" | "RS256 of its own kid" => Ok(()),
        "RS256 padded by hand" | "PS256 masked by hand" => Ok(()),
        name if !name.contains(' ') || name.contains("begins with zero") => Ok(()),
        name if name.contains(" kid") => Err(UnknownKey),
        _ => Err(BadSignature),
    };
    let fixtures = fixtures();
    let tokens = fixtures["tokens"].as_object().expect("an object");
    let case = |(name, token): (&String, &Value)| {
        (name.clone(), token.as_str().expect("text").to_owned(), verdict(name))
    };
    let mut cases: Vec<_> = tokens.iter().map(case).collect();
    cases.extend(SECRET_ALGORITHMS.map(|name| (name.to_owned(), token(name), KeyVerdict::Ok(()))));
    for (name, from) in [
        ("RS256 that begins with zero", 0),
        ("ES256 whose r begins with zero", 0),
        ("ES256 whose s begins with zero", 32),
    ] {
        let stripped = with_signature(&token(name), |signature| {
            signature.remove(from);
        });
        cases.push((format!("{name}, left out"), stripped, Err(BadSignature)));
    }
    cases
}

/// Returns tokens that try to use a key with another algorithm than its own.
fn confused() -> Vec<KeyCase> {
    let mut cases = vec![];
    for (algorithm, key) in ALGORITHMS {
        // CVE-2015-9235 and similar ones: the public key is used as an HMAC secret.
        for (form, secret) in forms_of(key) {
            for name in SECRET_ALGORITHMS {
                for header in [json!({"alg": name}), json!({"alg": name, "kid": algorithm})] {
                    let token = by_secret(&header, name, &secret);
                    let name = format!("{header} with the {form} of {key}");
                    cases.push((name, token, Err(BadSignature)));
                }
            }
            let named = by_secret(&json!({"alg": algorithm}), "HS256", &secret);
            let name = format!("{algorithm} with an HMAC by the {form} of {key}");
            cases.push((name, named, Err(BadSignature)));
        }
        for other in ["none", "None", "ES512", "ES256K", "Ed448", "rs256", "RS256 ", ""] {
            let renamed = renamed(&token(algorithm), other);
            let verdict = Err(UnsupportedAlgorithm);
            cases.push((format!("{algorithm} renamed to {other:?}"), renamed, verdict));
        }
        let others = ALGORITHMS.map(|(other, _)| other).into_iter().chain(SECRET_ALGORITHMS);
        let others = others.chain(["Ed25519"]); // another name for EdDSA (RFC 9864)
        for other in others.filter(|other| *other != algorithm) {
            let renamed = renamed(&token(algorithm), other);
            cases.push((format!("{algorithm} renamed to {other}"), renamed, Err(BadSignature)));
        }
    }
    for name in SECRET_ALGORITHMS {
        cases.push((
            format!("{name} by no secret"),
            by_secret(&json!({"alg": name}), name, b""),
            Err(BadSignature),
        ));
    }
    cases
}

/// Returns every form of a public key that an attacker may use as an HMAC secret.
fn forms_of(key: &str) -> Vec<(&'static str, Vec<u8>)> {
    let fixtures = fixtures();
    let (pem, jwk) = (fixtures["pem"][key].as_str().expect("text"), &fixtures["jwk"][key]);
    let lines: Vec<_> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(lines.concat()).expect("base64");
    let member = jwk.get("n").or(jwk.get("x")).and_then(Value::as_str).expect("text");
    let number = URL_SAFE_NO_PAD.decode(member).expect("base64url");
    let hex: String = der.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        ("text", pem.into()),
        ("trimmed text", pem.trim().into()),
        ("text with CRLF", pem.replace('\n', "\r\n").into()),
        ("text in one line", pem.replace('\n', "").into()),
        ("text with escaped breaks", pem.replace('\n', "\\n").into()),
        ("base64", lines.concat().into()),
        ("base64 in lines", lines.join("\n").into()),
        ("DER in hex", hex.into()),
        ("DER", der),
        ("JWK", jwk.to_string().into()),
        ("number in base64url", member.into()),
        ("number", number),
    ]
}

fn by_secret(header: &Value, algorithm: &str, secret: &[u8]) -> String {
    let parts = [header.to_string(), r#"{"sub":"ada","jti":"one"}"#.to_owned()];
    let input = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let text = input.as_bytes();
    let tag = match algorithm {
        "HS384" => HS384Key::from_bytes(secret).authentication_tag(text),
        "HS512" => HS512Key::from_bytes(secret).authentication_tag(text),
        _ => HS256Key::from_bytes(secret).authentication_tag(text),
    };
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// Returns a token with the same payload and signature, and another `alg`.
fn renamed(token: &str, algorithm: &str) -> String {
    let (_, rest) = token.split_once('.').expect("three parts");
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm}).to_string());
    format!("{header}.{rest}")
}

/// Returns the token with one flipped bit in its signature, at that many places.
pub(crate) fn flipped(token: &str, places: usize) -> Vec<String> {
    let flip = |place: usize| {
        with_signature(token, |signature| {
            let last = signature.len() - 1;
            signature[last * place / (places - 1)] ^= 1 << (place % 8);
        })
    };
    (0..places).map(flip).collect()
}

pub(crate) fn with_signature(token: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    change(&mut signature);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Returns the genuine token of an algorithm, or the fixture with that name.
pub(crate) fn token(name: &str) -> String {
    if SECRET_ALGORITHMS.contains(&name) {
        return by_secret(&json!({"alg": name}), name, SECRET.as_bytes());
    }
    fixtures()["tokens"][name].as_str().expect("a token of that name").to_owned()
}

fn fixtures() -> Value {
    serde_json::from_str(include_str!("fixtures.json")).expect("JSON")
}

pub(crate) const SECRET: &str = "a-secret-of-64-bytes-which-is-enough-for-each-of-the-three-hashes";
