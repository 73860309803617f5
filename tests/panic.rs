//! Promise: a crash of a VM affects only the requests that it is processing. None of them is
//! admitted, a new VM processes the next request, the revocation set is complete, and another VM
//! continues to poll the feed.
//! Method: a build of the filter with a header that makes it panic, on each worker of a real Envoy.

use std::time::Duration;

use serde_json::json;
use testbed::{
    Build, Configuration, Connection, Fault, HttpResponse, Request, Testbed, Token, eventually,
};

#[test]
fn a_panic_in_a_request_admits_nobody_and_loses_nothing() {
    let bed = drill();
    let (live, revoked) = (Token::of("ada"), Token::of("ada"));
    bed.envoy.send(&sign_out(&revoked));
    let mut workers = bed.envoy.connection_per_worker();
    bed.application.forget();
    for at in 0..workers.len() {
        let refused = workers[at].send(&page(&live).header("x-panic-drill", "request"));
        assert_eq!(refused.status, 503);
        assert_eq!(bed.application.seen_at("/page"), []);
        recovers(&mut workers[at], &live, &revoked);
        for worker in &mut workers {
            recovers(worker, &live, &revoked);
        }
        bed.application.forget();
    }
    eventually(SOON, || reloads(&bed) == 2);
}

#[test]
fn a_panic_on_the_tick_admits_nobody() {
    let bed = drill();
    let (live, revoked) = (Token::of("ada"), Token::of("ada"));
    bed.envoy.send(&sign_out(&revoked));
    for worker in &mut bed.envoy.connection_per_worker() {
        let before = panics(&bed, "tick");
        assert_eq!(worker.send(&page(&live).header("x-panic-drill", "tick")).status, 200);
        eventually(SOON, || panics(&bed, "tick") > before);
        for token in [&live.forged(), &revoked] {
            assert_ne!(worker.send(&page(token)).status, 200);
        }
        recovers(worker, &live, &revoked);
    }
    assert_eq!(reloads(&bed), 2);
}

/// A request that waits for a crashed VM ends only at Envoy's idle time-out.
#[test]
fn a_panic_in_a_sign_outs_callout_keeps_the_revocation() {
    let bed = drill_with(|configuration| {
        configuration.connection_manager()["stream_idle_timeout"] = json!("2s");
    });
    let live = Token::of("ada");
    for mut waiting in bed.envoy.connection_per_worker() {
        let token = Token::of("ada");
        let before = panics(&bed, "callout");
        waiting.send_bytes(&sign_out(&token).header("x-panic-drill", "callout").to_bytes());
        eventually(SOON, || panics(&bed, "callout") > before);
        for worker in &mut bed.envoy.connection_per_worker() {
            recovers(worker, &live, &token);
        }
        eventually(SOON, || bed.service.holds(&token));
        assert_eq!(waiting.read_answer().status, 503);
    }
    assert_eq!(bed.application.seen_at("/sign-out"), []);
}

#[test]
fn another_vm_polls_the_feed_after_a_crash() {
    let bed = drill();
    let mut workers = bed.envoy.connection_per_worker();
    let (live, [lost, next]) = (Token::of("ada"), ["ada", "ada"].map(Token::of));
    assert_eq!(workers[0].send(&page(&live).header("x-panic-drill", "reader")).status, 200);
    bed.service.revoke(&json!({"jti": lost.jti()}));
    eventually(SOON, || panics(&bed, "reader") == 1);
    for worker in &mut workers {
        eventually(SOON, || worker.send(&page(&lost)).code() == "revoked");
        assert_eq!(worker.send(&page(&live)).status, 200);
    }
    bed.service.revoke(&json!({"jti": next.jti()}));
    for worker in &mut workers {
        eventually(SOON, || worker.send(&page(&next)).code() == "revoked");
        assert_eq!(worker.send(&page(&live)).status, 200);
    }
}

#[test]
fn a_hundred_panics_admit_nobody() {
    let bed = drill();
    let (live, revoked) = (Token::of("ada"), Token::of("ada"));
    bed.envoy.send(&sign_out(&revoked));
    bed.application.forget();
    let mut workers = bed.envoy.connection_per_worker();
    for round in 0..100 {
        let worker = &mut workers[round % 2];
        assert_eq!(worker.send(&page(&live).header("x-panic-drill", "request")).status, 503);
        assert_ne!(worker.send(&page(&live.forged())).status, 200);
        assert_ne!(worker.send(&page(&revoked)).status, 200);
    }
    assert_eq!(bed.application.seen(), []);
    for worker in &mut workers {
        recovers(worker, &live, &revoked);
    }
}

fn drill() -> Testbed {
    drill_with(|_| {})
}

fn drill_with(edit: impl FnOnce(&mut Configuration)) -> Testbed {
    let bed = Testbed::from(|setup| setup.drill().edit(edit), Fault::None);
    bed.envoy.await_guarding();
    bed
}

/// Waits until the worker gives the right verdicts again, at once or when Envoy has replaced its
/// VM. Checks that it admits nothing wrong until then.
#[track_caller]
fn recovers(worker: &mut Connection, live: &Token, revoked: &Token) {
    eventually(SOON, || {
        let answers = [live, revoked].map(|token| worker.send(&page(token)));
        let [live, revoked] = answers.each_ref().map(|answer| answer.status);
        assert!(matches!((live, revoked), (200 | 503, 401 | 503)), "{live} {revoked}");
        (live, revoked) == (200, 401)
    });
    assert_eq!(refused(worker, &live.forged()).code(), "bad_signature");
}

fn refused(worker: &mut Connection, token: &Token) -> HttpResponse {
    let answer = worker.send(&page(token));
    assert_eq!(answer.status, 401);
    answer
}

/// Returns how often the filter has panicked at that place.
fn panics(bed: &Testbed, place: &str) -> usize {
    bed.envoy.log().matches(&format!("drill: {place}")).count()
}

/// Returns how often Envoy has replaced a VM. For the dynamic module, returns the number of panics.
fn reloads(bed: &Testbed) -> u64 {
    if Build::chosen() == Build::Native {
        return bed.envoy.log().matches("panicked at").count() as u64;
    }
    let counts = bed.envoy.stats("vm_reload_success");
    counts.iter().map(|(_, count)| count).sum()
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

fn sign_out(token: &Token) -> Request {
    Request::post("/sign-out").bearer(token)
}

const SOON: Duration = Duration::from_secs(30);
