//! What users get when the service cannot decide, cannot store, or is gone.

use std::time::Duration;

use serde_json::json;
use testbed::{
    Application, AskingBed, AskingProxy, Redis, Reply, Request, ServiceSetup, SignoutService,
    Token, TokenSigner, eventually,
};

#[test]
fn an_optional_route_refuses_a_bad_token_that_nobody_can_remove() {
    for kind in AskingProxy::ALL {
        let bed = AskingBed::start(kind, |filter| filter["default_access"] = json!("optional"));
        let ada = Token::of("ada");
        let page = || Request::get("/page");
        assert_eq!(bed.send(&page()).seen().headers("x-user-id").concat(), "", "{kind:?}");
        assert_eq!(bed.send(&page().cookie(&ada)).seen().headers("x-user-id"), ["ada"]);
        let refused = bed.send(&page().cookie(&ada.forged()));
        assert_eq!((refused.status, &*refused.code()), (401, "bad_signature"), "{kind:?}");
        assert_eq!(refused.headers("set-cookie").len(), 1, "{kind:?}");
    }
}

#[test]
fn without_the_service_nothing_is_admitted() {
    for kind in AskingProxy::ALL {
        let mut bed = AskingBed::start(kind, |_| {});
        let ada = Token::of("ada");
        assert_eq!(bed.get("/page", &ada).status, 200, "{kind:?}");
        bed.service.kill();
        for request in [Request::get("/"), Request::get("/page").bearer(&ada)] {
            let status = bed.send(&request).status;
            assert!((500..=504).contains(&status), "{kind:?}: {status}");
        }
        bed.service.restart();
        eventually(WITHIN, || bed.get("/page", &ada).status == 200);
    }
}

#[test]
fn keys_are_fetched_and_fetched_again() {
    let signers = ["RS256", "ES256"].map(TokenSigner::new);
    let issuer = Application::start();
    let publish = |signer: &TokenSigner| {
        let set = json!({"keys": [signer.jwk()]}).to_string();
        let reply = Reply::status(200).header("content-type", "application/json");
        issuer.on("/jwks.json", reply.text(&set));
    };
    publish(&signers[0]);
    let address = format!("idp=http://{}", issuer.address());
    let service = SignoutService::setup().argument("--guard-issuer").argument(&address);
    let fetched = |filter: &mut serde_json::Value| {
        let set = json!({"cluster": "idp", "authority": "id.example.com", "path": "/jwks.json"});
        filter["keys"] = json!([{"jwks": set}]);
    };
    let bed = AskingBed::with(AskingProxy::Nginx, service, fetched, |text| text);
    let [old, new] = signers.each_ref().map(|signer| signer.token_of("ada"));
    assert_eq!(bed.get("/page", &old).status, 200);
    assert_ne!(bed.get("/page", &new).status, 200);
    publish(&signers[1]);
    eventually(WITHIN, || bed.get("/page", &new).status == 200);
    assert_ne!(bed.get("/page", &old).status, 200);
}

#[test]
fn a_revocation_survives_a_crash_of_the_service() {
    let mut bed = AskingBed::start(AskingProxy::Nginx, |_| {});
    let ada = Token::of("ada");
    assert_eq!(bed.send(&Request::post("/sign-out").bearer(&ada)).status, 200);
    bed.service.kill();
    bed.service.restart();
    eventually(WITHIN, || bed.get("/page", &ada).code() == "revoked");
}

#[test]
fn a_sign_out_that_cannot_be_stored_gets_503() {
    for kind in AskingProxy::ALL {
        let redis = Redis::start();
        let service = ServiceSetup::default().store(&redis.url());
        let bed = AskingBed::with(kind, service, |_| {}, |text| text);
        redis.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
        let ada = Token::of("ada");
        let refused = bed.send(&Request::post("/sign-out").bearer(&ada));
        assert_eq!(refused.status, 503, "{kind:?}");
        // Envoy replaces a response with this status by its own.
        if kind != AskingProxy::Envoy {
            assert_eq!(refused.code(), "unavailable", "{kind:?}");
            assert!(refused.header("retry-after").is_some(), "{kind:?}");
        }
        assert_eq!(bed.application.seen_at("/sign-out").len(), 0, "{kind:?}");
        assert_eq!(bed.get("/page", &ada).code(), "revoked", "{kind:?}: here it is in force");
        redis.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
        let again = bed.send(&Request::post("/sign-out").bearer(&ada));
        assert_eq!(again.status, 200, "{kind:?}");
        assert!(bed.service.holds(&ada), "{kind:?}");
    }
}

#[test]
fn a_store_that_cannot_be_read_ends_in_503() {
    let mut redis = Redis::start();
    let service = ServiceSetup::default().store(&redis.url());
    let stale = |filter: &mut serde_json::Value| {
        filter["revocation"] = json!({"max_staleness_seconds": 5});
    };
    let bed = AskingBed::with(AskingProxy::Nginx, service, stale, |text| text);
    let ada = Token::of("ada");
    assert_eq!(bed.get("/page", &ada).status, 200);
    redis.pause();
    eventually(Duration::from_secs(60), || bed.get("/page", &ada).status == 503);
    let refused = bed.get("/page", &ada);
    assert_eq!(refused.code(), "unavailable");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(bed.send(&Request::get("/")).status, 200, "public pages work");
    assert_eq!(bed.send(&Request::post("/sign-out").bearer(&ada)).status, 503);
    redis.resume();
    eventually(WITHIN, || bed.get("/page", &Token::of("ada")).status == 200);
}

#[test]
fn sign_outs_at_another_service_of_the_store_are_refused() {
    let redis = Redis::start();
    let service = ServiceSetup::default().store(&redis.url());
    let bed = AskingBed::with(AskingProxy::Caddy, service.clone(), |_| {}, |text| text);
    let other = service.start();
    let ada = Token::of("ada");
    assert_eq!(bed.get("/page", &ada).status, 200);
    other.revoke(&json!({"jti": ada.jti(), "exp": testbed::unix_seconds() + 600}));
    eventually(WITHIN, || bed.get("/page", &ada).code() == "revoked");
}

#[test]
fn no_token_appears_in_the_log() {
    let service = SignoutService::setup().env("RUST_LOG", "trace");
    let bed = AskingBed::with(AskingProxy::Nginx, service, |_| {}, |text| text);
    let ada = Token::of("ada");
    for request in [
        Request::get("/page").bearer(&ada),
        Request::post("/sign-out").cookie(&ada),
        Request::get(&format!("/page?access_token={ada}")).bearer(&ada.forged()),
    ] {
        bed.send(&request);
    }
    let log = bed.service.log();
    assert!(log.contains("guarding"), "{log}");
    let secrets = [ada.as_str(), testbed::SESSION_SECRET];
    let leaks: Vec<_> =
        log.lines().filter(|line| secrets.iter().any(|secret| line.contains(secret))).collect();
    assert_eq!(leaks, [""; 0]);
}

const WITHIN: Duration = Duration::from_secs(30);
