//! Promise: only a token that was signed by one of the configured keys, in its only spelling and
//! with acceptable claims, is verified. Everything else is refused with the code of its first
//! failure. Method: tables in which each refusal is next to a similar token that is accepted, and
//! properties over mutated and arbitrary bytes. The rows of `tests/tokens/table.rs`, which this
//! verifier and the filter in a real Envoy both pass, are not repeated here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{Ed25519KeyPair, EdDSAKeyPairLike, HS256Key, MACLike};

use super::*;
use crate::keys::fixtures::{RSA_2048, TOKENS};
use crate::keys::{Algorithm, Key, PublicAlgorithm};
use crate::revocation::set::{RevocationSet, RevocationVerdict};
use crate::shared::InMemory;
use crate::shared::names::KeySpace;
use crate::token::builder::{
    CountingHost, NOW, SECRET, TokenBuilder, forged, genuine_es256, public_key, public_ring, ring,
    signed, with_signature,
};
use Refusal::*;

mod objections;
mod properties;

fn policy() -> Policy {
    Policy { user_id: Some("sub".into()), clock_skew_seconds: 60, ..Policy::default() }
}

fn refusal_by(policy: Policy, token: impl AsRef<[u8]>) -> Option<Refusal> {
    Verifier::new(ring(), policy).verify(token.as_ref(), NOW).err()
}

fn refusal(token: impl AsRef<[u8]>) -> Option<Refusal> {
    refusal_by(policy(), token)
}

fn token() -> TokenBuilder {
    TokenBuilder::new()
}

fn claim<'a>(token: &'a VerifiedToken, path: &ClaimPath) -> Option<&'a str> {
    token.claim(path).map(|text| &**text)
}

/// Whether the token is genuine.
fn checked(verifier: &Verifier, token: &str, effort: &Effort<'_>) -> Result<(), Refusal> {
    verifier.check(token.as_bytes(), effort).map(drop).map_err(|objection| objection.refusal())
}

#[test]
fn the_example_of_rfc_7515_is_verified() {
    // RFC 7515 appendix A.1: white space in the JSON, no jti, an `exp` in 2011.
    let key =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
        .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
        .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let secret = URL_SAFE_NO_PAD.decode(key).expect("base64url");
    let keys = KeyRing::new(vec![Key::hmac(Algorithm::Hs256, &secret, None, None, vec![])]);
    let policy = Policy {
        issuer: Some("joe".into()),
        forwarded: vec!["http://example.com/is_root".into()],
        ..Policy::default()
    };
    let verifier = Verifier::new(keys, policy);
    let verified = verifier.verify(token.as_bytes(), 1_300_819_379).expect("genuine");
    assert_eq!((verified.exp(), verified.iat()), (Some(1_300_819_380), None));
    assert_eq!(claim(&verified, &"http://example.com/is_root".into()), Some("true"));
    let input = token.rsplit_once('.').expect("three parts").0;
    assert_eq!(verified.record_id(), RecordId::of_input("", Some("joe"), input.as_bytes()));
    assert_eq!(verifier.verify(token.as_bytes(), 1_300_819_380).err(), Some(Expired));
}

#[test]
fn a_verified_token_names_its_user() {
    let policy = Policy { realm: "shop".into(), forwarded: vec!["role".into()], ..policy() };
    let verifier = Verifier::new(ring(), policy);
    let token = token().claim("role", "\"admin\"").claim("iat", "1795332119.9").sign();
    let verified = verifier.verify(token.as_bytes(), NOW).expect("genuine");
    let user = verified.user().expect("a user");
    assert_eq!(
        (&**user.id(), user.record_id()),
        ("user-1", RecordId::of_user("shop", None, "user-1"))
    );
    assert_eq!(verified.record_id(), RecordId::of_token("shop", None, "token-1"));
    assert_eq!((verified.iat(), verified.exp()), (Some(NOW - 1), Some(NOW + 3_600)));
    assert_eq!(
        (claim(&verified, &"role".into()), claim(&verified, &"sub".into())),
        (Some("admin"), None)
    );
}

#[test]
fn each_hmac_verifies_its_own_tokens_only() {
    for bound in Algorithm::ALL {
        let key = Key::hmac(bound, SECRET, None, None, vec![]);
        let verifier = Verifier::new(KeyRing::new(vec![key]), policy());
        for named in Algorithm::ALL {
            let token = token().header("alg", format!("{:?}", named.name())).sign();
            let expected = (named != bound).then_some(UnsupportedAlgorithm);
            assert_eq!(
                verifier.verify(token.as_bytes(), NOW).err(),
                expected,
                "{bound:?} {named:?}"
            );
        }
    }
}

#[test]
fn a_token_of_each_public_algorithm_is_verified_by_its_key() {
    for (name, pem, token) in TOKENS {
        let algorithm = PublicAlgorithm::from_name(name).expect("an algorithm");
        let key = Key::public(algorithm, pem, None, None, vec![]).expect("a key");
        let verifier = Verifier::new(KeyRing::new(vec![key]), policy());
        let verified = verifier.verify(token.as_bytes(), NOW).expect("genuine");
        assert_eq!(&**verified.user().expect("a user").id(), "user-1", "{name}");
        assert_eq!(verifier.verify(token.as_bytes(), NOW + 3_660).err(), Some(Expired));
        let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!("three parts")
        };
        let forged = format!("{header}.eyJhIjoxfQ.{signature}");
        assert_eq!(verifier.verify(forged.as_bytes(), NOW).err(), Some(BadSignature), "{name}");
        // The text of the public key as the secret of an HMAC.
        let confused = TokenBuilder::new().sign_with(pem.as_bytes());
        assert_eq!(verifier.verify(confused.as_bytes(), NOW).err(), Some(UnsupportedAlgorithm));
        let renamed =
            TokenBuilder::new().header("alg", format!("{name:?}")).sign_with(pem.as_bytes());
        assert_eq!(verifier.verify(renamed.as_bytes(), NOW).err(), Some(BadSignature), "{name}");
    }
}

#[test]
fn ed25519_is_another_name_of_eddsa() {
    let pair = Ed25519KeyPair::generate();
    let token_of = |alg: &str| {
        let input = TokenBuilder::new().header("alg", format!("{alg:?}")).signing_input();
        let keys: &ed25519_compact::KeyPair = pair.key_pair().as_ref();
        signed(&input, |input| keys.sk.sign(input, None).to_vec())
    };
    let key = Key::public(PublicAlgorithm::EdDsa, &pair.public_key().to_pem(), None, None, vec![])
        .expect("a key");
    let verifier = Verifier::new(KeyRing::new(vec![key]), policy());
    for (alg, expected) in [
        ("EdDSA", None),
        ("Ed25519", None),
        ("ed25519", Some(UnsupportedAlgorithm)),
        ("Ed448", Some(UnsupportedAlgorithm)),
    ] {
        assert_eq!(verifier.verify(token_of(alg).as_bytes(), NOW).err(), expected, "{alg}");
    }
    let hmac = Verifier::new(ring(), policy());
    let refused = hmac.verify(token_of("Ed25519").as_bytes(), NOW).err();
    assert_eq!(refused, Some(UnsupportedAlgorithm));
}

#[test]
fn the_header_is_read_strictly() {
    let long = |length| format!("{:?}", "k".repeat(length));
    let cases: &[(&str, &str, Option<Refusal>)] = &[
        ("typ", "\"jwt\"", None),
        ("typ", "\"at+jwt\"", None),
        ("typ", "\"AT+JWT\"", None),
        ("typ", "\"Application/JWT\"", None),
        ("typ", "\"JWE\"", Some(MalformedToken)),
        ("typ", "\"logout+jwt\"", Some(MalformedToken)),
        ("typ", "\"application/\"", Some(MalformedToken)),
        ("typ", "\"\"", Some(MalformedToken)),
        ("typ", "null", Some(MalformedToken)),
        ("typ", "[\"JWT\"]", Some(MalformedToken)),
        ("kid", "\"any\"", None),
        ("kid", "\"\"", None),
        ("kid", &long(256), None),
        ("kid", &long(257), Some(MalformedToken)),
        ("kid", "7", Some(MalformedToken)),
        ("alg", "\"HS256 \"", Some(UnsupportedAlgorithm)),
        ("alg", "\"HS384\"", Some(UnsupportedAlgorithm)),
        ("alg", "\"\"", Some(UnsupportedAlgorithm)),
        ("alg", "256", Some(MalformedToken)),
        ("crit", "null", Some(MalformedToken)),
        ("enc", "\"A128GCM\"", Some(MalformedToken)),
        ("x", "{\"a\":1}", None),
        ("jku", "\"https://evil.example/\"", None), // not read
    ];
    for (name, json, expected) in cases {
        assert_eq!(refusal(token().header(name, json).sign()), *expected, "{name}: {json}");
    }
    assert_eq!(refusal(token().without_header("typ").sign()), None);
    assert_eq!(refusal(token().without_header("alg").sign()), Some(MalformedToken));
}

#[test]
fn an_unsecured_token_is_refused_with_and_without_a_signature() {
    let none = token().header("alg", "\"none\"");
    assert_eq!(refusal(none.sign()), Some(UnsupportedAlgorithm));
    assert_eq!(refusal(format!("{}.", none.signing_input())), Some(UnsupportedAlgorithm));
    assert_eq!(refusal(format!("{}.", token().signing_input())), Some(MalformedToken));
}

#[test]
fn a_key_inside_a_token_verifies_nothing() {
    let jwk = r#"{"kty":"oct","k":"YXR0YWNrZXJhdHRhY2tlcmF0dGFja2VyYXR0YWNrZXI"}"#;
    let with_key = token().header("jwk", jwk);
    assert_eq!(refusal(with_key.sign()), None);
    assert_eq!(
        refusal(with_key.sign_with(b"attackerattackerattackerattacker")),
        Some(BadSignature)
    );
}

#[test]
fn the_form_has_three_parts_and_an_upper_length() {
    let sound = token().sign();
    let [header, payload, signature] = sound.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let cases = [
        (sound.clone(), None),
        (String::new(), Some(MalformedToken)),
        ("..".into(), Some(MalformedToken)),
        (".".repeat(8_192), Some(MalformedToken)),
        (format!("{header}.{payload}"), Some(MalformedToken)),
        (format!("{sound}."), Some(MalformedToken)),
        (format!(".{sound}"), Some(MalformedToken)),
        (format!("{sound}.{signature}"), Some(MalformedToken)),
        (format!("{header}..{signature}"), Some(MalformedToken)),
        (format!(".{payload}.{signature}"), Some(MalformedToken)),
        (format!("{header}.{payload}.AAAA"), Some(BadSignature)),
        (format!("{sound}AAAA"), Some(BadSignature)),
        (format!("{sound}AA"), Some(MalformedToken)), // 45 characters hold no whole bytes
        (format!("Bearer {sound}"), Some(MalformedToken)),
        (format!("{sound},{sound}"), Some(MalformedToken)),
    ];
    for (token, expected) in cases {
        assert_eq!(refusal(&token), expected, "{token}");
    }
    // 16,384 bytes are read, 16,385 are not: the signing input has a fixed part and this claim.
    let of_length = |length: usize| {
        let mut tokens =
            (11_500..12_500).map(|n| token().claim("x", format!("{:?}", "x".repeat(n))).sign());
        tokens.find(|token| token.len() == length).expect("a token of that length")
    };
    assert_eq!(refusal(of_length(16_384)), None);
    assert_eq!(refusal(of_length(16_385)), Some(MalformedToken));
}

#[test]
fn the_payload_is_an_object() {
    let sound = format!("{{\"sub\":\"a\",\"exp\":{}}}", NOW + 1);
    let cases: &[(&[u8], Option<Refusal>)] = &[
        (sound.as_bytes(), None),
        (b"", Some(MalformedToken)),
        (b"null", Some(MalformedToken)),
        (b"[]", Some(MalformedToken)),
        (b"\"a\"", Some(MalformedToken)),
        (b"{\"sub\":\"a\"}", None),
        (b"{\"sub\":\"a\"} ", None),
        (b"{\"sub\":\"a\"}{}", Some(MalformedToken)),
        (b"{'sub':'a'}", Some(MalformedToken)),
        (b"{\"sub\":\"a\",\"sub\":\"a\"}", Some(MalformedToken)),
        (b"{\"sub\":\"\xff\"}", Some(MalformedToken)),
        (b"\xef\xbb\xbf{\"sub\":\"a\"}", Some(MalformedToken)),
    ];
    for (payload, expected) in cases {
        assert_eq!(refusal(token().payload(payload).sign()), *expected, "{payload:?}");
    }
}

#[test]
fn times_are_exact_to_the_second() {
    let limit = (1u64 << 40) - 1;
    let cases: &[(&str, String, Option<Refusal>)] = &[
        // now < exp + 60, fractions rounded down
        ("exp", format!("{}", NOW - 59), None),
        ("exp", format!("{}", NOW - 60), Some(Expired)),
        ("exp", format!("{}.5", NOW - 59), None),
        ("exp", format!("{}.5", NOW - 60), Some(Expired)),
        ("exp", "1.795332121e9".into(), None),
        ("exp", "0".into(), Some(Expired)),
        ("exp", "1".into(), Some(Expired)),
        ("exp", format!("{limit}"), None),
        // nbf ≤ now + 60, fractions rounded up
        ("nbf", format!("{}", NOW + 60), None),
        ("nbf", format!("{}", NOW + 61), Some(NotYetValid)),
        ("nbf", format!("{}.0", NOW + 60), None),
        ("nbf", format!("{}.001", NOW + 60), Some(NotYetValid)),
        ("nbf", "0".into(), None),
        ("nbf", format!("{limit}"), Some(NotYetValid)),
        // iat ≤ now + 60, fractions rounded down
        ("iat", format!("{}", NOW + 60), None),
        ("iat", format!("{}.9", NOW + 60), None),
        ("iat", format!("{}", NOW + 61), Some(NotYetValid)),
        ("iat", "0".into(), None),
    ];
    for (name, json, expected) in cases {
        assert_eq!(refusal(token().claim(name, json).sign()), *expected, "{name}: {json}");
    }
}

#[test]
fn a_malformed_time_is_never_treated_as_absent() {
    let soon = NOW + 10;
    let kinds = [
        format!("\"{soon}\""),
        "null".into(),
        "true".into(),
        "false".into(),
        "[]".into(),
        format!("[{soon}]"),
        "{}".into(),
        "-1".into(),
        "-0".into(),
        "-0.5".into(),
        "1e400".into(),
        "-1e400".into(),
        "1099511627776".into(), // 2^40
        "1099511627775.5".into(),
        format!("{soon}000"),          // milliseconds
        "18446744073709551615".into(), // 2^64 - 1
        "18446744073709551617".into(), // wraps to 1
        "340282366920938463463374607431768211457".into(),
    ];
    for name in ["exp", "nbf", "iat"] {
        assert_eq!(refusal(token().without(name).sign()), None, "no {name}");
        for json in &kinds {
            let refused = refusal(token().claim(name, json).sign());
            let rounded_down = json == "1099511627775.5" && name != "nbf";
            let expected = match name {
                "exp" if rounded_down => None,
                "iat" if rounded_down => Some(NotYetValid),
                _ => Some(BadClaims),
            };
            assert_eq!(refused, expected, "{name}: {json}");
        }
    }
}

#[test]
fn a_lifetime_needs_both_ends_and_has_a_limit() {
    let policy = Policy { max_lifetime_seconds: Some(3_660), ..policy() };
    let cases = [
        (token(), None),
        (token().claim("exp", NOW + 3_601), Some(BadClaims)),
        (token().claim("iat", NOW - 61), Some(BadClaims)),
        (token().claim("iat", NOW + 30).claim("exp", NOW + 10), None),
        (token().without("iat"), Some(BadClaims)),
        (token().without("exp"), Some(BadClaims)),
    ];
    for (index, (token, expected)) in cases.into_iter().enumerate() {
        assert_eq!(refusal_by(policy.clone(), token.sign()), expected, "case {index}");
    }
}

#[test]
fn issuer_and_audience_are_compared_as_whole_strings() {
    let policy = Policy {
        issuer: Some("https://id.example".into()),
        audiences: vec!["api".into(), "web".into()],
        ..policy()
    };
    let sound = token().claim("iss", "\"https://id.example\"").claim("aud", "\"api\"");
    let cases: &[(&str, &str, Option<Refusal>)] = &[
        ("iss", "\"https://id.example\"", None),
        ("iss", "\"https://id\"", Some(WrongIssuer)),
        ("iss", "\"HTTPS://id.example\"", Some(WrongIssuer)),
        ("aud", "\"API\"", Some(WrongAudience)),
        ("aud", "\"api web\"", Some(WrongAudience)),
        ("aud", "\"\"", Some(WrongAudience)),
        ("aud", "[[\"api\"]]", Some(BadClaims)),
        ("aud", "{\"api\":true}", Some(BadClaims)),
        ("aud", "7", Some(BadClaims)),
    ];
    for (name, json, expected) in cases {
        let token = sound.clone().claim(name, json).sign();
        assert_eq!(refusal_by(policy.clone(), token), *expected, "{name}: {json}");
    }
    assert_eq!(refusal_by(policy.clone(), sound.clone().without("iss").sign()), Some(WrongIssuer));
    assert_eq!(refusal_by(policy, sound.without("aud").sign()), Some(WrongAudience));
    // Even if the policy does not check them, they must have the form of RFC 7519.
    assert_eq!(refusal(token().claim("iss", "\"x\"").claim("aud", "[\"x\"]").sign()), None);
    assert_eq!(refusal(token().claim("aud", "7").sign()), Some(BadClaims));
}

#[test]
fn a_keys_own_issuer_and_audiences_must_hold_as_well() {
    let other: &[u8] = &[1; 64];
    let issuer = Some("b".to_owned());
    let keys = KeyRing::new(vec![
        Key::hmac(Algorithm::Hs256, SECRET, None, None, vec![]),
        Key::hmac(Algorithm::Hs256, other, None, issuer, vec!["web".into()]),
    ]);
    let verifier = Verifier::new(keys, Policy { audiences: vec!["api".into()], ..policy() });
    let both = "[\"api\",\"web\"]";
    let cases = [
        (SECRET.as_slice(), "\"a\"", "\"api\"", None),
        (SECRET.as_slice(), "\"a\"", "\"web\"", Some(WrongAudience)),
        (other, "\"b\"", both, None),
        (other, "\"a\"", both, Some(WrongIssuer)),
        (other, "\"b\"", "\"api\"", Some(WrongAudience)),
        (other, "\"b\"", "\"web\"", Some(WrongAudience)),
    ];
    for (secret, iss, aud, expected) in cases {
        let token = token().claim("iss", iss).claim("aud", aud).sign_with(secret);
        assert_eq!(verifier.verify(token.as_bytes(), NOW).err(), expected, "{iss} {aud}");
    }
}

#[test]
fn a_kid_chooses_among_the_keys() {
    let key = |secret: &[u8], id: &str| {
        Key::hmac(Algorithm::Hs256, secret, Some(id.to_owned()), None, vec![])
    };
    let (old, new): (&[u8], &[u8]) = (&[1; 32], &[2; 32]);
    let verifier = Verifier::new(KeyRing::new(vec![key(old, "old"), key(new, "new")]), policy());
    let with_kid = |kid: &str| token().header("kid", format!("{kid:?}"));
    let cases = [
        (token().sign_with(old), None),
        (token().sign_with(new), None),
        (token().sign_with(&[3; 32]), Some(BadSignature)),
        (with_kid("new").sign_with(new), None),
        (with_kid("new").sign_with(old), Some(BadSignature)),
        (with_kid("other").sign_with(new), Some(UnknownKey)),
    ];
    for (index, (token, expected)) in cases.into_iter().enumerate() {
        assert_eq!(verifier.verify(token.as_bytes(), NOW).err(), expected, "case {index}");
    }
}

#[test]
fn jti_and_user_id_have_a_type_and_a_length() {
    let long = |length| format!("{:?}", "a".repeat(length));
    let cases: &[(&str, &str, Option<Refusal>)] = &[
        ("jti", "\"x\"", None),
        ("jti", &long(256), None),
        ("jti", &long(257), Some(BadClaims)),
        ("jti", "null", Some(BadClaims)),
        ("sub", "\"m\u{fc}ller\"", None),
        ("sub", &long(256), None),
        ("sub", &long(257), Some(BadClaims)),
        ("sub", "\" admin\"", Some(BadClaims)),
        ("sub", "\"admin\\t\"", Some(BadClaims)),
        ("sub", "\"admin\u{a0}\"", Some(BadClaims)),
        ("sub", "\"a\\u007f\"", Some(BadClaims)),
        ("sub", "\"a\\u0085b\"", Some(BadClaims)),
        ("sub", "0", None),
        ("sub", "18446744073709551615", None),
        ("sub", "18446744073709551616", Some(BadClaims)),
        ("sub", "-0", Some(BadClaims)),
        ("sub", "7.0", Some(BadClaims)),
        ("sub", "7e1", Some(BadClaims)),
        ("sub", "null", Some(BadClaims)),
        ("sub", "[\"a\"]", Some(BadClaims)),
        ("sub", "{}", Some(BadClaims)),
    ];
    for (name, json, expected) in cases {
        assert_eq!(refusal(token().claim(name, json).sign()), *expected, "{name}: {json}");
    }
    assert_eq!(refusal(token().without("jti").sign()), None);
    assert_eq!(refusal(token().without("sub").sign()), Some(BadClaims));
    let nobody = Policy { user_id: None, ..policy() };
    assert_eq!(refusal_by(nobody, token().without("sub").sign()), None);
    let verifier = Verifier::new(ring(), policy());
    let verified = verifier.verify(token().claim("sub", 42).sign().as_bytes(), NOW);
    assert_eq!(&**verified.expect("genuine").user().expect("a user").id(), "42");
}

#[test]
fn a_session_id_has_a_kind_and_a_length() {
    let policy = Policy { session_id: Some("sid".into()), ..policy() };
    let verifier = Verifier::new(ring(), policy);
    let session = |sid: &str| Ok(Some(RecordId::of_session("", None, sid)));
    let text = |length: usize| format!("\"{}\"", "s".repeat(length));
    for (json, expected) in [
        ("\"a\"".to_owned(), session("a")),
        ("\"a\\u0000b\"".to_owned(), session("a\0b")),
        (text(512), session(&"s".repeat(512))),
        ("42".to_owned(), session("42")),
        ("null".to_owned(), Ok(None)),
        ("\"\"".to_owned(), Err(BadClaims)),
        (text(513), Err(BadClaims)),
        ("4.2".to_owned(), Err(BadClaims)),
        ("true".to_owned(), Err(BadClaims)),
        ("[\"a\"]".to_owned(), Err(BadClaims)),
        ("{\"a\":1}".to_owned(), Err(BadClaims)),
    ] {
        let token = token().claim("sid", &json).sign();
        let verified = verifier.verify(token.as_bytes(), NOW);
        assert_eq!(verified.map(|token| token.genuine().session()), expected, "{json}");
    }
    let absent = verifier.verify(token().sign().as_bytes(), NOW).expect("genuine");
    assert_eq!(absent.genuine().session(), None);
    let other = Verifier::new(ring(), Policy { user_id: Some("sub".into()), ..Policy::default() });
    let ignored = other.verify(token().claim("sid", "true").sign().as_bytes(), NOW);
    assert_eq!(ignored.expect("genuine").genuine().session(), None);
}

#[test]
fn a_claim_may_be_inside_another() {
    let path = |names: &[&str]| ClaimPath::new(names.iter().map(|&it| it.to_owned()).collect());
    let roles = path(&["realm_access", "roles"]);
    let policy = Policy {
        user_id: Some(path(&["user", "id"])),
        session_id: Some(path(&["a", "b", "c"])),
        required: vec![roles.clone()],
        forwarded: vec![roles.clone(), "a.b".into()],
        ..policy()
    };
    let sound = || {
        token()
            .claim("user", r#"{"id": 7, "name": "x"}"#)
            .claim("a", r#"{"b": {"c": "s"}}"#)
            .claim("realm_access", r#"{"roles": ["admin", "user"]}"#)
            .claim("a.b", "\"dotted\"")
    };
    let verifier = Verifier::new(ring(), policy.clone());
    let verified = verifier.verify(sound().sign().as_bytes(), NOW).expect("genuine");
    assert_eq!(verified.user().map(|user| &**user.id()), Some("7"));
    assert_eq!(verified.genuine().session(), Some(RecordId::of_session("", None, "s")));
    assert_eq!(claim(&verified, &roles), Some("admin,user"));
    assert_eq!(claim(&verified, &"a.b".into()), Some("dotted"));
    for (name, json, expected) in [
        ("user", "{}", Some(BadClaims)),
        ("user", "\"id\"", Some(BadClaims)),
        ("user", "[{\"id\": 7}]", Some(BadClaims)),
        ("realm_access", "{\"roles\": null}", Some(BadClaims)),
        ("realm_access", "\"roles\"", Some(BadClaims)),
        ("a", "{\"b\": {}}", None),
        ("a", "{\"b\": \"c\"}", None),
        ("a", "{\"b\": {\"c\": false}}", Some(BadClaims)),
    ] {
        let token = sound().claim(name, json).sign();
        assert_eq!(refusal_by(policy.clone(), token), expected, "{name}: {json}");
    }
}

#[test]
fn a_claim_has_one_of_the_listed_values() {
    let values = vec![
        ("token_use".into(), vec!["access".to_owned()]),
        (ClaimPath::new(vec!["a".into(), "n".into()]), vec!["1".to_owned(), "true".to_owned()]),
    ];
    let policy = Policy { values, ..policy() };
    for (token_use, a, expected) in [
        ("\"access\"", r#"{"n": 1}"#, None),
        ("[\"id\", \"access\"]", r#"{"n": true}"#, None),
        ("\"access\"", r#"{"n": "1"}"#, None),
        ("\"id\"", r#"{"n": 1}"#, Some(BadClaims)),
        ("\"Access\"", r#"{"n": 1}"#, Some(BadClaims)),
        ("null", r#"{"n": 1}"#, Some(BadClaims)),
        ("[]", r#"{"n": 1}"#, Some(BadClaims)),
        ("{\"access\": 1}", r#"{"n": 1}"#, Some(BadClaims)),
        ("\"access\"", r#"{"n": 2}"#, Some(BadClaims)),
        ("\"access\"", "{}", Some(BadClaims)),
    ] {
        let token = token().claim("token_use", token_use).claim("a", a).sign();
        assert_eq!(refusal_by(policy.clone(), token), expected, "{token_use} {a}");
    }
    assert_eq!(refusal_by(policy, token().sign()), Some(BadClaims));
}

#[test]
fn a_token_bound_to_a_key_is_accepted_or_refused_as_configured() {
    let refuse = Policy { bound_tokens: BoundTokens::Refuse, ..policy() };
    for (cnf, expected) in [
        (r#"{"jkt": "x"}"#, Some(BadClaims)),
        (r#"{"x5t#S256": "x"}"#, Some(BadClaims)),
        ("{}", Some(BadClaims)),
        ("\"x\"", Some(BadClaims)),
        ("null", None),
    ] {
        let token = token().claim("cnf", cnf).sign();
        assert_eq!(refusal_by(refuse.clone(), token.clone()), expected, "{cnf}");
        assert_eq!(refusal_by(policy(), token), None, "{cnf}");
    }
    assert_eq!(refusal_by(refuse, token().sign()), None);
}

#[test]
fn required_claims_are_there_and_not_null() {
    let policy = Policy { required: vec!["exp".into(), "tenant".into()], ..policy() };
    let cases = [
        (token().claim("tenant", "\"a\""), None),
        (token().claim("tenant", "false"), None),
        (token().claim("tenant", "null"), Some(BadClaims)),
        (token(), Some(BadClaims)),
        (token().claim("tenant", "1").without("exp"), Some(BadClaims)),
    ];
    for (index, (token, expected)) in cases.into_iter().enumerate() {
        assert_eq!(refusal_by(policy.clone(), token.sign()), expected, "case {index}");
    }
}

#[test]
fn a_forwarded_claim_becomes_one_unambiguous_line() {
    let verifier = Verifier::new(ring(), Policy { forwarded: vec!["role".into()], ..policy() });
    let long = format!("{:?}", "r".repeat(8_193));
    let groups = format!("[{}]", vec!["\"00000000-0000-0000-0000-000000000000\""; 28].join(","));
    let joined_groups = groups.replace(['[', ']', '"'], "");
    // Value, header text, number of claims left out.
    let cases: &[(&str, Option<&str>, usize)] = &[
        ("\"admin\"", Some("admin"), 0),
        ("\"\"", Some(""), 0),
        ("\"a,b\"", Some("a,b"), 0),
        ("\"\\u00fc\"", Some("\u{fc}"), 0),
        ("17", Some("17"), 0),
        ("-1.50e3", Some("-1.50e3"), 0),
        ("true", Some("true"), 0),
        ("null", None, 0),
        ("[]", Some(""), 0),
        ("[\"a\", 1,false]", Some("a,1,false"), 0),
        (&groups, Some(&joined_groups), 0),
        // A list that could not be split again is sent as JSON.
        ("[\"a,b\"]", Some("[\"a,b\"]"), 0),
        ("[\"CN=a,OU=b\", 1, true]", Some("[\"CN=a,OU=b\",1,true]"), 0),
        ("[\"a\",\"\"]", Some("[\"a\",\"\"]"), 0),
        ("[\"a\",\" b\"]", Some("[\"a\",\" b\"]"), 0),
        ("[\"a\\u0000\"]", Some("[\"a\\u0000\"]"), 0),
        ("[\"a\\\"\\nb\"]", Some("[\"a\\\"\\nb\"]"), 0),
        // No header can carry these unchanged.
        ("[\"a\",null]", None, 1),
        ("[[\"a\"]]", None, 1),
        ("[{\"authority\": \"X\"}]", None, 1),
        ("{}", None, 1),
        ("\" admin\"", None, 1),
        ("\"a\\nb\"", None, 1),
        (&long, None, 1),
    ];
    for (json, expected, left_out) in cases {
        let token = token().claim("role", json).sign();
        let verified = verifier.verify(token.as_bytes(), NOW).expect("genuine");
        assert_eq!(claim(&verified, &"role".into()), *expected, "{json}");
        assert_eq!(verified.claims_left_out(), *left_out, "{json}");
    }
    let absent = verifier.verify(token().sign().as_bytes(), NOW).expect("genuine");
    assert_eq!(absent.claim(&"role".into()), None);
}

#[test]
fn a_token_longer_than_the_limit_is_malformed() {
    let sent = token().claim("groups", format!("{:?}", "g".repeat(14_000))).sign();
    for (max_token_bytes, expected) in [
        (sent.len() - 1, Some(MalformedToken)),
        (sent.len(), None),
        (Policy::default().max_token_bytes, Some(MalformedToken)),
        (65_536, None),
    ] {
        let policy = Policy { max_token_bytes, ..policy() };
        assert_eq!(refusal_by(policy, &sent), expected, "{max_token_bytes}");
    }
    let usual = token().claim("groups", format!("{:?}", "g".repeat(8_000))).sign();
    assert_eq!(refusal(usual), None);
}

#[test]
fn the_first_failure_is_reported() {
    let policy = Policy {
        issuer: Some("a".into()),
        audiences: vec!["a".into()],
        required: vec!["tenant".into()],
        ..policy()
    };
    let key = Key::hmac(Algorithm::Hs256, SECRET, Some("k".into()), None, vec![]);
    let verifier = Verifier::new(KeyRing::new(vec![key]), policy);
    // All faults at once. They are fixed one by one, in the order of the checks.
    let mut secret: &[u8] = b"another secret of thirty-two bytes";
    let mut token = token()
        .header("typ", "7")
        .header("alg", "\"HS512\"")
        .header("kid", "\"other\"")
        .claim("exp", 1)
        .claim("nbf", NOW + 1_000)
        .claim("iss", "\"b\"")
        .claim("aud", "\"b\"")
        .claim("jti", "7");
    let refused = |token: &TokenBuilder, secret: &[u8]| {
        verifier.verify(token.sign_with(secret).as_bytes(), NOW).err()
    };
    assert_eq!(refused(&token, secret), Some(MalformedToken));
    token = token.without_header("typ");
    assert_eq!(refused(&token, secret), Some(UnsupportedAlgorithm));
    token = token.header("alg", "\"HS256\"");
    assert_eq!(refused(&token, secret), Some(UnknownKey));
    token = token.header("kid", "\"k\"");
    assert_eq!(refused(&token, secret), Some(BadSignature));
    secret = SECRET;
    assert_eq!(refused(&token, secret), Some(Expired));
    token = token.claim("exp", NOW + 1);
    assert_eq!(refused(&token, secret), Some(NotYetValid));
    token = token.without("nbf");
    assert_eq!(refused(&token, secret), Some(WrongIssuer));
    token = token.claim("iss", "\"a\"");
    assert_eq!(refused(&token, secret), Some(WrongAudience));
    token = token.claim("aud", "\"a\"");
    assert_eq!(refused(&token, secret), Some(BadClaims));
    token = token.claim("jti", "\"7\"");
    assert_eq!(refused(&token, secret), Some(BadClaims));
    token = token.claim("tenant", "1");
    assert_eq!(refused(&token, secret), None);
}

#[test]
fn a_malformed_payload_is_reported_before_a_bad_signature() {
    let forged = signed(&token().payload("nonsense").signing_input(), |_| vec![0; 32]);
    assert_eq!(refusal(forged), Some(MalformedToken));
    assert_eq!(refusal(signed(&token().signing_input(), |_| vec![0; 32])), Some(BadSignature));
}

#[test]
fn a_signature_has_its_exact_length() {
    let key = HS256Key::from_bytes(SECRET);
    let of_length = |length| {
        signed(&token().signing_input(), |input| {
            let mut tag = key.authentication_tag(input);
            tag.resize(length, 0);
            tag
        })
    };
    assert_eq!(refusal(of_length(32)), None);
    for length in (1..64).filter(|length| *length != 32) {
        assert_eq!(refusal(of_length(length)), Some(BadSignature), "{length} bytes");
    }
}

#[test]
fn a_known_token_is_judged_by_the_time_of_each_call() {
    let verifier = Verifier::new(ring(), policy());
    let token = token().claim("nbf", NOW - 10).sign();
    let at = |seconds| verifier.verify(token.as_bytes(), seconds);
    let first = at(NOW).expect("genuine");
    assert!(Rc::ptr_eq(&first, &at(NOW + 1).expect("genuine")), "the cache answers");
    assert_eq!(at(NOW + 3_660).err(), Some(Expired));
    assert_eq!(at(NOW + 3_659).err(), None);
    assert_eq!(at(NOW - 71).err(), Some(NotYetValid));
    assert_eq!(at(NOW - 70).err(), None);
    assert_eq!(at(0).err(), Some(NotYetValid));
    assert_eq!(at(u64::MAX).err(), Some(Expired));
}

#[test]
fn a_token_remembers_when_it_was_live() {
    let verifier = Verifier::new(ring(), policy());
    let token = token().sign();
    let verified = || verifier.verify(token.as_bytes(), NOW).expect("genuine");
    let set = RevocationSet::new(KeySpace::of_feed("", "a", "a"), "");
    let shared = InMemory::default();
    set.generations().renew(&shared);
    assert_eq!(verified().known_live_at(), None);
    let verdict = set.judge(&shared, verified().names(), verified().iat(), None);
    let Ok(RevocationVerdict::Live(Some(mark))) = verdict else { panic!("{verdict:?}") };
    verified().note_live_at(mark);
    assert_eq!(verified().known_live_at(), Some(mark));
}

#[test]
fn tokens_of_kept_keys_stay_cached() {
    let key = |byte: u8, id: &str, issuer: Option<&str>| {
        let issuer = issuer.map(str::to_owned);
        Key::hmac(Algorithm::Hs256, &[byte; 32], Some(id.to_owned()), issuer, vec![])
    };
    let signed = |byte: u8, id: &str| {
        token().header("kid", format!("\"{id}\"")).claim("iss", "\"i\"").sign_with(&[byte; 32])
    };
    let verifier = Verifier::new(KeyRing::new(vec![key(1, "a", None)]), policy());
    let verify = |token: &str| verifier.verify(token.as_bytes(), NOW);
    let (old, new) = (signed(1, "a"), signed(2, "b"));
    let first = verify(&old).expect("genuine");
    assert_eq!(verify(&new).err(), Some(UnknownKey));
    verifier.replace_keys(KeyRing::new(vec![key(2, "b", None), key(1, "a", None)]));
    assert!(Rc::ptr_eq(&first, &verify(&old).expect("genuine")), "still known");
    assert!(verify(&new).is_ok());
    verifier.replace_keys(KeyRing::new(vec![key(2, "b", None)]));
    assert_eq!(verify(&old).err(), Some(UnknownKey));
    let before = verify(&new).expect("genuine");
    verifier.replace_keys(KeyRing::new(vec![key(2, "b", Some("i"))]));
    let after = verify(&new).expect("genuine");
    assert!(!Rc::ptr_eq(&before, &after), "what the key asks for has changed");
    verifier.replace_keys(KeyRing::new(vec![key(2, "b", Some("j"))]));
    assert_eq!(verify(&new).err(), Some(WrongIssuer));
}

#[test]
fn an_unknown_token_gets_503_while_keys_are_missing() {
    let key = |id: &str| Key::hmac(Algorithm::Hs256, SECRET, Some(id.to_owned()), None, vec![]);
    let named = |id: &str| token().header("kid", format!("\"{id}\""));
    let asymmetric = || token().header("alg", "\"RS256\"").sign();
    let none = || token().header("alg", "\"none\"").sign();
    for (lacks_some, unknown) in [(false, UnknownKey), (true, Unavailable)] {
        let ring = KeyRing::new(vec![key("a")]).with(std::iter::empty(), lacks_some);
        let verifier = Verifier::new(ring, policy());
        let or = |refusal| if lacks_some { Unavailable } else { refusal };
        for (token, verdict, misses_key) in [
            (named("a").sign(), None, false),
            (named("a").sign_with(&[9; 32]), Some(or(BadSignature)), false),
            (named("b").sign(), Some(unknown), true),
            (asymmetric(), Some(or(UnsupportedAlgorithm)), true),
            (none(), Some(or(UnsupportedAlgorithm)), false),
            (named("a").claim("exp", NOW - 3_600).sign(), Some(Expired), false),
            ("junk".to_owned(), Some(MalformedToken), false),
        ] {
            assert_eq!(verifier.verify(token.as_bytes(), NOW).err(), verdict, "{token}");
            assert_eq!(verifier.take_missed_key(), misses_key, "{token}");
        }
        assert_eq!(verifier.has_all_keys(), !lacks_some);
        assert!(!verifier.take_missed_key(), "told once");
    }
}

#[test]
fn a_forged_token_is_checked_once_until_keys_change() {
    for algorithm in ["ES256", "RS256", "ES384"] {
        let host = CountingHost::leaked();
        let verifier = Verifier::new(public_ring(algorithm, 2), policy()).with_host(host, 250);
        let verify = |token: &str| verifier.verify(token.as_bytes(), NOW).err();
        for _ in 0..3 {
            assert_eq!(verify(&forged(algorithm, 1)), Some(BadSignature));
        }
        assert_eq!(host.0.get(), 2, "{algorithm}: one check per key");
        assert_eq!(verify(&forged(algorithm, 2)), Some(BadSignature));
        assert_eq!(host.0.get(), 4, "{algorithm}: other bytes");
        verifier.replace_keys(public_ring(algorithm, 1));
        assert_eq!(verify(&forged(algorithm, 1)), Some(BadSignature));
        assert_eq!(host.0.get(), 5, "{algorithm}: other keys");
    }
}

#[test]
fn forged_tokens_never_make_a_genuine_one_look_forged() {
    let host = CountingHost::leaked();
    let verifier = Verifier::new(public_ring("ES256", 1), policy()).with_host(host, 250);
    let genuine = genuine_es256(1);
    // Tokens with the same end or the same start, which a client can choose without the key.
    let (input, signature) = genuine.rsplit_once('.').expect("three parts");
    let other_start =
        format!("{}.{signature}", with_signature("ES256", 2, &[1; 64]).rsplit_once('.').unwrap().0);
    let other_end = format!("{input}.{}", URL_SAFE_NO_PAD.encode([0x80; 64]));
    verifier
        .refused
        .borrow_mut()
        .keep(other_start.as_bytes(), Refused::Forged { misses_key: false });
    assert_eq!(verifier.verify(other_end.as_bytes(), NOW).err(), Some(BadSignature));
    assert!(verifier.verify(genuine.as_bytes(), NOW).is_ok());
}

#[test]
fn the_memory_for_forged_tokens_is_bounded() {
    let host = CountingHost::leaked();
    let verifier = Verifier::new(public_ring("ES256", 1), policy()).with_host(host, 250);
    for n in 0..8_000 {
        assert_eq!(
            verifier.verify(forged("ES256", n).as_bytes(), NOW + n as u64 / 100).err(),
            Some(BadSignature)
        );
    }
    verifier.verify(forged("ES256", 7_999).as_bytes(), NOW).unwrap_err();
    assert_eq!(host.0.get(), 8_000, "the last is remembered");
    verifier.verify(forged("ES256", 0).as_bytes(), NOW).unwrap_err();
    assert_eq!(host.0.get(), 8_001, "the first is not");
}

#[test]
fn genuine_tokens_are_never_charged() {
    let host = CountingHost::leaked();
    let verifier = Verifier::new(public_ring("ES256", 1), policy()).with_host(host, 1);
    for n in 0..10_000 {
        assert!(verifier.verify(genuine_es256(n).as_bytes(), NOW).is_ok(), "{n}");
    }
    // EdDSA is checked here, at 150 µs each: 40 genuine tokens within one millisecond.
    let genuine = TOKENS.into_iter().find(|known| known.0 == "EdDSA").expect("known").2;
    let verifier = Verifier::new(public_ring("EdDSA", 1), policy()).with_host(host, 1);
    for _ in 0..40 {
        assert!(verifier.verify(genuine.as_bytes(), NOW).is_ok());
        verifier.verified.borrow_mut().retain(|_| false);
    }
}

#[test]
fn a_flood_of_fast_algorithms_refuses_no_genuine_token() {
    let host = CountingHost::leaked();
    let verifier = Verifier::new(public_ring("ES256", 1), policy()).with_host(host, 1);
    for n in 0..2_000 {
        let verify = |token: String| verifier.verify(token.as_bytes(), NOW).err();
        assert_eq!(verify(forged("ES256", n)), Some(BadSignature));
        assert_eq!(verify(genuine_es256(n)), None);
    }
}

#[test]
fn a_flood_of_slow_algorithms_stays_within_its_budget() {
    // Ten seconds of forged ES384 at 355 µs, 8 a millisecond: 2.8 times a whole worker.
    let host = CountingHost::leaked();
    let verifier = Verifier::new(public_ring("ES384", 1), policy()).with_host(host, 250);
    let (mut spent, mut n, mut refused) = (0, 0, 0);
    for millisecond in 0..10_000 {
        for _ in 0..8 {
            n += 1;
            let effort = verifier.effort(Purpose::Admission, NOW * 1_000 + millisecond);
            match checked(&verifier, &forged("ES384", n), &effort) {
                Err(BadSignature) => {}
                Err(Unavailable) => refused += 1,
                other => panic!("{other:?}"),
            }
            spent += effort.spent_nanoseconds();
        }
        // Sign-outs are not affected.
        if millisecond % 100 == 0 {
            let effort = verifier.effort(Purpose::SignOut, NOW * 1_000 + millisecond);
            let result = checked(&verifier, &forged("ES384", 1_000_000 + n), &effort);
            assert_eq!(result, Err(BadSignature));
        }
    }
    let checks = spent / 355_000;
    let bound = 10 * 250_000_000 / (355_000 - 60_000) + 250;
    assert!((bound * 8 / 10..=bound).contains(&checks), "{checks} of at most {bound} checks");
    assert_eq!(verifier.take_unchecked(), refused);
    assert_eq!(verifier.take_unchecked(), 0);
}

#[test]
fn a_retry_continues_interrupted_checks() {
    // Eight keys at 1.55 ms each, as without a host: one check per request.
    let mut keys: Vec<_> = (0..3).map(|_| other_p384()).collect();
    keys.push(public_key("ES384", None));
    let verifier = Verifier::new(KeyRing::new(keys), policy());
    let genuine = TOKENS.into_iter().find(|known| known.0 == "ES384").expect("known").2;
    let verdicts: Vec<_> =
        (0..5).map(|n| verifier.verify(genuine.as_bytes(), NOW + n).err()).collect();
    assert_eq!(verdicts, [Some(Unavailable), Some(Unavailable), Some(Unavailable), None, None]);
}

/// Returns a key that signed none of the fixtures.
fn other_p384() -> Key {
    let pem = jwt_simple::algorithms::ES384KeyPair::generate().public_key().to_pem().expect("PEM");
    Key::public(PublicAlgorithm::Es384, &pem, None, None, vec![]).expect("a key")
}

#[test]
fn a_refused_genuine_token_is_checked_once() {
    let host = CountingHost::leaked();
    let keys = public_ring("ES256", 1);
    let strict = Policy { audiences: vec!["api".into()], ..policy() };
    let cases = [
        (policy(), NOW + 100_000, Expired),
        (policy(), NOW - 100_000, NotYetValid),
        (strict, NOW, WrongAudience),
        (Policy { required: vec!["x".into()], ..policy() }, NOW, BadClaims),
    ];
    for (index, (policy, at, expected)) in cases.into_iter().enumerate() {
        let verifier = Verifier::new(keys.clone(), policy).with_host(host, 250);
        for _ in 0..2 {
            let refusal = verifier.verify(genuine_es256(index).as_bytes(), at).err();
            assert_eq!(refusal, Some(expected));
        }
        assert_eq!(host.0.get(), index + 1, "{expected:?}");
    }
}

#[test]
fn a_sign_out_revokes_every_genuine_token_whatever_its_claims() {
    let strict = Policy {
        issuer: Some("a".into()),
        audiences: vec!["api".into()],
        required: vec!["exp".into(), "jti".into()],
        ..policy()
    };
    let sound = || token().claim("iss", "\"a\"").claim("aud", "\"api\"");
    let named = |issuer: &str| Some(RecordId::of_token("", Some(issuer), "token-1"));
    let input = sound().without("jti").signing_input();
    let cases = [
        ("acceptable", sound(), named("a"), None),
        ("nbf ahead", sound().claim("nbf", NOW + 500), named("a"), Some(NotYetValid)),
        ("iat ahead", sound().claim("iat", NOW + 500), named("a"), Some(NotYetValid)),
        ("expired", sound().claim("exp", NOW - 500), named("a"), Some(Expired)),
        ("other issuer", sound().claim("iss", "\"b\""), named("b"), Some(WrongIssuer)),
        ("other audience", sound().claim("aud", "\"b\""), named("a"), Some(WrongAudience)),
        ("no exp", sound().without("exp"), named("a"), Some(BadClaims)),
        ("no user", sound().without("sub"), named("a"), Some(BadClaims)),
        ("malformed exp", sound().claim("exp", "\"1\""), None, Some(BadClaims)),
        ("malformed jti", sound().claim("jti", 7), None, Some(BadClaims)),
        (
            "no jti",
            sound().without("jti"),
            Some(RecordId::of_input("", Some("a"), input.as_bytes())),
            Some(BadClaims),
        ),
    ];
    for (name, token, record_id, refusal) in cases {
        let verifier = Verifier::new(ring(), strict.clone());
        for attempt in ["first", "remembered"] {
            let effort = verifier.effort(Purpose::SignOut, NOW * 1_000);
            let result = verifier.check(token.sign().as_bytes(), &effort);
            let (genuine, objection) = match result {
                Ok(Genuine::Acceptable(token)) => (Some(token.record_id()), None),
                Ok(Genuine::Unacceptable(token, it)) => (Some(token.record_id()), Some(it)),
                Err(it) => (None, Some(it)),
            };
            assert_eq!(genuine, record_id, "{name}, {attempt}");
            assert_eq!(objection.map(|it| it.refusal()), refusal, "{name}, {attempt}");
            let forged = checked(&verifier, &token.sign_with(&[9; 32]), &effort);
            assert_eq!(forged, Err(BadSignature), "{name}, {attempt}");
        }
    }
}

#[test]
fn a_token_ends_after_exp_plus_skew() {
    let verifier = Verifier::new(ring(), policy());
    let end = |token: TokenBuilder| {
        verifier.end_of(&verifier.verify(token.sign().as_bytes(), NOW).expect("genuine"))
    };
    assert_eq!(end(token().claim("exp", NOW + 5)), Some(NOW + 5 + 60));
    assert_eq!(end(token().without("exp")), None);
}

#[test]
fn the_texts_of_a_token_are_counted_in_bytes() {
    let verifier = Verifier::new(ring(), Policy { forwarded: vec!["role".into()], ..policy() });
    let token = token().claim("sub", "\"ada\"").claim("role", "\"admin\"").sign();
    let verified = verifier.verify(token.as_bytes(), NOW).expect("genuine");
    assert_eq!(verified.text_bytes(), "ada".len() + size_of::<ClaimPath>() + "admin".len());
}

#[test]
fn an_unknown_kid_is_reported_as_a_missing_key() {
    let key = |id: Option<&str>| {
        let id = id.map(str::to_owned);
        Key::public(PublicAlgorithm::Rs256, RSA_2048, id, None, vec![]).expect("a key")
    };
    let verifier = Verifier::new(KeyRing::new(vec![key(None), key(Some("known"))]), policy());
    let signed = || token().header("alg", "\"RS256\"");
    for (token, misses_key) in [
        (signed().sign(), false),
        (signed().header("kid", "\"known\"").sign(), false),
        (signed().header("kid", "\"new\"").sign(), true),
    ] {
        assert_eq!(verifier.verify(token.as_bytes(), NOW).err(), Some(BadSignature));
        assert_eq!(verifier.take_missed_key(), misses_key, "{token}");
    }
}

#[test]
fn issuers_may_share_a_key() {
    let key = |issuer: &str| Key::hmac(Algorithm::Hs256, SECRET, None, Some(issuer.into()), vec![]);
    let verifier = Verifier::new(KeyRing::new(vec![key("a"), key("b")]), policy());
    let refusal = |issuer: &str| {
        let token = token().claim("iss", format!("\"{issuer}\"")).sign();
        verifier.verify(token.as_bytes(), NOW).err()
    };
    assert_eq!(["a", "b", "c"].map(refusal), [None, None, Some(WrongIssuer)]);
    let forged = token().claim("iss", "\"b\"").sign_with(&[9; 32]);
    assert_eq!(verifier.verify(forged.as_bytes(), NOW).err(), Some(BadSignature));
}

#[test]
fn debug_output_contains_no_claim() {
    let verifier = Verifier::new(ring(), Policy { forwarded: vec!["x".into()], ..policy() });
    let token = token().claim("sub", "\"canary\"").claim("x", "\"canary\"").sign();
    let verified = verifier.verify(token.as_bytes(), NOW).expect("genuine");
    let text = format!("{verified:?} {:?}", verified.user());
    assert!(!text.contains("canary"), "{text}");
    let user = verified.user().expect("a user").record_id();
    assert_eq!(text, format!("VerifiedToken({}) Some(User({user}))", verified.record_id()));
}
