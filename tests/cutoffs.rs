//! Promise: a cutoff refuses every token that was issued before it, on every worker and every
//! proxy, and no token of a sign-in after the response that set it.
//! Method: real Envoys with a password route and a deletion route, the service's API and command
//! line, and a feed with a wrong time; `iat` says when a token was issued.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use session_guard_core::feed::wire::{CONTENT_TYPE, Cursor, Page, PageKey};
use session_guard_core::revocation::record::{NEVER, Record, RecordId, TIME_LIMIT_SECONDS};
use testbed::{
    Configuration, Fault, HttpResponse, Reply, Request, SIGNOUT_TOKEN, SignoutService, Testbed,
    Token,
};
use testbed::{eventually, unix_seconds};

#[test]
fn a_password_change_ends_all_sessions_on_every_proxy() {
    let bed = Testbed::with(routes);
    let other = bed.another_envoy();
    let [this, that] = ["ada", "ada"].map(Token::of);
    assert_eq!(bed.envoy.send(&change_password(&this)).seen().header("x-user-id"), Some("ada"));
    let again = Token::of("ada");
    for worker in &mut bed.envoy.connection_per_worker() {
        for old in [&this, &that] {
            assert_revoked(&worker.send(&page(old)));
        }
        assert_eq!(worker.send(&page(&again)).status, 200, "signed in after the answer");
        assert_eq!(worker.send(&page(&Token::of("eve"))).status, 200, "another user");
    }
    eventually(SOON, || other.get("/page", &this).code() == "revoked");
    assert_revoked(&other.get("/page", &that));
    assert_eq!(other.get("/page", &again).status, 200);
}

#[test]
fn a_sign_in_right_after_the_response_works() {
    let bed = Testbed::with(routes);
    let mut connection = bed.envoy.connect();
    let mut token = Token::of("ada");
    for _ in 0..5 {
        assert_eq!(connection.send(&change_password(&token)).status, 200);
        let next = Token::of("ada");
        assert_eq!(connection.send(&page(&next)).status, 200);
        assert_revoked(&connection.send(&page(&token)));
        token = next;
    }
}

#[test]
fn a_deletion_signs_out_the_user_in_the_path() {
    let bed = Testbed::with(routes);
    let [administrator, eve, eva] = ["ada", "eve@example.com", "eva"].map(Token::of);
    let request = Request::new("DELETE", "/users/eve%40example.com").bearer(&administrator);
    assert_eq!(bed.envoy.send(&request).status, 200);
    assert_revoked(&bed.envoy.get("/page", &eve));
    for live in [&administrator, &eva] {
        assert_eq!(bed.envoy.get("/page", live).status, 200);
    }
}

#[test]
fn a_response_other_than_2xx_sets_no_cutoff() {
    let bed = Testbed::with(routes);
    let token = Token::of("ada");
    for status in [302, 400, 401, 403, 404, 409, 500, 503] {
        bed.application.on("/password", Reply::status(status));
        assert_eq!(bed.envoy.send(&change_password(&token)).status, status);
        assert_eq!(bed.envoy.get("/page", &token).status, 200, "{status}");
    }
    assert_eq!(bed.service.records(), [] as [Value; 0]);
    bed.application.on("/password", Reply::status(204));
    assert_eq!(bed.envoy.send(&change_password(&token)).status, 204);
    assert_revoked(&bed.envoy.get("/page", &token));
}

#[test]
fn a_date_header_one_second_old_revokes_all_tokens() {
    let bed = Testbed::with(routes);
    let administrator = Token::of("administrator");
    for _ in 0..5 {
        let ada = Token::of("ada"); // issued in this second
        let date = httpdate::fmt_http_date(shifted(-1));
        bed.application.on("/users/ada", Reply::status(200).header("date", &date));
        let delete = Request::new("DELETE", "/users/ada").bearer(&administrator);
        assert_eq!(bed.envoy.send(&delete).status, 200);
        assert_revoked(&bed.envoy.get("/page", &ada));
        assert_eq!(bed.envoy.get("/page", &Token::of("ada")).status, 200);
    }
}

#[test]
fn a_refused_request_sets_no_cutoff() {
    let bed = Testbed::with(routes);
    let token = Token::of("ada");
    assert_eq!(bed.envoy.send(&change_password(&token.forged())).status, 401);
    let delete = Request::new("DELETE", "/users/ada");
    assert_eq!(bed.envoy.send(&delete).status, 401);
    assert_eq!(bed.envoy.get("/page", &token).status, 200);
    assert_eq!(bed.application.seen_at("/password"), []);
}

#[test]
fn an_application_with_a_wrong_clock_revokes_the_requests_token() {
    let bed = Testbed::with(routes);
    for seconds in [-3600, -30, -2, 2, 30] {
        let date = httpdate::fmt_http_date(shifted(seconds));
        bed.application.on("/password", Reply::status(200).header("date", &date));
        let user = format!("user {seconds}");
        let token = Token::of(&user);
        assert_eq!(bed.envoy.send(&change_password(&token)).status, 200);
        assert_revoked(&bed.envoy.get("/page", &token));
        let mut claims = Token::claims_of(&user);
        claims["iat"] = json!(unix_seconds().saturating_add_signed(seconds.max(0) + 2));
        assert_eq!(bed.envoy.get("/page", &Token::with(&claims)).status, 200, "{seconds} s");
    }
}

#[test]
fn a_cutoff_is_delivered_after_the_service_returns() {
    let mut bed = Testbed::with(routes);
    let other = bed.another_envoy();
    let token = Token::of("ada");
    bed.service.kill();
    assert_eq!(bed.envoy.send(&change_password(&token)).status, 200);
    assert_revoked(&bed.envoy.get("/page", &token));
    bed.service.restart();
    eventually(SOON, || other.get("/page", &token).code() == "revoked");
    assert_eq!(bed.service.records()[0]["kind"], "user");
}

#[test]
fn a_cutoff_at_the_service_revokes_all_earlier_tokens() {
    let bed = Testbed::start();
    let [ada, eve] = ["ada", "eve"].map(Token::of);
    let asked_at = unix_seconds();
    bed.service.revoke(&json!({"user_id": "ada"}));
    let again = Token::of("ada");
    eventually(SOON, || bed.envoy.get("/page", &ada).code() == "revoked");
    for live in [&again, &eve] {
        assert_eq!(bed.envoy.get("/page", live).status, 200);
    }
    let cutoff = bed.service.records()[0]["issued_before"].as_u64().expect("a cutoff");
    assert!((asked_at + 1..=unix_seconds()).contains(&cutoff), "{asked_at} {cutoff}");
}

#[test]
fn a_cutoff_at_a_given_time_is_exact() {
    let bed = Testbed::start();
    let cutoff = unix_seconds() - 100;
    let issued_at = |iat: u64| {
        let mut claims = Token::claims_of("ada");
        claims["iat"] = json!(iat);
        Token::with(&claims)
    };
    let (before, at) = (issued_at(cutoff - 1), issued_at(cutoff));
    bed.service.revoke(&json!({"user_id": "ada", "issued_before": cutoff}));
    eventually(SOON, || bed.envoy.get("/page", &before).code() == "revoked");
    assert_eq!(bed.envoy.get("/page", &at).status, 200);
    bed.service.revoke(&json!({"user_id": "ada", "issued_before": cutoff - 50}));
    assert_revoked(&bed.envoy.get("/page", &before)); // an earlier cutoff does not replace a later one
}

#[test]
fn a_token_without_iat_is_refused_only_after_a_cutoff() {
    let bed = Testbed::start();
    let undated = |user: &str| {
        let mut claims = Token::claims_of(user);
        claims.as_object_mut().expect("claims").remove("iat");
        Token::with(&claims)
    };
    let [ada, eve] = ["ada", "eve"].map(undated);
    assert_eq!(bed.envoy.get("/page", &ada).status, 200);
    bed.service.revoke(&json!({"user_id": "ada", "issued_before": 1}));
    eventually(SOON, || bed.envoy.get("/page", &ada).code() == "revoked");
    assert_eq!(bed.envoy.get("/page", &eve).status, 200);
}

#[test]
fn the_command_line_signs_out_one_user_or_all() {
    let service = SignoutService::setup().env("SIGNOUT_ADMIN_TOKEN", ADMINISTRATOR).start();
    let bed = Testbed::of(service, |setup| setup, Fault::None);
    bed.envoy.await_guarding();
    let [ada, eve] = ["ada", "eve"].map(Token::of);
    let run = |arguments: &[&str], token: &str| {
        let mut command = bed.service.command(arguments);
        command.env("SIGNOUT_ADMIN_TOKEN", token).output().expect("signout").status.success()
    };
    assert!(run(&["revoke", "--user", "ada"], ""));
    eventually(SOON, || bed.envoy.get("/page", &ada).code() == "revoked");
    assert_eq!(bed.envoy.get("/page", &eve).status, 200);
    assert!(!run(&["revoke", "--all"], "somebody else's token of many characters"));
    assert_eq!(bed.envoy.get("/page", &eve).status, 200);
    assert!(run(&["revoke", "--all"], ADMINISTRATOR));
    eventually(SOON, || bed.envoy.get("/page", &eve).code() == "revoked");
    assert_eq!(bed.envoy.get("/page", &Token::of("eve")).status, 200);
}

#[test]
fn a_cutoff_in_the_future_is_limited_by_clock_skew() {
    let lie = Fault::AnswerWith(a_cutoff_at(TIME_LIMIT_SECONDS - 1));
    let bed = Testbed::from(|setup| setup.edit(routes), lie);
    eventually(SOON, || bed.envoy.get("/page", &Token::of("ada")).code() == "revoked");
    bed.network.set(Fault::Refuse);
    let mut claims = Token::claims_of("ada");
    claims["iat"] = json!(unix_seconds() + 301);
    let latest = Token::with(&claims);
    eventually(SOON, || bed.envoy.get("/page", &latest).status == 200);
}

/// A token in the response to the password change may have the same `iat` as the last old token, so
/// no cutoff can refuse one and accept the other.
#[test]
fn a_token_in_the_response_is_refused_not_later_ones() {
    let bed = Testbed::with(routes);
    let old = Token::of("ada");
    let with_iat = |iat: u64| {
        let mut claims = Token::claims_of("ada");
        claims["iat"] = json!(iat);
        Token::with(&claims)
    };
    let date = unix_seconds();
    let header = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(date));
    bed.application.on("/password", Reply::status(200).header("date", &header));
    assert_eq!(bed.envoy.send(&change_password(&old)).status, 200);
    for iat in [date, date + 1] {
        assert_revoked(&bed.envoy.get("/page", &with_iat(iat)));
    }
    assert_eq!(bed.envoy.get("/page", &with_iat(date + 2)).status, 200, "not before the cutoff");
    assert_eq!(bed.envoy.get("/page", &Token::of("ada")).status, 200, "a new sign-in");
}

#[test]
fn a_request_token_without_iat_sets_no_cutoff() {
    let bed = Testbed::with(routes);
    let undated = || {
        let mut claims = Token::claims_of("ada");
        claims.as_object_mut().expect("claims").remove("iat");
        Token::with(&claims)
    };
    let token = undated();
    assert_eq!(bed.envoy.send(&change_password(&token)).status, 200);
    assert_eq!(bed.envoy.get("/page", &undated()).status, 200, "a later sign-in");
    assert_eq!(bed.service.records(), [] as [Value; 0]);
    eventually(SOON, || bed.envoy.metric("sign_outs_without_effect.no_iat") == 1);
}

fn routes(configuration: &mut Configuration) {
    configuration.filter["claims"]["clock_skew_seconds"] = json!(300);
    let rules = configuration.filter["routes"].as_array_mut().expect("a list of rules");
    let protected = "protected";
    rules.push(json!({"path": "/password", "access": protected, "revoke_user": "token"}));
    let user = json!({"segment": "id"});
    rules.push(json!({"template": "/users/{id}", "access": protected, "revoke_user": user}));
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

fn change_password(token: &Token) -> Request {
    Request::post("/password").bearer(token)
}

#[track_caller]
fn assert_revoked(answer: &HttpResponse) {
    assert_eq!((answer.status, answer.code().as_str()), (401, "revoked"));
}

fn shifted(seconds: i64) -> SystemTime {
    let seconds = unix_seconds().saturating_add_signed(seconds);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Returns the response of a feed whose only revocation is a cutoff for all users at that time.
fn a_cutoff_at(issued_before: u64) -> Vec<u8> {
    let cursor = Cursor::new("1.lie").expect("a cursor");
    let all = Record::all("", issued_before, NEVER);
    let range = (RecordId::FIRST, RecordId::LAST);
    let (now, head) = (unix_seconds(), cursor.clone());
    let page = Page {
        reset: true,
        more: false,
        now,
        held_milliseconds: 0,
        cursor,
        head,
        range,
        records: vec![all],
    };
    let body = page.encode(&PageKey::new(SIGNOUT_TOKEN.as_bytes()));
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {CONTENT_TYPE}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

const ADMINISTRATOR: &str = "administrator-token-of-more-than-32-characters";
const SOON: Duration = Duration::from_secs(20);
