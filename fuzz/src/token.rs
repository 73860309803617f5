//! Promise: a verified token was signed by our key, is in the only valid encoding, and satisfies
//! the policy. The refusal of a forged token reveals nothing about its claims.
//!
//! Input: a byte, then a token (if the byte is 0), or header and payload as JSON texts separated by
//! NUL (otherwise), which the check signs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use session_guard_core::config::Config;
use session_guard_core::refusal::Refusal;
use session_guard_core::token::{VerifiedToken, Verifier};

use crate::moment::{NOW, SECRET, signed};

/// Checks the promise for an input.
pub fn check(input: &[u8]) {
    match input {
        [0, token @ ..] => as_sent(token),
        [_, parts @ ..] => {
            let at = parts.iter().position(|byte| *byte == 0).unwrap_or(parts.len());
            let (header, payload) = parts.split_at(at);
            as_signed(header, payload.get(1..).unwrap_or_default());
        }
        [] => {}
    }
}

fn as_sent(token: &[u8]) {
    let Ok(verified) = verifier().verify(token, NOW.unix_seconds) else { return };
    let text = std::str::from_utf8(token).expect("base64url and dots");
    let (input, signature) = text.rsplit_once('.').expect("a signature");
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), SECRET.as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(tag), signature, "signed by our key");
    let parts = input.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("base64url"));
    let [header, payload] = &parts.collect::<Vec<_>>()[..] else { panic!("two parts are signed") };
    assert_eq!(signed(header, payload), text, "the one spelling");
    says_what_it_must(header, payload, &verified);
}

fn as_signed(header: &[u8], payload: &[u8]) {
    let token = signed(header, payload);
    let forged = with_another_signature(&token);
    let verifier = verifier();
    let refusal_of_forged = verifier.verify(forged.as_bytes(), NOW.unix_seconds).err();
    match verifier.verify(token.as_bytes(), NOW.unix_seconds) {
        Ok(verified) => {
            assert_eq!(refusal_of_forged, Some(Refusal::BadSignature));
            says_what_it_must(header, payload, &verified);
            for other in [format!("{token}="), format!("{token}."), format!(" {token}")] {
                let refusal = verifier.verify(other.as_bytes(), NOW.unix_seconds).err();
                assert_eq!(refusal, Some(Refusal::MalformedToken), "after the sound one");
            }
            let again = verifier.verify(token.as_bytes(), NOW.unix_seconds).expect("known by now");
            assert_eq!(again.record_id(), verified.record_id());
            let later = verified.exp().expect("required") + SKEW_SECONDS;
            let refusal = verifier.verify(token.as_bytes(), later).err();
            assert_eq!(refusal, Some(Refusal::Expired), "known or not");
        }
        Err(refusal) if refusal < Refusal::BadSignature => {
            assert_eq!(refusal_of_forged, Some(refusal));
        }
        Err(Refusal::BadSignature) => assert_ne!(algorithm(header).as_deref(), Some("HS256")),
        Err(_) => assert_eq!(refusal_of_forged, Some(Refusal::BadSignature), "nothing is told"),
    }
}

/// Checks the accepted token with another parser.
fn says_what_it_must(header: &[u8], payload: &[u8], verified: &VerifiedToken) {
    let object = |json| serde_json::from_slice::<Map<String, Value>>(json);
    // serde_json cannot represent a number out of range; no policy requires one.
    let (Ok(header), Ok(claims)) = (object(header), object(payload)) else { return };
    assert_eq!(header["alg"], "HS256");
    assert!(["crit", "b64", "zip", "enc"].iter().all(|name| !header.contains_key(*name)));
    assert!(header.get("kid").is_none_or(|kid| kid == "a"));

    let now = NOW.unix_seconds as f64;
    let skew = SKEW_SECONDS as f64;
    let time = |name| claims.get(name).map(|time| time.as_f64().expect("a number"));
    assert!(time("exp").is_some_and(|exp| now < exp + skew));
    assert!([time("nbf"), time("iat")].into_iter().flatten().all(|begin| begin < now + skew + 1.0));
    assert_eq!(claims["iss"], "https://id.example");
    let names_us = |audience: &Value| audience == "api" || audience == "web";
    assert!(claims["aud"].as_array().map_or(names_us(&claims["aud"]), |l| l.iter().any(names_us)));
    assert!(claims["jti"].as_str().is_some_and(|jti| (1..=256).contains(&jti.len())));
    assert!(!claims["tenant"].is_null());

    let user = verified.user().expect("a user").id();
    match &claims["sub"] {
        Value::String(id) => assert_eq!(**id, **user),
        Value::Number(id) => assert_eq!(*id.to_string(), **user),
        other => panic!("{other} is no user id"),
    }
    for text in [Some(user), verified.claim(&"role".into())].into_iter().flatten() {
        assert!(!text.contains(char::is_control) && text.trim() == &**text, "{text:?} in a header");
        assert!(text.len() <= 1_024);
    }
}

fn algorithm(header: &[u8]) -> Option<String> {
    let header: Value = serde_json::from_slice(header).ok()?;
    Some(header.get("alg")?.as_str()?.to_owned())
}

fn with_another_signature(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').expect("a signature");
    let mut tag = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    tag[0] ^= 1;
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}

thread_local! {
    static CONFIG: Config =
        Config::parse(include_bytes!("token.json"), &|_| None).expect("a sound configuration");
}

/// Returns a verifier with an empty cache.
fn verifier() -> Verifier {
    CONFIG.with(|config| Verifier::new(config.keys.clone(), config.policy.clone()))
}

const SKEW_SECONDS: u64 = 60;
