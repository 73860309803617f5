//! A proxy that is killed and restarted admits no revoked token, from its first response on.

use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{Load, Testbed, Token, UnavailablePolicy, unix_seconds};

use crate::load::{are_refused, rounds};

#[test]
fn a_repeatedly_killed_envoy_never_admits_a_revoked_token() {
    let mut bed = Testbed::start();
    let exp = unix_seconds() + 3_600;
    let fill = |count: usize| {
        let jtis: Vec<_> = (0..count).map(|_| Token::of("eve")).collect();
        for batch in jtis.chunks(5_000) {
            let batch: Vec<_> =
                batch.iter().map(|token| json!({"jti": token.jti(), "exp": exp})).collect();
            bed.service.revoke(&json!(batch));
        }
        jtis
    };
    let mut revoked = fill(10);
    revoked.extend(fill(10_000).into_iter().step_by(1_000));
    let load = Load::start(
        &bed.application,
        [bed.envoy.address()],
        UnavailablePolicy::OrUnavailable,
        &revoked,
    );
    let (rounds, mut slowest) = (rounds(4, 20), Duration::ZERO);
    for _ in 0..rounds {
        bed.envoy.restart();
        load.moved(0, bed.envoy.address());
        let listening = Instant::now();
        bed.envoy.await_guarding();
        slowest = slowest.max(listening.elapsed());
        assert!(are_refused(&bed.envoy, &revoked));
        load.await_more();
    }
    let counts = load.end();
    assert!(counts.refused >= 2 * rounds as u64, "{counts:?}");
    println!("figure: {rounds} kills, guarding after {} ms at most, {counts}", slowest.as_millis());
}
