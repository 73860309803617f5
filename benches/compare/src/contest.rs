//! What does each peer cost, when all run at the same time?
//!
//! In rounds: in each, every peer has one slice of a fraction of a second, in an order drawn anew, so
//! that whatever else the machine does hits everyone alike. What counts is the processor time that
//! the Envoy process used in a slice, divided by the requests that it answered; how long it took
//! does not. The added cost of a peer is the difference to the bare Envoy *of the same round*.

use std::net::SocketAddr;
use std::time::Duration;

use testbed::{Envoy, Program};

use crate::load::{ListenerLoad, Requests};
use crate::machine::cpu_nanoseconds;
use crate::peers::{PEERS, Peer, PeerTokens};
use crate::progress::Progress;
use crate::sample::Sample;
use crate::selection::Selection;
use crate::statistics::quantile;
use crate::tokens::{self, Rsa};
use crate::writer::RevocationLoad;

/// How much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    /// Rounds.
    pub(crate) rounds: usize,
    /// Length of a slice.
    pub(crate) slice: Duration,
    /// Who takes part.
    pub(crate) selection: Selection,
}

/// Everything that runs.
pub(crate) struct Contest<'a> {
    /// The proxy with a listener for each peer.
    pub(crate) envoy: &'a Envoy,
    /// What decides behind ext_authz.
    pub(crate) authz: &'a Program,
    /// The service of the million for the proxy-wasm filter, and the one for the dynamic module.
    pub(crate) million: SocketAddr,
    pub(crate) native_million: SocketAddr,
    /// A service that no filter polls.
    pub(crate) not_polled: SocketAddr,
    /// The requests.
    pub(crate) circles: &'a Circles,
}

impl Contest<'_> {
    /// Measures all peers.
    ///
    /// # Errors
    /// A request was not answered with 200.
    pub(crate) fn run(
        &self,
        extent: &Extent,
        progress: &mut Progress,
    ) -> Result<Vec<Sample>, String> {
        // Connections for each, so that each goes on in its own circle of tokens.
        let connect =
            |peer: &Peer| ListenerLoad::to(self.envoy.address_of(peer.listener), CONNECTIONS);
        let mut loads = PEERS.each_ref().map(connect);
        let mut samples = Vec::new();
        let takes_part = |at: &usize| extent.selection.holds(&PEERS[*at]);
        let mut order: Vec<usize> = (0..PEERS.len()).filter(takes_part).collect();
        let mut chance = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..=extent.rounds {
            shuffle(&mut order, &mut chance);
            for at in &order {
                let (peer, load) = (&PEERS[*at], &mut loads[*at]);
                let sample = self.sample(peer, load, extent.slice, round);
                let sample = sample.map_err(|problem| format!("{}: {problem}", peer.name))?;
                if round > 0 {
                    samples.push(sample); // the first round makes everything warm
                }
            }
            progress.round(round, extent.rounds, &samples);
        }
        Ok(samples)
    }

    /// A slice that counts; a busy machine may need several attempts.
    fn sample(
        &self,
        peer: &Peer,
        load: &mut ListenerLoad,
        time: Duration,
        round: usize,
    ) -> Result<Sample, String> {
        for _ in 0..ATTEMPTS {
            if let Some(sample) = self.slice(peer, load, time, round)? {
                return Ok(sample);
            }
        }
        Err(format!("fewer than {REVOCATIONS_PER_SECOND} revocations a second came in"))
    }

    fn slice(
        &self,
        peer: &Peer,
        load: &mut ListenerLoad,
        time: Duration,
        round: usize,
    ) -> Result<Option<Sample>, String> {
        let fresh = (peer.tokens == PeerTokens::FreshHs256).then(|| fresh(time));
        let requests =
            fresh.as_ref().map_or_else(|| self.circles.of(peer.tokens), |fresh| &fresh.1);
        let service = match peer.listener {
            "bare" => self.not_polled,
            native if native.starts_with("native") => self.native_million,
            _ => self.million,
        };
        let writer = peer.busy.then(|| RevocationLoad::start(service, REVOCATIONS_PER_SECOND));
        match &fresh {
            Some((before, _)) => load.run_once(before, Duration::MAX)?,
            None => load.run_count(requests, WARM_TOKENS)?,
        };
        let before =
            (cpu_nanoseconds(self.envoy.process_id()), cpu_nanoseconds(self.authz.process_id()));
        let answered = match &fresh {
            Some((_, fresh)) => load.run_once(fresh, time)?,
            None => load.run_for(requests, time)?,
        };
        let envoy_nanoseconds = cpu_nanoseconds(self.envoy.process_id()) - before.0;
        let authz_nanoseconds = cpu_nanoseconds(self.authz.process_id()) - before.1;
        if let Some(writer) = writer
            && !writer.stop()?
        {
            return Ok(None);
        }
        let waited = answered.milliseconds();
        Ok(Some(Sample {
            round,
            peer: peer.name,
            requests: answered.requests,
            seconds: answered.seconds,
            envoy_nanoseconds,
            authz_nanoseconds,
            p50_milliseconds: quantile(&waited, 0.5),
            p99_milliseconds: quantile(&waited, 0.99),
        }))
    }
}

/// The requests that are sent again and again.
pub(crate) struct Circles {
    hs256: Requests,
    rs256: Requests,
    many_rs256: Requests,
}

impl Circles {
    /// Signs their tokens.
    pub(crate) fn new(rsa: &Rsa) -> Self {
        let hs256: Vec<_> = (0..WARM_TOKENS).map(|_| tokens::hs256()).collect();
        let rs256 = rsa.tokens(WARM_TOKENS + MANY_TOKENS);
        let (few, many) = rs256.split_at(WARM_TOKENS);
        Self {
            hs256: Requests::with(&hs256, bearer),
            rs256: Requests::with(few, bearer),
            many_rs256: Requests::with(many, bearer),
        }
    }

    /// Those that carry such tokens.
    pub(crate) fn of(&self, tokens: PeerTokens) -> &Requests {
        match tokens {
            PeerTokens::Hs256 | PeerTokens::FreshHs256 => &self.hs256,
            PeerTokens::Rs256 => &self.rs256,
            PeerTokens::ManyRs256 => &self.many_rs256,
        }
    }
}

/// Requests with tokens that nobody has seen: some to begin with, and enough for the slice.
fn fresh(time: Duration) -> (Requests, Requests) {
    let make = |count| {
        let tokens: Vec<_> = (0..count).map(|_| tokens::hs256()).collect();
        Requests::with(&tokens, bearer)
    };
    let enough = time.as_secs_f64() * MOST_FRESH_PER_SECOND;
    (make(WARM_TOKENS / 4), make(enough as usize))
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

fn shuffle(order: &mut [usize], chance: &mut u64) {
    for at in (1..order.len()).rev() {
        *chance ^= *chance << 13;
        *chance ^= *chance >> 7;
        *chance ^= *chance << 17;
        order.swap(at, (*chance % (at as u64 + 1)) as usize);
    }
}

const ATTEMPTS: usize = 10;

/// As many as keep one worker busy, so that it never waits for the load.
const CONNECTIONS: usize = 16;

/// PeerTokens in a circle: each is seen before, and all fit every cache.
const WARM_TOKENS: usize = 1_000;

/// Nearly twice what the filter's cache holds of them (4 MiB, a good 1,000 bytes each), in a
/// circle: when one comes again, it has been forgotten.
const MANY_TOKENS: usize = 8_000;

/// No worker answers more.
const MOST_FRESH_PER_SECOND: f64 = 60_000.0;

/// What comes in while a busy peer is measured.
const REVOCATIONS_PER_SECOND: u32 = 1_000;
