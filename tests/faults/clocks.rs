//! A proxy with a wrong clock decides by that clock, exact to the second, keeps polling the feed,
//! and loses no revocation when the clock jumps. The test sets Envoy's clock.

use std::time::Duration;

use serde_json::json;
use testbed::{Connection, EnvoySetup, Fault, Request, Testbed, Token, eventually, unix_seconds};

use crate::shim::Shim;

#[test]
fn verdicts_follow_the_proxys_clock_to_the_second() {
    let clock = ClockShim::new();
    let bed = clock.bed();
    let mut connection = bed.envoy.connect();
    for offset in [0, -3600, 3600, -61, 61] {
        clock.set(offset);
        let now = unix_seconds().saturating_add_signed(offset);
        // Skew 60 s; some seconds for the test itself, on a busy machine.
        for (claim, at, expected) in [
            ("exp", now - 45, 200),
            ("exp", now - 61, 401),
            ("nbf", now + 60, 200),
            ("nbf", now + 75, 401),
            ("iat", now + 60, 200),
            ("iat", now + 75, 401),
        ] {
            let mut claims = Token::claims_of("ada");
            claims["iat"] = json!(now - 100);
            claims["exp"] = json!(now + 1_000);
            claims[claim] = json!(at);
            let status = connection.send(&page(&Token::with(&claims))).status;
            assert_eq!(status, expected, "clock {offset} s, {claim} {at}, now {now}");
        }
    }
}

#[test]
fn a_clock_jump_loses_nothing_and_the_feed_continues() {
    let clock = ClockShim::new();
    let bed = clock.bed();
    // Issued long ago and valid for hours, so only the step of the clock matters.
    let mut claims = Token::claims_of("ada");
    claims["iat"] = json!(unix_seconds() - 7_200);
    claims["exp"] = json!(unix_seconds() + 7_200);
    let token = Token::with(&claims);
    bed.envoy.send(&Request::post("/sign-out").bearer(&token));
    for offset in [3_600, 0, 90_000, 0, -600, -(unix_seconds() as i64) + 5, 0] {
        clock.set(offset);
        // The proxy polls the feed and sweeps the set at this time, too.
        let swept = bed.envoy.metric("feed_current_timestamp_seconds");
        let marker = Token::of("ada");
        bed.service.revoke(&json!({"user_id": marker.jti(), "issued_before": 5}));
        eventually(SOON, || bed.envoy.metric("feed_current_timestamp_seconds") != swept);
        let refused = bed.envoy.get("/page", &token);
        assert_ne!(refused.status, 200, "clock {offset} s");
        if (-600..=3_600).contains(&offset) {
            assert_eq!(refused.code(), "revoked", "clock {offset} s");
        }
    }
    let live = Token::of("ada");
    eventually(SOON, || bed.envoy.get("/page", &live).status == 200);
    assert_eq!(bed.envoy.get("/page", &token).code(), "revoked");
}

/// A preloaded library that shifts a program's clock.
pub(crate) struct ClockShim {
    shim: Shim,
}

impl ClockShim {
    pub(crate) fn new() -> Self {
        Self { shim: Shim::build("clock_shim", &0i64.to_ne_bytes()) }
    }

    /// Sets the clock that many seconds ahead.
    pub(crate) fn set(&self, seconds: i64) {
        self.shim.order(&seconds.to_ne_bytes());
    }

    /// Returns the environment of such a program.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [("LD_PRELOAD", self.shim.library()), ("CLOCK_SHIM", self.shim.orders())]
    }

    fn bed(&self) -> Testbed {
        let environment = self.environment();
        let with_clock = |setup: EnvoySetup| {
            environment.iter().fold(setup, |setup, (name, value)| setup.env(name, value))
        };
        let bed = Testbed::from(with_clock, Fault::None);
        bed.envoy.await_guarding();
        let mut connection = Connection::to(bed.envoy.address());
        self.set(86_400);
        let answer = connection.send(&page(&Token::of("ada")));
        assert_eq!(answer.code(), "expired", "Envoy does not see the clock that the test sets");
        self.set(0);
        bed
    }
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

const SOON: Duration = Duration::from_secs(60);
