//! Promise: with `enforce: false` the filter refuses nothing and says what it would refuse. Only
//! removed headers and sign-outs take effect.
//! Method: a real Envoy with the shipped configuration and that setting; the application shows what
//! reaches it.

use std::time::Duration;

use serde_json::json;
use testbed::{Configuration, Request, Shared, Testbed, Token, eventually};

static BED: Shared<Testbed> = Shared::new(|| Testbed::with(dry_run));

fn dry_run(configuration: &mut Configuration) {
    configuration.filter["enforce"] = json!(false);
    let manager = configuration.connection_manager();
    let format = "%REQ(:METHOD)% %PATH(NQ)% %RESPONSE_CODE% \
        %FILTER_STATE(wasm.session_guard.would_refuse:PLAIN)%\n";
    let log_format = manager.pointer_mut("/access_log/0/typed_config/log_format");
    *log_format.expect("a format") = json!({"text_format_source": {"inline_string": format}});
}

#[test]
fn a_refused_request_reaches_the_application_unchanged() {
    let bed = BED.get();
    let before = bed.envoy.metric("would_refuse.malformed_token");
    let request = Request::get("/refused").header("authorization", "Bearer x");
    let seen = bed.envoy.send(&request.header("x-user-id", "eve")).seen();
    assert_eq!(seen.header("authorization"), Some("Bearer x"));
    assert_eq!(seen.header("x-user-id"), None, "a client could forge it");
    eventually(SOON, || bed.envoy.metric("would_refuse.malformed_token") == before + 1);
    let line = "GET /refused 200 malformed_token:parts\n";
    eventually(SOON, || bed.envoy.access_log().contains(line));
    eventually(SOON, || bed.envoy.log().contains("but for `enforce: false`, 401"));
}

#[test]
fn an_accepted_request_is_counted_and_leaves_no_refusal_in_the_log() {
    let bed = BED.get();
    let seen = bed.envoy.get("/accepted", &Token::of("ada")).seen();
    assert_eq!(seen.header("x-user-id"), None, "the application gets no user in a dry run");
    eventually(SOON, || bed.envoy.access_log().contains("GET /accepted 200 -\n"));
    eventually(SOON, || bed.envoy.metric("allowed") > 0);
}

#[test]
fn a_sign_out_revokes_and_its_token_would_be_refused() {
    let bed = BED.get();
    let token = Token::of("ada");
    assert_eq!(bed.envoy.send(&Request::post("/sign-out").bearer(&token)).status, 200);
    assert_eq!(bed.envoy.get("/after", &token).status, 200);
    assert!(bed.service.holds(&token), "other proxies learn it");
    eventually(SOON, || bed.envoy.access_log().contains("GET /after 200 revoked\n"));
    let refused = bed.envoy.stats("wasmcustom.session_guard.refused.");
    assert!(refused.iter().all(|(_, count)| *count == 0), "{refused:?}");
}

const SOON: Duration = Duration::from_secs(20);
