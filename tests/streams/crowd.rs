//! Promise: Envoy survives the end of many streams at once.
//!
//! Each test is a case in which a naive implementation has crashed Envoy or its VM;
//! `core/src/open_requests` explains how the filter avoids it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testbed::{
    Connection, Fault, Http2, Reply, Request, Shared, Testbed, Token, come_first, eventually, until,
};

use crate::client::{
    self, OpenClient, StreamKind, alone, assert_all_go_on, assert_no_vm_died, await_ended, ended,
    sign_out,
};

static BED: Shared<Testbed> = Shared::new(|| client::bed(|_| {}));

/// Envoy closes a young connection when hundreds of its streams end without a response. That would
/// also end the streams that have not had their 401 yet.
#[test]
fn hundreds_of_pending_requests_on_a_young_connection_get_401() {
    let (bed, _alone) = (BED.get(), alone());
    for count in [600, 1_000] {
        let token = Token::of("ada");
        let connection = bed.envoy.connect_http2();
        let mut clients = crowd(&connection, StreamKind::Http2LongPoll, &token, count);
        until(LONG, || (waiting(&bed) >= count).then_some(()));
        let answer = connection.send(&Request::post("/sign-out").bearer(&token));
        assert_eq!(answer.status, 200, "on that very connection");
        println!("{count} answered after {:?}", await_ended(&mut clients, LONG));
        clients.iter_mut().for_each(OpenClient::assert_revoked);
        assert_no_vm_died(&bed.envoy);
        bed.application.forget();
    }
}

/// If one call into the VM closes several streams, the calls nest on the VM's stack, which has room
/// for some 300. `make streams-report` measures the effect on other users; here the machine may be
/// busy.
#[test]
fn a_thousand_streams_end_at_once_while_others_are_served() {
    let (bed, _alone) = (BED.get(), alone());
    let bob = Token::of("bob");
    let mut going_on = OpenClient::open(&bed.envoy, StreamKind::Http2Events, &bob);
    let [before, during] = others_while_a_crowd_ends(&bed, "/page", &bob);
    println!("p99 of others: {before:?} before, {during:?} meanwhile");
    assert_all_go_on([&mut going_on]);
    assert_no_vm_died(&bed.envoy);
}

/// Returns the p99 of another user's requests before and while 1,500 streams end.
pub(crate) fn others_while_a_crowd_ends(bed: &Testbed, path: &str, other: &Token) -> [Duration; 2] {
    const CROWD: usize = 1_500;
    let ada = Token::of("ada");
    let connections: Vec<_> = (0..6).map(|_| bed.envoy.connect_http2()).collect();
    let kinds = [StreamKind::Http2Events, StreamKind::Http2LongPoll];
    let mut clients: Vec<_> = connections
        .iter()
        .zip(kinds.iter().cycle())
        .flat_map(|(connection, kind)| crowd(connection, *kind, &ada, CROWD / connections.len()))
        .collect();
    clients = clients.into_iter().map(OpenClient::begun).collect();
    eventually(LONG, || waiting(bed) >= CROWD / 2);
    let revoked = ended(&bed.envoy, "revoked");
    let mut connection = bed.envoy.connect();
    let request = Request::get(path).bearer(other);
    let before: Vec<_> = (0..500).map(|_| time_of_answer(&mut connection, &request)).collect();
    let over = AtomicBool::new(false);
    let during = thread::scope(|scope| {
        let during = scope.spawn(|| {
            come_first(None); // as if this client had its own machine
            let mut times = Vec::new();
            while !over.load(Ordering::Relaxed) {
                times.push(time_of_answer(&mut connection, &request));
            }
            times
        });
        sign_out(&bed.envoy, &ada);
        let took = await_ended(&mut clients, LONG);
        over.store(true, Ordering::Relaxed);
        let during = during.join().expect("every request is answered");
        println!("{CROWD} ended after {took:?}, {} requests of others meanwhile", during.len());
        during
    });
    clients.iter_mut().for_each(OpenClient::assert_revoked);
    eventually(LONG, || ended(&bed.envoy, "revoked") == revoked + CROWD as u64);
    bed.application.forget();
    [before, during].map(p99)
}

fn time_of_answer(connection: &mut Connection, request: &Request) -> Duration {
    let start = Instant::now();
    assert_eq!(connection.send(request).status, 200);
    start.elapsed()
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

/// The filter checks ten thousand streams in several steps, and ends only those of one user.
#[test]
fn of_ten_thousand_open_streams_those_of_one_user_end() {
    let bed = client::bed(|configuration| configuration.speak_http2("application"));
    let _alone = alone();
    let users = [Token::of("ada"), Token::of("bob")];
    let connections: Vec<_> = (0..10).map(|_| bed.envoy.connect_http2()).collect();
    let mut clients = users.each_ref().map(|_| Vec::new());
    for connection in &connections {
        clients[0].extend(crowd(connection, StreamKind::Http2QuietEvents, &users[0], 100));
        clients[1].extend(crowd(connection, StreamKind::Http2QuietEvents, &users[1], 900));
    }
    let [mut revoked, mut going_on] =
        clients.map(|clients| clients.into_iter().map(OpenClient::begun).collect::<Vec<_>>());
    eventually(LONG, || bed.envoy.metric("streams_open") == 10_000);
    sign_out(&bed.envoy, &users[0]);
    println!("1000 of 10000 ended after {:?}", await_ended(&mut revoked, LONG));
    revoked.iter_mut().for_each(OpenClient::assert_revoked);
    eventually(LONG, || bed.envoy.metric("streams_open") == 9_000);
    assert!(going_on.iter_mut().all(|client| !client.has_ended()));
    assert_no_vm_died(&bed.envoy);
}

/// If the host no longer has a stream's context, the previously selected context stays effective. A
/// naive close would then close the previous stream a second time, which crashes Envoy.
#[test]
fn a_vanished_stream_does_not_end_another_one() {
    let bed = Testbed::from(|setup| setup.drill().workers(1).edit(client::make_room), Fault::None);
    client::keep_open(&bed.application);
    bed.envoy.await_guarding();
    let _alone = alone();
    let (ada, bob) = (Token::of("ada"), Token::of("bob"));
    let ghost = |connection: &mut Connection| {
        let request = Request::get("/page").bearer(&ada).header("x-panic-drill", "ghost");
        assert_eq!(connection.send(&request).status, 200);
    };
    let mut connection = bed.envoy.connect();
    let mut going_on = OpenClient::open(&bed.envoy, StreamKind::Http2Events, &bob);
    let mut revoked = Vec::new();
    for _ in 0..10 {
        revoked.push(OpenClient::open(&bed.envoy, StreamKind::Events, &ada));
        ghost(&mut connection);
    }
    sign_out(&bed.envoy, &ada);
    await_ended(&mut revoked, LONG);
    assert_all_go_on([&mut going_on]);
    eventually(LONG, || ended(&bed.envoy, "revoked") == revoked.len() as u64);
    assert_no_vm_died(&bed.envoy);
}

/// The VM may still know a stream that has ended except for bytes that its client does not read.
#[test]
fn a_stream_whose_client_does_not_read_is_closed_once() {
    let (bed, _alone) = (client::bed(|_| {}), alone()); // not shared, because it reads counters
    let token = Token::of("ada");
    let stuck = [8_000, 30_000, 300_000].map(|pieces| {
        let path = format!("/stuck/{pieces}");
        let events = Reply::status(200).header("content-type", "text/event-stream");
        bed.application.on(&path, events.text(&Reply::PIECE.repeat(pieces)));
        let stream = bed.envoy.connect_http2();
        (stream.open_unread(&Request::get(&path).bearer(&token)), stream)
    });
    eventually(LONG, || stuck.iter().all(|(stream, _)| stream.answer().is_some()));
    sign_out(&bed.envoy, &token);
    eventually(LONG, || ended(&bed.envoy, "revoked") == stuck.len() as u64);
    thread::sleep(Duration::from_millis(2_500)); // the filter checks all open requests every second
    assert_eq!(ended(&bed.envoy, "revoked"), stuck.len() as u64);
    drop(stuck);
    assert_no_vm_died(&bed.envoy);
}

/// The contexts of these clients may be gone when the filter ends their streams. No other stream
/// may be closed instead.
#[test]
fn clients_that_leave_during_a_sign_out_harm_nobody() {
    let (bed, _alone) = (BED.get(), alone());
    for _ in 0..3 {
        let (ada, bob) = (Token::of("ada"), Token::of("bob"));
        let connection = bed.envoy.connect_http2();
        let leaving = bed.envoy.connect_http2();
        let staying = || crowd(&connection, StreamKind::Http2Events, &bob, 100);
        let mut going_on: Vec<_> = staying().into_iter().map(OpenClient::begun).collect();
        let mut revoked = crowd(&connection, StreamKind::Http2Events, &ada, 200);
        revoked.extend(crowd(&leaving, StreamKind::Http2LongPoll, &ada, 200));
        let sockets = (0..50).map(|_| OpenClient::open(&bed.envoy, StreamKind::IdleSocket, &ada));
        let sockets: Vec<_> = sockets.collect();
        sign_out(&bed.envoy, &ada);
        thread::sleep(Duration::from_millis(200)); // about when the first streams end
        drop((leaving, sockets, revoked.split_off(100)));
        await_ended(&mut revoked, LONG);
        assert_all_go_on(&mut going_on);
        assert_no_vm_died(&bed.envoy);
    }
}

fn crowd(connection: &Http2, kind: StreamKind, token: &Token, count: usize) -> Vec<OpenClient> {
    (0..count).map(|_| OpenClient::open_among(connection, kind, token)).collect()
}

/// Returns how many long polls the application has received.
fn waiting(bed: &Testbed) -> usize {
    bed.application.seen_at("/poll").len()
}

const LONG: Duration = Duration::from_secs(60);
