//! A simulated Envoy process: VMs that share one memory, and their pending calls.

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

/// The largest age of the set before it is stale.
pub(super) const MAX_STALENESS_SECONDS: u64 = 300;

pub(super) struct SimulatedProcess {
    pub(super) memory: Memory,
    pub(super) vms: Vec<SimulatedVm>,
    /// The name of the service's cluster in the process's configuration.
    cluster: String,
    /// How far the wall clock is ahead of the true time.
    pub(super) ahead_seconds: i64,
    /// The reading of the monotonic clock at the beginning of the simulation.
    booted: Duration,
    /// The latest time that the wall clock has ever shown.
    pub(super) latest_unix_seconds: u64,
    pub(super) has_loaded: bool,
    /// When the set was last known to be complete.
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

/// A pending call.
pub(super) struct Flight {
    pub(super) call: Call,
    pub(super) left_at: Duration,
    /// The response of the service, if the call has reached it.
    pub(super) response: Option<Response>,
}

/// Identifies a pending call of a VM.
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

    /// Handles a request to a sign-out route with the token of this record. If the token is already
    /// revoked here, only its delivery is tried again. If the token names its session, the
    /// session's cutoff is written with the token's record.
    pub(super) fn sign_out(
        &mut self,
        vm: usize,
        record: Record,
        session: Option<Record>,
        time: Duration,
    ) {
        let now = self.now(time);
        let SimulatedVm { feed, flights } = &mut self.vms[vm];
        feed.note_request();
        let is_revoked = record.kind == Kind::Token && refuses(feed, &self.memory, &record);
        let (fresh, revoked) = if is_revoked {
            let held = session.and_then(|it| feed.set().find(&self.memory, it.id, it.kind));
            (vec![], [record].into_iter().chain(held).collect())
        } else {
            ([record].into_iter().chain(session).collect(), vec![])
        };
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
            Step::NotStored | Step::Unreachable | Step::Rejected(_) => panic!("there is room"),
        }
    }

    /// Returns every pending call.
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

    /// Ends a call with this response.
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

    /// Kills a VM with its calls, and starts a new one in its place.
    pub(super) fn kill(&mut self, vm: usize, owner: u64) {
        self.vms[vm] = SimulatedVm::new(owner << 8 | vm as u64, &self.cluster);
    }

    /// Loads a new configuration that gives the service's cluster another name.
    pub(super) fn rename_service(&mut self, owner: u64) {
        self.cluster = format!("signout-{owner}");
        self.has_loaded = false;
        (0..self.vms.len()).for_each(|vm| self.kill(vm, owner));
    }

    /// Returns whether this process refuses the tokens of the record.
    pub(super) fn refuses(&self, record: &Record) -> bool {
        refuses(&self.vms[0].feed, &self.memory, record)
    }

    /// Returns whether this process has a record that revokes what this one does. A session's cutoff
    /// must be its own, because a cutoff for all may end earlier.
    pub(super) fn holds(&self, record: &Record) -> bool {
        if sessions().contains(&record.id) {
            return self.vms[0].feed.set().covers(&self.memory, record) == Ok(true);
        }
        self.refuses(record)
    }

    /// Returns whether this process refuses a token of the session that was issued at `iat`.
    pub(super) fn refuses_of_session(&self, session: RecordId, iat: u64) -> bool {
        let names = TokenNames::of(OTHER_TOKEN).and_session(session);
        let set = self.vms[0].feed.set();
        set.is_revoked(&self.memory, &names, Some(iat)).expect("shared data is not damaged")
    }

    pub(super) fn knowledge(&mut self, time: Duration) -> Knowledge {
        let now = self.now(time);
        self.vms[0].feed.known_at(&self.memory, now)
    }

    /// Returns the process's cursor in the feed, or an empty text if it has none.
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

/// Looks up a token that only this record revokes, and returns whether it is refused.
fn refuses(feed: &Feed, memory: &Memory, record: &Record) -> bool {
    let other = TokenNames::of(OTHER_TOKEN);
    let last = record.issued_before.checked_sub(1);
    let (names, iat) = match record.kind {
        Kind::Token => (TokenNames::of(record.id), Some(u64::MAX)),
        Kind::User if sessions().contains(&record.id) => (other.and_session(record.id), last),
        Kind::User => (other.and_user(record.id), last),
        Kind::All => (other, last),
    };
    feed.set().is_revoked(memory, &names, iat).expect("shared data is not damaged")
}

/// Returns the sessions at the identity provider.
pub(super) fn sessions() -> [RecordId; 2] {
    [RecordId([3 << 5; 16]), RecordId([5 << 5; 16])]
}

/// A token without a record.
const OTHER_TOKEN: RecordId = RecordId([0x55; 16]);
