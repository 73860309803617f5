//! Promise: a signature means the same wherever it is verified: by our own code, or by Envoy's
//! function, which the module asks; and each key verifies its one algorithm alone.
//! Method: one table of tokens that OpenSSL signed (`fixtures.py`) and of the examples of the RFCs, bent
//! in every way, judged natively, by keys in PEM and as JWKs, and by the module in Envoy.

mod bent;
mod peer;
mod rfc;
mod table;

use std::time::Duration;

use serde_json::{Value, json};
use session_guard_core::config::Config;
use session_guard_core::refusal::Refusal;
use session_guard_core::token::Verifier;
use table::{filter, flipped, keys_in_pem, token};
use testbed::{Configuration, Request, Testbed, Token, eventually};

/// Admitted, or why not.
type Verdict = Result<(), Refusal>;

/// Name, token, verdict.
type Case = (String, String, Verdict);

#[test]
fn each_token_gets_its_verdict_natively() {
    for (set, filter, cases) in table::sets() {
        let config = Config::parse(filter.to_string().as_bytes(), &|_| None);
        let config = config.expect("a sound configuration");
        let verifier = Verifier::new(config.keys, config.policy);
        for (name, token, expected) in &cases {
            let verdict = verifier.verify(token.as_bytes(), NOW).map(drop);
            assert_eq!(verdict, *expected, "{set}: {name}");
        }
        println!("{set}: {} tokens", cases.len());
    }
}

#[test]
fn each_token_gets_the_same_verdict_in_envoy() {
    for (set_name, filter, cases) in table::sets() {
        let bed = Testbed::with(|configuration| set(configuration, filter));
        let mut connection = bed.envoy.connect();
        for (name, token, expected) in cases {
            let answer = connection.send(&Request::get("/page").bearer(&Token::text(&token)));
            let status = expected.map_or(401, |()| 200);
            assert_eq!(answer.status, status, "{set_name}: {name}: {answer:?}");
            if let Err(refusal) = expected {
                assert_eq!(answer.json()["code"], refusal.answer().code, "{set_name}: {name}");
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

#[test]
fn junk_that_costs_too_much_does_not_keep_a_known_token_alive() {
    let mut filter = filter(keys_in_pem());
    filter["slow_verifications_per_second"] = json!(1);
    filter["token_sources"] = json!([{"header": "authorization"}, {"cookie": "token"}]);
    filter["routes"] = json!([
        {"path": "/.session-guard/ready", "access": "ready"},
        {"path": "/signout", "access": "signout"},
    ]);
    let bed = Testbed::with(|configuration| set(configuration, filter));
    let mut connection = bed.envoy.connect();
    let own = token("ES256");
    let page = || Request::get("/page").header("authorization", &own);
    assert_eq!(connection.send(&page()).status, 200);
    let junk = flipped(&token("EdDSA"), 30);
    let sign_out = junk.iter().fold(Request::post("/signout"), |request, token| {
        request.header("cookie", format!("token={token}"))
    });
    bed.application.forget();
    assert_eq!(connection.send(&sign_out.header("authorization", &own)).status, 503);
    assert_eq!(bed.application.seen().len(), 0, "not forwarded");
    assert_eq!(connection.send(&page()).code(), "revoked");
    let id = Token::text(&own).record_id();
    eventually(Duration::from_secs(10), || {
        bed.service.records().iter().any(|record| record["id"] == id)
    });
}

fn set(configuration: &mut Configuration, filter: Value) {
    configuration.filter = filter;
}

const NOW: u64 = 1_795_332_120;
