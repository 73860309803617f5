//! Promise: no bytes make the verifier panic, and a valid token has no second spelling. Method:
//! every mutation of a kind, exhaustively if possible, else at random. Accepted tokens are also
//! checked by jwt-simple as an independent verifier.

use std::collections::HashSet;

use jwt_simple::prelude::{Duration, JWTClaims, UnixTimeStamp, VerificationOptions};
use proptest::prelude::*;

use super::*;

/// Returns whether jwt-simple at its strictest accepts the token, and the token is in its canonical
/// spelling.
fn reference_accepts(token: &str, policy: &Policy) -> bool {
    let canonical = token.split('.').all(|part| {
        URL_SAFE_NO_PAD.decode(part).is_ok_and(|bytes| URL_SAFE_NO_PAD.encode(bytes) == part)
    });
    let names = |names: &[String]| -> Option<HashSet<String>> {
        (!names.is_empty()).then(|| names.iter().cloned().collect())
    };
    let options = VerificationOptions {
        artificial_time: Some(UnixTimeStamp::from_secs(NOW)),
        time_tolerance: Some(Duration::from_secs(policy.clock_skew_seconds)),
        allowed_issuers: policy.issuer.clone().map(|issuer| HashSet::from([issuer])),
        allowed_audiences: names(&policy.audiences),
        ..VerificationOptions::default()
    };
    let claims: Result<JWTClaims<serde_json::Value>, _> =
        HS256Key::from_bytes(SECRET).verify_token(token, Some(options));
    canonical && claims.is_ok()
}

fn strict() -> Policy {
    Policy {
        // Not `sub`: jwt-simple refuses a `sub` that is an integer.
        user_id: Some("uid".into()),
        issuer: Some("a".into()),
        audiences: vec!["api".into()],
        required: vec!["exp".into(), "jti".into()],
        forwarded: vec!["role".into()],
        max_lifetime_seconds: Some(7_200),
        ..policy()
    }
}

fn sound() -> String {
    token()
        .claim("iss", "\"a\"")
        .claim("uid", 7)
        .claim("aud", "[\"api\",\"b\"]")
        .claim("role", "[\"x\",\"y\"]")
        .sign()
}

#[test]
fn every_changed_byte_is_refused() {
    let verifier = Verifier::new(ring(), strict());
    let token = sound().into_bytes();
    assert!(verifier.verify(&token, NOW).is_ok());
    for at in 0..token.len() {
        for byte in (0..=u8::MAX).filter(|byte| *byte != token[at]) {
            let mut mutated = token.clone();
            mutated[at] = byte;
            assert!(verifier.verify(&mutated, NOW).is_err(), "byte {at} as {byte:#04x}");
        }
    }
}

#[test]
fn every_removed_or_inserted_byte_is_refused() {
    let verifier = Verifier::new(ring(), strict());
    let token = sound().into_bytes();
    for at in 0..=token.len() {
        assert!(at == token.len() || verifier.verify(&token[..at], NOW).is_err(), "first {at}");
        assert!(at == 0 || verifier.verify(&token[at..], NOW).is_err(), "from {at}");
        for byte in *b"A.=-_+/ \t\r\n\0\"," {
            let mut mutated = token.clone();
            mutated.insert(at, byte);
            assert!(verifier.verify(&mutated, NOW).is_err(), "{byte:#04x} at {at}");
        }
        if at < token.len() {
            let mut mutated = token.clone();
            mutated.remove(at);
            assert!(verifier.verify(&mutated, NOW).is_err(), "without {at}");
        }
    }
}

#[test]
fn another_spelling_of_a_sound_part_is_refused() {
    // A payload whose base64url holds `-` and `_` and ends in a group of two and of three.
    let verifier = Verifier::new(ring(), policy());
    let mut spellings = 0;
    for length in 0..3 {
        let token = token().claim("x", format!("\"{}\"", "\u{fbff}\u{fefe}~?>".repeat(2 + length)));
        let token = token.claim("y", format!("{:?}", "y".repeat(length))).sign();
        assert!(verifier.verify(token.as_bytes(), NOW).is_ok());
        let parts: Vec<_> = token.split('.').collect();
        for (index, part) in parts.iter().enumerate() {
            let respelled = [
                format!("{part}{}", "=".repeat((4 - part.len() % 4) % 4)),
                format!("{part}="),
                part.replace('-', "+").replace('_', "/"),
                format!("{part}\n"),
                format!(" {part}"),
                with_stray_bits(part),
                part.replace('A', "%41"),
            ];
            for other in respelled.into_iter().filter(|other| other != part) {
                spellings += 1;
                let mut parts = parts.clone();
                parts[index] = &other;
                let refused = verifier.verify(parts.join(".").as_bytes(), NOW).err();
                assert_eq!(refused, Some(MalformedToken), "part {index}: {other}");
            }
        }
    }
    assert!(spellings > 40, "{spellings}");
}

/// Sets the bits of the last character that no byte uses.
fn with_stray_bits(part: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = part.as_bytes().to_vec();
    let stray = [0, 0, 0b1111, 0b11][part.len() % 4];
    if let Some(last) = bytes.last_mut() {
        let value = ALPHABET.iter().position(|known| known == last).expect("base64url");
        *last = ALPHABET[value | stray];
    }
    String::from_utf8(bytes).expect("ASCII")
}

/// Generates JSON values of every kind, many of them close to valid claims.
fn json() -> impl Strategy<Value = String> {
    let seconds = NOW - 4_000..NOW + 4_000;
    prop_oneof![
        4 => seconds.clone().prop_map(|seconds| seconds.to_string()),
        2 => (seconds, 0u32..1_000).prop_map(|(s, f)| format!("{s}.{f:03}")),
        2 => any::<u64>().prop_map(|number| number.to_string()),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_filter("JSON", |f| f.is_finite()).prop_map(|f| f.to_string()),
        1 => prop_oneof![Just("null"), Just("true"), Just("[]"), Just("{}")].prop_map(str::to_owned),
        4 => prop_oneof![Just("a"), Just("api"), Just("user-1"), Just("")]
            .prop_map(|text| format!("{text:?}")),
        1 => any::<String>().prop_map(|text| serde_json::to_string(&text).expect("JSON")),
        2 => prop::collection::vec(prop_oneof![Just("\"api\""), Just("\"b\""), Just("1")], 0..4)
            .prop_map(|elements| format!("[{}]", elements.join(","))),
    ]
}

fn claim() -> impl Strategy<Value = (&'static str, Option<String>)> {
    let name = prop::sample::select(vec!["exp", "nbf", "iat", "iss", "aud", "uid", "jti", "role"]);
    (name, prop::option::weighted(0.8, json()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_refused_without_panic(bytes: Vec<u8>) {
        prop_assert!(Verifier::new(ring(), strict()).verify(&bytes, NOW).is_err());
    }

    #[test]
    fn any_parts_are_judged_without_panic(
        header in prop_oneof![any::<Vec<u8>>(), Just(b"{\"alg\":\"HS256\"}".to_vec())],
        payload: Vec<u8>,
        seconds: u64,
    ) {
        let (header, payload) = (URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let key = HS256Key::from_bytes(SECRET);
        let token = signed(&format!("{header}.{payload}"), |input| key.authentication_tag(input));
        let _ = Verifier::new(ring(), strict()).verify(token.as_bytes(), seconds);
    }

    #[test]
    fn several_mutations_are_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let token = sound().into_bytes();
        let mut mutated = token.clone();
        for (at, byte) in edits {
            mutated[at.index(token.len())] = byte;
        }
        let accepted = Verifier::new(ring(), strict()).verify(&mutated, NOW).is_ok();
        prop_assert_eq!(accepted, mutated == token);
    }

    #[test]
    fn a_strict_reference_accepts_every_accepted_token(
        claims in prop::collection::vec(claim(), 0..3),
        seconds in prop_oneof![Just(NOW), any::<u64>()],
    ) {
        let mut builder = token().claim("iss", "\"a\"").claim("aud", "\"api\"").claim("uid", 7);
        for (name, json) in &claims {
            builder = match json {
                Some(json) => builder.claim(name, json),
                None => builder.without(name),
            };
        }
        let token = builder.sign();
        let verifier = Verifier::new(ring(), strict());
        // The reference checks only at one time. At any other time, the verifier must not panic.
        let accepted = verifier.verify(token.as_bytes(), seconds).is_ok();
        if seconds == NOW && accepted {
            prop_assert!(reference_accepts(&token, &strict()), "{:?}", claims);
        }
        // A token from the cache gets the same verdict.
        prop_assert_eq!(verifier.verify(token.as_bytes(), seconds).is_ok(), accepted);
    }
}

#[test]
fn the_reference_distinguishes_good_from_bad_tokens() {
    let cases = [
        (sound(), true),
        (format!("{}=", sound()), false),
        (token().claim("iss", "\"b\"").sign(), false),
        (sound().replace("eyJ", "eyK"), false),
    ];
    for (token, expected) in cases {
        assert_eq!(reference_accepts(&token, &strict()), expected, "{token}");
    }
}
