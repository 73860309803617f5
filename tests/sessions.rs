//! Promise: a sign-out ends the whole session of its token, on every worker and every proxy, and no
//! other session; a sign-in after its response works at once, also with the same session id.
//! Method: real Envoys with two workers, tokens with `sid` and `iss`, the real service.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{HttpResponse, Request, Testbed, Token, eventually, unix_seconds};

#[test]
fn a_sign_out_ends_its_session_on_every_worker_and_proxy() {
    let bed = Testbed::start();
    let other = bed.another_envoy();
    let [tab, refreshed, phone] = ["a", "a", "b"].map(|sid| of_session("ada", sid));
    assert_eq!(bed.envoy.send(&sign_out(&tab)).status, 200);
    for worker in &mut bed.envoy.connection_per_worker() {
        for token in [&tab, &refreshed] {
            assert_revoked(&worker.send(&page(token)));
        }
        assert_eq!(worker.send(&page(&phone)).status, 200, "another session");
    }
    eventually(SOON, || other.get("/page", &refreshed).code() == "revoked");
    assert_eq!(other.get("/page", &phone).status, 200);
    assert_eq!(kinds(&bed), ["token", "user"]);
}

#[test]
fn a_sign_in_right_after_the_response_works_with_the_same_session() {
    let bed = Testbed::start();
    let mut connection = bed.envoy.connect();
    let mut token = of_session("ada", "a");
    for round in 0..5 {
        assert_eq!(connection.send(&sign_out(&token)).status, 200);
        let next = of_session("ada", "a");
        assert_eq!(connection.send(&page(&next)).status, 200, "round {round}");
        assert_revoked(&connection.send(&page(&token)));
        token = next;
    }
}

#[test]
fn an_expired_token_ends_its_session() {
    let bed = Testbed::start();
    let live = of_session("ada", "a");
    let expired = changed(&claims("ada", "a"), |claims| {
        claims["iat"] = json!(unix_seconds() - 7_200);
        claims["exp"] = json!(unix_seconds() - 3_600);
    });
    assert_eq!(bed.envoy.send(&sign_out(&expired.forged())).status, 200);
    assert_eq!(bed.envoy.get("/page", &live).status, 200);
    assert_eq!(bed.envoy.send(&sign_out(&expired)).status, 200);
    assert_revoked(&bed.envoy.get("/page", &live));
    let again = of_session("ada", "a");
    assert_eq!(bed.envoy.send(&sign_out(&expired)).status, 200);
    assert_eq!(bed.envoy.get("/page", &again).status, 200, "a replay ends nothing");
}

#[test]
fn a_token_without_iat_is_revoked_alone() {
    let bed = Testbed::start();
    let without_iat = |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove("iat"));
    let token = changed(&claims("ada", "a"), without_iat);
    let [other, dated] = [changed(&claims("ada", "a"), without_iat), of_session("ada", "a")];
    assert_eq!(bed.envoy.send(&sign_out(&token)).status, 200);
    assert_revoked(&bed.envoy.get("/page", &token));
    for live in [&other, &dated] {
        assert_eq!(bed.envoy.get("/page", live).status, 200);
    }
    assert_eq!(kinds(&bed), ["token"]);
}

#[test]
fn a_cutoff_of_a_service_that_is_down_is_delivered_later() {
    let mut bed = Testbed::start();
    let other = bed.another_envoy();
    let [tab, refreshed] = ["a", "a"].map(|sid| of_session("ada", sid));
    bed.service.kill();
    assert_eq!(bed.envoy.send(&sign_out(&tab)).status, 200);
    assert_revoked(&bed.envoy.get("/page", &refreshed));
    bed.service.restart();
    eventually(SOON, || other.get("/page", &refreshed).code() == "revoked");
    assert_eq!(kinds(&bed), ["token", "user"]);
}

#[test]
fn equal_session_and_user_ids_of_two_issuers_are_different() {
    let bed = Testbed::start();
    let of_issuer = |issuer: &str| {
        changed(&claims("ada", "a"), |claims| {
            claims["iss"] = json!(issuer);
            claims["jti"] = json!("1");
        })
    };
    let [one, two] = ["https://one.example", "https://two.example"].map(of_issuer);
    let both = page(&one).cookie(&two);
    assert_eq!(bed.envoy.send(&both).code(), "conflicting_tokens");
    assert_eq!(bed.envoy.send(&sign_out(&one)).status, 200);
    assert_revoked(&bed.envoy.get("/page", &one));
    assert_eq!(bed.envoy.get("/page", &two).status, 200);
    bed.service.revoke(&json!({"user_id": "ada"}));
    eventually(SOON, || bed.envoy.get("/page", &two).code() == "revoked");
}

#[test]
fn the_claims_of_user_and_session_may_be_inside_others() {
    let bed = Testbed::with(|configuration| {
        configuration.filter["claims"]["user_id"] = json!(["user", "id"]);
        configuration.filter["claims"]["session_id"] = json!(["session", "id"]);
        configuration.filter["forward"]["claims"] =
            json!([{"claim": ["user", "roles"], "header": "x-roles"}]);
    });
    let token = |session: &str| {
        changed(&claims("unused", "unused"), |claims| {
            claims["user"] = json!({"id": "ada", "roles": ["admin", "staff"]});
            claims["session"] = json!({"id": session});
        })
    };
    let [tab, refreshed, phone] = ["a", "a", "b"].map(token);
    let seen = bed.envoy.get("/page", &tab);
    let header = |name: &str| seen.seen().header(name).map(str::to_owned);
    assert_eq!(header("x-user-id").as_deref(), Some("ada"));
    assert_eq!(header("x-roles").as_deref(), Some("admin,staff"));
    assert_eq!(bed.envoy.send(&sign_out(&tab)).status, 200);
    assert_revoked(&bed.envoy.get("/page", &refreshed));
    assert_eq!(bed.envoy.get("/page", &phone).status, 200);
}

fn claims(user: &str, sid: &str) -> Value {
    let mut claims = Token::claims_of(user);
    claims["sid"] = json!(sid);
    claims
}

fn of_session(user: &str, sid: &str) -> Token {
    Token::with(&claims(user, sid))
}

fn changed(claims: &Value, change: impl FnOnce(&mut Value)) -> Token {
    let mut claims = claims.clone();
    change(&mut claims);
    Token::with(&claims)
}

/// The kinds of the records that the service holds.
fn kinds(bed: &Testbed) -> Vec<String> {
    let records = bed.service.records();
    let mut kinds: Vec<_> =
        records.iter().map(|record| record["kind"].as_str().unwrap().to_owned()).collect();
    kinds.sort_unstable();
    kinds
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

fn sign_out(token: &Token) -> Request {
    Request::post("/sign-out").bearer(token)
}

#[track_caller]
fn assert_revoked(answer: &HttpResponse) {
    assert_eq!((answer.status, answer.code().as_str()), (401, "revoked"));
}

const SOON: Duration = Duration::from_secs(30);
