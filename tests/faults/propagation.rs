//! Measures the time from the response to a sign-out on one proxy to the refusal by another. Two
//! services share one Redis; each proxy polls one of them.

use std::time::Instant;

use testbed::{Connection, Envoy, Fleet, Redis, Request, Token};

use crate::load::rounds;

#[test]
fn a_sign_out_quickly_reaches_two_or_eight_proxies() {
    for proxies in [2, 8] {
        let (fleet, more) = fleet(proxies);
        let mut connections: Vec<_> =
            fleet.envoys.iter().chain(&more).map(Envoy::connect).collect();
        let count = rounds(100, 1_000);
        let mut milliseconds: Vec<f64> =
            (0..count).map(|number| one_sign_out(&mut connections, number)).collect();
        milliseconds.sort_by(f64::total_cmp);
        let at = |percent: usize| milliseconds[(count * percent / 100).min(count - 1)];
        println!(
            "figure: {proxies} proxies, {count} sign-outs: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            at(50),
            at(99),
            at(100)
        );
        assert!(at(50) < 500.0, "half of them took longer than {:.1} ms", at(50));
    }
}

/// Returns the milliseconds from the response on one proxy to the refusal by another.
fn one_sign_out(connections: &mut [Connection], number: usize) -> f64 {
    let proxies = connections.len();
    let (here, there) = (number % proxies, (number * 3 + 1) % proxies);
    let there = if here == there { (here + 1) % proxies } else { there };
    let token = Token::of("ada");
    let page = Request::get("/page").bearer(&token);
    for at in [here, there] {
        assert_eq!(connections[at].send(&page).status, 200);
    }
    let answer = connections[here].send(&Request::post("/sign-out").bearer(&token));
    assert_eq!(answer.status, 200);
    let answered = Instant::now();
    loop {
        match connections[there].send(&page) {
            refused if refused.code() == "revoked" => break,
            admitted => assert_eq!(admitted.status, 200),
        }
        assert!(answered.elapsed().as_secs() < 20, "a signed-out token goes on being accepted");
    }
    answered.elapsed().as_secs_f64() * 1_000.0
}

/// Starts two services with a proxy each, and further proxies alternating between them.
fn fleet(proxies: usize) -> (Fleet, Vec<Envoy>) {
    let fleet = Fleet::of(2, Redis::setup(), |_| {});
    let more: Vec<_> = (2..proxies)
        .map(|number| {
            let setup = Envoy::setup().application(fleet.application.address()).workers(1);
            setup.service(fleet.services[number % 2].address()).start()
        })
        .collect();
    more.iter().for_each(Envoy::await_guarding);
    (fleet, more)
}
