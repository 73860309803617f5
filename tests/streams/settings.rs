//! Promise: the settings `revocation.streams` have the documented effect.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use testbed::{Build, Configuration, Connection, Fault, Request, Testbed, Token, eventually};

use crate::client::{
    self, OpenClient, StreamKind, alone, assert_all_go_on, ended, open_all, sign_out,
};

#[test]
fn with_end_at_expiry_a_stream_ends_with_its_token() {
    let bed = expiring(|configuration| {
        configuration.filter["revocation"]["streams"] = json!({"end_at_expiry": true});
    });
    let _alone = alone();
    let mut clients = open_all(&bed.envoy, &Token::of("bob"));
    let (token, end) = short_lived();
    let mut expiring = StreamKind::ALL.map(|kind| OpenClient::open(&bed.envoy, kind, &token));
    eventually(LONG, || now() >= end || expiring.iter_mut().any(OpenClient::has_ended));
    assert!(now() >= end, "ended before its time");
    let took = client::await_ended(&mut expiring, ONE_SWEEP);
    println!("ended {took:?} after the end of the token");
    expiring.iter_mut().for_each(|client| client.assert_refused("expired"));
    assert_all_go_on(&mut clients);
    eventually(LONG, || ended(&bed.envoy, "expired") == StreamKind::ALL.len() as u64);
    assert_eq!(ended(&bed.envoy, "revoked"), 0);
}

/// The router ends them. The dynamic module keeps its open requests when it panics, and ends them
/// itself. Both ignore a client's own `x-envoy-upstream-stream-duration-ms`.
#[test]
fn expired_streams_of_a_crashed_vm_end() {
    let bed = Testbed::from(
        |setup| {
            setup.drill().workers(1).edit(|configuration| {
                client::make_room(configuration);
                configuration.filter["claims"]["clock_skew_seconds"] = json!(SKEW_SECONDS);
                configuration.filter["revocation"]["streams"] = json!({"end_at_expiry": true});
            })
        },
        Fault::None,
    );
    client::keep_open(&bed.application);
    bed.envoy.await_guarding();
    let _alone = alone();
    let (token, end) = lives_for(8);
    let kinds = [
        StreamKind::IdleSocket,
        StreamKind::Http2Socket,
        StreamKind::QuietEvents,
        StreamKind::Http2QuietEvents,
    ];
    let mut clients = kinds.map(|kind| OpenClient::open(&bed.envoy, kind, &token));
    let mut own_times = ["0", "1", "100000"].map(|time| {
        let quiet = Request::get("/quiet").header("accept", "text/event-stream").bearer(&token);
        let mut connection = bed.envoy.connect();
        let header = "x-envoy-upstream-stream-duration-ms";
        connection.send_bytes(&quiet.header(header, time).to_bytes());
        assert_eq!(connection.read_head().status, 200);
        connection
    });
    let fatal = Request::get("/page").bearer(&Token::of("eve")).header("x-panic-drill", "request");
    assert_eq!(bed.envoy.send(&fatal).status, 503);
    assert!(now() < end, "the machine is too busy for this token");
    let is_over = |connection: &mut Connection| connection.is_closed();
    eventually(LONG, || {
        let over =
            own_times.iter_mut().any(is_over) || clients.iter_mut().any(OpenClient::has_ended);
        assert!(!over || now() >= end, "ended before its time");
        now() >= end
    });
    client::await_ended(&mut clients, ONE_SWEEP * 2);
    for connection in &mut own_times {
        connection.read_until_closed();
    }
    let by_router = if Build::chosen() == Build::Wasm { 7 } else { 0 };
    eventually(LONG, || bed.envoy.access_log().matches(" UMSDR ").count() == by_router);
    eventually(LONG, || ended(&bed.envoy, "expired") == 7 - by_router as u64);
    let seen = bed.application.seen_at("/quiet");
    assert!(seen.iter().all(|seen| seen.header("x-envoy-upstream-stream-duration-ms").is_none()));
}

#[test]
fn without_end_at_expiry_a_stream_outlives_its_token() {
    let bed = expiring(|_| {});
    let _alone = alone();
    let (token, end) = short_lived();
    let mut clients = StreamKind::ALL.map(|kind| OpenClient::open(&bed.envoy, kind, &token));
    eventually(LONG, || bed.envoy.get("/page", &token).code() == "expired");
    thread::sleep(ONE_SWEEP);
    assert!(now() > end);
    assert_all_go_on(&mut clients);
    assert_eq!(ended(&bed.envoy, "expired"), 0);
}

#[test]
fn without_end_on_revocation_no_stream_ends() {
    let bed = client::bed(|configuration| {
        configuration.filter["revocation"]["streams"] = json!({"end_on_revocation": false});
    });
    let _alone = alone();
    let token = Token::of("ada");
    let mut clients = open_all(&bed.envoy, &token);
    sign_out(&bed.envoy, &token);
    assert_eq!(bed.envoy.get("/page", &token).code(), "revoked");
    thread::sleep(ONE_SWEEP);
    assert_all_go_on(&mut clients);
    assert_eq!(ended(&bed.envoy, "revoked"), 0);
}

/// Starts a testbed with a short clock skew, so that tokens expire soon.
fn expiring(edit: impl FnOnce(&mut Configuration)) -> Testbed {
    client::bed(|configuration| {
        configuration.filter["claims"]["clock_skew_seconds"] = json!(SKEW_SECONDS);
        edit(configuration);
    })
}

fn short_lived() -> (Token, Duration) {
    lives_for(3)
}

/// Returns a token and the time from which it is refused.
fn lives_for(seconds: u64) -> (Token, Duration) {
    let mut claims = Token::claims_of("ada");
    let exp = now().as_secs() + seconds;
    claims["exp"] = json!(exp);
    (Token::with(&claims), Duration::from_secs(exp + SKEW_SECONDS))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970")
}

const SKEW_SECONDS: u64 = 1;
/// Longer than the interval between two checks of all open requests plus the time to close one.
const ONE_SWEEP: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(20);
