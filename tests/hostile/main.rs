//! Promise: nothing that a client sends crashes the filter or fills its memory.
//! Method: one worker, so that every request reaches the same VM. After each hostile request the
//! filter must still serve a good one, and at the end no VM may have been replaced.

mod table;

use std::time::Duration;
use std::{fs, iter};

use serde_json::{Value, json};
use table::{ODD_HEADS, ODD_LINES};
use testbed::frames::{PREFACE, RST_STREAM, SETTINGS, frame, request, reset_requests};
use testbed::{
    Application, Configuration, Envoy, Request, Shared, SignoutService, Token, TokenSigner,
};
use testbed::{eventually, forged, resident_kib, until, workers_nanoseconds};

static STAGE: Shared<HostileBed> = Shared::new(HostileBed::start);

#[test]
fn bytes_that_are_no_utf_8_are_judged_like_any_others() {
    let stage = STAGE.get();
    for (name, line, expected) in ODD_LINES {
        let head =
            [b"GET /page HTTP/1.1\r\nhost: app.example.com\r\n", *line, b"\r\n\r\n"].concat();
        assert_eq!(stage.status(&head), *expected, "{name}");
        stage.serves();
    }
    for (name, head, expected) in ODD_HEADS {
        assert_eq!(stage.status(head), *expected, "{name}");
        stage.serves();
    }
    stage.is_unharmed();
}

#[test]
fn the_same_bytes_harm_nothing_over_http_2() {
    let stage = STAGE.get();
    let odd: &[u8] = b"caf\xe9\xff\xfe\x80";
    let names: &[&[u8]] =
        &[b":path", b":authority", b":method", b"authorization", b"cookie", b"x-token", b"x-odd"];
    for name in names {
        for value in [
            odd.to_vec(),
            [b"/page?access_token=", odd].concat(),
            [b"Bearer ", odd].concat(),
            [b"token=", odd].concat(),
        ] {
            let mut headers: Vec<(&[u8], &[u8])> = vec![
                (b":method", b"GET"),
                (b":scheme", b"http"),
                (b":authority", b"app.example.com"),
                (b":path", b"/page"),
            ];
            headers.retain(|(known, _)| known != name);
            headers.insert(0, (name, &value));
            headers.sort_by_key(|(name, _)| !name.starts_with(b":"));
            let mut connection = stage.envoy.connect();
            connection.send_bytes(&http2_request(&headers));
            connection.read_end_of_stream();
            stage.serves();
        }
    }
    stage.is_unharmed();
}

#[test]
fn sizes_have_limits_on_both_sides_of_which_all_is_well() {
    let stage = STAGE.get();
    let token = |length| Request::get("/page").bearer(&Token::text(&"a".repeat(length)));
    let lines = |count| {
        (0..count).fold(Request::get("/page"), |request, n| request.header(format!("x-{n}"), "1"))
    };
    let cases = [
        ("59 KB of a token", token(59_000), 401),
        ("61 KB of a token", token(61_600), 431),
        ("100 KB of a token", token(100_000), 431),
        ("90 lines", lines(90), 401),
        ("110 lines", lines(110), 431),
        ("4,000 dots", Request::get("/page").bearer(&Token::text(&".".repeat(4_000))), 401),
        ("58 KB of an open path", Request::get(&format!("/open/{}", "a/".repeat(29_000))), 200),
        ("58 KB of a path in doubt", Request::get(&format!("/open/{}", "%41".repeat(19_000))), 200),
        (
            "58 KB of a query",
            Request::get(&format!("/page?{}", "access_token=&".repeat(4_100))),
            401,
        ),
        ("58 KB of cookies", Request::get("/page").header("cookie", "token=; ".repeat(7_200)), 401),
        (
            "58 KB of schemes",
            Request::get("/page").header("authorization", "Bearer,".repeat(8_200)),
            401,
        ),
    ];
    for (name, request, expected) in cases {
        assert_eq!(stage.status(&request.to_bytes()), expected, "{name}");
        stage.serves();
    }
    stage.is_unharmed();
}

#[test]
fn deep_and_wide_json_is_refused_before_it_costs_anything() {
    let stage = STAGE.get();
    let nested = |open: &str, close: &str, depth| {
        format!("{{\"id\":\"ada\",\"x\":{}1{}}}", open.repeat(depth), close.repeat(depth))
    };
    let wide: Vec<_> = (0..900).map(|n| format!("\"{n}\":1")).collect();
    let payloads = [
        nested("[", "]", 2_900),
        nested("{\"a\":", "}", 900),
        format!("{{\"id\":\"ada\",{}}}", wide.join(",")),
        format!("{{\"id\":\"ada\",\"x\":{}}}", "9".repeat(5_000)),
        format!("{{\"id\":\"{}\"}}", "\\u0041".repeat(900)),
        "[".repeat(5_900),
    ];
    for payload in payloads {
        for secret in [testbed::SESSION_SECRET, "a secret of somebody else"] {
            let token = Token::signed("{\"alg\":\"HS256\"}", &payload, secret);
            let request = Request::get("/page").bearer(&token);
            assert_eq!(stage.status(&request.to_bytes()), 401, "{}", &payload[..40]);
        }
        stage.serves();
    }
    stage.is_unharmed();
}

/// The number of rounds in a row without growth that show that nothing is kept.
const STEADY_ROUNDS: usize = 3;

/// The number of rounds after which memory must have stopped growing. V8 needs about ten.
const MOST_ROUNDS: usize = 60;

#[test]
fn thousands_of_clients_that_go_away_leave_nothing_behind() {
    let stage = HostileBed::start();
    let resident = || resident_kib(stage.envoy.process_id()).expect("a running Envoy");
    // Each client sends up to 7 KB. If the filter kept that, each round would add 8 MB for ever. At
    // first V8 needs memory to optimise functions that are called often; that ends.
    let mut steady_rounds = 0;
    let mut grown = vec![];
    while steady_rounds < STEADY_ROUNDS {
        assert!(grown.len() < MOST_ROUNDS, "KiB more in each round: {grown:?}");
        let before = resident();
        stage.reset_at_every_byte(1_600);
        let more = resident().saturating_sub(before);
        steady_rounds = if more < 4_000 { steady_rounds + 1 } else { 0 };
        grown.push(more);
    }
    stage.serves();
    stage.is_unharmed();
}

#[test]
fn a_client_that_goes_away_while_its_sign_out_waits_is_signed_out() {
    let mut stage = HostileBed::start();
    stage.service.pause();
    let tokens: Vec<_> = (0..100).map(|n| Token::of(&format!("user-{n}"))).collect();
    for token in &tokens {
        let mut connection = stage.envoy.connect();
        connection.send_bytes(&Request::post("/sign-out").bearer(token).to_bytes());
        let revoked = || stage.envoy.get("/page", token).code() == "revoked";
        eventually(WITHIN, revoked);
        connection.reset();
    }
    stage.service.resume();
    eventually(WITHIN, || tokens.iter().all(|token| stage.service.holds(token)));
    eventually(WITHIN, || stage.envoy.metric("outbox") == 0);
    stage.serves();
    stage.is_unharmed();
}

#[test]
fn a_thousand_requests_in_one_write_delay_nobody() {
    for (keys, tokens) in [(1, 1), (1, 8), (8, 1), (8, 8)] {
        let stage = |is_shipped: bool| {
            HostileBed::with(|configuration| {
                configuration.filter["keys"] = keys_of("ES256", keys);
                if !is_shipped {
                    configuration.bootstrap["layered_runtime"] = json!({});
                }
            })
        };
        let tokens: Vec<_> = (0..tokens).map(|number| forged("ES256", "", number)).collect();
        let name = format!("{keys} keys, {} tokens", tokens.len());

        // The shipped configuration: most requests are reset before the worker handles them.
        let shipped = stage(true);
        shipped.worker_time_of(&tokens, REQUESTS_IN_ONE_WRITE);
        shipped.serves();
        let handled = until(WITHIN, || Some(shipped.refused()).filter(|handled| *handled > 0));
        assert!(handled < u64::from(REQUESTS_IN_ONE_WRITE) / 4, "{name}: {handled} handled");
        shipped.is_unharmed();

        // Without that limit all are handled, but the tokens are checked only once.
        let unlimited = stage(false);
        // The minimum of several runs, because other load of the machine only adds time.
        let least = |tokens: &[Token]| {
            (0..3).map(|_| unlimited.worker_time_of(tokens, REQUESTS_IN_ONE_WRITE)).min()
        };
        let (expected, used) = (least(&[]).expect("some"), least(&tokens).expect("some"));
        println!("{name}: {handled} handled; {used:?} for all, {expected:?} without tokens");
        assert!(used < 4 * expected, "{name}: {used:?}, {expected:?} without tokens");
        unlimited.serves();
        let all = 3 * u64::from(REQUESTS_IN_ONE_WRITE);
        eventually(WITHIN, || unlimited.refused() > all);
        unlimited.is_unharmed();
    }
}

/// Requests that are reset at once wait in Envoy's memory until the worker handles them.
#[test]
fn a_connection_that_resets_most_of_its_requests_is_closed() {
    let stage = HostileBed::with(|_| {});
    stage.worker_time_of(&[], 150);
    let closed = |(_, count): &(String, u64)| *count > 0;
    eventually(WITHIN, || stage.envoy.stats("too_many_premature_resets").iter().any(closed));
    stage.serves();
    stage.is_unharmed();
}

#[test]
fn no_request_holds_a_worker_for_long() {
    for algorithm in ["HS256", "RS256", "PS256", "ES256", "ES384", "EdDSA"] {
        let stage = HostileBed::with(|configuration| {
            let mut keys = keys_of(algorithm, if algorithm == "HS256" { 7 } else { 8 });
            let mut reference = keys_of("PS256", 1)[0].take();
            reference["id"] = json!("reference");
            keys.as_array_mut().expect("a list of keys").push(reference);
            configuration.filter["keys"] = keys;
            configuration.filter["forged_token_milliseconds_per_second"] = json!(400);
        });
        let mut connection = stage.envoy.connect();
        let mut number = 0;
        // The minimum CPU time of several requests, because other load of the machine only adds
        // time.
        let mut time_of = |method, path, algorithm, kid, most_tokens| {
            let used = (0..8).map(|_| {
                let token = || {
                    number += 1;
                    format!("token={}; ", forged(algorithm, kid, number))
                };
                let tokens: Vec<_> = iter::repeat_with(token).take(most_tokens).collect();
                let fit = HEADER_BYTES / tokens[0].len();
                let cookies = tokens[..fit.min(most_tokens)].concat();
                let request = Request::new(method, path).header("cookie", cookies);
                let before = stage.worker_time();
                let status = connection.send(&request).status;
                assert!([401, 503, 200].contains(&status), "{status}");
                stage.worker_time() - before
            });
            used.min().expect("some")
        };
        let slow_check = time_of("GET", "/page", "PS256", "reference", 1);
        let page = time_of("GET", "/page", algorithm, "", 8);
        let sign_out = time_of("POST", "/sign-out", algorithm, "", 256);
        println!("{algorithm}: page {page:?}, sign-out {sign_out:?}, one check {slow_check:?}");
        // The promised time. On a machine that is slower, five such checks: the checks of one request
        // are limited to three, and the rest is for reading 58 KB of tokens.
        let most = PROMISED.max(5 * slow_check);
        for used in [page, sign_out] {
            assert!(used < most, "{algorithm}: {used:?}, one check {slow_check:?}");
        }
        stage.is_unharmed();
    }
}

#[test]
fn many_forged_tokens_cost_little_more_than_a_valid_one() {
    // With eight keys, one token may need eight checks; more tokens must not add to them.
    for (algorithm, keys, bound) in [("HS256", 7, 2.0), ("ES256", 1, 2.0), ("ES256", 8, 4.0)] {
        let stage = HostileBed::with(|configuration| {
            configuration.filter["keys"] = keys_of(algorithm, keys);
            configuration.filter["forged_token_milliseconds_per_second"] = json!(400);
        });
        let mut connection = stage.envoy.connect();
        let mut number = 0;
        for (method, path, most_tokens) in
            [("GET", "/page", 1), ("GET", "/page", 8), ("POST", "/sign-out", 256)]
        {
            let mut forged_cookies = || {
                let tokens = iter::repeat_with(|| {
                    number += 1;
                    format!("token={}; ", forged(algorithm, "", number))
                });
                let tokens: Vec<_> = tokens.take(most_tokens).collect();
                tokens[..(HEADER_BYTES / tokens[0].len()).min(most_tokens)].concat()
            };
            let bytes = forged_cookies().len();
            let mut time_of = |cookies: String| {
                let request = Request::new(method, path).header("cookie", cookies);
                let before = stage.worker_time();
                connection.send(&request);
                stage.worker_time() - before
            };
            // The least CPU time of several requests, because a busy machine only adds to it.
            let forged = (0..12).map(|_| time_of(forged_cookies())).min().expect("some");
            let valid = (0..12).map(|_| {
                let token = format!("token={}; x=", Token::of("ada"));
                time_of(format!("{token}{}", "y".repeat(bytes.saturating_sub(token.len()))))
            });
            let valid = valid.min().expect("some");
            let ratio = forged.as_secs_f64() / valid.as_secs_f64();
            let name = format!("{algorithm}, {keys} keys, {path}, {most_tokens} tokens");
            println!("{name}: {forged:?}, {valid:?} with one valid token, {ratio:.1}");
            assert!(ratio < bound, "{name}: {ratio}");
        }
        stage.is_unharmed();
    }
}

#[test]
fn repeated_forged_tokens_refuse_no_genuine_tokens() {
    for algorithm in ["EdDSA", "ES384"] {
        let signer = TokenSigner::new(algorithm);
        let stage = HostileBed::with(|configuration| {
            let keys = configuration.filter["keys"].as_array_mut().expect("a list of keys");
            keys.push(signer.key());
            configuration.filter["forged_token_milliseconds_per_second"] = json!(10);
        });
        let mut connection = stage.envoy.connect();
        for round in 0..50 {
            for number in 0..40 {
                let token = forged(algorithm, "", number % 2);
                let page = connection.send(&Request::get("/page").bearer(&token));
                assert_eq!(page.code(), "bad_signature", "{algorithm}, round {round}");
                connection.send(&Request::post("/sign-out").bearer(&token));
            }
            for request in [Request::get("/page"), Request::post("/sign-out")] {
                let status = connection.send(&request.bearer(&signer.token_of("ada"))).status;
                assert_eq!(status, 200, "{algorithm}, round {round}");
            }
        }
        stage.is_unharmed();
    }
}

#[test]
fn a_panic_would_be_noticed() {
    let envoy = Envoy::setup().drill().workers(1).start();
    let is_unharmed = || {
        let reloads = envoy.stats("vm_reload");
        !envoy.log().contains("panic") && reloads.iter().all(|(_, count)| *count == 0)
    };
    assert!(is_unharmed());
    let drill = Request::get("/page").header("x-panic-drill", "request");
    assert_eq!(envoy.send(&drill).status, 503);
    eventually(WITHIN, || envoy.send(&Request::get("/page")).code() == "missing_token");
    assert!(!is_unharmed());
}

/// The longest time for which a request holds its worker.
const PROMISED: Duration = Duration::from_millis(5);

const WITHIN: Duration = Duration::from_secs(30);

const REQUESTS_IN_ONE_WRITE: u32 = 1_200;

/// Below Envoy's limit of 60 KiB for all header fields.
const HEADER_BYTES: usize = 58_000;

/// An Envoy with one worker that looks for tokens in every kind of place, a service and an
/// application.
struct HostileBed {
    envoy: Envoy,
    service: SignoutService,
    application: Application,
}

impl HostileBed {
    fn start() -> Self {
        Self::with(|_| {})
    }

    fn with(edit: impl FnOnce(&mut Configuration)) -> Self {
        let (application, service) = (Application::start(), SignoutService::start());
        let envoy = Envoy::setup().application(application.address()).service(service.address());
        let envoy = envoy.workers(1).edit(|configuration| {
            configuration.filter["token_sources"] = json!([
                {"header": "authorization", "scheme": "Bearer"},
                {"header": "x-token"},
                {"cookie": "token"},
                {"query": "access_token"},
            ]);
            let routes = configuration.filter["routes"].as_array_mut().expect("a list of routes");
            routes.push(json!({"template": "/open/{one}/{two}", "access": "public"}));
            routes
                .push(json!({"prefix": "/open", "access": "public", "hosts": ["app.example.com"]}));
            edit(configuration);
        });
        let envoy = envoy.start();
        envoy.await_guarding();
        Self { envoy, service, application }
    }

    /// Sends these bytes on a new connection. Returns the status of the response.
    #[track_caller]
    fn status(&self, bytes: &[u8]) -> u16 {
        let mut connection = self.envoy.connect();
        connection.send_bytes(bytes);
        connection.read_head().status
    }

    /// Checks that a valid token reaches the application, and a forged one is refused.
    #[track_caller]
    fn serves(&self) {
        let (token, mut connection) = (Token::of("ada"), self.envoy.connect());
        let good = connection.send(&Request::get("/page").bearer(&token));
        assert_eq!(good.seen().headers("x-user-id"), ["ada"]);
        let forged = connection.send(&Request::get("/page").bearer(&token.forged()));
        assert_eq!(forged.code(), "bad_signature");
    }

    /// Returns the number of requests with forged tokens that were refused: with 401, or with 503 as long as not
    /// all of their tokens were checked.
    fn refused(&self) -> u64 {
        let count = |code: &str| self.envoy.metric(&format!("refused.{code}"));
        count("bad_signature") + count("unavailable")
    }

    /// Returns the CPU time that the worker has used.
    fn worker_time(&self) -> Duration {
        Duration::from_nanos(workers_nanoseconds(self.envoy.process_id()))
    }

    /// Returns the CPU time that the worker needs for that many requests with these tokens. One
    /// write on one connection sends all requests and resets them.
    fn worker_time_of(&self, tokens: &[Token], requests: u32) -> Duration {
        let lines: Vec<_> = tokens.iter().map(|token| format!("token={token}")).collect();
        let mut header: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"app.example.com"),
            (b":path", b"/page"),
        ];
        header.extend(lines.iter().map(|line| (&b"cookie"[..], line.as_bytes())));
        let attack = reset_requests(&header, requests);
        let mut connection = self.envoy.connect();
        // The connection is established when Envoy's SETTINGS frame has arrived.
        connection.send_bytes(&attack[..PREFACE.len() + 9]);
        connection.take(9);
        let before = self.worker_time();
        connection.send_bytes(&attack[PREFACE.len() + 9..]);
        self.worker_time() - before
    }

    /// Checks that no VM was replaced and none has panicked.
    #[track_caller]
    fn is_unharmed(&self) {
        for (name, count) in self.envoy.stats("vm_reload") {
            assert_eq!(count, 0, "{name}");
        }
        let log = self.envoy.log();
        let lines: Vec<_> = log.lines().filter(|line| line.contains("panic")).collect();
        assert_eq!(lines, [""; 0]);
    }

    /// Runs clients over HTTP/1.1 and HTTP/2 in turn. Each sends more of a request than the one
    /// before, and then resets the connection.
    fn reset_at_every_byte(&self, clients: usize) {
        let token = Token::text(&format!("{}{}", Token::of("ada"), "a".repeat(7_000)));
        let request = Request::get("/page").bearer(&token).to_bytes();
        let bearer = format!("Bearer {token}");
        let headers: [(&[u8], &[u8]); 5] = [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"app.example.com"),
            (b":path", b"/page"),
            (b"authorization", bearer.as_bytes()),
        ];
        let streams = [http2_request(&headers), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])].concat();
        for client in 0..clients {
            let bytes = if client % 2 == 0 { &request } else { &streams };
            let mut connection = self.envoy.connect();
            // Half of the clients send the whole request, and disconnect during the response.
            let sent = bytes.len() * (client + 1) * 2 / clients;
            connection.send_bytes(&bytes[..sent.min(bytes.len())]);
            connection.reset();
        }
        self.application.forget();
    }
}

/// Returns that many keys of an algorithm, followed by the key of the shipped configuration.
fn keys_of(algorithm: &str, count: usize) -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/public_keys.json");
    let known: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(path).expect("keys")).expect("a list");
    let key = |number: usize| match known.iter().find(|key| key["algorithm"] == algorithm) {
        Some(key) => json!({"algorithm": algorithm, "public_key_pem": key["public_key_pem"]}),
        None => {
            let secret = format!("another secret of 32 bytes and more, {number}");
            json!({"algorithm": algorithm, "secret": {"inline": secret}})
        }
    };
    let usual = json!({"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}});
    (0..count).map(key).chain([usual]).collect()
}

/// Returns an HTTP/2 connection with one request on stream 1 and any headers (RFC 9113 §3.4, §6.2).
fn http2_request(headers: &[(&[u8], &[u8])]) -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[]), &request(1, headers)].concat()
}
