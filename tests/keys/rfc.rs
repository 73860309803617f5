//! The examples of RFC 7515, 7520 and 8037, and their verdicts.
//!
//! `rfc.json` contains each example with its key. The payload of most is a sentence, so the filter
//! refuses them as malformed. `core/src/keys/jwk/tests.rs` tests that their signatures verify. Here
//! each whole token is checked, together with variants that differ only in the signature or the
//! payload.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use session_guard_core::config::Config;
use session_guard_core::refusal::Refusal::*;
use session_guard_core::token::Verifier;

use crate::table::{flipped, with_signature};
use crate::{KeyCase, KeyVerdict, NOW};

/// Returns a configuration with the public keys of all examples whose algorithm the filter
/// supports.
pub(crate) fn filter() -> Value {
    let keys: Vec<_> = examples().into_iter().map(|example| example["key"].clone()).collect();
    let ours = keys.into_iter().filter(|key| key["kty"] != "oct" && key["crv"] != "P-521");
    json!({
        "keys": [{"jwks": {"inline": {"keys": ours.collect::<Vec<_>>()}}}],
        "claims": {"user_id": null, "required": []},
        "forged_token_milliseconds_per_second": 400,
        "routes": [{"path": "/.session-guard/ready", "access": "ready"}],
        "revocation": {"upstream": {"token": {"inline": testbed::SIGNOUT_TOKEN}}},
    })
}

pub(crate) fn cases() -> Vec<KeyCase> {
    let mut cases = vec![];
    for example in examples() {
        let [name, token] = ["name", "token"].map(|field| example[field].as_str().expect("text"));
        let (as_it_is, bent) = match name {
            "RFC 7515 A.2" | "RFC 7515 A.3" => (Expired, BadSignature), // it expired in 2011
            "RFC 7515 A.1" => (UnsupportedAlgorithm, UnsupportedAlgorithm), // no secret is configured
            _ => (MalformedToken, MalformedToken), // the payload is a sentence
        };
        let with_claims = match &example["key"] {
            key if key["kty"] == "oct" || key["crv"] == "P-521" => UnsupportedAlgorithm,
            _ => BadSignature,
        };
        cases.push((name.to_owned(), token.to_owned(), Err(as_it_is)));
        for (place, flipped) in flipped(token, 32).into_iter().enumerate() {
            cases.push((format!("{name}, bit {place} of 32"), flipped, Err(bent)));
        }
        let cut = with_signature(token, |signature| signature.truncate(signature.len() - 1));
        cases.push((format!("{name}, a byte less"), cut, Err(bent)));
        let claims = with_payload(token, r#"{"sub":"eve"}"#);
        cases.push((format!("{name}, other claims"), claims, Err(with_claims)));
    }
    cases.extend(unsigned());
    cases
}

/// Returns tokens without a usable signature: RFC 7515 A.5 (the same token as in RFC 7519 §6.1), E
/// and F, and an encrypted token (RFC 7516 §3.1).
fn unsigned() -> [KeyCase; 4] {
    let claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let critical = URL_SAFE_NO_PAD.encode(
        "{\"alg\":\"none\",\r\n \"crit\":[\"http://example.invalid/UNDEFINED\"],\r\n \
         \"http://example.invalid/UNDEFINED\":true\r\n}",
    );
    let detached = |token: &str| with_payload(token, "");
    let rs256 = examples()[1]["token"].as_str().expect("text").to_owned();
    let case = |name: &str, token, refusal| (name.to_owned(), token, KeyVerdict::Err(refusal));
    [
        case("RFC 7515 A.5", format!("eyJhbGciOiJub25lIn0.{claims}."), UnsupportedAlgorithm),
        case("RFC 7515 E", format!("{critical}.RkFJTA."), MalformedToken),
        case("RFC 7515 F", detached(&rs256), MalformedToken),
        case(
            "RFC 7516",
            "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AA.AA.AA".to_owned(),
            MalformedToken,
        ),
    ]
}

#[test]
fn examples_with_claims_are_admitted_before_their_exp() {
    let config = Config::parse(filter().to_string().as_bytes(), &|_| None).expect("loads");
    let verifier = Verifier::new(config.keys, config.policy);
    for example in &examples()[1..3] {
        let token = example["token"].as_str().expect("text").as_bytes();
        let verdict = |now| verifier.verify(token, now).map(drop);
        assert_eq!(verdict(EXP - 1), Ok(()), "{}", example["name"]);
        assert_eq!(verdict(EXP + SKEW_SECONDS), Err(Expired), "{}", example["name"]);
        assert_eq!(verdict(NOW), Err(Expired), "{}", example["name"]);
    }
}

#[test]
fn the_secrets_of_the_examples_do_not_load() {
    for example in examples().iter().filter(|example| example["key"]["kty"] == "oct") {
        let jwk = &example["key"];
        let forms = [
            json!({"jwks": {"inline": {"keys": [jwk]}}}),
            json!({"algorithm": "HS256", "secret": {"inline": jwk["k"], "encoding": "base64url"}}),
            json!({"algorithm": "HS256", "secret": {"inline": jwk["k"]}}),
        ];
        for key in forms {
            let text = json!({"keys": [key]}).to_string();
            let error = Config::parse(text.as_bytes(), &|_| None).expect_err("known");
            assert_eq!(error.problem, "is publicly known", "{}: {text}", example["name"]);
        }
    }
}

fn with_payload(token: &str, payload: &str) -> String {
    let parts: Vec<_> = token.split('.').collect();
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(payload), parts[2])
}

fn examples() -> Vec<Value> {
    serde_json::from_str(include_str!("rfc.json")).expect("a list")
}

/// `exp` of the examples RFC 7515 A.1 to A.3.
const EXP: u64 = 1_300_819_380;
const SKEW_SECONDS: u64 = 60;
