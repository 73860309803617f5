//! Promise: a signature by a key pair means the same wherever it is verified: by our own code, or by
//! Envoy's function, which the module asks; and each key verifies its one algorithm alone.
//! Method: one table of tokens that OpenSSL signed (`keys/fixtures.py`), bent in many ways, judged
//! natively, by keys in PEM and as JWKs, and by the module in Envoy.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{HS256Key, MACLike};
use serde_json::{Value, json};
use session_guard::config::Config;
use session_guard::refusal::Refusal::{self, *};
use session_guard::token::Verifier;
use testbed::{Configuration, Request, Testbed, Token};

/// Admitted, or why not.
type Verdict = Result<(), Refusal>;

/// Every algorithm with the name of its key.
const ALGORITHMS: [(&str, &str); 9] = [
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

#[test]
fn each_token_gets_its_verdict_natively() {
    for (form, keys) in [("PEM", keys_in_pem()), ("JWK", keys_as_jwks())] {
        let config = Config::parse(filter(keys).to_string().as_bytes(), &|_| None);
        let config = config.expect("a sound configuration");
        let verifier = Verifier::new(config.keys, config.policy);
        for (name, token, expected) in cases() {
            let verdict = verifier.verify(token.as_bytes(), NOW).map(drop);
            assert_eq!(verdict, expected, "{form}: {name}");
        }
    }
}

#[test]
fn each_token_gets_the_same_verdict_in_envoy() {
    for keys in [keys_in_pem(), keys_as_jwks()] {
        let bed = Testbed::with(|configuration| set(configuration, filter(keys)));
        let mut connection = bed.envoy.connect();
        for (name, token, expected) in cases() {
            let answer = connection.send(&Request::get("/page").bearer(&Token::text(&token)));
            let status = expected.map_or(401, |()| 200);
            assert_eq!(answer.status, status, "{name}: {answer:?}");
            if let Err(refusal) = expected {
                assert_eq!(answer.json()["code"], refusal.answer().code, "{name}");
            }
        }
    }
}

#[test]
fn forged_tokens_of_slow_algorithms_get_a_bounded_share_of_a_worker() {
    let mut filter = filter(keys_in_pem());
    filter["slow_verifications_per_second"] = json!(2);
    let bed = Testbed::with(|configuration| set(configuration, filter));
    let mut connection = bed.envoy.connect();
    let mut status =
        |token: &str| connection.send(&Request::get("/page").bearer(&Token::text(token))).status;
    for (algorithm, is_slow) in
        [("RS256", false), ("ES256", false), ("PS256", true), ("ES384", true), ("EdDSA", true)]
    {
        let genuine = token(algorithm);
        while status(&genuine) == 503 {} // until the next second
        let statuses: Vec<_> = flipped(&genuine, 30).iter().map(|token| status(token)).collect();
        assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{statuses:?}");
        assert_eq!(statuses.contains(&503), is_slow, "{algorithm}: {statuses:?}");
        assert_eq!(status(&genuine), 200, "{algorithm}: what was verified before costs nothing");
    }
}

#[test]
fn a_sign_out_that_cannot_be_judged_now_is_refused_and_never_lost() {
    let mut filter = filter(keys_in_pem());
    filter["slow_verifications_per_second"] = json!(1);
    filter["routes"] = json!([
        {"path": "/.session-guard/ready", "access": "ready"},
        {"path": "/signout", "access": "signout"},
    ]);
    let bed = Testbed::with(|configuration| set(configuration, filter));
    let mut connection = bed.envoy.connect();
    let mut status = |request: Request, token: &str| {
        connection.send(&request.bearer(&Token::text(token))).status
    };
    // A second may begin between the last forged token and the sign-out, but not every time.
    let genuine = ["EdDSA", "PS256", "PS384"].map(token).into_iter().find(|genuine| {
        let mut forged = flipped(genuine, 30).into_iter().cycle();
        while status(Request::get("/page"), &forged.next().expect("endless")) != 503 {}
        bed.application.forget();
        status(Request::post("/signout"), genuine) == 503
    });
    let genuine = genuine.expect("a sign-out that was refused");
    assert_eq!(bed.application.seen().len(), 0, "not forwarded");
    while status(Request::post("/signout"), &genuine) == 503 {} // until the next second
    assert_eq!(bed.application.seen().len(), 1);
    assert_eq!(status(Request::get("/page"), &genuine), 401);
}

fn set(configuration: &mut Configuration, filter: Value) {
    configuration.filter = filter;
}

fn filter(mut keys: Vec<Value>) -> Value {
    keys.push(json!({"algorithm": "HS256", "secret": {"inline": SECRET}}));
    json!({
        "keys": keys,
        "claims": {"required": []},
        "slow_verifications_per_second": 100_000,
        "routes": [{"path": "/.session-guard/ready", "access": "ready"}],
        "revocation": {"upstream": {"token": {"inline": testbed::SIGNOUT_TOKEN}}},
    })
}

fn keys_in_pem() -> Vec<Value> {
    let pem = &fixtures()["pem"];
    let key = |(algorithm, key): (&str, &str)| json!({"id": algorithm, "algorithm": algorithm, "public_key_pem": pem[key]});
    ALGORITHMS.map(key).to_vec()
}

fn keys_as_jwks() -> Vec<Value> {
    let jwk = |(algorithm, key): (&str, &str)| {
        let mut jwk = fixtures()["jwk"][key].clone();
        jwk["alg"] = json!(algorithm);
        jwk["kid"] = json!(algorithm);
        jwk
    };
    vec![json!({"jwks": {"inline": {"keys": ALGORITHMS.map(jwk)}}})]
}

/// Name, token, verdict.
fn cases() -> Vec<(String, String, Verdict)> {
    let mut cases = as_openssl_made_them();
    cases.extend(confused());
    for (algorithm, _) in ALGORITHMS {
        let genuine = token(algorithm);
        let flips = flipped(&genuine, 20).into_iter().map(|token| ("one bit".to_owned(), token));
        let all = flips.chain(of_other_lengths(&genuine)).chain(constant(&genuine));
        cases.extend(
            all.map(|(name, token)| (format!("{algorithm}: {name}"), token, Err(BadSignature))),
        );
    }
    for (algorithm, order) in [("ES256", ORDER_OF_P256), ("ES384", ORDER_OF_P384)] {
        let numbers = out_of_range(&token(algorithm), order).into_iter();
        cases.extend(
            numbers.map(|(name, token)| (format!("{algorithm}: {name}"), token, Err(BadSignature))),
        );
    }
    cases
}

fn as_openssl_made_them() -> Vec<(String, String, Verdict)> {
    let verdict = |name: &str| match name {
        "ES256 the twin of a signature" | "RS256 of its own kid" => Ok(()),
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

/// Tokens that want a key to be taken for something else.
fn confused() -> Vec<(String, String, Verdict)> {
    let fixtures = fixtures();
    let mut cases = vec![];
    for (algorithm, key) in ALGORITHMS {
        let pem = fixtures["pem"][key].as_str().expect("text");
        let der = pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
        let der = base64::engine::general_purpose::STANDARD.decode(der).expect("base64");
        // CVE-2015-9235 and those after it.
        for (form, secret) in
            [("text", pem.as_bytes()), ("trimmed text", pem.trim().as_bytes()), ("DER", &der)]
        {
            for kid in [json!(null), json!(algorithm)] {
                let mut header = json!({"alg": "HS256"});
                if kid.is_string() {
                    header["kid"] = kid.clone();
                }
                let token = by_secret(&header, secret);
                let name = format!("HS256 with the {form} of {key}, kid {kid}");
                cases.push((name, token, Err(BadSignature)));
            }
            let named = by_secret(&json!({"alg": algorithm}), secret);
            let name = format!("{algorithm} with an HMAC by the {form} of {key}");
            cases.push((name, named, Err(BadSignature)));
        }
        for other in ["none", "ES512", "ES256K", "Ed25519", "rs256", ""] {
            let renamed = renamed(&token(algorithm), other);
            let verdict = Err(UnsupportedAlgorithm);
            cases.push((format!("{algorithm} renamed to {other:?}"), renamed, verdict));
        }
        for (other, _) in ALGORITHMS.iter().filter(|(other, _)| *other != algorithm) {
            let renamed = renamed(&token(algorithm), other);
            cases.push((format!("{algorithm} renamed to {other}"), renamed, Err(BadSignature)));
        }
    }
    cases
}

fn by_secret(header: &Value, secret: &[u8]) -> String {
    let parts = [header.to_string(), r#"{"sub":"ada","jti":"one"}"#.to_owned()];
    let input = parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let tag = HS256Key::from_bytes(secret).authentication_tag(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// The same payload and signature under another `alg`.
fn renamed(token: &str, algorithm: &str) -> String {
    let (_, rest) = token.split_once('.').expect("three parts");
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm}).to_string());
    format!("{header}.{rest}")
}

/// The token with one bit of its signature changed, at so many places.
fn flipped(token: &str, places: usize) -> Vec<String> {
    let flip = |place: usize| {
        with_signature(token, |signature| {
            let last = signature.len() - 1;
            signature[last * place / (places - 1)] ^= 1 << (place % 8);
        })
    };
    (0..places).map(flip).collect()
}

fn of_other_lengths(token: &str) -> Vec<(String, String)> {
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change); 6] = [
        ("a zero before", |signature| signature.insert(0, 0)),
        ("a zero behind", |signature| signature.push(0)),
        ("a byte less", |signature| signature.truncate(signature.len() - 1)),
        ("half of it", |signature| signature.truncate(signature.len() / 2)),
        ("one byte", |signature| signature.truncate(1)),
        ("twice", |signature| signature.extend(signature.clone())),
    ];
    let changed =
        |(name, change): (&str, fn(&mut Vec<u8>))| (name.to_owned(), with_signature(token, change));
    changes.map(changed).to_vec()
}

/// r = s = 0 (CVE-2022-21449), and numbers above every modulus and order.
fn constant(token: &str) -> Vec<(String, String)> {
    let filled = |byte| with_signature(token, |signature| signature.fill(byte));
    [0, 1, 0xff].map(|byte| (format!("all bytes {byte}"), filled(byte))).to_vec()
}

fn out_of_range(token: &str, order: &str) -> Vec<(String, String)> {
    let order: Vec<u8> = (0..order.len() / 2)
        .map(|at| u8::from_str_radix(&order[2 * at..][..2], 16).unwrap())
        .collect();
    let mut above = order.clone();
    *above.last_mut().unwrap() += 1;
    let mut cases = vec![];
    for (name, number) in [("0", vec![0; order.len()]), ("n", order.clone()), ("n + 1", above)] {
        for (which, at) in [("r", 0), ("s", order.len())] {
            let changed = with_signature(token, |signature| {
                signature[at..at + number.len()].copy_from_slice(&number);
            });
            cases.push((format!("{which} = {name}"), changed));
        }
    }
    cases
}

fn with_signature(token: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    change(&mut signature);
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn token(name: &str) -> String {
    fixtures()["tokens"][name].as_str().expect("a token of that name").to_owned()
}

fn fixtures() -> Value {
    serde_json::from_str(include_str!("keys/fixtures.json")).expect("JSON")
}

const NOW: u64 = 1_795_332_120;
const SECRET: &str = "a-secret-of-32-bytes-or-some-more";
const ORDER_OF_P256: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
const ORDER_OF_P384: &str = "ffffffffffffffffffffffffffffffffffffffffffffffff\
    c7634d81f4372ddf581a0db248b0a77aecec196accc52973";
