//! Promise: a protected route admits only genuine tokens. Every other token is refused with the
//! code of its first defect.
//! Method: one table of tokens with their verdicts, checked natively and by the module in Envoy.

mod peer;
mod seeds;
mod shown;
mod table;

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use session_guard_core::config::Config;
use session_guard_core::headers::Headers;
use session_guard_core::refusal::Objection;
use session_guard_core::refusal::Refusal::*;
use session_guard_core::request::sources::Sources;
use session_guard_core::token::Verifier;
use shown::{answer, shown};
use table::{ADA, Draft, TokenCase, TokenVerdict, cases, filter, spellings, times};
use testbed::{Request, Shared, Testbed, Token, until};

static BED: Shared<Testbed> = Shared::new(start);

fn start() -> Testbed {
    Testbed::with(|configuration| configuration.filter = filter())
}

#[test]
fn each_token_gets_its_verdict_natively() {
    let (_, verifier) = sources_and_verifier();
    for (name, token, expected) in cases(NOW).into_iter().chain(times(NOW)) {
        let verdict = verifier.verify(token.as_bytes(), NOW);
        let user = verdict.as_ref().map(|token| token.user().map_or("", |user| user.id()));
        assert_eq!(user.map_err(|refusal| *refusal), expected, "{name}");
    }
}

#[test]
fn each_token_gets_the_same_verdict_in_envoy() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    for (name, token, expected) in cases(unix_seconds()) {
        for time in ["the first time", "the second time"] {
            let request = Request::get("/page").bearer(&Token::text(&token));
            assert_eq!(shown(&connection.send(&request)), answer(expected), "{name}, {time}");
        }
    }
}

#[test]
fn each_public_key_admits_only_its_own_tokens() {
    let keys = public_keys();
    let bed = Testbed::with(|configuration| {
        let key =
            |key: &PublicKeyCase| json!({"algorithm": key.algorithm, "public_key_pem": key.pem});
        configuration.filter["keys"] = keys.iter().map(key).collect();
        configuration.filter["claims"]["user_id"] = json!("sub");
    });
    let mut connection = bed.envoy.connect();
    for PublicKeyCase { algorithm, pem, token } in &keys {
        let mut ask = |token| connection.send(&Request::get("/page").bearer(&token));
        assert_eq!(shown(&ask(Token::text(token))), answer(ADA), "{algorithm}");
        assert_eq!(shown(&ask(forged(token))), answer(Err(BadSignature)), "{algorithm}");
        // The text of the public key as an HMAC secret, with the HMAC's `alg` and with the key's.
        for (name, why) in [("HS256", UnsupportedAlgorithm), (algorithm.as_str(), BadSignature)] {
            let header = json!({"alg": name}).to_string();
            let confused = Token::signed(&header, r#"{"sub":"eve"}"#, pem);
            assert_eq!(shown(&ask(confused)), answer(Err(why)), "{algorithm} as {name}");
        }
    }
}

#[test]
fn tokens_for_another_use_and_bound_tokens_are_refused() {
    let bed = Testbed::with(|configuration| {
        configuration.filter["claims"]["values"] = json!({"token_use": ["access"]});
        configuration.filter["claims"]["bound_tokens"] = json!("refuse");
    });
    let with = |more: &[(&str, serde_json::Value)]| {
        let mut claims = Token::claims_of("ada");
        more.iter().for_each(|(name, value)| claims[name] = value.clone());
        bed.envoy.get("/page", &Token::with(&claims))
    };
    let access = ("token_use", json!("access"));
    assert_eq!(with(std::slice::from_ref(&access)).status, 200);
    for more in [
        &[][..],
        &[("token_use", json!("id"))],
        &[access.clone(), ("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}))],
    ] {
        let answer = with(more);
        assert_eq!((answer.status, &*answer.code()), (401, "bad_claims"), "{more:?}");
    }
}

#[test]
fn times_are_exact_to_the_second_in_envoy() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    let mut verdicts = |now| -> Vec<_> {
        let send = |(name, token, expected): TokenCase| {
            let request = Request::get("/page").bearer(&Token::text(&token));
            (name, shown(&connection.send(&request)), answer(expected))
        };
        times(now).into_iter().map(send).collect()
    };
    for (name, shown, expected) in in_one_second(&mut verdicts) {
        assert_eq!(shown, expected, "{name}");
    }
}

#[test]
fn another_spelling_of_an_admitted_token_is_refused() {
    let bed = BED.get();
    let mut connection = bed.envoy.connect();
    let token = Draft::new(unix_seconds()).sign();
    let mut status =
        |token: &str| connection.send(&Request::get("/page").bearer(&Token::text(token))).status;
    assert_eq!(status(&token), 200);
    for (name, spelling) in spellings(&token) {
        assert_eq!(status(&spelling), 401, "{name}");
    }
    assert_eq!(status(&token), 200);
}

#[test]
fn every_verdict_is_counted_once_and_logged() {
    let bed = start();
    let (sources, verifier) = sources_and_verifier();
    let before = counters(&bed);
    let mut connection = bed.envoy.connect();
    let (mut counts, mut log) = (before.clone(), String::new());
    for (index, (_, token, verdict)) in cases(unix_seconds()).into_iter().enumerate() {
        let path = format!("/case-{index}");
        connection.send(&Request::get(&path).bearer(&Token::text(&token)));
        *counts.iter_mut().find(|(name, _)| *name == counter(verdict)).map(|(_, n)| n).unwrap() +=
            1;
        writeln!(log, "GET {path} {}", details(&sources, &verifier, &token)).unwrap();
    }
    let sum = |counts: &[(String, u64)]| counts.iter().map(|(_, n)| n).sum::<u64>();
    let counted = || Some(counters(&bed)).filter(|now| sum(now) >= sum(&counts));
    assert_eq!(until(WITHIN, counted), counts);
    until(WITHIN, || (logged(&bed).lines().count() >= log.lines().count()).then_some(()));
    assert_eq!(logged(&bed), log);
    // The claim is named for the operator, who cannot see the token.
    assert!(log.contains("401 session_guard_bad_claims:exp\n"), "{log}");
    let line = "a request got 401 (bad_claims:exp): the token";
    until(WITHIN, || bed.envoy.log().contains(line).then_some(()));
}

/// A key and a token that it signed for `ada`, with an `exp` in the far future.
struct PublicKeyCase {
    algorithm: String,
    pem: String,
    token: String,
}

/// Reads keys and tokens that were made once with OpenSSL, which is not the code under test. The
/// private keys were not kept.
fn public_keys() -> Vec<PublicKeyCase> {
    let keys: serde_json::Value =
        serde_json::from_str(include_str!("../public_keys.json")).expect("JSON");
    let key = |key: &serde_json::Value| {
        let text = |name: &str| key[name].as_str().expect("a text").to_owned();
        let [algorithm, pem, token] = ["algorithm", "public_key_pem", "token"].map(text);
        PublicKeyCase { algorithm, pem, token }
    };
    keys.as_array().expect("a list").iter().map(key).collect()
}

/// Returns a token with the same signature and another user's claims.
fn forged(token: &str) -> Token {
    let [header, _, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("a JWS") };
    let claims = r#"{"sub":"eve","jti":"1","exp":1099511627775}"#;
    Token::text(&format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(claims)))
}

fn counter(verdict: TokenVerdict) -> String {
    let name =
        verdict.map_or_else(|why| format!("refused.{}", why.answer().code), |_| "allowed".into());
    format!("wasmcustom.session_guard.{name}")
}

/// Returns the status and the response code details that the core gives for a token.
fn details(sources: &Sources, verifier: &Verifier, token: &str) -> String {
    let bearer = format!("Bearer {token}");
    let headers = Headers::from_pairs(&[("authorization", &*bearer)]);
    let found = sources.find(&headers).map_err(Objection::from);
    match found.and_then(|_| verifier.examine(token.as_bytes(), unix_seconds())) {
        Ok(_) => "200 via_upstream".to_owned(),
        Err(objection) => format!("401 session_guard_{}", objection.name()),
    }
}

fn sources_and_verifier() -> (Sources, Verifier) {
    let config = Config::parse(filter().to_string().as_bytes(), &|_| Some("t".repeat(40)));
    let config = config.expect("a sound configuration");
    (config.sources, Verifier::new(config.keys, config.policy))
}

fn counters(bed: &Testbed) -> Vec<(String, u64)> {
    let is_verdict = |name: &str| name.contains(".allowed") || name.contains(".refused.");
    let mut counters = bed.envoy.stats("wasmcustom.session_guard.");
    counters.retain(|(name, _)| is_verdict(name));
    counters
}

/// Returns method, path, status and details of every request for a case, from the access log.
fn logged(bed: &Testbed) -> String {
    let log = bed.envoy.access_log();
    let lines = log.lines().filter(|line| line.contains(" /case-"));
    let fields = |line: &str| line.split(' ').skip(1).take(4).collect::<Vec<_>>().join(" ") + "\n";
    lines.map(fields).collect()
}

/// Repeats `ask` until it begins and ends within the same second.
fn in_one_second<T>(ask: &mut impl FnMut(u64) -> T) -> T {
    loop {
        let now = unix_seconds();
        let answer = ask(now);
        if unix_seconds() == now {
            return answer;
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

const WITHIN: Duration = Duration::from_secs(20);
const NOW: u64 = 1_795_332_120;
