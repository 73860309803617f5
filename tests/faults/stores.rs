//! A store whose file is truncated, whose disk is full, or whose primary is lost acknowledges
//! nothing that it cannot keep, works again after the fault, and gets lost revocations back.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use testbed::{
    Application, Envoy, Fault, Fleet, Load, Redis, SignoutService, Testbed, Token,
    UnavailablePolicy,
};
use testbed::{eventually, unix_seconds};

use crate::load::{are_refused, rounds};

#[test]
fn a_torn_append_only_file_gets_its_tail_back() {
    let mut fleet = Fleet::start();
    let load = fleet.load(UnavailablePolicy::Always, &[]);
    let mut tokens = Vec::new();
    let cuts: &[u64] = &[1, 7, 60, 200];
    for cut in cuts.iter().cycle().take(rounds(cuts.len(), 40)) {
        tokens.extend(revoked(&fleet.services[0], 5));
        for envoy in &fleet.envoys {
            eventually(SOON, || are_refused(envoy, &tokens));
        }
        load.enforced(&tokens[tokens.len() - 5..]);
        fleet.redis.kill();
        tear(&fleet.redis.files(), *cut);
        fleet.redis.restart();
        eventually(SOON, || {
            assert!(fleet.envoys.iter().all(|envoy| are_refused(envoy, &tokens)));
            fleet.services.iter().all(takes_revocations)
        });
        let fresh = SignoutService::setup().store(&fleet.redis.url()).start();
        assert!(tokens.iter().all(|token| fresh.holds(token)), "{cut} bytes were cut");
    }
    println!("figure: {} revocations, 0 lost; {}", tokens.len(), load.end());
}

#[test]
fn failover_to_a_lagging_replica_loses_nothing_seen() {
    let mut primary = Redis::start();
    let port = primary.address().port().to_string();
    let replica = Redis::setup().set("replicaof", &format!("127.0.0.1 {port}")).start();
    let in_step = || replica.command(&["INFO", "replication"]).contains("master_link_status:up");
    eventually(SOON, in_step);
    let sentinel = Sentinel::of(&primary);
    let services = [(); 2].map(|()| SignoutService::setup().store(&sentinel.url()).start());
    let application = Application::start();
    let envoys = services.each_ref().map(|service| {
        let setup = Envoy::setup().application(application.address());
        setup.service(service.address()).start()
    });
    envoys.iter().for_each(Envoy::await_guarding);
    let mut tokens = revoked(&services[0], 5);
    eventually(SOON, || sentinel.knows_a_replica());
    // From here on the replica receives nothing.
    replica.command(&["REPLICAOF", "127.0.0.1", "1"]);
    tokens.extend(revoked(&services[1], 5));
    for envoy in &envoys {
        eventually(SOON, || are_refused(envoy, &tokens));
    }
    let addresses = envoys.iter().map(Envoy::address);
    let load = Load::start(&application, addresses, UnavailablePolicy::Always, &tokens);
    primary.kill();
    let killed = Instant::now();
    eventually(LONG, || {
        assert!(envoys.iter().all(|envoy| are_refused(envoy, &tokens)));
        services.iter().all(takes_revocations)
    });
    println!(
        "figure: revocations taken again {:.1} s after the kill; {}",
        killed.elapsed().as_secs_f32(),
        load.end()
    );
    let fresh = SignoutService::setup().store(&replica.url()).start();
    assert!(tokens.iter().all(|token| fresh.holds(token)), "the new primary has them all");
}

#[test]
#[ignore = "needs root: `make faults` runs it"]
fn disk_full_below_the_embedded_store_gets_503_until_space() {
    let disk = SmallDisk::mount("6m");
    let store = format!("redb:{}/revocations", disk.path());
    let mut bed =
        Testbed::of(SignoutService::setup().store(&store).start(), |setup| setup, Fault::None);
    bed.envoy.await_guarding();
    let first = revoked(&bed.service, 5);
    eventually(SOON, || are_refused(&bed.envoy, &first));
    let (mut stored, mut kept) = (0, Vec::new());
    let load =
        Load::start(&bed.application, [bed.envoy.address()], UnavailablePolicy::Always, &first);
    let refused = loop {
        let tokens: Vec<_> = (0..2_000).map(|_| Token::of("eve")).collect();
        let batch: Vec<_> = tokens.iter().map(|token| json!({"jti": token.jti()})).collect();
        match bed.service.post(&json!(batch)).status {
            201 => kept.push(tokens[0].clone()),
            status => break status,
        }
        stored += 2_000;
    };
    assert_eq!(refused, 503);
    eventually(SOON, || are_refused(&bed.envoy, &kept));
    load.enforced(&kept);
    bed.service.kill();
    bed.service.restart();
    assert_eq!(bed.service.records().len(), stored + first.len(), "all that was acknowledged");
    disk.resize("64m");
    eventually(SOON, || takes_revocations(&bed.service));
    println!("figure: {stored} revocations fitted, then 503; {}", load.end());
}

#[test]
#[ignore = "needs root: `make faults` runs it"]
fn disk_full_below_redis_gets_503_until_there_is_space() {
    let disk = SmallDisk::mount("3m");
    let redis = Redis::setup().set("dir", &disk.path()).set("appendfsync", "always");
    let redis = redis.set("auto-aof-rewrite-percentage", "0").start();
    let service = SignoutService::setup().store(&redis.url()).start();
    let mut stored = 0;
    // With `always` Redis exits when it cannot sync. It has acknowledged nothing of that batch.
    let refused = loop {
        let batch: Vec<_> = (0..2_000).map(|_| json!({"jti": Token::of("eve").jti()})).collect();
        let status = service.post(&json!(batch)).status;
        if status != 201 {
            break status;
        }
        stored += 2_000;
    };
    assert_eq!(refused, 503);
    assert!(service.records().len() >= stored, "what was acknowledged is served");
    disk.resize("64m");
    let mut redis = redis;
    redis.restart();
    eventually(SOON, || takes_revocations(&service));
    let fresh = SignoutService::setup().store(&redis.url()).start();
    assert!(fresh.records().len() > stored, "and is in Redis");
    println!("figure: {stored} revocations fitted, then 503");
}

/// Revokes that many tokens one by one, each acknowledged.
fn revoked(service: &SignoutService, count: usize) -> Vec<Token> {
    let tokens: Vec<_> = (0..count).map(|_| Token::of("ada")).collect();
    for token in &tokens {
        service.revoke(&json!({"jti": token.jti(), "exp": unix_seconds() + 3_600}));
    }
    tokens
}

fn takes_revocations(service: &SignoutService) -> bool {
    service.post(&json!({"jti": Token::of("ada").jti()})).status == 201
}

/// Truncates the newest part of an append-only file by that many bytes.
fn tear(files: &Path, bytes: u64) {
    let newest = fs::read_dir(files)
        .expect("the files of Redis")
        .map(|file| file.expect("a file").path())
        .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .max_by_key(|path| path.metadata().and_then(|about| about.modified()).ok());
    let file = fs::File::options().write(true).open(newest.expect("a file")).expect("a file");
    let length = file.metadata().expect("its length").len();
    file.set_len(length.saturating_sub(bytes)).expect("a shorter file");
}

/// A real Sentinel that watches one primary.
struct Sentinel {
    redis: Redis,
}

impl Sentinel {
    fn of(primary: &Redis) -> Self {
        let address = primary.address();
        Self { redis: Redis::setup().watching("main", address).start() }
    }

    fn url(&self) -> String {
        format!("redis+sentinel://{}/main", self.redis.address())
    }

    fn knows_a_replica(&self) -> bool {
        self.redis.command(&["SENTINEL", "REPLICAS", "main"]).contains("slave")
    }
}

/// A small disk (tmpfs) that belongs to one test.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Self { folder };
        let size = format!("size={size}");
        let words = ["-t", "tmpfs", "-o", &size, "tmpfs", &disk.path()];
        let mounted = Command::new("mount").args(words).status().expect("mount");
        assert!(mounted.success(), "a small disk needs root: run this as root");
        disk
    }

    fn resize(&self, size: &str) {
        let size = format!("remount,size={size}");
        let done = Command::new("mount").args(["-o", &size, &self.path()]).status();
        assert!(done.expect("mount").success());
    }

    fn path(&self) -> String {
        self.folder.path().display().to_string()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", &self.path()]).status();
    }
}

const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);
