//! Forged tokens harm no other user: of any algorithm, any number of them, with any number of keys, over
//! any protocol, at any route, even if the client resets its requests.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::frames::{
    PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame, request, reset_requests,
};
use testbed::{
    Connection, Load, Request, Testbed, Token, TokenSigner, UnavailablePolicy, eventually, forged,
    resident_kib,
};

use crate::load::rounds;

#[test]
fn forged_hs256_tokens_harm_no_other_user() {
    attack_with("HS256");
}

#[test]
fn forged_rs256_tokens_harm_no_other_user() {
    attack_with("RS256");
}

#[test]
fn forged_es256_tokens_harm_no_other_user() {
    attack_with("ES256");
}

#[test]
fn forged_eddsa_tokens_harm_no_other_user() {
    attack_with("EdDSA");
}

/// Every attack with this algorithm, with one key and with eight.
fn attack_with(algorithm: &'static str) {
    let signer = TokenSigner::new(algorithm);
    for keys in [1, 8] {
        let target = AttackedProxy::with(algorithm, &signer, keys);
        let load = target.load();
        let known = signer.token_of("grace");
        target.serves(&known);
        for attack in Attack::all() {
            thread::scope(|scope| {
                let attackers: Vec<_> =
                    (0..2).map(|_| scope.spawn(|| target.suffer(attack))).collect();
                while !attackers.iter().all(|attacker| attacker.is_finished()) {
                    target.serves(&known);
                }
            });
            target.serves(&known);
            // A new token may have to wait while failed checks have used up their time.
            let new = signer.token_of("joan");
            eventually(SOON, || target.status_of(&new) == 200);
            load.await_more();
        }
        let (sent, mib) = (target.sent.load(Ordering::Relaxed), target.resident_mib());
        println!(
            "figure: {algorithm}, {keys} keys: {sent} forged requests, {mib} MiB, {}",
            load.end()
        );
        target.is_unharmed();
    }
}

/// How forged requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// One after the other on one connection.
    Http1,
    /// Likewise.
    Http2,
    /// Each is reset right after its headers, and the client reads no response.
    Http2Resets,
    /// Likewise, with the same tokens in each request, of a few bytes each, all in one write.
    Http2ResetsInOneWrite,
}

#[derive(Clone, Copy, Debug)]
struct Attack {
    tokens: usize,
    sending: Sending,
    method: &'static str,
    path: &'static str,
}

impl Attack {
    fn all() -> impl Iterator<Item = Self> {
        use Sending::{Http1, Http2, Http2Resets, Http2ResetsInOneWrite};
        let routes = [("GET", "/page"), ("POST", "/sign-out")];
        [1, 8, 64, 256].into_iter().flat_map(move |tokens| {
            let ways = [Http1, Http2, Http2Resets, Http2ResetsInOneWrite];
            // More do not fit into the dynamic table, by which such requests are short.
            let ways =
                ways.into_iter().filter(move |it| tokens <= 8 || *it != Http2ResetsInOneWrite);
            ways.flat_map(move |sending| {
                routes.map(|(method, path)| Self { tokens, sending, method, path })
            })
        })
    }
}

/// A proxy under attack, with its application and service.
struct AttackedProxy {
    bed: Testbed,
    algorithm: &'static str,
    /// Numbers of forged tokens, so that each has its own bytes.
    next: AtomicU32,
    sent: AtomicU32,
}

impl AttackedProxy {
    /// A proxy with this number of keys, beside the shipped key of the other users.
    fn with(algorithm: &'static str, signer: &TokenSigner, keys: usize) -> Self {
        let usual = json!({"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}});
        // The filter tries at most eight keys of an algorithm, one of which is the usual one.
        let keys = if algorithm == "HS256" { keys.min(7) } else { keys };
        // A forged token is checked with all of them, so they need not differ.
        let keys: Value = [usual].into_iter().chain((0..keys).map(|_| signer.key())).collect();
        let bed = Testbed::with(|configuration| configuration.filter["keys"] = keys);
        Self { bed, algorithm, next: AtomicU32::new(0), sent: AtomicU32::new(0) }
    }

    /// Other users' requests, all the time.
    fn load(&self) -> Load {
        Load::start(
            &self.bed.application,
            [self.bed.envoy.address()],
            UnavailablePolicy::Always,
            &[],
        )
    }

    fn status_of(&self, token: &Token) -> u16 {
        self.bed.envoy.connect().send(&Request::get("/page").bearer(token)).status
    }

    /// A token that was seen before is accepted.
    #[track_caller]
    fn serves(&self, known: &Token) {
        for connection in &mut self.bed.envoy.connection_per_worker() {
            let status = connection.send(&Request::get("/page").bearer(known)).status;
            assert_eq!(status, 200);
        }
    }

    /// Sends forged requests for a while.
    fn suffer(&self, attack: Attack) {
        let until = Instant::now() + Duration::from_millis(rounds(50, 3_000) as u64);
        while Instant::now() < until {
            let mut connection = self.bed.envoy.connect();
            let sent = match attack.sending {
                Sending::Http1 => self.http1(&mut connection, attack),
                Sending::Http2 => self.http2(&mut connection, attack),
                Sending::Http2Resets => self.http2_resets(&mut connection, attack),
                Sending::Http2ResetsInOneWrite => self.one_write(&mut connection, attack),
            };
            self.sent.fetch_add(sent, Ordering::Relaxed);
        }
    }

    fn http1(&self, connection: &mut Connection, attack: Attack) -> u32 {
        for _ in 0..REQUESTS {
            let request = Request::new(attack.method, attack.path);
            let status = connection.send(&request.header("cookie", self.cookies(attack))).status;
            assert!(status == 200 && attack.method == "POST" || [401, 503].contains(&status));
        }
        REQUESTS
    }

    fn http2(&self, connection: &mut Connection, attack: Attack) -> u32 {
        let window = frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
        connection.send_bytes(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &window].concat());
        for number in 0..REQUESTS {
            let cookies = self.cookies(attack);
            connection.send_bytes(&request(2 * number + 1, &fields(attack, &[cookies.as_bytes()])));
            assert!(connection.read_end_of_stream(), "a response");
        }
        REQUESTS
    }

    fn http2_resets(&self, connection: &mut Connection, attack: Attack) -> u32 {
        let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        for number in 0..REQUESTS {
            let (stream, cookies) = (2 * number + 1, self.cookies(attack));
            bytes.extend(request(stream, &fields(attack, &[cookies.as_bytes()])));
            bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        }
        let _ = connection.try_send_bytes(&bytes); // Envoy may close the connection
        REQUESTS
    }

    fn one_write(&self, connection: &mut Connection, attack: Attack) -> u32 {
        let cookies: Vec<_> = (0..attack.tokens).map(|_| self.cookie()).collect();
        let cookies: Vec<_> = cookies.iter().map(String::as_bytes).collect();
        let bytes = reset_requests(&fields(attack, &cookies), REQUESTS_IN_ONE_WRITE);
        let _ = connection.try_send_bytes(&bytes); // Envoy may close the connection
        REQUESTS_IN_ONE_WRITE
    }

    fn cookie(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("token={}", forged(self.algorithm, "", number))
    }

    /// As many as the attack has, or as Envoy accepts.
    fn cookies(&self, attack: Attack) -> String {
        let most = HEADER_BYTES / (self.cookie().len() + 2);
        let cookies: Vec<_> = (0..attack.tokens.min(most)).map(|_| self.cookie()).collect();
        cookies.join("; ")
    }

    fn resident_mib(&self) -> u64 {
        resident_kib(self.bed.envoy.process_id()).unwrap_or_default() / 1_024
    }

    /// No VM was replaced. (When the Envoy is dropped, its log and memory are checked, too.)
    #[track_caller]
    fn is_unharmed(&self) {
        for (name, count) in self.bed.envoy.stats("vm_reload") {
            assert_eq!(count, 0, "{name}");
        }
        assert!(self.bed.envoy.log().lines().count() < 1_000, "the log grows with the attack");
    }
}

fn fields<'a>(attack: Attack, cookies: &[&'a [u8]]) -> Vec<(&'static [u8], &'a [u8])> {
    let mut fields: Vec<(&[u8], &[u8])> = vec![
        (b":method", attack.method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"app.example.com"),
        (b":path", attack.path.as_bytes()),
    ];
    fields.extend(cookies.iter().map(|cookie| (&b"cookie"[..], *cookie)));
    fields
}

const REQUESTS: u32 = 32;
const REQUESTS_IN_ONE_WRITE: u32 = 1_200;

/// Below Envoy's limit of 60 KiB for all header fields.
const HEADER_BYTES: usize = 58_000;

const SOON: Duration = Duration::from_secs(60);
