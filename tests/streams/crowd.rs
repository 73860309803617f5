//! Does Envoy survive the end of many streams at once?
//!
//! Each test is a way in which ending streams has crashed Envoy, or its VM, when it was done
//! without care: `src/streams.rs` and `Root::end_streams` say with which.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Connection, Http2, Reply, Request, Shared, Testbed, Token, eventually, until};

use crate::client::{
    self, Client, Kind, alone, assert_all_go_on, assert_no_vm_died, await_ended, ended, sign_out,
};
use crate::dice::{Dice, number};

static BED: Shared<Testbed> = Shared::new(|| client::bed(|_| {}));

/// Envoy closes a young connection at once when hundreds of its streams end without an answer, the
/// streams that are still to be ended with it.
#[test]
fn hundreds_of_waiting_requests_on_one_young_connection_are_answered() {
    let (bed, _alone) = (BED.get(), alone());
    for count in [600, 1_000] {
        let token = Token::of("ada");
        let connection = bed.envoy.connect_http2();
        let mut clients = crowd(&connection, Kind::Http2LongPoll, &token, count);
        until(LONG, || (waiting(&bed) >= count).then_some(()));
        sign_out(&bed.envoy, &token);
        println!("{count} answered after {:?}", await_ended(&mut clients, LONG));
        clients.iter_mut().for_each(Client::assert_revoked);
        assert_no_vm_died(&bed.envoy);
        bed.application.forget();
    }
}

/// Closes within one call into the VM nest on its stack, which has room for some 300.
#[test]
fn many_streams_end_at_once_while_others_are_served() {
    const CROWD: usize = 1_500;
    let (bed, _alone) = (BED.get(), alone());
    let (ada, bob) = (Token::of("ada"), Token::of("bob"));
    let connections: Vec<_> = (0..6).map(|_| bed.envoy.connect_http2()).collect();
    let kinds = [Kind::Http2Events, Kind::Http2LongPoll];
    let mut clients: Vec<_> = connections
        .iter()
        .zip(kinds.iter().cycle())
        .flat_map(|(connection, kind)| crowd(connection, *kind, &ada, CROWD / connections.len()))
        .collect();
    clients = clients.into_iter().map(Client::begun).collect();
    let mut going_on = Client::open(&bed.envoy, Kind::Http2Events, &bob);
    let before = ended(&bed.envoy, "revoked");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let slowest = scope.spawn(|| slowest_answer(bed.envoy.connect(), &bob, &over));
        sign_out(&bed.envoy, &ada);
        let took = await_ended(&mut clients, LONG);
        over.store(true, Ordering::Relaxed);
        let slowest = slowest.join().expect("every request is answered");
        println!("{CROWD} ended after {took:?}; slowest answer to another user {slowest:?}");
    });
    clients.iter_mut().for_each(Client::assert_revoked);
    assert_all_go_on([&mut going_on]);
    eventually(LONG, || ended(&bed.envoy, "revoked") == before + CROWD as u64);
    assert_no_vm_died(&bed.envoy);
}

/// A stream that is over but for bytes that its client does not read may stay known to the VM.
#[test]
fn a_stream_whose_client_does_not_read_is_closed_once() {
    let (bed, _alone) = (BED.get(), alone());
    let token = Token::of("ada");
    let stuck = [8_000, 30_000, 300_000].map(|pieces| {
        let path = format!("/stuck/{pieces}");
        let events = Reply::status(200).header("content-type", "text/event-stream");
        bed.application.on(&path, events.text(&Reply::PIECE.repeat(pieces)));
        let stream = bed.envoy.connect_http2();
        (stream.open_unread(&Request::get(&path).bearer(&token)), stream)
    });
    eventually(LONG, || stuck.iter().all(|(stream, _)| stream.answer().is_some()));
    let before = ended(&bed.envoy, "revoked");
    sign_out(&bed.envoy, &token);
    eventually(LONG, || ended(&bed.envoy, "revoked") == before + stuck.len() as u64);
    thread::sleep(Duration::from_millis(2_500)); // all open requests are asked again every second
    assert_eq!(ended(&bed.envoy, "revoked"), before + stuck.len() as u64);
    drop(stuck);
    assert_no_vm_died(&bed.envoy);
}

/// Contexts may be gone when their turn comes: nothing else may be hit in their place.
#[test]
fn clients_that_leave_in_the_same_moment_take_nobody_with_them() {
    let (bed, _alone) = (BED.get(), alone());
    for _ in 0..3 {
        let (ada, bob) = (Token::of("ada"), Token::of("bob"));
        let connection = bed.envoy.connect_http2();
        let leaving = bed.envoy.connect_http2();
        let staying = || crowd(&connection, Kind::Http2Events, &bob, 100);
        let mut going_on: Vec<_> = staying().into_iter().map(Client::begun).collect();
        let mut revoked = crowd(&connection, Kind::Http2Events, &ada, 200);
        revoked.extend(crowd(&leaving, Kind::Http2LongPoll, &ada, 200));
        let sockets = (0..50).map(|_| Client::open(&bed.envoy, Kind::IdleSocket, &ada));
        let sockets: Vec<_> = sockets.collect();
        sign_out(&bed.envoy, &ada);
        thread::sleep(Duration::from_millis(200)); // about when the first of them end
        drop((leaving, sockets, revoked.split_off(100)));
        await_ended(&mut revoked, LONG);
        assert_all_go_on(&mut going_on);
        assert_no_vm_died(&bed.envoy);
    }
}

/// `STREAMS_ENDINGS` says how many, `STREAMS_SEED` which.
#[test]
fn random_endings_of_random_streams_crash_nothing() {
    let (bed, _alone) = (BED.get(), alone());
    let wanted = usize::try_from(number("STREAMS_ENDINGS", 3_000)).expect("a count");
    let (mut dice, mut endings) = (Dice::new(), 0);
    let mut going_on: Vec<(Token, Client)> = Vec::new();
    while endings < wanted {
        let tokens: Vec<_> = (0..4).map(|n| Token::of(&format!("user-{n}"))).collect();
        going_on.extend(random_crowd(&bed, &mut dice, &tokens));
        let (gone, kept): (Vec<_>, Vec<_>) = going_on.drain(..).partition(|_| dice.below(4) == 0); // whose clients leave
        let signed_out = dice.one_of(&tokens).clone();
        endings += gone.len();
        let leave = thread::spawn(move || gone.into_iter().for_each(drop));
        sign_out(&bed.envoy, &signed_out);
        leave.join().expect("clients that leave");
        let (revoked, kept): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|(token, _)| *token == signed_out);
        let mut revoked: Vec<_> = revoked.into_iter().map(|(_, client)| client).collect();
        await_ended(&mut revoked, LONG);
        revoked.iter_mut().for_each(Client::assert_revoked);
        endings += revoked.len();
        going_on = kept;
        assert!(going_on.iter_mut().all(|(_, client)| !client.has_ended()));
        assert_no_vm_died(&bed.envoy);
    }
    println!("{endings} endings, {} streams go on", going_on.len());
}

/// Some 300 streams of these tokens on four connections, and some sockets, all begun.
fn random_crowd(bed: &Testbed, dice: &mut Dice, tokens: &[Token]) -> Vec<(Token, Client)> {
    let kinds = [Kind::Http2Events, Kind::Http2Grpc, Kind::Http2LongPoll];
    let mut clients = Vec::new();
    for _ in 0..4 {
        let connection = std::sync::Arc::new(bed.envoy.connect_http2());
        for _ in 0..10 + dice.below(120) {
            let token = dice.one_of(tokens);
            let client = Client::open_among(&connection, *dice.one_of(&kinds), token);
            clients.push((token.clone(), client.keeping(&connection)));
        }
    }
    let mut clients: Vec<_> =
        clients.into_iter().map(|(token, client)| (token, client.begun())).collect();
    let kinds = [Kind::IdleSocket, Kind::BusySocket, Kind::Events, Kind::LongPoll];
    for _ in 0..dice.below(40) {
        let token = dice.one_of(tokens);
        clients.push((token.clone(), Client::open(&bed.envoy, *dice.one_of(&kinds), token)));
    }
    clients
}

fn crowd(connection: &Http2, kind: Kind, token: &Token, count: usize) -> Vec<Client> {
    (0..count).map(|_| Client::open_among(connection, kind, token)).collect()
}

/// How many long polls the application has seen.
fn waiting(bed: &Testbed) -> usize {
    bed.application.seen_at("/poll").len()
}

/// Sends one request after the other until it is over, and measures.
fn slowest_answer(mut connection: Connection, token: &Token, over: &AtomicBool) -> Duration {
    let mut slowest = Duration::ZERO;
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        assert_eq!(connection.send(&Request::get("/page").bearer(token)).status, 200);
        slowest = slowest.max(start.elapsed());
    }
    slowest
}

const LONG: Duration = Duration::from_secs(20);
