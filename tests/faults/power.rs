//! After a power loss the disk has only what was synced. So a store must
//! not acknowledge a record before it is synced, and must not acknowledge what it cannot sync.
//! A preloaded library records each sync; the test restores each file to its last synced state.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testbed::{
    Fault, Fleet, Load, Redis, SignoutService, Testbed, Token, UnavailablePolicy, eventually,
};

use crate::load::{Revoker, are_refused, is_acknowledged, rounds, tokens};
use crate::shim::Shim;

#[test]
fn the_embedded_store_keeps_acknowledged_records_after_power_loss() {
    let disk = disk();
    let service = SignoutService::setup().env("LD_PRELOAD", &disk.library());
    let service = service.env("DISK_SHIM", &disk.orders()).env("DISK_SHIM_FILE", "/revocations");
    let mut bed = Testbed::of(service.start(), |setup| setup, Fault::None);
    bed.envoy.await_guarding();
    let load = Load::start(&bed.application, [bed.envoy.address()], UnavailablePolicy::Always, &[]);
    let (rounds, mut all) = (rounds(3, 30), Vec::new());
    for _ in 0..rounds {
        let address = bed.service.address();
        let acknowledged = while_revoking(address, 40, || bed.service.kill());
        lose_what_is_not_synced(bed.service.store_file().as_path());
        bed.service.restart();
        let held: Vec<_> = bed.service.records();
        for (token, _) in &acknowledged {
            let id = token.record_id();
            assert!(held.iter().any(|record| record["id"] == id), "an acknowledged one is gone");
        }
        all.extend(acknowledged.into_iter().map(|(token, _)| token));
        eventually(SOON, || are_refused(&bed.envoy, &all));
        load.enforced(&all[all.len() - 10..]);
    }
    println!(
        "figure: embedded: {rounds} times, {} acknowledged, 0 lost; {}",
        all.len(),
        load.end()
    );
}

#[test]
fn a_redis_that_loses_power_gets_lost_records_back() {
    for (policy, rounds) in [("always", rounds(1, 8)), ("everysec", rounds(1, 8))] {
        let disk = disk();
        let redis = Redis::setup().set("appendfsync", policy).env("LD_PRELOAD", &disk.library());
        let redis = redis.set("auto-aof-rewrite-percentage", "0");
        let redis = redis.env("DISK_SHIM", &disk.orders()).env("DISK_SHIM_FILE", ".incr.aof");
        let mut fleet = Fleet::of(2, redis, |_| {});
        let load = fleet.load(UnavailablePolicy::Always, &[]);
        let (mut all, mut lost, mut longest) = (Vec::new(), 0, Duration::ZERO);
        for _ in 0..rounds {
            let address = fleet.services[0].address();
            let mut killed = Instant::now();
            let acknowledged = while_revoking(address, 300, || {
                fleet.redis.kill();
                killed = Instant::now();
            });
            // The services hold all records and would write them again at once.
            fleet.services.iter_mut().for_each(SignoutService::pause);
            fs::read_dir(fleet.redis.files())
                .expect("the files of Redis")
                .map(|file| file.expect("a file").path())
                .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
                .for_each(|path| lose_what_is_not_synced(&path));
            fleet.redis.restart();
            let gone =
                lost_of(&SignoutService::setup().store(&fleet.redis.url()).start(), &acknowledged);
            if policy == "always" {
                assert_eq!(gone.len(), 0, "acknowledged, and lost");
            }
            let first = gone.first().map_or(killed, |(_, at)| *at);
            longest = longest.max(killed.saturating_duration_since(first));
            lost += gone.len();
            fleet.services.iter_mut().for_each(SignoutService::resume);
            all.extend(acknowledged.into_iter().map(|(token, _)| token));
            eventually(SOON, || fleet.envoys.iter().all(|envoy| are_refused(envoy, &all)));
            load.enforced(&all[all.len() - 10..]);
            let is_back = |token: &Token| fleet.services[1].holds(token);
            eventually(SOON, || all.iter().rev().step_by(25).all(is_back));
        }
        load.end();
        assert!(longest < Duration::from_secs(5), "{policy}: the last {longest:?} are gone");
        println!(
            "figure: {policy}: {rounds} times, {} acknowledged, {lost} lost of the last {:.2} s, all back",
            all.len(),
            longest.as_secs_f32()
        );
    }
}

#[test]
fn unsynced_writes_are_not_acknowledged() {
    let disk = disk();
    let service = SignoutService::setup().env("LD_PRELOAD", &disk.library());
    let service = service.env("DISK_SHIM", &disk.orders()).env("DISK_SHIM_FILE", "/revocations");
    let mut service = service.start();
    let mut revoker = Revoker::of(service.address());
    let mut kept = Vec::new();
    for fault in [b"s", b"w"] {
        kept.extend(tokens(3));
        assert_eq!(revoker.revoke(&kept), Some(201));
        disk.order(fault);
        for _ in 0..3 {
            assert_eq!(revoker.revoke(&tokens(1)), Some(503));
        }
        assert!(kept.iter().all(|token| service.holds(token)), "the feed goes on");
        disk.order(b"-");
        eventually(SOON, || revoker.revoke(&tokens(1)) == Some(201));
    }
    service.kill();
    service.restart();
    assert!(kept.iter().all(|token| service.holds(token)));
}

#[test]
fn a_redis_that_cannot_sync_stops_acknowledging() {
    for policy in ["always", "everysec"] {
        let disk = disk();
        let redis = Redis::setup().set("appendfsync", policy).env("LD_PRELOAD", &disk.library());
        let redis = redis.env("DISK_SHIM", &disk.orders()).env("DISK_SHIM_FILE", ".incr.aof");
        let mut redis = redis.start();
        let service = SignoutService::setup().store(&redis.url()).start();
        let mut revoker = Revoker::of(service.address());
        let kept = tokens(3);
        assert_eq!(revoker.revoke(&kept), Some(201));
        disk.order(b"s");
        if policy == "always" {
            assert_eq!(revoker.revoke(&tokens(1)), Some(503), "it ends itself");
        } else {
            eventually(SOON, || revoker.revoke(&tokens(1)) == Some(503));
        }
        // Redis 7.0 accepts no writes after one failed sync, even after the disk has recovered.
        disk.order(b"-");
        redis.restart();
        eventually(SOON, || revoker.revoke(&tokens(1)) == Some(201));
        let fresh = SignoutService::setup().store(&redis.url()).start();
        assert!(kept.iter().all(|token| fresh.holds(token)), "{policy}");
    }
}

/// Revokes tokens one by one until the store fails, which happens after `writes`. Returns the
/// acknowledged tokens with their times.
fn while_revoking(
    address: std::net::SocketAddr,
    count: usize,
    lose_power: impl FnOnce(),
) -> Vec<(Token, Instant)> {
    let (stop, done) = (AtomicBool::new(false), std::sync::Mutex::new(Vec::new()));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut revoker = Revoker::of(address);
            while !stop.load(Ordering::Relaxed) {
                let one = tokens(1);
                if is_acknowledged(revoker.revoke(&one)) {
                    done.lock().expect("a list").push((one[0].clone(), Instant::now()));
                }
            }
        });
        eventually(LONG, || done.lock().expect("a list").len() >= count);
        lose_power();
        stop.store(true, Ordering::Relaxed);
    });
    done.into_inner().expect("a list")
}

/// Returns the acknowledged tokens that the service lacks. Panics if it holds a later one.
fn lost_of(service: &SignoutService, acknowledged: &[(Token, Instant)]) -> Vec<(Token, Instant)> {
    let records = service.records();
    let ids: std::collections::HashSet<_> =
        records.iter().filter_map(|record| record["id"].as_str()).collect();
    let is_held = |(token, _): &(Token, Instant)| ids.contains(token.record_id().as_str());
    let held = acknowledged.iter().take_while(|one| is_held(one)).count();
    let lost = &acknowledged[held..];
    assert!(!lost.iter().any(is_held), "what was lost is not the tail");
    lost.to_vec()
}

fn lose_what_is_not_synced(file: &Path) {
    let mut synced = file.as_os_str().to_owned();
    synced.push(".synced");
    let copied = fs::copy(&synced, file);
    assert!(copied.is_ok(), "nothing was ever synced: {copied:?}");
}

fn disk() -> Shim {
    Shim::build("disk_shim", b"-")
}

const SOON: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);
