//! Promise: a token that is revoked at one proxy or at the service is refused by every proxy one
//! round trip later. A proxy that cannot know whether a token is revoked responds 503. Whatever
//! happens to the service and its store, no acknowledged revocation is lost, and no refused token
//! is accepted again.
//! Method: two real Envoys, and a real service that is cut off, killed, and loses its store.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{
    Configuration, Connection, Fault, HttpResponse, Load, Request, Testbed, Token,
    UnavailablePolicy,
};
use testbed::{eventually, unix_seconds, until};

#[test]
fn a_sign_out_reaches_another_envoy_within_a_second() {
    let bed = Testbed::start();
    let other = bed.another_envoy();
    let (mut here, mut there) = (bed.envoy.connect(), other.connect());
    let mut milliseconds: Vec<u128> = Vec::new();
    for _ in 0..SIGN_OUTS {
        let token = Token::of("ada");
        assert_eq!(there.send(&page(&token)).status, 200);
        assert_eq!(here.send(&sign_out(&token)).status, 200);
        let left = Instant::now();
        while there.send(&page(&token)).code() != "revoked" {
            assert!(left.elapsed() < Duration::from_secs(1), "{milliseconds:?}");
        }
        milliseconds.push(left.elapsed().as_millis());
    }
    milliseconds.sort_unstable();
    let [p50, p99] = [50, 99].map(|percent| milliseconds[SIGN_OUTS * percent / 100]);
    println!("{SIGN_OUTS} sign-outs reached the other Envoy: p50 {p50} ms, p99 {p99} ms");
}

#[test]
fn a_revocation_at_the_service_reaches_every_worker() {
    let bed = Testbed::start();
    let mut workers = bed.envoy.connection_per_worker();
    let (revoked, live) = (Token::of("ada"), Token::of("ada"));
    bed.service.revoke(&json!({"jti": revoked.jti(), "exp": unix_seconds() + 3600}));
    for worker in &mut workers {
        eventually(SOON, || worker.send(&page(&revoked)).code() == "revoked");
        assert_eq!(worker.send(&page(&live)).status, 200);
    }
}

#[test]
fn before_the_first_load_protected_routes_respond_503() {
    let bed = Testbed::cut_off(an_optional_page);
    let token = Token::of("ada");
    for worker in &mut bed.envoy.connection_per_worker() {
        assert_unavailable(&worker.send(&page(&token)));
        assert_eq!(worker.send(&page(&token.forged())).status, 401);
        assert_eq!(worker.send(&ready()).status, 503);
    }
    assert_eq!(bed.application.seen(), []);
    assert_eq!(bed.envoy.get("/", &token).seen().path, "/");
    assert_eq!(user_of_an_optional_page(&mut bed.envoy.connect(), &token), None);
    bed.network.set(Fault::None);
    for worker in &mut bed.envoy.connection_per_worker() {
        eventually(SOON, || worker.send(&ready()).status == 200);
        assert_eq!(worker.send(&page(&token)).status, 200);
    }
}

#[test]
fn no_setting_admits_tokens_before_the_first_load() {
    let unknown_host = json!({"address": "no-such-host.invalid", "port_value": 8090});
    let bed = Testbed::cut_off(|configuration| {
        configuration.filter["revocation"]["when_unknown"] = json!("use_last");
        let endpoints = &mut configuration.cluster("signout")["load_assignment"]["endpoints"];
        endpoints[0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] = unknown_host;
    });
    let token = Token::of("ada");
    // While the host name cannot be resolved, Envoy rejects the call or responds 503 itself.
    let failed = |reason| bed.envoy.metric(&format!("refresh_rejected.{reason}"));
    eventually(SOON, || failed("no_answer") + failed("unavailable") > 0);
    for worker in &mut bed.envoy.connection_per_worker() {
        assert_unavailable(&worker.send(&page(&token)));
        assert_eq!(worker.send(&ready()).status, 503);
        assert_eq!(worker.send(&Request::get("/")).status, 200);
    }
    assert!(bed.application.seen().iter().all(|seen| seen.path == "/"));
}

#[test]
fn a_service_that_is_down_gets_one_call_with_backoff() {
    let bed = Testbed::cut_off(|_| {});
    let refused = || bed.envoy.metric("refresh_rejected.unavailable");
    let start = Instant::now();
    eventually(SOON, || {
        assert!(bed.envoy.stat("cluster.signout.upstream_rq_active") <= 1);
        assert!(bed.envoy.stat("cluster.signout.upstream_cx_active") <= 1);
        refused() >= 4
    });
    assert!(start.elapsed() > Duration::from_secs(2), "a second at least between two polls");
    bed.network.set(Fault::Hang);
    eventually(SOON, || bed.network.accepted() == 1);
    assert_unavailable(&bed.envoy.get("/page", &Token::of("ada")));
    assert_eq!(bed.envoy.stat("cluster.signout.upstream_rq_active"), 1);
}

#[test]
fn nothing_is_lost_when_the_service_is_killed_under_load() {
    let mut bed = Testbed::start();
    let other = bed.another_envoy();
    let signed_out = signed_out_while_the_service_dies(&mut bed);
    eventually(SOON, || bed.envoy.metric("outbox") == 0);
    eventually(SOON, || signed_out.iter().all(|token| bed.service.holds(token)));
    let mut there = other.connect();
    eventually(SOON, || signed_out.iter().all(|token| there.send(&page(token)).status == 401));
}

#[test]
fn what_the_service_acknowledged_survives_a_kill() {
    let mut bed = Testbed::start();
    let tokens: Vec<_> = (0..50).map(|_| Token::of("ada")).collect();
    for token in &tokens {
        bed.service.revoke(&json!({"jti": token.jti(), "exp": unix_seconds() + 3600}));
    }
    bed.service.kill();
    bed.service.restart();
    let fresh = bed.another_envoy();
    let mut connection = fresh.connect();
    for token in &tokens {
        assert_eq!(connection.send(&page(token)).code(), "revoked");
    }
}

#[test]
fn delayed_responses_do_not_make_the_set_look_newer() {
    let bed = Testbed::with(|configuration| {
        configuration.filter["revocation"]["max_staleness_seconds"] = json!(STALE_AFTER.as_secs());
    });
    let (first, token) = (Token::of("ada"), Token::of("ada"));
    let mut envoy = bed.envoy.connect();
    assert_eq!(envoy.send(&page(&token)).status, 200);
    let waiting = || {
        let metrics = bed.service.get("/metrics").text();
        metrics.contains("\nsignout_waiting_polls 1\n")
    };
    bed.network.set(Fault::Delay(Duration::from_secs(9)));
    eventually(SOON, waiting);
    // This revocation ends the poll at once. The response takes 9 s, and does not contain the
    // second revocation.
    bed.service.revoke(&json!({"jti": first.jti(), "exp": unix_seconds() + 3600}));
    eventually(SOON, || !waiting());
    bed.service.revoke(&json!({"jti": token.jti(), "exp": unix_seconds() + 3600}));
    let revoked = Instant::now();
    eventually(SOON, || envoy.send(&page(&first)).code() == "revoked");
    bed.network.set(Fault::Hang);
    assert_eq!(envoy.send(&page(&token)).status, 200, "the proxy cannot know better");
    eventually(SOON, || envoy.send(&page(&token)).status == 503);
    let accepted_for = revoked.elapsed();
    assert!(accepted_for < STALE_AFTER + Duration::from_secs(2), "{accepted_for:?}");
}

#[test]
fn a_set_that_is_too_old_causes_503_until_updated() {
    let bed = Testbed::with(|configuration| stale_after_3_seconds(configuration, "refuse"));
    let (live, revoked) = (Token::of("ada"), Token::of("ada"));
    bed.envoy.send(&sign_out(&revoked));
    let mut workers = bed.envoy.connection_per_worker();
    bed.network.set(Fault::Hang);
    for worker in &mut workers {
        eventually(SOON, || worker.send(&page(&live)).status == 503);
        assert_unavailable(&worker.send(&page(&live)));
        assert_eq!(worker.send(&page(&revoked)).code(), "revoked");
        assert_eq!(worker.send(&ready()).status, 200, "it was loaded, so public pages stay");
        assert_eq!(user_of_an_optional_page(worker, &live), None);
    }
    assert!(bed.envoy.log().contains("feed stale"));
    bed.network.set(Fault::None);
    for worker in &mut workers {
        eventually(SOON, || worker.send(&page(&live)).status == 200);
        assert_eq!(user_of_an_optional_page(worker, &live).as_deref(), Some("ada"));
    }
}

#[test]
fn a_proxy_that_uses_its_last_set_admits_tokens() {
    let bed = Testbed::with(|configuration| stale_after_3_seconds(configuration, "use_last"));
    let (live, revoked) = (Token::of("ada"), Token::of("ada"));
    bed.envoy.send(&sign_out(&revoked));
    bed.network.set(Fault::Hang);
    eventually(SOON, || bed.envoy.log().contains("feed stale"));
    eventually(SOON, || {
        let proof = bed.envoy.metric("feed_current_timestamp_seconds");
        unix_seconds() > proof + 4
    });
    for worker in &mut bed.envoy.connection_per_worker() {
        assert_eq!(worker.send(&page(&live)).status, 200);
        assert_eq!(worker.send(&page(&revoked)).code(), "revoked");
    }
}

#[test]
fn a_feed_without_changes_does_not_become_stale() {
    let bed = Testbed::with(|configuration| stale_after_3_seconds(configuration, "refuse"));
    let proof = || bed.envoy.metric("feed_current_timestamp_seconds");
    let (token, first) = (Token::of("ada"), until(SOON, || Some(proof()).filter(|&at| at > 0)));
    let mut workers = bed.envoy.connection_per_worker();
    eventually(SOON, || {
        for worker in &mut workers {
            assert_eq!(worker.send(&page(&token)).status, 200);
        }
        proof() >= first + 5
    });
}

#[test]
fn a_store_restored_from_backup_recovers_from_the_proxies() {
    let mut bed = Testbed::start();
    let [old, new, last] = ["ada", "ada", "ada"].map(Token::of);
    bed.envoy.send(&sign_out(&old));
    bed.service.stop();
    let copy = fs::read(bed.service.store_file()).expect("the store");
    bed.service.restart();
    bed.envoy.send(&sign_out(&new));
    eventually(SOON, || bed.service.holds(&new));
    bed.service.revoke(&json!({"jti": last.jti()}));
    eventually(SOON, || bed.envoy.get("/page", &last).code() == "revoked");
    let all = [old.clone(), new.clone(), last.clone()];
    let _load =
        Load::start(&bed.application, [bed.envoy.address()], UnavailablePolicy::Always, &all);
    bed.service.kill();
    fs::write(bed.service.store_file(), copy).expect("the store");
    bed.service.restart();
    assert!(bed.service.holds(&old));
    let is_back = || bed.service.holds(&new) && bed.service.holds(&last);
    stays_revoked_until(&bed, &[&old, &new, &last], is_back);
    assert_eq!(bed.another_envoy().get("/page", &last).code(), "revoked");
}

#[test]
fn an_empty_store_recovers_from_the_proxies() {
    let mut bed = Testbed::start();
    let tokens: Vec<_> = (0..20).map(|_| Token::of("ada")).collect();
    for token in &tokens {
        bed.envoy.send(&sign_out(token));
    }
    bed.service.revoke(&json!({"user_id": "eve"}));
    let eve = Token::with(&issued_a_minute_ago("eve"));
    eventually(SOON, || bed.envoy.get("/page", &eve).code() == "revoked");
    let _load =
        Load::start(&bed.application, [bed.envoy.address()], UnavailablePolicy::Always, &tokens);
    let refused: Vec<_> = tokens.iter().chain([&eve]).collect();
    bed.service.kill();
    fs::remove_file(bed.service.store_file()).expect("the store");
    bed.service.restart();
    stays_revoked_until(&bed, &refused, || bed.service.records().len() == 21);
    eventually(SOON, || bed.envoy.metric("resets") >= 2); // written once a second
    assert_eq!(bed.another_envoy().get("/page", &tokens[0]).code(), "revoked");
}

#[test]
fn two_realms_do_not_sign_out_each_others_users() {
    let bed = Testbed::start();
    let shop = bed.another_envoy_with(|configuration| {
        configuration.filter["revocation"]["realm"] = json!("shop");
    });
    let [here, there] = ["ada", "ada"].map(Token::of);
    bed.envoy.send(&sign_out(&here));
    shop.send(&sign_out(&there));
    bed.service.revoke(&json!({"user_id": "eve", "realm": "shop"}));
    let eve = Token::with(&issued_a_minute_ago("eve"));
    eventually(SOON, || shop.get("/page", &eve).code() == "revoked");
    assert_eq!(bed.envoy.get("/page", &eve).status, 200);
    assert_eq!(shop.get("/page", &here).status, 200);
    assert_eq!(bed.envoy.get("/page", &there).status, 200);
    assert_eq!(shop.get("/page", &there).code(), "revoked");
    assert_eq!(bed.envoy.get("/page", &here).code(), "revoked");
}

#[test]
fn the_outbox_gauge_sums_over_realms() {
    let bed = Testbed::with(|configuration| {
        let mut other = configuration.filter.clone();
        other["revocation"]["realm"] = json!("other");
        configuration.more_listeners.push(("other".to_owned(), other));
    });
    let mut other = Connection::to(bed.envoy.address_of("other"));
    eventually(SOON, || other.send(&ready()).status == 200);
    bed.network.set(Fault::Refuse);
    assert_eq!(other.send(&sign_out(&Token::of("ada"))).status, 200);
    eventually(SOON, || bed.envoy.metric("outbox") == 1);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        assert_eq!(bed.envoy.metric("outbox"), 1, "whichever realm shows it"); // each, once a second
    }
    bed.network.set(Fault::None);
    eventually(SOON, || bed.envoy.metric("outbox") == 0);
}

#[test]
fn a_wrong_api_token_keeps_a_proxy_closed() {
    let wrong = "somebody-else's-token-of-44-characters-length";
    let bed = Testbed::from(|setup| setup.env("SIGNOUT_TOKEN", wrong), Fault::None);
    eventually(SOON, || bed.envoy.metric("refresh_rejected.unauthorized") > 0);
    assert_unavailable(&bed.envoy.get("/page", &Token::of("ada")));
    assert_eq!(bed.envoy.send(&ready()).status, 503);
    let log = bed.envoy.log();
    assert!(log.contains("the service rejects our API token"), "{log}");
    assert!(!log.contains(wrong));
    assert_eq!(bed.application.seen(), []);
}

#[test]
fn protected_routes_work_five_seconds_after_the_service_returns() {
    let bed = Testbed::with(|configuration| stale_after_3_seconds(configuration, "refuse"));
    let live = Token::of("ada");
    let mut worker = bed.envoy.connect();
    bed.network.set(Fault::Refuse);
    eventually(SOON, || worker.send(&page(&live)).status == 503);
    // By now, plain exponential backoff would wait for up to a minute.
    let failures = || bed.envoy.metric("refresh_rejected.unavailable");
    eventually(Duration::from_secs(60), || failures() >= 7);
    assert_eq!(worker.send(&page(&live)).status, 503);
    bed.network.set(Fault::None);
    let back = Instant::now();
    eventually(SOON, || worker.send(&page(&live)).status == 200);
    assert!(back.elapsed() <= Duration::from_secs(5), "{:?}", back.elapsed());
}

/// Checks that both workers refuse the tokens, again and again until the condition holds.
fn stays_revoked_until(bed: &Testbed, tokens: &[&Token], mut holds: impl FnMut() -> bool) {
    let mut workers = bed.envoy.connection_per_worker();
    eventually(SOON, || {
        for worker in &mut workers {
            for token in tokens {
                assert_eq!(worker.send(&page(token)).code(), "revoked");
            }
        }
        holds()
    });
}

/// Returns the user id that the application receives on an optional page. Checks that the
/// application receives the token only together with a user id.
fn user_of_an_optional_page(connection: &mut Connection, token: &Token) -> Option<String> {
    let seen = connection.send(&Request::get("/optional").bearer(token)).seen();
    assert_eq!(seen.header("x-user-id").is_some(), seen.header("authorization").is_some());
    seen.header("x-user-id").map(str::to_owned)
}

/// Kills and restarts the service three times while users sign out. Returns the signed-out tokens.
fn signed_out_while_the_service_dies(bed: &mut Testbed) -> Vec<Token> {
    let stop = AtomicBool::new(false);
    let Testbed { envoy, service, application, .. } = bed;
    let twenty_requests_come = || {
        let before = application.seen().len();
        eventually(SOON, || application.seen().len() > before + 20);
    };
    thread::scope(|scope| {
        let load = scope.spawn(|| signs_out_until(&stop, envoy.connect()));
        for _ in 0..3 {
            twenty_requests_come();
            service.kill();
            twenty_requests_come();
            service.restart();
        }
        stop.store(true, Ordering::Relaxed);
        load.join().expect("a load without a wrong verdict")
    })
}

/// Signs out one session after another, checking each verdict. Returns the tokens.
fn signs_out_until(stop: &AtomicBool, mut connection: Connection) -> Vec<Token> {
    let mut signed_out: Vec<Token> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let token = Token::of("ada");
        assert_eq!(connection.send(&page(&token)).status, 200);
        assert_eq!(connection.send(&sign_out(&token)).status, 200);
        let earlier = signed_out.get(signed_out.len() / 2).unwrap_or(&token);
        for revoked in [&token, earlier] {
            assert_eq!(connection.send(&page(revoked)).code(), "revoked");
        }
        signed_out.push(token);
    }
    signed_out
}

fn stale_after_3_seconds(configuration: &mut Configuration, when_unknown: &str) {
    configuration.filter["revocation"]["max_staleness_seconds"] = json!(3);
    configuration.filter["revocation"]["when_unknown"] = json!(when_unknown);
    an_optional_page(configuration);
}

fn an_optional_page(configuration: &mut Configuration) {
    let rules = configuration.filter["routes"].as_array_mut().expect("a list of rules");
    rules.push(json!({"path": "/optional", "access": "optional"}));
}

fn issued_a_minute_ago(user_id: &str) -> serde_json::Value {
    let mut claims = Token::claims_of(user_id);
    claims["iat"] = json!(unix_seconds() - 60);
    claims
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

fn sign_out(token: &Token) -> Request {
    Request::post("/sign-out").bearer(token)
}

fn ready() -> Request {
    Request::get("/.session-guard/ready")
}

#[track_caller]
fn assert_unavailable(answer: &HttpResponse) {
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    assert!(answer.header("retry-after").is_some());
}

const SIGN_OUTS: usize = 300;
/// `max_staleness_seconds` in the test with delayed responses.
const STALE_AFTER: Duration = Duration::from_secs(15);
const SOON: Duration = Duration::from_secs(30);
