//! Promise: a proxy that asks the service about each request admits exactly the requests that the
//! filter admits, and the application gets a user id that no client can forge.
//! Method: real NGINX, Caddy and Envoy with the configurations that we ship, in front of the real
//! service. The tables of the filter's own tests are run through all three.

#[path = "../hostile/table.rs"]
mod odd_requests;
#[path = "../places/table.rs"]
mod places;
#[path = "../tokens/shown.rs"]
mod shown;
#[path = "../tokens/table.rs"]
mod table;
#[path = "../paths/targets.rs"]
mod targets;

mod failures;
mod forged;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use testbed::{AskingBed, AskingProxy, Request, Shared, Token, eventually};

static NGINX: Shared<AskingBed> = Shared::new(|| AskingBed::start(AskingProxy::Nginx, |_| {}));
static CADDY: Shared<AskingBed> = Shared::new(|| AskingBed::start(AskingProxy::Caddy, |_| {}));
static ENVOY: Shared<AskingBed> = Shared::new(|| AskingBed::start(AskingProxy::Envoy, |_| {}));

fn beds() -> impl Iterator<Item = Arc<AskingBed>> {
    [&NGINX, &CADDY, &ENVOY].into_iter().map(Shared::get)
}

#[test]
fn only_valid_tokens_are_admitted_and_name_the_user() {
    for bed in beds() {
        let (kind, ada, mut connection) = (bed.kind(), Token::of("ada"), bed.connect());
        for request in [Request::get("/page?a=1"), Request::new("PUT", "/page?a=1").body("text")] {
            let seen = connection.send(&request.bearer(&ada)).seen();
            let user = seen.headers("x-user-id");
            assert_eq!((seen.path.as_str(), user), ("/page?a=1", vec!["ada"]), "{kind:?}");
        }
        for (request, code, challenge) in [
            (Request::get("/page"), "missing_token", "Bearer"),
            (Request::post("/page").bearer(&ada.forged()), "bad_signature", INVALID),
            (Request::get("/page").cookie(&ada.forged()), "bad_signature", INVALID),
        ] {
            let response = connection.send(&request);
            assert_eq!((response.status, &*response.code()), (401, code), "{kind:?}");
            assert_eq!(response.headers("www-authenticate"), [challenge], "{kind:?}");
            assert_eq!(response.headers("cache-control"), ["no-store"], "{kind:?}");
            assert_eq!(response.headers("content-type"), ["application/json"], "{kind:?}");
            let has_cookie = String::from_utf8_lossy(&request.to_bytes()).contains("cookie: ");
            let cleared = response.headers("set-cookie");
            assert_eq!(cleared.len(), usize::from(has_cookie), "{kind:?}: {cleared:?}");
        }
    }
}

#[test]
fn a_sign_out_revokes_the_token_before_the_application_gets_it() {
    for bed in beds() {
        let (kind, ada, mut connection) = (bed.kind(), Token::of("ada"), bed.connect());
        assert_eq!(connection.send(&Request::get("/page").bearer(&ada)).status, 200, "{kind:?}");
        let sign_out = connection.send(&Request::post("/sign-out").bearer(&ada)).seen();
        assert_eq!((&*sign_out.method, &*sign_out.path), ("POST", "/sign-out"), "{kind:?}");
        assert!(bed.service.holds(&ada), "{kind:?}");
        let refused = connection.send(&Request::get("/page").bearer(&ada));
        assert_eq!((refused.status, &*refused.code()), (401, "revoked"), "{kind:?}");
    }
}

#[test]
fn a_sign_out_ends_the_session_and_a_new_sign_in_works() {
    for bed in beds() {
        let kind = bed.kind();
        let in_session = || {
            let mut claims = Token::claims_of("ada");
            claims["sid"] = json!(format!("session-{kind:?}"));
            Token::with(&claims)
        };
        let [first, second] = [in_session(), in_session()];
        assert_eq!(bed.get("/page", &second).status, 200, "{kind:?}");
        assert_eq!(bed.send(&Request::post("/sign-out").bearer(&first)).status, 200, "{kind:?}");
        assert_eq!(bed.get("/page", &second).code(), "revoked", "{kind:?}");
        // The request was held until tokens of the next second are good.
        assert_eq!(bed.get("/page", &in_session()).status, 200, "{kind:?}");
    }
}

#[test]
fn a_revocation_by_the_api_is_refused() {
    for bed in beds() {
        let ada = Token::of("ada");
        assert_eq!(bed.get("/page", &ada).status, 200, "{:?}", bed.kind());
        bed.service.revoke(&json!({"jti": ada.jti(), "exp": testbed::unix_seconds() + 600}));
        eventually(WITHIN, || bed.get("/page", &ada).code() == "revoked");
    }
}

#[test]
fn the_method_of_the_request_decides_not_that_of_the_check() {
    for bed in beds() {
        let kind = bed.kind();
        for method in ["HEAD", "OPTIONS", "GET"] {
            let ada = Token::of("ada");
            // Only POST is a sign-out; with other methods the path is protected.
            for (request, status) in [
                (Request::new(method, "/sign-out"), 401),
                (Request::new(method, "/sign-out").bearer(&ada), 200),
            ] {
                let mut connection = bed.connect();
                connection.send_bytes(&request.to_bytes());
                assert_eq!(connection.read_head().status, status, "{kind:?} {method}");
            }
            assert_eq!(bed.get("/page", &ada).status, 200, "{kind:?} {method} revokes nothing");
        }
    }
}

#[test]
fn an_upgrade_is_checked_and_passes() {
    let with_socket = |filter: &mut serde_json::Value| {
        let routes = filter["routes"].as_array_mut().expect("a list of routes");
        routes.insert(0, json!({"prefix": "/", "upgrade": true, "access": "protected"}));
    };
    for kind in AskingProxy::ALL {
        let bed = AskingBed::start(kind, with_socket);
        let upgrade = Request::get("/").header("connection", "Upgrade");
        let upgrade = upgrade.header("upgrade", "websocket");
        let upgrade = upgrade.header("sec-websocket-version", "13");
        let upgrade = upgrade.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let status = |request: &Request| {
            let mut connection = bed.connect();
            connection.send_bytes(&request.to_bytes());
            connection.read_head().status
        };
        assert_eq!(status(&Request::get("/")), 200, "{kind:?}: the page itself is public");
        assert_eq!(status(&upgrade), 401, "{kind:?}");
        assert_eq!(status(&upgrade.bearer(&Token::of("ada"))), 101, "{kind:?}");
    }
}

#[test]
fn the_metrics_have_the_names_of_the_filter() {
    let bed = AskingBed::start(AskingProxy::Nginx, |_| {});
    let ada = Token::of("ada");
    let allowed = "session_guard_allowed";
    let (missing, revoked) = (
        "session_guard_refused{code=\"missing_token\"}",
        "session_guard_refused{code=\"revoked\"}",
    );
    for request in [
        Request::get("/page").bearer(&ada),
        Request::get("/page"),
        Request::post("/sign-out").bearer(&ada),
        Request::get("/page").bearer(&ada),
    ] {
        bed.send(&request);
    }
    // NGINX asks a second time for the body of each refusal, which is not counted.
    assert_eq!([allowed, missing, revoked].map(|name| bed.metric(name)), [2, 1, 1]);
    assert_eq!(bed.metric("session_guard_signed_out"), 1);
    eventually(WITHIN, || bed.metric("session_guard_feed_current_timestamp_seconds") > 0);
}

const INVALID: &str = "Bearer error=\"invalid_token\"";
const WITHIN: Duration = Duration::from_secs(20);
