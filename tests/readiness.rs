//! Promise: while the signout service is away, protected routes respond 503 and everything else works,
//! also behind a load balancer that checks the `ready` route.
//! Method: the front proxy of `examples/compose` in front of two guarded Envoys, with the real service.

use std::time::Duration;

use serde_json::json;
use testbed::{Configuration, Envoy, Fault, Front, HttpResponse, Request, Testbed, Token};
use testbed::{eventually, until};

#[test]
fn a_long_outage_leaves_public_pages_and_sign_out_working() {
    let mut bed = Testbed::with(soon_stale);
    let second = bed.another_envoy_with(soon_stale);
    let front = Front::before(&[bed.envoy.address(), second.address()]);
    let token = Token::of("ada");
    eventually(SOON, || front.stat(HEALTHY) == 2 && front.send(&page(&token)).status == 200);

    bed.service.kill();
    for envoy in [&bed.envoy, &second] {
        eventually(SOON, || envoy.send(&page(&token)).code() == "unavailable");
    }
    await_health_checks(&front, 8);
    assert_eq!(front.stat(HEALTHY), 2, "the outage takes no proxy out");
    for _ in 0..10 {
        assert_eq!(front.send(&Request::get("/")).status, 200);
        assert_eq!(front.send(&page(&token)).code(), "unavailable");
    }
    assert_eq!(front.send(&Request::post("/sign-out").bearer(&Token::of("bob"))).status, 200);

    bed.service.restart();
    eventually(RECOVERY, || {
        [&bed.envoy, &second].iter().all(|envoy| envoy.send(&page(&token)).status == 200)
            && front.send(&page(&token)).status == 200
    });
    assert_eq!(front.stat(HEALTHY), 2);
    await_health_checks(&front, 8);
    assert_eq!(front.stat(HEALTHY), 2);
}

#[test]
fn public_pages_work_if_the_service_is_down_at_start() {
    let bed = Testbed::cut_off(|_| {});
    let second = Envoy::setup().application(bed.application.address());
    let second = second.service(bed.network.address()).start();
    let front = Front::before(&[bed.envoy.address(), second.address()]);
    eventually(SOON, || front.send(&Request::get("/")).status == 200);
    await_health_checks(&front, 8);
    assert_eq!(front.stat(HEALTHY), 0);
    for _ in 0..10 {
        assert_eq!(front.send(&Request::get("/")).status, 200);
        assert_eq!(front.send(&page(&Token::of("ada"))).code(), "unavailable");
    }
    bed.network.set(Fault::None);
    eventually(SOON, || front.stat(HEALTHY) == 2);
    assert_eq!(front.send(&page(&Token::of("ada"))).status, 200);
}

#[test]
fn a_proxy_that_has_loaded_nothing_receives_no_requests() {
    let bed = Testbed::cut_off(|_| {});
    let loaded = bed.another_envoy();
    let front = Front::before(&[bed.envoy.address(), loaded.address()]);
    eventually(SOON, || front.stat(HEALTHY) == 1);
    for _ in 0..20 {
        assert_eq!(edge(&front.send(&page(&Token::of("ada")))), "edge-2");
    }
}

/// Waits until the front proxy has checked its Envoys that many times more.
#[track_caller]
fn await_health_checks(front: &Front, count: u64) {
    let before = front.stat(ATTEMPTS);
    until(SOON, || (front.stat(ATTEMPTS) >= before + count).then_some(()));
}

fn edge(answer: &HttpResponse) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-edge").unwrap_or_default().to_owned()
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

fn soon_stale(configuration: &mut Configuration) {
    configuration.filter["revocation"]["max_staleness_seconds"] = json!(6);
}

const HEALTHY: &str = "cluster.edges.membership_healthy";
const ATTEMPTS: &str = "cluster.edges.health_check.attempt";
/// A stale set is requested every 5 s at the latest. The rest is for a busy machine.
const RECOVERY: Duration = Duration::from_secs(15);

const SOON: Duration = Duration::from_secs(60);
