//! An invalid token costs less than a valid one, and users do not notice a flood of invalid tokens
//! or slow clients.

use std::time::{Duration, Instant};
use std::{fs, thread};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testbed::resident_kib;
use testbed::{
    Connection, Envoy, Load, Request, SESSION_SECRET, Testbed, Token, UnavailablePolicy, eventually,
};

use crate::load::{rounds, tokens};

#[test]
fn an_invalid_token_costs_less_than_a_valid_one() {
    let bed = Testbed::with(|configuration| configuration.filter["keys"] = keys());
    let (count, rounds) = (rounds(300, 2_000), 5);
    let mut connection = bed.envoy.connect();
    // Interleaved measurements, and the minimum of each kind: other load of the machine only adds
    // time.
    let mut least = vec![u64::MAX; KINDS.len()];
    for _ in 0..rounds {
        for (kind, least) in KINDS.iter().zip(&mut least) {
            let requests: Vec<_> = (0..count).map(|_| page(&(kind.make)())).collect();
            let before = processor_nanoseconds(&bed.envoy);
            for request in &requests {
                assert_eq!(connection.send(request).status, kind.status, "{}", kind.name);
            }
            let used = processor_nanoseconds(&bed.envoy) - before;
            *least = (*least).min(used / count as u64);
        }
    }
    let [valid, .., large] = least.as_slice() else { panic!("kinds") };
    let told: Vec<_> = KINDS.iter().zip(&least).map(|(kind, cost)| told(kind, *cost)).collect();
    println!("figure: processor time a request: {}", told.join(", "));
    for (kind, cost) in KINDS.iter().zip(&least).skip(1).filter(|(kind, _)| !kind.is_large) {
        assert!(cost < valid, "{} costs {cost} ns, a valid one {valid} ns", kind.name);
    }
    // Envoy itself spends most of this time reading 59 KB. Per byte it is much less than a valid
    // token.
    assert!(large / 100 < *valid, "{large} ns for 59 KB");
}

#[test]
fn a_flood_of_invalid_tokens_harms_no_valid_ones() {
    let bed = Testbed::with(|configuration| configuration.filter["keys"] = keys());
    let revoked = tokens(5);
    for token in &revoked {
        bed.envoy.send(&Request::post("/sign-out").bearer(token));
    }
    let load =
        Load::start(&bed.application, [bed.envoy.address()], UnavailablePolicy::Always, &revoked);
    let resident = || resident_kib(bed.envoy.process_id()).unwrap_or_default();
    let (mut sent, mut warm) = (0, 0);
    for kind in KINDS.iter().skip(1) {
        let until = Instant::now() + Duration::from_secs(rounds(1, 60) as u64);
        let attackers: Vec<_> = (0..2)
            .map(|_| {
                let mut connection = bed.envoy.connect();
                thread::spawn(move || {
                    let mut sent = 0;
                    while Instant::now() < until {
                        let answer = connection.send(&page(&(kind.make)()));
                        assert_eq!(answer.status, kind.status, "{}", kind.name);
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        sent += attackers.into_iter().map(|one| one.join().expect("refusals")).sum::<u64>();
        load.await_more();
        if warm == 0 {
            warm = resident();
        }
    }
    let (counts, grown) = (load.end(), resident().saturating_sub(warm) / 1_024);
    println!("figure: {sent} invalid ones, {grown} MiB more than after the first kind, {counts}");
    assert!(grown < 64, "{grown} MiB");
    let log = bed.envoy.log() + &bed.envoy.access_log();
    assert!(!log.contains(CANARY) && !log.contains(&URL_SAFE_NO_PAD.encode(CANARY)));
    assert!(bed.envoy.log().lines().count() < 1_000, "the log grows with what clients send");
}

#[test]
fn slow_clients_are_disconnected_and_harm_nobody() {
    let bed = Testbed::start();
    let load = Load::start(&bed.application, [bed.envoy.address()], UnavailablePolicy::Always, &[]);
    let token = Token::of("eve");
    let head = |rest: &str| {
        format!("POST /page HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n{rest}")
    };
    let (slow_head, slow_body) = (head("x-slow: "), head("content-length: 100000\r\n\r\n"));
    let mut clients: Vec<_> = (0..rounds(300, 500)).map(|_| open(&bed.envoy, &slow_head)).collect();
    let mut others: Vec<_> = (0..100).map(|_| open(&bed.envoy, &slow_body)).collect();
    let idle: Vec<_> = (0..100).map(|_| bed.envoy.connect()).collect();
    let began = Instant::now();
    eventually(SOON, || {
        thread::sleep(Duration::from_millis(200)); // the slow clients send one byte per 200 ms
        for client in clients.iter_mut().chain(&mut others) {
            let _ = client.try_send_bytes(b"a"); // the connection may be closed
        }
        assert!(load.is_well());
        // Each slow head gets 408, and its connection is closed.
        clients.iter_mut().all(|client| client.arrived() > 0 || client.is_closed())
    });
    let seconds = began.elapsed().as_secs_f32();
    load.await_more();
    println!(
        "figure: {} slow heads cut within {seconds:.1} s, {} slow bodies, {} idle; {}",
        clients.len(),
        others.len(),
        idle.len(),
        load.end()
    );
}

/// A kind of token, and the status of a request with it.
struct FloodToken {
    name: &'static str,
    status: u16,
    make: fn() -> Token,
    is_large: bool,
}

/// All kinds: the valid one first, the large one last.
const KINDS: &[FloodToken] = &[
    FloodToken { name: "valid", status: 200, make: || Token::of("ada"), is_large: false },
    FloodToken {
        name: "junk",
        status: 401,
        make: || Token::text(&CANARY.repeat(12)),
        is_large: false,
    },
    FloodToken { name: "bad HS256", status: 401, make: || fresh().forged(), is_large: false },
    FloodToken { name: "bad RS256", status: 401, make: || unsigned("RS256", 256), is_large: false },
    FloodToken { name: "bad ES256", status: 401, make: || unsigned("ES256", 64), is_large: false },
    FloodToken {
        name: "4,000 dots",
        status: 401,
        make: || Token::text(&".".repeat(4_000)),
        is_large: false,
    },
    FloodToken { name: "deep JSON", status: 401, make: deep, is_large: false },
    FloodToken {
        name: "59 KB",
        status: 401,
        make: || Token::text(&"A".repeat(58_000)),
        is_large: true,
    },
];

fn fresh() -> Token {
    Token::of(CANARY)
}

/// Returns a token with arbitrary bytes as its signature.
fn unsigned(algorithm: &str, bytes: usize) -> Token {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
    let token = Token::signed(&header, &Token::claims_of(CANARY).to_string(), SESSION_SECRET);
    let input = token.as_str().rsplit_once('.').map_or("", |(input, _)| input);
    let signature: Vec<u8> = (0..bytes).map(|at| (at * 7 + 1) as u8 & 0x7f).collect();
    Token::text(&format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn deep() -> Token {
    let payload = format!("{}{}", "[".repeat(3_000), "]".repeat(3_000));
    Token::signed(r#"{"alg":"HS256","typ":"JWT"}"#, &payload, SESSION_SECRET)
}

/// Returns the shipped configuration's key and two public keys.
fn keys() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/public_keys.json");
    let known: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(path).expect("keys")).expect("a list");
    let public =
        known.into_iter().filter(|key| key["algorithm"] == "RS256" || key["algorithm"] == "ES256");
    let public = public
        .map(|key| json!({"algorithm": key["algorithm"], "public_key_pem": key["public_key_pem"]}));
    let usual = json!({"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}});
    [usual].into_iter().chain(public).collect()
}

fn told(kind: &FloodToken, nanoseconds: u64) -> String {
    format!("{} {:.1} µs", kind.name, nanoseconds as f64 / 1_000.0)
}

/// Returns the CPU time that all threads of that process have used.
fn processor_nanoseconds(envoy: &Envoy) -> u64 {
    let tasks = format!("/proc/{}/task", envoy.process_id());
    let used = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    fs::read_dir(tasks).expect("a running Envoy").flatten().filter_map(used).sum()
}

fn open(envoy: &Envoy, bytes: &str) -> Connection {
    let mut connection = envoy.connect();
    connection.send_bytes(bytes.as_bytes());
    connection
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

/// A text that no log may contain.
const CANARY: &str = "canary-in-a-claim";
const SOON: Duration = Duration::from_secs(60);
