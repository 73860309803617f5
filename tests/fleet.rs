//! Promise: several services over one Redis behave like one. A revocation that one of them
//! acknowledges is refused by every proxy. Whatever happens to a service or to Redis, no
//! acknowledged revocation is lost, and no refused token is accepted again. A service acknowledges
//! only what Redis has stored, and a service that cannot read Redis does not confirm that proxies
//! are up to date.
//! Method: two real Envoys, each with its own service, and one real Redis that is killed, emptied,
//! restored from an old copy, filled and paused while clients send requests.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use serde_json::json;
use testbed::{Connection, Fault, Fleet, Redis, Request, SignoutService, Token, UnavailablePolicy};
use testbed::{command, eventually, unix_seconds, until};

#[test]
fn a_sign_out_reaches_envoys_of_other_services() {
    let fleet = Fleet::start();
    let [mut here, mut there] = connections(&fleet);
    for _ in 0..20 {
        let token = Token::of("ada");
        assert_eq!(there.send(&page(&token)).status, 200);
        assert_eq!(here.send(&sign_out(&token)).status, 200);
        eventually(SOON, || there.send(&page(&token)).code() == "revoked");
        assert!(fleet.services.iter().all(|service| service.holds(&token)));
    }
}

#[test]
fn a_proxy_can_change_services_without_a_reset() {
    let fleet = Fleet::start();
    for number in 0..50 {
        let [from, to] = [number % 2, (number + 1) % 2].map(|at: usize| &fleet.services[at]);
        let token = Token::of("ada");
        let answer = from.post(&json!({"jti": token.jti()})).json();
        let cursor = answer["cursor"].as_str().expect("a cursor").to_owned();
        let page = to.get(&format!("/v1/revocations?after={cursor}")).json();
        assert_eq!((&page["reset"], &page["cursor"]), (&json!(false), &json!(cursor)), "{number}");
    }
}

#[test]
fn a_killed_service_loses_nothing_and_the_other_continues() {
    let mut fleet = Fleet::start();
    let _load = fleet.load(UnavailablePolicy::Always, &[]);
    let [mut here, mut there] = connections(&fleet);
    let tokens: Vec<_> = (0..20).map(|_| Token::of("ada")).collect();
    fleet.services[0].kill();
    for token in &tokens[..10] {
        assert_eq!(here.send(&sign_out(token)).status, 200); // waits in the outbox
    }
    for token in &tokens[10..] {
        assert_eq!(there.send(&sign_out(token)).status, 200);
    }
    assert!(tokens[10..].iter().all(|token| fleet.services[1].holds(token)));
    fleet.services[0].restart();
    eventually(SOON, || tokens.iter().all(|token| fleet.services[1].holds(token)));
    for connection in [&mut here, &mut there] {
        eventually(SOON, || are_revoked(connection, &tokens));
    }
}

#[test]
fn a_killed_redis_acknowledges_nothing_and_loses_nothing() {
    let mut fleet = Fleet::start();
    let tokens = acknowledged(&fleet, 20);
    let _load = fleet.load(UnavailablePolicy::Always, &tokens);
    fleet.redis.kill();
    let lost = Token::of("ada");
    for service in &fleet.services {
        let answer = service.post(&json!({"jti": lost.jti()}));
        assert_eq!((answer.status, answer.code().as_str()), (503, "store_unavailable"));
        // Not even a known revocation is acknowledged: Redis may have lost it.
        assert_eq!(service.post(&json!({"jti": tokens[0].jti()})).status, 503);
    }
    fleet.redis.restart();
    recovers(&fleet, &tokens);
    assert!(!fleet.services[0].holds(&lost));
    assert!(fleet.services.iter().all(|service| !service.log().contains("has lost entries")));
}

#[test]
fn a_redis_that_has_lost_everything_recovers_from_the_services() {
    let losses: [fn(&mut Redis); 2] = [
        |redis| drop(redis.command(&["FLUSHALL"])),
        |redis| {
            redis.kill();
            redis.lose_files();
            redis.restart();
        },
    ];
    for lose in losses {
        let mut fleet = Fleet::start();
        let tokens = acknowledged(&fleet, 20);
        let _load = fleet.load(UnavailablePolicy::Always, &tokens);
        lose(&mut fleet.redis);
        recovers(&fleet, &tokens);
        let lost: u64 = fleet.services.iter().map(losses_noticed).sum();
        assert!(lost >= 1);
    }
}

#[test]
fn a_redis_and_services_that_have_lost_everything_recover() {
    let mut fleet = Fleet::start();
    let tokens = acknowledged(&fleet, 20);
    let _load = fleet.load(UnavailablePolicy::Always, &tokens);
    for service in &mut fleet.services {
        service.kill();
    }
    fleet.redis.command(&["FLUSHALL"]);
    for service in &mut fleet.services {
        service.restart();
    }
    recovers(&fleet, &tokens);
}

#[test]
fn a_redis_that_is_restored_from_backup_recovers() {
    let mut fleet = Fleet::start();
    let old = acknowledged(&fleet, 10);
    let load = fleet.load(UnavailablePolicy::Always, &old);
    let copy = tempfile::tempdir().expect("a folder");
    fleet.redis.kill();
    copy_files(&fleet.redis.files(), copy.path()).expect("the files of Redis");
    fleet.redis.restart();
    eventually(SOON, || fleet.services.iter().all(takes_revocations));
    let new = acknowledged(&fleet, 10);
    load.enforced(&new);
    fleet.redis.kill();
    fleet.redis.lose_files();
    copy_files(copy.path(), &fleet.redis.files()).expect("the files of Redis");
    fleet.redis.restart();
    recovers(&fleet, &[old, new].concat());
}

#[test]
fn a_redis_without_room_gets_5xx_and_the_feed_continues() {
    let fleet = Fleet::of(2, Redis::setup().set("maxmemory", "4mb"), |_| {});
    let tokens = acknowledged(&fleet, 5);
    let _load = fleet.load(UnavailablePolicy::Always, &tokens);
    let (mut stored, service) = (0, &fleet.services[0]);
    let refused = until(SOON, || {
        let batch: Vec<_> = (0..500).map(|_| json!({"jti": Token::of("ada").jti()})).collect();
        let answer = service.post(&json!(batch));
        stored += usize::from(answer.status == 201) * 500;
        (answer.status != 201).then_some(answer)
    });
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"));
    assert_eq!(service.records().len(), stored + tokens.len(), "all of a batch or nothing");
    let token = Token::of("ada");
    assert_eq!(fleet.envoys[0].send(&sign_out(&token)).status, 200); // waits in the outbox
    assert_eq!(fleet.envoys[1].get("/page", &tokens[0]).code(), "revoked");
    assert_eq!(fleet.envoys[1].get("/page", &Token::of("ada")).status, 200);
    fleet.redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually(SOON, || fleet.envoys[1].get("/page", &token).code() == "revoked");
}

#[test]
fn a_service_cut_off_from_redis_is_not_current() {
    let fleet = Fleet::with(|configuration| {
        configuration.filter["revocation"]["max_staleness_seconds"] = json!(6);
    });
    let [mut cut_off, mut other] = connections(&fleet);
    let (live, token) = (Token::of("ada"), Token::of("ada"));
    fleet.store_networks[0].set(Fault::Hang);
    fleet.services[1].revoke(&json!({"jti": token.jti(), "exp": unix_seconds() + 3600}));
    eventually(SOON, || other.send(&page(&token)).code() == "revoked");
    // The proxy of this service cannot know that revocation. It responds 503, as if it were cut
    // off.
    eventually(SOON, || cut_off.send(&page(&live)).status == 503);
    assert_eq!(Connection::to(fleet.services[0].address()).send(&ready()).status, 503);
    assert_eq!(other.send(&page(&live)).status, 200);
    fleet.store_networks[0].set(Fault::None);
    eventually(SOON, || cut_off.send(&page(&live)).status == 200);
    assert_eq!(cut_off.send(&page(&token)).code(), "revoked");
}

#[test]
fn a_redis_that_is_stopped_delays_no_request() {
    let mut fleet = Fleet::start();
    let tokens = acknowledged(&fleet, 5);
    let _load = fleet.load(UnavailablePolicy::Always, &tokens);
    let [mut here, mut there] = connections(&fleet);
    fleet.redis.pause();
    let token = Token::of("ada");
    assert_eq!(here.send(&sign_out(&token)).status, 200);
    assert_eq!(here.send(&page(&token)).code(), "revoked");
    assert!(are_revoked(&mut there, &tokens));
    assert_eq!(there.send(&page(&Token::of("ada"))).status, 200);
    fleet.redis.resume();
    eventually(SOON, || there.send(&page(&token)).code() == "revoked");
    // The same with a running process: commands that write wait for two seconds.
    fleet.redis.command(&["CLIENT", "PAUSE", "2000", "WRITE"]);
    let token = Token::of("ada");
    assert_eq!(here.send(&sign_out(&token)).status, 200);
    eventually(SOON, || there.send(&page(&token)).code() == "revoked");
}

#[test]
fn a_slow_redis_delays_only_sign_outs() {
    let fleet = Fleet::start();
    let _load = fleet.load(UnavailablePolicy::Always, &[]);
    let [mut here, mut there] = connections(&fleet);
    for network in &fleet.store_networks {
        network.set(Fault::Delay(Duration::from_millis(300)));
    }
    eventually(SOON, || fleet.services.iter().all(takes_revocations));
    let token = Token::of("ada");
    assert_eq!(here.send(&sign_out(&token)).status, 200);
    assert_eq!(here.send(&page(&token)).code(), "revoked");
    eventually(SOON, || there.send(&page(&token)).code() == "revoked");
    assert_eq!(there.send(&page(&Token::of("ada"))).status, 200);
}

#[test]
fn a_redis_behind_tls_needs_a_trusted_certificate() {
    let tls = |name: &str| format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let port = port.expect("a free port").port();
    let redis = Redis::setup().set("tls-port", &port.to_string()).set("tls-auth-clients", "no");
    let redis = redis.set("tls-cert-file", &tls("server.pem"));
    let redis =
        redis.set("tls-key-file", &tls("server.key")).set("tls-ca-cert-file", &tls("ca.pem"));
    let redis = redis.start();
    let url = format!("rediss://127.0.0.1:{port}");
    let setup = SignoutService::setup().store(&url).argument("--redis-ca").argument(&tls("ca.pem"));
    let services = [setup.clone().start(), setup.start()];
    let token = Token::of("ada");
    services[0].revoke(&json!({"jti": token.jti()}));
    eventually(SOON, || services[1].holds(&token));
    assert!(SignoutService::setup().store(&redis.url()).start().holds(&token));
    // Without --redis-ca, no authority that the system trusts has signed this certificate.
    let mut serve = command("signout");
    serve.args(["serve", "--listen", "127.0.0.1:0", "--store", &url]).env("SIGNOUT_TOKEN", "token");
    let refused = serve.output().expect("the service");
    let why = String::from_utf8_lossy(&refused.stderr).to_lowercase();
    assert!(refused.status.code() == Some(1) && why.contains("certificate"), "{why}");
}

/// Revokes that many tokens at the services in turn. Returns when both proxies refuse all of them.
fn acknowledged(fleet: &Fleet, count: usize) -> Vec<Token> {
    let tokens: Vec<_> = (0..count).map(|_| Token::of("ada")).collect();
    for (number, token) in tokens.iter().enumerate() {
        let revocation = json!({"jti": token.jti(), "exp": unix_seconds() + 3600});
        fleet.services[number % 2].revoke(&revocation);
    }
    for envoy in &fleet.envoys {
        let mut connection = envoy.connect();
        eventually(SOON, || are_revoked(&mut connection, &tokens));
    }
    tokens
}

/// Checks that both proxies refuse the tokens until all services hold them again and accept new
/// ones. Then checks that Redis holds them, with a new service, and that new revocations work.
fn recovers(fleet: &Fleet, tokens: &[Token]) {
    let mut connections = connections(fleet);
    eventually(SOON, || {
        assert!(connections.iter_mut().all(|connection| are_revoked(connection, tokens)));
        fleet.services.iter().all(|service| {
            takes_revocations(service) && tokens.iter().all(|token| service.holds(token))
        })
    });
    let fresh = SignoutService::setup().store(&fleet.redis.url()).start();
    assert!(tokens.iter().all(|token| fresh.holds(token)), "they are in Redis itself");
    let token = acknowledged(fleet, 1);
    assert!(are_revoked(&mut fleet.envoys[1].connect(), &token));
}

fn are_revoked(connection: &mut Connection, tokens: &[Token]) -> bool {
    tokens.iter().all(|token| connection.send(&page(token)).code() == "revoked")
}

fn takes_revocations(service: &SignoutService) -> bool {
    service.post(&json!({"jti": Token::of("ada").jti()})).status == 201
}

fn losses_noticed(service: &SignoutService) -> u64 {
    let metrics = service.get("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix("signout_store_losses_total "));
    line.and_then(|count| count.parse().ok()).expect("a counter")
}

fn connections(fleet: &Fleet) -> [Connection; 2] {
    [0, 1].map(|number: usize| fleet.envoys[number].connect())
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

fn page(token: &Token) -> Request {
    Request::get("/page").bearer(token)
}

fn sign_out(token: &Token) -> Request {
    Request::post("/sign-out").bearer(token)
}

fn ready() -> Request {
    Request::get("/readyz")
}

const SOON: Duration = Duration::from_secs(60);
