//! After a hot restart the new Envoy admits no revoked token: each of
//! the two processes loads the feed by itself, and the new one refuses until it has.

use std::time::Duration;

use testbed::{Fault, Load, Request, Testbed, Token, UnavailablePolicy, eventually};

use crate::load::{are_refused, rounds, tokens};

#[test]
fn a_process_that_takes_over_admits_no_revoked_token() {
    let mut bed = Testbed::from(testbed::EnvoySetup::hot_restartable, Fault::None);
    bed.envoy.await_guarding();
    let revoked = tokens(20);
    for token in &revoked {
        assert_eq!(bed.envoy.send(&sign_out(token)).status, 200);
    }
    let load = Load::start(
        &bed.application,
        [bed.envoy.address()],
        UnavailablePolicy::OrUnavailable,
        &revoked,
    );
    let (rounds, mut ended) = (rounds(2, 5), Vec::new());
    for age in 1..=rounds {
        let mut kept = bed.envoy.connect(); // stays with the old process until it is drained
        assert_eq!(kept.send(&page(&revoked[0])).code(), "revoked");
        let next = bed.envoy.successor(age, DRAIN_SECONDS);
        eventually(SOON, || bed.service.get("/v1/status").json()["waiting_polls"] == 2);
        let token = Token::of("ada");
        bed.service.revoke(&serde_json::json!({"jti": token.jti()}));
        eventually(SOON, || are_refused(&next, std::slice::from_ref(&token)));
        load.enforced(std::slice::from_ref(&token));
        if let Ok(answer) = kept.try_send(&page(&token)) {
            assert_ne!(answer.status, 200, "the old process");
        }
        let mut old = std::mem::replace(&mut bed.envoy, next);
        eventually(SOON, || old.has_ended());
        ended.push(old);
        load.await_more();
    }
    let counts = load.end();
    println!("figure: {rounds} processes took over, {counts}");
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

fn sign_out(token: &Token) -> Request {
    Request::post("/sign-out").bearer(token)
}

const DRAIN_SECONDS: u32 = 3;
const SOON: Duration = Duration::from_secs(60);
