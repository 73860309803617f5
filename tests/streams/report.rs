//! Measures the time from a sign-out to the end of its streams.
//!
//! `make streams-report` prints the tables of `docs/streams.md`. The time starts when the response
//! to the sign-out has arrived, and ends for each stream when its client sees the end. In
//! production, clients and application run on other machines. Here they share this one, so Envoy
//! runs at a higher priority if the test runs as root.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use testbed::{Fault, Reply, Testbed, Token, come_first, eventually};

use crate::client::times_of_ends;
use crate::client::{
    self, OpenClient, StreamKind, alone, assert_no_vm_died, keep_open, make_room, sign_out,
};
use crate::crowd::others_while_a_crowd_ends;

#[test]
#[ignore = "measures: make streams-report"]
fn report_of_the_time_until_streams_have_ended() {
    let _alone = alone();
    println!("| open request | 1 stream (of {ONES}) | 100 at once | 8,000 at once |");
    println!("| --- | --- | --- | --- |");
    for (name, kind) in [
        ("WebSocket, HTTP/1.1", StreamKind::IdleSocket),
        ("WebSocket, HTTP/2", StreamKind::Http2Socket),
        ("events, HTTP/1.1", StreamKind::QuietEvents),
        ("events, HTTP/2", StreamKind::Http2QuietEvents),
        ("gRPC", StreamKind::Http2Grpc),
        ("long poll, HTTP/1.1", StreamKind::LongPoll),
        ("long poll, HTTP/2", StreamKind::Http2LongPoll),
    ] {
        let bed = Testbed::from(|setup| setup.memory_mib(1_024).edit(make_room), Fault::None);
        keep_open(&bed.application);
        // Without this, 16,000 messages a second would measure the clients.
        bed.application
            .on("/grpc", Reply::pieces("application/grpc", usize::MAX, LONG * 5).early());
        bed.envoy.await_guarding();
        come_first(Some(bed.envoy.process_id()));
        let ones = (0..ONES).flat_map(|_| times(&bed, kind, 1)).collect();
        let hundreds = (0..3).flat_map(|_| times(&bed, kind, 100)).collect();
        let cells = [ones, hundreds, times(&bed, kind, 8_000)].map(told);
        println!("| {name} | {} |", cells.join(" | "));
        let late = bed.envoy.metric("streams_late");
        if late > 0 {
            println!("  ({late} of them count as late)");
        }
        assert_no_vm_died(&bed.envoy);
    }
}

#[test]
#[ignore = "measures: make streams-report"]
fn report_of_the_effect_on_other_users() {
    let bed = client::bed(|configuration| {
        let answer = json!({"match": {"path": ANSWERED}, "direct_response": {"status": 200}});
        let manager = configuration.connection_manager();
        let routes = &mut manager["route_config"]["virtual_hosts"][0]["routes"];
        routes.as_array_mut().expect("a list of routes").insert(0, answer);
    });
    let (_alone, bob) = (alone(), Token::of("bob"));
    come_first(Some(bed.envoy.process_id()));
    println!("| p99 of another user's requests before | while 1,500 streams end |");
    println!("| --- | --- |");
    for _ in 0..5 {
        let [before, during] = others_while_a_crowd_ends(&bed, ANSWERED, &bob).map(milliseconds);
        println!("| {before} | {during} |");
    }
    assert_no_vm_died(&bed.envoy);
}

/// Returns how long each of that many streams of one token stays open after the sign-out.
fn times(bed: &Testbed, kind: StreamKind, count: usize) -> Vec<Duration> {
    let token = Token::of("ada");
    let mut clients = Vec::new();
    while clients.len() < count {
        if kind.is_http2() {
            let connection = Arc::new(bed.envoy.connect_http2());
            let some = (count - clients.len()).min(1_000);
            let open = || OpenClient::open_among(&connection, kind, &token).keeping(&connection);
            clients.extend((0..some).map(|_| open()));
        } else {
            clients.push(OpenClient::open_soon(&bed.envoy, kind, &token));
        }
    }
    let mut clients: Vec<_> = clients.into_iter().map(OpenClient::begun).collect();
    // The filter's own gauge follows after up to five seconds.
    let open = || bed.envoy.stats(OPEN).iter().map(|(_, open)| open).sum::<u64>();
    eventually(LONG, || open() == count as u64);
    sign_out(&bed.envoy, &token);
    let times = times_of_ends(&mut clients, LONG);
    clients.iter_mut().for_each(OpenClient::assert_revoked);
    eventually(LONG, || open() == 0);
    bed.application.forget();
    times
}

/// Returns p50, p99 and maximum as text.
fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| milliseconds(times[(times.len() - 1) * percent / 100]);
    format!("{}, {}, {}", at(50), at(99), at(100))
}

fn milliseconds(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1_000.0)
}

/// A page to which Envoy itself responds, because the application is busy with the streams.
const ANSWERED: &str = "/answered";
const OPEN: &str = "http.edge.downstream_rq_active";
const ONES: usize = 20;
const LONG: Duration = Duration::from_secs(120);
