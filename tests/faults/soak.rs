//! Random faults, one after the other, while users sign in and out: every acknowledged revocation is
//! enforced by every proxy soon after each fault, and at the end all have the same set.
//!
//! `SOAK_MINUTES` sets the duration (`make soak`), `SOAK_SEED` the random seed.

use std::time::{Duration, Instant};
use std::{env, thread};

use testbed::{
    ConnectionEnd, Fault, Fleet, Load, Redis, Request, SignoutService, Token, UnavailablePolicy,
};
use testbed::{eventually, open_files, resident_kib};

use crate::load::{Revoker, are_refused, is_acknowledged, rounds, tokens};

#[test]
fn random_faults_lose_no_acknowledged_revocation() {
    let minutes = number("SOAK_MINUTES");
    let seed = number("SOAK_SEED").unwrap_or(1);
    let mut world = SoakBed::start(seed);
    let (began, mut faults) = (Instant::now(), 0);
    let load = world.fleet.load(UnavailablePolicy::OrUnavailable, &[]);
    let before = world.sizes();
    loop {
        let is_over = match minutes {
            Some(minutes) => began.elapsed() >= Duration::from_secs(minutes * 60),
            None => faults >= rounds(4, 20),
        };
        if is_over {
            break;
        }
        faults += 1;
        world.one_round(faults, &load);
    }
    let after = world.sizes();
    world.all_know_the_same();
    let seconds = began.elapsed().as_secs();
    println!(
        "figure: seed {seed}: {faults} faults in {seconds} s, {} revocations, all enforced; \
         (memory in MiB, files) of proxies and services: {before:?}, at the end {after:?}; {}",
        world.known.len(),
        load.end()
    );
}

struct SoakBed {
    fleet: Fleet,
    seed: u64,
    /// Tokens that the service acknowledged, or a proxy that has delivered them since.
    known: Vec<Token>,
}

/// A fault, and which of two components it affects.
#[derive(Clone, Copy, Debug)]
enum SoakFault {
    ServiceKilled(usize),
    ServiceStopped(usize),
    ServiceHangs(usize),
    RedisKilled,
    RedisHangs,
    RedisEmptied,
    RedisRobbed,
    ProxyKilled(usize),
    Network(usize),
    StoreNetwork(usize),
}

impl SoakBed {
    fn start(seed: u64) -> Self {
        Self { fleet: Fleet::of(2, Redis::setup(), |_| {}), seed, known: Vec::new() }
    }

    fn one_round(&mut self, number: usize, load: &Load) {
        let wrong = self.draw();
        println!("round {number}: {wrong:?}");
        let mut new = self.revoke_some();
        self.break_it(wrong, load);
        new.extend(self.revoke_some());
        thread::sleep(Duration::from_millis(500 + self.below(4_000))); // duration of the fault
        new.extend(self.revoke_some());
        self.mend(wrong);
        for envoy in &self.fleet.envoys {
            eventually(SOON, || {
                assert!(load.is_well(), "round {number}, {wrong:?}");
                are_refused(envoy, &new)
            });
        }
        load.enforced(&new);
        self.known.extend(new);
        self.is_well();
        load.await_more();
    }

    fn break_it(&mut self, wrong: SoakFault, load: &Load) {
        let fault = self.fault();
        let fleet = &mut self.fleet;
        match wrong {
            SoakFault::ServiceKilled(at) => fleet.services[at].kill(),
            SoakFault::ServiceStopped(at) => fleet.services[at].stop(),
            SoakFault::ServiceHangs(at) => fleet.services[at].pause(),
            SoakFault::RedisKilled => fleet.redis.kill(),
            SoakFault::RedisHangs => fleet.redis.pause(),
            SoakFault::RedisEmptied => drop(fleet.redis.command(&["FLUSHALL"])),
            SoakFault::RedisRobbed => {
                fleet.redis.kill();
                fleet.redis.lose_files();
            }
            SoakFault::ProxyKilled(at) => {
                // The outbox is lost with the process, and nothing else may be.
                eventually(SOON, || fleet.envoys[at].metric("outbox") == 0);
                fleet.envoys[at].restart();
                load.moved(at, fleet.envoys[at].address());
            }
            SoakFault::Network(at) => fleet.networks[at].set(fault),
            SoakFault::StoreNetwork(at) => fleet.store_networks[at].set(fault),
        }
    }

    fn mend(&mut self, wrong: SoakFault) {
        let fleet = &mut self.fleet;
        match wrong {
            SoakFault::ServiceKilled(at) | SoakFault::ServiceStopped(at) => {
                fleet.services[at].restart()
            }
            SoakFault::ServiceHangs(at) => fleet.services[at].resume(),
            SoakFault::RedisKilled | SoakFault::RedisRobbed => fleet.redis.restart(),
            SoakFault::RedisHangs => fleet.redis.resume(),
            SoakFault::RedisEmptied | SoakFault::ProxyKilled(_) => {}
            SoakFault::Network(at) => fleet.networks[at].set(Fault::None),
            SoakFault::StoreNetwork(at) => fleet.store_networks[at].set(Fault::None),
        }
    }

    /// Revokes tokens at a service or by sign-out at a proxy. Returns the acknowledged ones.
    fn revoke_some(&mut self) -> Vec<Token> {
        let mut done = Vec::new();
        for _ in 0..3 {
            let one = tokens(1);
            let at = self.below(2) as usize;
            let service = self.fleet.services[at].address();
            let is_well = if self.below(2) == 0 {
                let answer = Request::post("/sign-out").bearer(&one[0]);
                let mut proxy = self.fleet.envoys[at].connect();
                // 503: the proxy is stale, and the user learns it.
                proxy.try_send(&answer).is_ok_and(|answer| answer.status == 200)
            } else if self.services_answer(at) {
                is_acknowledged(Revoker::of(service).revoke(&one))
            } else {
                false
            };
            if is_well {
                done.extend(one);
            }
        }
        done
    }

    /// Skips a service that hangs, because the request would wait.
    fn services_answer(&self, at: usize) -> bool {
        let process = self.fleet.services[at].process_id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        status.is_ok_and(|status| !status.contains("State:\tT"))
    }

    /// Returns whether every component accepts revocations and no proxy waits for an acknowledgement.
    fn is_well(&self) {
        for service in &self.fleet.services {
            let mut revoker = Revoker::of(service.address());
            eventually(SOON, || is_acknowledged(revoker.revoke(&tokens(1))));
        }
        for envoy in &self.fleet.envoys {
            eventually(SOON, || envoy.metric("outbox") == 0);
        }
    }

    fn all_know_the_same(&self) {
        let fresh = SignoutService::setup().store(&self.fleet.redis.url()).start();
        let ids = |service: &SignoutService| {
            let mut ids: Vec<_> =
                service.records().iter().map(|record| record["id"].to_string()).collect();
            ids.sort_unstable();
            ids
        };
        let there = ids(&fresh);
        for service in &self.fleet.services {
            eventually(SOON, || ids(service) == there);
        }
        for token in &self.known {
            assert!(there.contains(&format!("\"{}\"", token.record_id())), "one is gone");
        }
        for envoy in &self.fleet.envoys {
            assert!(are_refused(envoy, &self.known));
        }
    }

    fn sizes(&self) -> Vec<(u64, usize)> {
        let envoys = self.fleet.envoys.iter().map(testbed::Envoy::process_id);
        let all = envoys.chain(self.fleet.services.iter().map(SignoutService::process_id));
        all.map(|id| (resident_kib(id).unwrap_or(0) / 1_024, open_files(id))).collect()
    }

    fn draw(&mut self) -> SoakFault {
        let at = self.below(2) as usize;
        match self.below(10) {
            0 => SoakFault::ServiceKilled(at),
            1 => SoakFault::ServiceStopped(at),
            2 => SoakFault::ServiceHangs(at),
            3 => SoakFault::RedisKilled,
            4 => SoakFault::RedisHangs,
            5 => SoakFault::RedisEmptied,
            6 => SoakFault::RedisRobbed,
            7 => SoakFault::ProxyKilled(at),
            8 => SoakFault::Network(at),
            _ => SoakFault::StoreNetwork(at),
        }
    }

    fn fault(&mut self) -> Fault {
        let bytes = self.below(400) as usize;
        match self.below(8) {
            0 => Fault::Refuse,
            1 => Fault::Hang,
            2 => Fault::Delay(Duration::from_millis(self.below(900))),
            3 => Fault::Throttle(1_000),
            4 => Fault::CutAfter(bytes, ConnectionEnd::Close),
            5 => Fault::CutAfter(bytes, ConnectionEnd::Reset),
            6 => Fault::FlipBit(bytes),
            _ => Fault::AnswerWith(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno".to_vec()),
        }
    }

    /// Returns a random number below `end` (SplitMix64).
    fn below(&mut self, end: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % end
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text}")))
}

/// Twice the longest backoff.
const SOON: Duration = Duration::from_secs(150);
