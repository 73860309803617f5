//! Promise: a proxy that asks the service about each request admits exactly the requests that the
//! filter admits, and the application gets a user id that no client can forge.
//! Method: real NGINX, Caddy and Envoy with the configurations that we ship, in front of the real
//! service.

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
            assert_eq!(response.header("cache-control"), Some("no-store"), "{kind:?}");
            let clears = response.header("set-cookie").is_some_and(|it| it.starts_with("token=;"));
            assert_eq!(clears, request_has_cookie(&request), "{kind:?}");
        }
    }
}

#[test]
fn a_public_page_has_no_user_whatever_the_client_sends() {
    for bed in beds() {
        let (kind, ada, mut connection) = (bed.kind(), Token::of("ada"), bed.connect());
        for request in [
            Request::get("/"),
            Request::get("/").header("x-user-id", "eve"),
            Request::get("/").header("X-User-Id", "eve").header("x-user-id", "mallory"),
            Request::get("/").bearer(&ada).header("x-user-id", "eve"),
        ] {
            let seen = connection.send(&request).seen();
            let user: String = seen.headers("x-user-id").concat();
            assert_eq!(user, "", "{kind:?}");
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
fn a_revocation_by_the_api_is_refused() {
    for bed in beds() {
        let ada = Token::of("ada");
        assert_eq!(bed.get("/page", &ada).status, 200, "{:?}", bed.kind());
        bed.service.revoke(&json!({"jti": ada.jti(), "exp": testbed::unix_seconds() + 600}));
        eventually(WITHIN, || bed.get("/page", &ada).code() == "revoked");
    }
}

fn request_has_cookie(request: &Request) -> bool {
    String::from_utf8_lossy(&request.to_bytes()).contains("\r\ncookie: ")
}

const INVALID: &str = "Bearer error=\"invalid_token\"";
const WITHIN: Duration = Duration::from_secs(20);
