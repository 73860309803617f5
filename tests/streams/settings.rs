//! What do `revocation.streams` and the end of a token change?

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use testbed::{Configuration, Testbed, Token, eventually};

use crate::client::{self, Client, Kind, alone, assert_all_go_on, ended, open_all, sign_out};

#[test]
fn a_stream_ends_with_its_token_where_that_is_asked_for() {
    let bed = expiring(|configuration| {
        configuration.filter["revocation"]["streams"] = json!({"end_at_expiry": true});
    });
    let _alone = alone();
    let mut clients = open_all(&bed.envoy, &Token::of("bob"));
    let (token, end) = short_lived();
    let mut expiring = Kind::ALL.map(|kind| Client::open(&bed.envoy, kind, &token));
    eventually(LONG, || now() >= end || expiring.iter_mut().any(Client::has_ended));
    assert!(now() >= end, "ended before its time");
    let took = client::await_ended(&mut expiring, ONE_SWEEP);
    println!("ended {took:?} after the end of the token");
    expiring.iter_mut().for_each(|client| client.assert_refused("expired"));
    assert_all_go_on(&mut clients);
    eventually(LONG, || ended(&bed.envoy, "expired") == Kind::ALL.len() as u64);
    assert_eq!(ended(&bed.envoy, "revoked"), 0);
}

#[test]
fn a_stream_outlives_its_token_otherwise() {
    let bed = expiring(|_| {});
    let _alone = alone();
    let (token, end) = short_lived();
    let mut clients = Kind::ALL.map(|kind| Client::open(&bed.envoy, kind, &token));
    eventually(LONG, || bed.envoy.get("/page", &token).code() == "expired");
    thread::sleep(ONE_SWEEP);
    assert!(now() > end);
    assert_all_go_on(&mut clients);
    assert_eq!(ended(&bed.envoy, "expired"), 0);
}

#[test]
fn no_stream_ends_where_that_is_switched_off() {
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

/// With a short tolerance, so that tokens end soon.
fn expiring(edit: impl FnOnce(&mut Configuration)) -> Testbed {
    client::bed(|configuration| {
        configuration.filter["claims"]["clock_skew_seconds"] = json!(SKEW_SECONDS);
        edit(configuration);
    })
}

/// A token and the moment from which it is refused.
fn short_lived() -> (Token, Duration) {
    let mut claims = Token::claims_of("ada");
    let exp = now().as_secs() + 3;
    claims["exp"] = json!(exp);
    (Token::with(&claims), Duration::from_secs(exp + SKEW_SECONDS))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970")
}

const SKEW_SECONDS: u64 = 1;
/// Longer than from one look at all open requests to the next, and the longest way of a close.
const ONE_SWEEP: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(20);
