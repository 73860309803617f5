//! An Envoy process: VMs that share one memory, and the calls that they have made.

use std::time::Duration;

use session_guard_core::call::{Call, Response};
use session_guard_core::clock::Now;
use session_guard_core::feed::staleness::Knowledge;
use session_guard_core::feed::state::FeedState;
use session_guard_core::feed::{Feed, FeedEffects, FeedSettings};
use session_guard_core::revocation::name::TokenNames;
use session_guard_core::revocation::record::{Kind, Record, RecordId};
use session_guard_core::shared::names::KeySpace;
use session_guard_core::sign_out::{self, SignOut, Step, WhenUnreachable};

use super::memory::Memory;
use super::service::page_key;

/// How old the last proof may be.
pub(super) const MAX_STALENESS_SECONDS: u64 = 300;

pub(super) struct SimulatedProcess {
    pub(super) memory: Memory,
    pub(super) vms: Vec<SimulatedVm>,
    /// The name of the service's cluster in its configuration.
    cluster: String,
    /// How far its wall clock is ahead of the truth.
    pub(super) ahead_seconds: i64,
    /// Its monotonic clock at the beginning of the simulation.
    booted: Duration,
    /// The latest that its wall clock has ever shown.
    pub(super) latest_unix_seconds: u64,
    pub(super) has_loaded: bool,
    /// When it was last shown to be up to date.
    pub(super) proved_at: Duration,
}

#[derive(Default)]
pub(super) struct Flights {
    pub(super) poll: Option<Flight>,
    pub(super) delivery: Option<Flight>,
    pub(super) sign_outs: Vec<(Flight, SignOut)>,
}

pub(super) struct SimulatedVm {
    pub(super) feed: Feed,
    pub(super) flights: Flights,
}

/// A call under way.
pub(super) struct Flight {
    pub(super) call: Call,
    pub(super) left_at: Duration,
    /// What the service has answered, if the call has arrived.
    pub(super) response: Option<Response>,
}

/// Which call of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Poll,
    Delivery,
    SignOut(usize),
}

impl SimulatedProcess {
    pub(super) fn new(memory: Memory, vms: usize, booted: Duration, owner: u64) -> Self {
        let mut process = Self {
            memory,
            vms: Vec::new(),
            cluster: "signout".to_owned(),
            ahead_seconds: 0,
            booted,
            latest_unix_seconds: 0,
            has_loaded: false,
            proved_at: Duration::ZERO,
        };
        process.vms =
            (0..vms as u64).map(|vm| SimulatedVm::new(owner << 8 | vm, "signout")).collect();
        process
    }

    pub(super) fn now(&mut self, time: Duration) -> Now {
        let unix_seconds = time.as_secs().saturating_add_signed(self.ahead_seconds);
        self.latest_unix_seconds = self.latest_unix_seconds.max(unix_seconds);
        let monotonic_milliseconds = (self.booted + time).as_millis() as u64;
        Now { unix_seconds, monotonic_milliseconds }
    }

    pub(super) fn tick(&mut self, vm: usize, time: Duration) {
        let now = self.now(time);
        let effects = self.vms[vm].feed.tick(&self.memory, now);
        self.vms[vm].carry_out(effects, time);
    }

    /// A request to a sign-out route that carries this one's token, if it was admitted.
    pub(super) fn sign_out(&mut self, vm: usize, record: Record, time: Duration) {
        let now = self.now(time);
        let SimulatedVm { feed, flights } = &mut self.vms[vm];
        feed.note_request();
        let is_revoked = record.kind == Kind::Token && refuses(feed, &self.memory, &record);
        let (fresh, revoked) =
            if is_revoked { (vec![], vec![record]) } else { (vec![record], vec![]) };
        let settings = sign_out::Settings {
            timeout_milliseconds: 2_000,
            when_unreachable: WhenUnreachable::Forward,
        };
        let (set, outbox) = (feed.set(), feed.outbox());
        let step = sign_out::begin(set, outbox, &self.memory, fresh, &revoked, settings, now);
        match step {
            Step::Deliver(call, sign_out) => {
                flights.sign_outs.push((Flight { call, left_at: time, response: None }, sign_out));
            }
            Step::Continue => assert!(is_revoked),
            Step::Unavailable | Step::Rejected(_) => panic!("there is room"),
        }
    }

    /// Every call under way.
    pub(super) fn flights(&self) -> Vec<(usize, Which)> {
        let of_vm = |(vm, SimulatedVm { flights, .. }): (usize, &SimulatedVm)| {
            let poll = flights.poll.as_ref().map(|_| Which::Poll);
            let tell = flights.delivery.as_ref().map(|_| Which::Delivery);
            let sign_outs = (0..flights.sign_outs.len()).map(Which::SignOut);
            let which = poll.into_iter().chain(tell).chain(sign_outs);
            which.map(move |which| (vm, which)).collect::<Vec<_>>()
        };
        self.vms.iter().enumerate().flat_map(of_vm).collect()
    }

    pub(super) fn flight(&mut self, vm: usize, which: Which) -> &mut Flight {
        let flights = &mut self.vms[vm].flights;
        match which {
            Which::Poll => flights.poll.as_mut().expect("under way"),
            Which::Delivery => flights.delivery.as_mut().expect("under way"),
            Which::SignOut(at) => &mut flights.sign_outs[at].0,
        }
    }

    /// The call ends with this response.
    pub(super) fn end(
        &mut self,
        (vm, which): (usize, Which),
        response: Option<&Response>,
        random: u32,
        time: Duration,
    ) {
        let now = self.now(time);
        let Self { memory, vms, .. } = self;
        let SimulatedVm { feed, flights } = &mut vms[vm];
        let effects = match which {
            Which::Poll => {
                flights.poll = None;
                feed.poll_finished(memory, now, random, response)
            }
            Which::Delivery => {
                flights.delivery = None;
                feed.delivery_finished(memory, now, random, response)
            }
            Which::SignOut(at) => {
                let (_, sign_out) = flights.sign_outs.remove(at);
                assert_eq!(sign_out.respond(feed.outbox(), memory, response, now), Step::Continue);
                return;
            }
        };
        vms[vm].carry_out(effects, time);
    }

    /// A VM dies with its calls, and another one takes its place.
    pub(super) fn kill(&mut self, vm: usize, owner: u64) {
        self.vms[vm] = SimulatedVm::new(owner << 8 | vm as u64, &self.cluster);
    }

    /// A new configuration gives the service's cluster another name.
    pub(super) fn rename_service(&mut self, owner: u64) {
        self.cluster = format!("signout-{owner}");
        self.has_loaded = false;
        (0..self.vms.len()).for_each(|vm| self.kill(vm, owner));
    }

    /// Whether the tokens of that record are refused here.
    pub(super) fn refuses(&self, record: &Record) -> bool {
        refuses(&self.vms[0].feed, &self.memory, record)
    }

    pub(super) fn knowledge(&mut self, time: Duration) -> Knowledge {
        let now = self.now(time);
        self.vms[0].feed.known_at(&self.memory, now)
    }

    /// How far it has followed the feed; empty where it has not.
    pub(super) fn cursor_text(&self) -> String {
        let space = KeySpace::of_feed("", &self.cluster, "signout");
        let cursor = FeedState::read(&self.memory, &space).0.cursor;
        cursor.map_or(String::new(), |cursor| cursor.to_string())
    }

    pub(super) fn waiting(&self) -> Vec<Record> {
        self.vms[0].feed.outbox().records(&self.memory)
    }
}

impl SimulatedVm {
    fn new(owner: u64, cluster: &str) -> Self {
        let settings = FeedSettings {
            realm: String::new(),
            cluster: cluster.to_owned(),
            authority: "signout".to_owned(),
            max_staleness_seconds: MAX_STALENESS_SECONDS,
            delivery_timeout_milliseconds: 2_000,
        };
        let mut name = [0; 16];
        name[..8].copy_from_slice(&owner.to_be_bytes());
        Self { feed: Feed::new(&settings, page_key(), name), flights: Flights::default() }
    }

    fn carry_out(&mut self, effects: FeedEffects, left_at: Duration) {
        let flight = |call| Flight { call, left_at, response: None };
        if let Some(call) = effects.poll {
            assert!(self.flights.poll.replace(flight(call)).is_none(), "two polls are under way");
        }
        if let Some(call) = effects.delivery {
            assert!(
                self.flights.delivery.replace(flight(call)).is_none(),
                "two tells are under way"
            );
        }
    }
}

/// Asks for a token that this record revokes, and as little else as possible.
fn refuses(feed: &Feed, memory: &Memory, record: &Record) -> bool {
    let other = TokenNames::of(RecordId([0x55; 16]));
    let last = record.issued_before.checked_sub(1);
    let (names, iat) = match record.kind {
        Kind::Token => (TokenNames::of(record.id), Some(u64::MAX)),
        Kind::User => (other.and_user(record.id), last),
        Kind::All => (other, last),
    };
    feed.set().is_revoked(memory, &names, iat).expect("shared data is not damaged")
}
