//! Promise: a configuration changes under load without a wrong verdict. The revocation set
//! survives, tokens of a removed key are refused, and a configuration that does not load changes
//! nothing.
//! Method: Envoy reads its listener from a file, which the tests replace while clients send
//! requests, each on a new connection.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{Connection, Fault, Request, SESSION_SECRET, Testbed, Token, eventually, under_load};

#[test]
fn changed_routes_and_claims_keep_the_revocation_set() {
    let mut bed = reloadable();
    let (revoked, live) = (Token::of("ada"), Token::of("ada"));
    bed.envoy.send(&sign_out(&revoked));
    let changed = bed.envoy.reload(|configuration| {
        configuration.filter["claims"]["clock_skew_seconds"] = json!(30);
        configuration.filter["routes"][0] = json!({"path": "/open", "access": "public"});
    });
    assert!(changed);
    eventually(SOON, || bed.envoy.send(&Request::get("/open")).status == 200);
    eventually(SOON, || bed.envoy.send(&Request::get("/")).status == 401);
    bed.network.set(Fault::Refuse); // so that the set cannot be loaded again
    for worker in &mut bed.envoy.connection_per_worker() {
        assert_eq!(worker.send(&page(&revoked)).code(), "revoked");
        assert_eq!(worker.send(&page(&live)).status, 200);
    }
}

#[test]
fn an_undelivered_sign_out_survives_a_renamed_service() {
    let mut bed = reloadable();
    let (revoked, live) = (Token::of("ada"), Token::of("ada"));
    bed.network.set(Fault::Refuse);
    assert_eq!(bed.envoy.send(&sign_out(&revoked)).status, 200);
    assert!(bed.envoy.reload(|configuration| {
        configuration.filter["revocation"]["upstream"]["authority"] = json!("renamed");
    }));
    eventually(SOON, || bed.envoy.get("/page", &live).status == 503); // the new feed is not loaded
    bed.network.set(Fault::None);
    let mut connection = bed.envoy.connect();
    eventually(SOON, || {
        assert_ne!(connection.send(&page(&revoked)).status, 200);
        connection.send(&page(&live)).status == 200
    });
    for worker in &mut bed.envoy.connection_per_worker() {
        assert_eq!(worker.send(&page(&revoked)).code(), "revoked");
    }
    eventually(SOON, || bed.service.holds(&revoked));
}

#[test]
fn a_key_is_rotated_under_load() {
    let mut bed = reloadable();
    let claims = Token::claims_of("ada");
    let (old, new) = (Token::of("ada"), signed_by_the_new_key(&claims));
    let revoked = Token::of("ada");
    bed.envoy.send(&sign_out(&revoked));
    assert_eq!(bed.envoy.get("/page", &new).code(), "bad_signature");
    under_load(&mut bed.envoy, check(&old, &revoked), |envoy| {
        assert!(envoy.reload(|configuration| configuration.filter["keys"] = keys(&[OLD, NEW])));
        eventually(SOON, || envoy.get("/page", &new).status == 200);
    });
    under_load(&mut bed.envoy, check(&new, &revoked), |envoy| {
        assert!(envoy.reload(|configuration| configuration.filter["keys"] = keys(&[NEW])));
        eventually(SOON, || envoy.get("/page", &old).status == 401);
    });
    for worker in &mut bed.envoy.connection_per_worker() {
        eventually(SOON, || worker.send(&page(&old)).code() == "bad_signature");
        assert_eq!(worker.send(&page(&new)).status, 200);
    }
}

#[test]
fn a_configuration_that_does_not_load_changes_nothing() {
    let mut bed = reloadable();
    let (live, revoked) = (Token::of("ada"), Token::of("ada"));
    bed.envoy.send(&sign_out(&revoked));
    for (count, edit) in WRONG.iter().enumerate() {
        assert!(!bed.envoy.reload(|configuration| edit(&mut configuration.filter)));
        assert_eq!(bed.envoy.stat("listener_manager.lds.update_rejected"), count as u64 + 1);
        assert_eq!(bed.envoy.get("/page", &live).status, 200);
        assert_eq!(bed.envoy.get("/page", &revoked).code(), "revoked");
        assert_eq!(bed.envoy.get("/page", &live.forged()).status, 401);
    }
    assert!(
        bed.envoy.reload(|configuration| configuration.filter["default_access"] = json!("public"))
    );
    eventually(SOON, || bed.envoy.send(&Request::get("/page")).status == 200);
}

#[test]
fn twenty_changes_under_load_make_no_wrong_verdict() {
    let mut bed = reloadable();
    let (live, revoked) = (Token::of("ada"), Token::of("ada"));
    bed.envoy.send(&sign_out(&revoked));
    let asked = under_load(&mut bed.envoy, check(&live, &revoked), |envoy| {
        for change in 0..20 {
            let skew = json!(30 + change);
            let set = |filter: &mut Value| filter["claims"]["clock_skew_seconds"] = skew;
            assert!(envoy.reload(|configuration| set(&mut configuration.filter)));
        }
    });
    println!("20 changes, {asked} requests judged meanwhile");
    let later = Token::of("ada");
    bed.service.revoke(&json!({"jti": later.jti()}));
    eventually(SOON, || bed.envoy.get("/page", &later).code() == "revoked");
    assert!(bed.envoy.stats("vm_reload").iter().all(|(_, count)| *count == 0));
}

#[test]
fn a_restarted_envoy_refuses_the_same_tokens() {
    let mut bed = Testbed::start();
    let (live, revoked) = (Token::of("ada"), Token::of("ada"));
    bed.envoy.send(&sign_out(&revoked));
    for _ in 0..3 {
        bed.envoy.restart();
        eventually(SOON, || {
            let verdict = bed.envoy.get("/page", &revoked);
            assert!(matches!(verdict.status, 401 | 503), "{}", verdict.status);
            bed.envoy.get("/page", &live).status == 200
        });
        assert_eq!(bed.envoy.get("/page", &revoked).code(), "revoked");
    }
}

fn reloadable() -> Testbed {
    let bed = Testbed::from(testbed::EnvoySetup::reloadable, Fault::None);
    bed.envoy.await_guarding();
    bed
}

/// Sends a good, a revoked and a forged token on new connections and checks the responses.
fn check<'a>(live: &'a Token, revoked: &'a Token) -> impl Fn(SocketAddr) -> u64 + Sync + 'a {
    |address| {
        let ask = |token: &Token| Connection::to(address).send(&page(token));
        assert_eq!(ask(live).status, 200);
        assert_eq!(ask(revoked).status, 401);
        assert_eq!(ask(&live.forged()).code(), "bad_signature");
        3
    }
}

fn keys(secrets: &[&str]) -> Value {
    secrets
        .iter()
        .map(|secret| json!({"algorithm": "HS256", "secret": {"inline": secret}}))
        .collect()
}

fn signed_by_the_new_key(claims: &Value) -> Token {
    Token::signed(r#"{"alg":"HS256"}"#, &claims.to_string(), NEW)
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

fn sign_out(token: &Token) -> Request {
    Request::post("/sign-out").bearer(token)
}

/// Changes each of which makes a configuration invalid.
const WRONG: [fn(&mut Value); 4] = [
    |filter| filter["keys"] = json!([]),
    |filter| filter["no_such_setting"] = json!(true),
    |filter| filter["keys"][0]["secret"] = json!({"env": "NO_SUCH_VARIABLE"}),
    |filter| *filter = json!("not JSON"),
];

const OLD: &str = SESSION_SECRET;
const NEW: &str = "another-session-secret-of-44-characters-long";
const SOON: Duration = Duration::from_secs(30);
