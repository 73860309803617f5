//! Promise: exactly the open requests of a revoked token end, in the documented way. All others
//! continue.

use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use testbed::{Build, Http2Stream, Reply, Request, Shared, Testbed, Token, eventually};

use crate::client::{
    self, OpenClient, PROMISED, StreamKind, alone, assert_all_go_on, assert_no_vm_died,
    await_ended, ended, open_all, sign_out,
};

static BED: Shared<Testbed> = Shared::new(|| client::bed(|_| {}));

#[test]
fn every_kind_of_stream_ends_within_a_second() {
    let (bed, _alone) = (BED.get(), alone());
    let (ada, ada_elsewhere, bob) = (Token::of("ada"), Token::of("ada"), Token::of("bob"));
    let mut revoked = open_all(&bed.envoy, &ada);
    let mut going_on = open_all(&bed.envoy, &ada_elsewhere);
    going_on.extend(open_all(&bed.envoy, &bob));
    sign_out(&bed.envoy, &ada);
    let took = await_ended(&mut revoked, PROMISED);
    println!("{} streams ended after {took:?}", revoked.len());
    revoked.iter_mut().for_each(OpenClient::assert_revoked);
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
        let started = ["/events 200", "/grpc 200", "/text 200", "/download 200"].map(line);
        (sockets, started, ["/poll 401", "/upload 401"].map(line))
    };
    let mut clients = StreamKind::ALL.map(|kind| OpenClient::open(&bed.envoy, kind, &token));
    eventually(SOON, || bed.application.seen_at("/poll").len() == 2);
    sign_out(&bed.envoy, &token);
    await_ended(&mut clients, PROMISED);
    eventually(SOON, || lines() == (3, [2, 1, 1, 2], [2, 2]));
    eventually(SOON, || ended(&bed.envoy, "revoked") == StreamKind::ALL.len() as u64);
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
        let mut clients = [OpenClient::open(&bed.envoy, StreamKind::QuietEvents, &token)];
        // As if the worker hung; sometimes it has already ended the stream. The dynamic module ends
        // it before the response to the sign-out, but not before it learns of a revocation.
        if Build::chosen() == Build::Wasm {
            sign_out(&bed.envoy, &token);
            signal("STOP");
        } else {
            signal("STOP");
            bed.service.revoke(&json!({"jti": token.jti()}));
        }
        thread::sleep(Duration::from_millis(1_500));
        signal("CONT");
        await_ended(&mut clients, SOON);
        count += 1;
        eventually(SOON, || ended(&bed.envoy, "revoked") == count);
    }
}

#[test]
fn the_gauge_counts_open_requests_of_all_workers() {
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

/// Most streams of these tests are half-closed from the beginning, because a `GET` has no body.
#[test]
fn half_closed_and_open_streams_end() {
    let (bed, _alone) = (BED.get(), alone());
    let token = Token::of("ada");
    let mut clients = [(); 2].map(|()| OpenClient::open(&bed.envoy, StreamKind::Http2Grpc, &token));
    clients[0].finish();
    assert_all_go_on(&mut clients);
    sign_out(&bed.envoy, &token);
    await_ended(&mut clients, PROMISED);
    clients.iter_mut().for_each(OpenClient::assert_revoked);
}

#[test]
fn streams_end_after_a_sign_out_at_another_envoy() {
    let (bed, _alone) = (BED.get(), alone());
    let other = bed.another_envoy_with(client::make_room);
    let (ada, bob) = (Token::of("ada"), Token::of("bob"));
    let (mut revoked, mut going_on) = (open_all(&other, &ada), open_all(&other, &bob));
    sign_out(&bed.envoy, &ada);
    let took = await_ended(&mut revoked, PROMISED);
    println!("{} streams ended after {took:?}", revoked.len());
    revoked.iter_mut().for_each(OpenClient::assert_revoked);
    assert_all_go_on(&mut going_on);
}

#[test]
fn a_sign_out_ends_the_open_requests_of_its_session() {
    let (bed, _alone) = (BED.get(), alone());
    let of_session = |sid: &str| {
        let mut claims = Token::claims_of("ada");
        claims["sid"] = json!(sid);
        Token::with(&claims)
    };
    let [tab, other_tab, elsewhere] = ["session 1", "session 1", "session 2"].map(of_session);
    let mut revoked = open_all(&bed.envoy, &other_tab);
    let mut going_on = open_all(&bed.envoy, &elsewhere);
    sign_out(&bed.envoy, &tab);
    await_ended(&mut revoked, PROMISED);
    revoked.iter_mut().for_each(OpenClient::assert_revoked);
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
        let kinds =
            [StreamKind::IdleSocket, StreamKind::Http2Events, StreamKind::LongPoll].into_iter();
        let token = issued(user, iat);
        kinds.map(|kind| OpenClient::open(&bed.envoy, kind, &token)).collect::<Vec<_>>()
    };
    let mut old = open("clara", now - 100);
    let (mut new, mut others) = (open("clara", now), open("dora", now - 100));

    bed.service.revoke(&json!({"user_id": "clara", "issued_before": now}));
    await_ended(&mut old, PROMISED);
    old.iter_mut().for_each(OpenClient::assert_revoked);
    assert_all_go_on(new.iter_mut().chain(&mut others));

    bed.service.revoke(&json!({"issued_before": now - 50})); // all users
    await_ended(&mut others, PROMISED);
    others.iter_mut().for_each(OpenClient::assert_revoked);
    assert_all_go_on(&mut new);
}

#[test]
fn a_sign_out_in_progress_gets_its_response() {
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
        let mut clients = [OpenClient::open(&bed.envoy, StreamKind::Events, &token)];
        bed.service.pause(); // the request waits for the service; its token is already revoked
        let mut connection = bed.envoy.connect();
        connection.send_bytes(&Request::post(path).bearer(&token).to_bytes());
        await_ended(&mut clients, PROMISED);
        assert_eq!(connection.arrived(), 0, "{path} waits");
        bed.service.resume();
        assert_eq!(connection.read_answer().seen().path, path);
    }
}

/// When the token is revoked, some requests already have a response, and others still wait for one.
#[test]
fn a_page_with_twenty_open_requests_signs_out() {
    let bed = client::bed(|configuration| {
        let routes = configuration.filter["routes"].as_array_mut().expect("a list of routes");
        let methods = ["POST"];
        routes.push(json!({
            "path": "/password", "methods": methods, "access": "protected", "revoke_user": "token"
        }));
    });
    let _alone = alone();
    let requests = page(&bed);
    let bob = Token::of("bob");
    let mut going_on = OpenClient::open(&bed.envoy, StreamKind::Http2Events, &bob);
    for path in ["/sign-out", "/password"].repeat(5) {
        let (ada, connection) = (Token::of("ada"), bed.envoy.connect_http2());
        let streams: Vec<_> = requests.iter().map(|get| connection.open(&get(&ada))).collect();
        let mut alone: Vec<_> = requests.iter().map(|_| bed.envoy.connect()).collect();
        for (connection, get) in alone.iter_mut().zip(&requests) {
            connection.send_bytes(&get(&ada).to_bytes());
        }
        let others: Vec<_> = requests.iter().map(|get| connection.open(&get(&bob))).collect();
        let answer = connection.send(&Request::post(path).bearer(&ada));
        assert_eq!((answer.status, answer.seen().path.as_str()), (200, path));
        eventually(SOON, || streams.iter().all(Http2Stream::has_ended));
        for stream in &streams {
            let status = stream.answer().map(|answer| answer.status);
            assert!(matches!(status, Some(200 | 401)), "{path}: {status:?} {:?}", stream.ending());
        }
        for connection in &mut alone {
            eventually(SOON, || connection.arrived() > 0);
            assert!([200, 401].contains(&connection.read_head().status));
        }
        eventually(SOON, || others.iter().all(Http2Stream::has_ended));
        for stream in others {
            assert!(!stream.was_cut(), "{path}: another user's request was ended");
            assert_eq!(stream.answer().expect("a response").status, 200);
        }
        assert_eq!(bed.envoy.get("/page", &ada).code(), "revoked");
    }
    assert_all_go_on([&mut going_on]);
    assert_no_vm_died(&bed.envoy);
}

/// Returns twenty requests whose responses begin and end within half a second.
fn page(bed: &Testbed) -> Vec<impl Fn(&Token) -> Request> {
    let reply = |part: u64| match part % 3 {
        0 => Reply::status(200).after(Duration::from_millis(part * 25)),
        1 => Reply::pieces("text/plain", 5, Duration::from_millis(part * 5)),
        _ => Reply::status(200),
    };
    (0..20).for_each(|part| bed.application.on(&format!("/part/{part}"), reply(part)));
    (0..20)
        .map(|part| move |token: &Token| Request::get(&format!("/part/{part}")).bearer(token))
        .collect()
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

const SOON: Duration = Duration::from_secs(30);
