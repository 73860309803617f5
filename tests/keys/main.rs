//! Promise: our own code and Envoy's function, which the module calls, give the same verdict on every
//! signature; each key verifies only its own algorithm; forged tokens take a bounded share of a worker.
//! Method: one table of tokens that OpenSSL signed (`fixtures.py`) and of the RFCs' examples, changed in
//! many ways, verified natively, with keys in PEM and as JWKs, and by the module in Envoy.

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

/// Admitted, or the refusal.
type KeyVerdict = Result<(), Refusal>;

/// A name, a token and its verdict.
type KeyCase = (String, String, KeyVerdict);

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
            let request = Request::get("/page").bearer(&Token::text(&token));
            let mut answer = connection.send(&request);
            while answer.status == 503 {
                answer = connection.send(&request); // the budget for forged tokens refills
            }
            let status = expected.map_or(401, |()| 200);
            assert_eq!(answer.status, status, "{set_name}: {name}: {answer:?}");
            if let Err(refusal) = expected {
                assert_eq!(answer.json()["code"], refusal.answer().code, "{set_name}: {name}");
            }
        }
    }
}

#[test]
fn forged_tokens_get_a_bounded_share_of_a_worker() {
    let mut filter = filter(keys_in_pem());
    filter["forged_token_milliseconds_per_second"] = json!(1);
    let bed = Testbed::with(|configuration| set(configuration, filter));
    let mut connection = bed.envoy.connect();
    let mut status =
        |token: &str| connection.send(&Request::get("/page").bearer(&Token::text(token))).status;
    for (algorithm, is_slow) in
        [("RS256", false), ("ES256", false), ("PS256", true), ("ES384", true), ("EdDSA", true)]
    {
        let genuine = token(algorithm);
        while status(&genuine) == 503 {} // until the budget has refilled
        let statuses: Vec<_> = flipped(&genuine, 30).iter().map(|token| status(token)).collect();
        assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{statuses:?}");
        assert_eq!(statuses.contains(&503), is_slow, "{algorithm}: {statuses:?}");
        assert_eq!(status(&genuine), 200, "{algorithm}: a known token needs no check");
    }
}

#[test]
fn a_sign_out_that_cannot_be_checked_now_is_refused() {
    let filter = with_little_budget();
    let bed = Testbed::with(|configuration| set(configuration, filter));
    let mut connection = bed.envoy.connect();
    let mut status = |request: Request, token: &str| {
        connection.send(&request.bearer(&Token::text(token))).status
    };
    // The budget may refill between the last forged token and the sign-out, but not every time.
    let genuine = ["PS512", "PS384", "PS256", "EdDSA"].map(token).into_iter().find(|genuine| {
        let forged = flipped(genuine, 30);
        let mut forged = forged.iter();
        while status(Request::post("/signout"), forged.next().expect("enough")) != 503 {}
        bed.application.forget();
        status(Request::post("/signout"), genuine) == 503
    });
    let genuine = genuine.expect("a sign-out that was refused");
    assert_eq!(bed.application.seen().len(), 0, "not forwarded");
    while status(Request::post("/signout"), &genuine) == 503 {} // until the budget has refilled
    assert_eq!(bed.application.seen().len(), 1);
    assert_eq!(status(Request::get("/page"), &genuine), 401);
}

#[test]
fn forged_tokens_for_pages_refuse_no_sign_out() {
    let filter = with_little_budget();
    let bed = Testbed::with(|configuration| set(configuration, filter));
    let mut connection = bed.envoy.connect();
    let mut status = |request: Request, token: &str| {
        connection.send(&request.bearer(&Token::text(token))).status
    };
    for algorithm in ["EdDSA", "ES384", "PS256"] {
        let genuine = token(algorithm);
        let statuses: Vec<_> = flipped(&genuine, 30)
            .iter()
            .map(|token| status(Request::get("/page"), token))
            .collect();
        assert!(statuses.contains(&503), "{algorithm}: {statuses:?}");
        assert_eq!(status(Request::post("/signout"), &genuine), 200, "{algorithm}");
        assert_eq!(status(Request::get("/page"), &genuine), 401, "{algorithm}: it is revoked");
    }
    eventually(Duration::from_secs(10), || bed.envoy.metric("signature_checks_refused") > 0);
}

#[test]
fn forged_tokens_do_not_keep_a_known_token_alive() {
    let mut filter = with_little_budget();
    filter["token_sources"] = json!([{"header": "authorization"}, {"cookie": "token"}]);
    let bed = Testbed::with(|configuration| set(configuration, filter));
    let mut connection = bed.envoy.connect();
    let own = token("ES256");
    let page = || Request::get("/page").header("authorization", &own);
    assert_eq!(connection.send(&page()).status, 200);
    let forged = flipped(&token("EdDSA"), 30);
    let sign_out = forged.iter().fold(Request::post("/signout"), |request, token| {
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

/// Returns a configuration with a sign-out route in which forged tokens soon use up their budget.
fn with_little_budget() -> Value {
    let mut filter = filter(keys_in_pem());
    filter["forged_token_milliseconds_per_second"] = json!(1);
    filter["routes"] = json!([
        {"path": "/.session-guard/ready", "access": "ready"},
        {"path": "/signout", "access": "signout"},
    ]);
    filter
}

fn set(configuration: &mut Configuration, filter: Value) {
    configuration.filter = filter;
}

const NOW: u64 = 1_795_332_120;
