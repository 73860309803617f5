//! Which open requests end, how, and which go on?

use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use testbed::{Reply, Request, Shared, Testbed, Token, eventually};

use crate::client::{
    self, Client, Kind, PROMISED, alone, assert_all_go_on, await_ended, ended, open_all, sign_out,
};

static BED: Shared<Testbed> = Shared::new(|| client::bed(|_| {}));

#[test]
fn every_kind_ends_within_a_second_on_all_workers_and_no_other_users() {
    let (bed, _alone) = (BED.get(), alone());
    let (ada, ada_elsewhere, bob) = (Token::of("ada"), Token::of("ada"), Token::of("bob"));
    let mut revoked = open_all(&bed.envoy, &ada);
    let mut going_on = open_all(&bed.envoy, &ada_elsewhere);
    going_on.extend(open_all(&bed.envoy, &bob));
    sign_out(&bed.envoy, &ada);
    let took = await_ended(&mut revoked, PROMISED);
    println!("{} streams ended after {took:?}", revoked.len());
    revoked.iter_mut().for_each(Client::assert_revoked);
    assert_all_go_on(&mut going_on);
}

#[test]
fn each_end_is_counted_and_shows_in_the_access_log() {
    let (bed, _alone) = (client::bed(|_| {}), alone());
    let token = Token::of("ada");
    let logged = |what: &str| bed.envoy.access_log().matches(what).count();
    let lines = || {
        let line = |what: &str| logged(&format!("{what} session_guard_revoked"));
        let sockets = line("/socket 101") + line("/socket 200");
        [sockets, line("/events 200"), line("/grpc 200"), line("/poll 401"), line("/upload 401")]
    };
    let mut clients = Kind::ALL.map(|kind| Client::open(&bed.envoy, kind, &token));
    eventually(SOON, || bed.application.seen_at("/poll").len() == 2);
    sign_out(&bed.envoy, &token);
    await_ended(&mut clients, PROMISED);
    eventually(SOON, || lines() == [3, 2, 1, 2, 2]);
    eventually(SOON, || ended(&bed.envoy, "revoked") == Kind::ALL.len() as u64);
    assert_eq!(bed.envoy.metric("refused.revoked"), 0, "no request was refused");
}

#[test]
fn an_end_that_comes_late_is_counted() {
    let (bed, _alone) = (client::bed(|_| {}), alone());
    let signal = |name: &str| {
        let id = bed.envoy.process_id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().expect("kill runs");
        assert!(sent.success());
    };
    let mut count = 0;
    while bed.envoy.metric("streams_late") == 0 {
        assert!(count < 20, "no end came late");
        let token = Token::of("ada");
        let mut clients = [Client::open(&bed.envoy, Kind::QuietEvents, &token)];
        sign_out(&bed.envoy, &token);
        signal("STOP"); // as where a worker hangs; seldom it has looked already
        thread::sleep(Duration::from_millis(1_500));
        signal("CONT");
        await_ended(&mut clients, SOON);
        count += 1;
        eventually(SOON, || ended(&bed.envoy, "revoked") == count);
    }
}

#[test]
fn how_many_are_open_is_shown_over_all_workers() {
    let (bed, _alone) = (client::bed(|_| {}), alone());
    let open = || bed.envoy.metric("streams_open");
    let mut clients = open_all(&bed.envoy, &Token::of("ada"));
    eventually(SOON, || open() == clients.len() as u64);
    assert_all_go_on(&mut clients);
    drop(clients.split_off(3));
    eventually(SOON, || open() == 3);
    drop(clients);
    eventually(SOON, || open() == 0);
}

/// Most streams here are half-closed from the beginning: a `GET` has nothing more to send.
#[test]
fn a_stream_ends_with_one_half_closed_and_with_both_open() {
    let (bed, _alone) = (BED.get(), alone());
    let token = Token::of("ada");
    let mut clients = [(); 2].map(|()| Client::open(&bed.envoy, Kind::Http2Grpc, &token));
    clients[0].finish();
    assert_all_go_on(&mut clients);
    sign_out(&bed.envoy, &token);
    await_ended(&mut clients, PROMISED);
    clients.iter_mut().for_each(Client::assert_revoked);
}

#[test]
fn they_end_also_where_the_sign_out_was_on_another_envoy() {
    let (bed, _alone) = (BED.get(), alone());
    let other = bed.another_envoy_with(client::make_room);
    let (ada, bob) = (Token::of("ada"), Token::of("bob"));
    let (mut revoked, mut going_on) = (open_all(&other, &ada), open_all(&other, &bob));
    sign_out(&bed.envoy, &ada);
    let took = await_ended(&mut revoked, PROMISED);
    println!("{} streams ended after {took:?}", revoked.len());
    revoked.iter_mut().for_each(Client::assert_revoked);
    assert_all_go_on(&mut going_on);
}

#[test]
fn a_cutoff_ends_the_streams_of_older_tokens() {
    let (bed, _alone) = (BED.get(), alone());
    let now = unix_seconds();
    let issued = |user: &str, iat: u64| {
        let mut claims = Token::claims_of(user);
        claims["iat"] = json!(iat);
        Token::with(&claims)
    };
    let open = |user: &str, iat: u64| {
        let kinds = [Kind::IdleSocket, Kind::Http2Events, Kind::LongPoll].into_iter();
        let token = issued(user, iat);
        kinds.map(|kind| Client::open(&bed.envoy, kind, &token)).collect::<Vec<_>>()
    };
    let mut old = open("clara", now - 100);
    let (mut new, mut others) = (open("clara", now), open("dora", now - 100));

    bed.service.revoke(&json!({"user_id": "clara", "issued_before": now}));
    await_ended(&mut old, PROMISED);
    old.iter_mut().for_each(Client::assert_revoked);
    assert_all_go_on(new.iter_mut().chain(&mut others));

    bed.service.revoke(&json!({"issued_before": now - 50})); // of everybody
    await_ended(&mut others, PROMISED);
    others.iter_mut().for_each(Client::assert_revoked);
    assert_all_go_on(&mut new);
}

#[test]
fn a_sign_out_and_a_password_change_under_way_are_answered() {
    let mut bed = client::bed(|configuration| {
        let routes = configuration.filter["routes"].as_array_mut().expect("a list of routes");
        let methods = ["POST"];
        routes.push(json!({
            "path": "/password", "methods": methods, "access": "protected", "revoke_user": "token"
        }));
        configuration.filter["revocation"]["signout"] = json!({"timeout_seconds": 30});
    });
    let _alone = alone();
    for path in ["/sign-out", "/password"] {
        let token = Token::of("ada");
        let mut clients = [Client::open(&bed.envoy, Kind::Events, &token)];
        bed.service.pause(); // the answer waits for the service, and its token is revoked meanwhile
        let mut connection = bed.envoy.connect();
        connection.send_bytes(&Request::post(path).bearer(&token).to_bytes());
        await_ended(&mut clients, PROMISED);
        assert_eq!(connection.arrived(), 0, "{path} waits");
        bed.service.resume();
        assert_eq!(connection.read_answer().seen().path, path);
    }
}

#[test]
fn a_plain_answer_under_way_comes_whole() {
    const PIECES: usize = 12;
    let (bed, _alone) = (BED.get(), alone());
    let pieces = || Reply::pieces("application/octet-stream", PIECES, Duration::from_millis(250));
    let whole = Reply::PIECE.repeat(PIECES);
    bed.application.on("/download", pieces());
    let sized = pieces().header("content-length", &whole.len().to_string());
    bed.application.on("/download/sized", sized);
    for path in ["/download", "/download/sized"] {
        let token = Token::of("ada");
        let request = Request::get(path).bearer(&token);
        let (mut http1, http2) = (bed.envoy.connect(), bed.envoy.connect_http2());
        http1.send_bytes(&request.to_bytes());
        let stream = http2.open(&request);
        eventually(Duration::from_secs(5), || http1.arrived() > 0 && stream.arrived() > 0);
        sign_out(&bed.envoy, &token);
        assert_eq!(http1.read_answer().text(), whole, "{path}");
        eventually(Duration::from_secs(5), || stream.has_ended());
        assert!(!stream.was_cut(), "{path}");
        assert_eq!(stream.answer().expect("an answer").text(), whole, "{path}");
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

const SOON: Duration = Duration::from_secs(30);
