//! The state of one configuration in one VM, and its periodic work.
//!
//! A host creates one [`Root`] for each configuration and VM (or thread). Each method takes an
//! event and the [functions of the host](Host), and returns [`Effects`] that the host applies. The
//! [life of a request](crate::exchange) uses the same state. Nothing here calls a proxy.
//!
//! After each call of a method the host also writes [`Root::take_log`] to its log. If
//! [`Root::take_tick_period`] returns a period, the host sets the period of its tick.

mod discovered;
mod effects;
mod identity;
mod revocation;
mod tick_period;

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem;

use smallvec::SmallVec;

use crate::admission::{Admission, Decision, Moment};
use crate::call::Response;
use crate::config::{Config, ConfigError, DiscoveredSecret};
use crate::feed::FeedEffects;
use crate::feed::gauges::Gauges;
use crate::feed::staleness::Knowledge;
use crate::headers::Headers;
use crate::key_sets::{KeySetEffects, KeySets};
use crate::keys::KeyRing;
use crate::keys::host::SignatureHost;
use crate::metrics::{Counter, Counters, Gauge, VERSION};
use crate::open_requests::gauge::OpenRequestsGauge;
use crate::open_requests::{Ending, OpenRequests};
use crate::refusal::{Enforcement, LocalResponse, Objection, Refusal, Sentences};
use crate::revocation::record::Kind;
use crate::severity::Severity;
use crate::shared::Version;

use discovered::DiscoveredKeys;
pub use effects::{Destination, Effects, Host, Question};
pub use identity::REALM_HEADER;

pub(crate) use revocation::RevocationState;
use tick_period::TickPeriod;

/// The state of one configuration in one VM.
pub struct Root {
    pub(crate) admission: Admission,
    pub(crate) enforcement: Enforcement,
    sentences: Sentences,
    counters: Counters,
    log: Vec<(Severity, String)>,
    /// When each rate-limited log line was last written, in monotonic milliseconds. Clients cannot
    /// make the map grow: each line belongs to a refusal rule, or to a claim that the configuration
    /// names.
    logged_at: HashMap<Cow<'static, str>, u64>,
    pub(crate) tick_period: TickPeriod,
    pub(crate) open_requests: OpenRequests,
    open_requests_gauge: OpenRequestsGauge,
    pub(crate) revocation: Option<RevocationState>,
    key_sets: KeySets,
    /// The keys that the configuration itself contains.
    written_keys: KeyRing,
    discovered: DiscoveredKeys,
    /// The destination of each key set's issuer.
    issuers: Vec<Destination>,
    /// Whether every key set has keys or a failed attempt to fetch them.
    keys_settled: bool,
    /// Whether newly fetched keys have replaced the keys of this root since the last call of
    /// [`Root::take_key_change`].
    has_other_keys: bool,
    /// Whether this VM has served a request since the last tick.
    has_served: bool,
}

impl Root {
    /// Loads a configuration for a host that discovers no secrets. `environment` returns the value of
    /// an environment variable. `uuid` returns a new random UUID on each call.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration does not load, or has a secret to discover.
    pub fn configure(
        text: &[u8],
        environment: &dyn Fn(&str) -> Option<String>,
        signatures: &'static dyn SignatureHost,
        uuid: &dyn Fn() -> [u8; 16],
        host: Host<'_>,
    ) -> Result<Self, ConfigError> {
        let config = Config::parse(text, environment)?;
        match config.discovered.first() {
            Some(secret) => Err(secret.unsupported()),
            None => Ok(Self::of(config, signatures, uuid, host)),
        }
    }

    /// Creates the state of a checked configuration. If it has secrets to discover, the host calls
    /// [`Root::read_secrets`] at once, and then about once a second.
    #[must_use]
    pub fn of(
        mut config: Config,
        signatures: &'static dyn SignatureHost,
        uuid: &dyn Fn() -> [u8; 16],
        host: Host<'_>,
    ) -> Self {
        let mut log: Vec<_> = config.warnings.drain(..).map(|it| (Severity::Warning, it)).collect();
        log.push((Severity::Info, format!("version {VERSION}, configuration accepted")));
        let revocation = RevocationState::of(&config, uuid(), host.shared);
        let sentences = mem::take(&mut config.sentences);
        let sets = mem::take(&mut config.key_sets);
        let issuers = sets.iter().map(|set| Destination {
            cluster: set.cluster.clone(),
            authority: set.authority.clone(),
            authorization: None,
            headers: vec![("user-agent", identity::user_agent(None))],
        });
        let issuers = issuers.collect();
        let discovered = DiscoveredKeys::new(mem::take(&mut config.discovered));
        let written_keys = mem::take(&mut config.keys);
        let fixed = written_keys.with(discovered.keys(), discovered.lacks_some());
        let mut key_sets = KeySets::new(sets, fixed, uuid());
        config.keys = key_sets.load(host.shared, host.clock.now(), (host.random)());
        let set = revocation.as_ref().map(|revocation| *revocation.feed.set());
        Self {
            enforcement: config.enforcement,
            admission: Admission::new(config, set, signatures),
            sentences,
            counters: Counters::default(),
            log,
            logged_at: HashMap::new(),
            tick_period: TickPeriod::starting_in(FIRST_TICK_MILLISECONDS),
            open_requests: OpenRequests::default(),
            open_requests_gauge: OpenRequestsGauge::new(uuid()),
            revocation,
            key_sets,
            written_keys,
            discovered,
            issuers,
            keys_settled: false,
            has_other_keys: false,
            has_served: false,
        }
    }

    /// Returns the secrets that the host must discover.
    pub fn secrets(&self) -> impl Iterator<Item = &DiscoveredSecret> {
        self.discovered.secrets()
    }

    /// Returns whether a secret has never had a usable value.
    #[must_use]
    pub fn lacks_secrets(&self) -> bool {
        self.discovered.lacks_some()
    }

    /// Reads the discovered secrets, and replaces the keys whose secret has changed. `value` returns
    /// the present value of the secret with this index in [`Root::secrets`]. Returns messages for the
    /// log, which one thread of the process writes.
    pub fn read_secrets(
        &mut self,
        value: impl Fn(usize) -> Option<Vec<u8>>,
    ) -> Vec<(Severity, String)> {
        let mut log = vec![];
        if self.discovered.read(value, &mut log) {
            let (keys, lacks_some) = (self.discovered.keys(), self.discovered.lacks_some());
            let keys = self.key_sets.replace_fixed(self.written_keys.with(keys, lacks_some));
            self.admission.replace_keys(keys);
        }
        log
    }

    /// Decides about a request with these headers.
    #[must_use]
    pub fn decide(&mut self, headers: &Headers, host: Host<'_>) -> Decision {
        let moment = self.moment(host);
        self.admission.decide(headers, moment)
    }

    /// Returns the objection to a token, as if it were the only token of a request to a protected
    /// route.
    #[must_use]
    pub fn examine(&mut self, token: &[u8], host: Host<'_>) -> Option<Objection> {
        let moment = self.moment(host);
        self.admission.examine(token, moment)
    }

    /// Returns whether the revocation set is up to date, or the configuration has none.
    #[must_use]
    pub fn knows_revocations(&self) -> bool {
        let knows = |it: &RevocationState| it.knowledge == Knowledge::Current;
        self.revocation.as_ref().is_none_or(knows)
    }

    /// Returns whether the keys of a key set are missing.
    #[must_use]
    pub fn lacks_keys(&self) -> bool {
        self.admission.lacks_keys()
    }

    /// Does the periodic work of this VM: key sets, open requests and the feed.
    pub fn tick(&mut self, host: Host<'_>) -> Effects {
        let mut effects = Effects::default();
        let has_served = mem::take(&mut self.has_served);
        self.tick_key_sets(has_served, host, &mut effects);
        let Some(revocation) = &mut self.revocation else {
            self.tick_period.set(TICK_MILLISECONDS);
            return effects;
        };
        effects.resume = revocation.release_held(host.clock);
        self.sweep_open_requests(host, &mut effects);
        if let Some(RevocationState { feed, knowledge, .. }) = &mut self.revocation {
            if has_served {
                feed.note_request();
            }
            let of_feed = feed.tick(host.shared, host.clock.now());
            *knowledge = feed.knowledge();
            self.apply_feed(of_feed, &mut effects);
        }
        effects
    }

    /// Does only the periodic work for the requests of this thread. In a host with one thread for
    /// the feed and the keys, all other threads call this in place of [`Root::tick`].
    pub fn check_requests(&mut self, host: Host<'_>) -> Effects {
        let mut effects = Effects::default();
        if let Some(revocation) = &mut self.revocation {
            effects.resume = revocation.release_held(host.clock);
            self.sweep_open_requests(host, &mut effects);
        }
        effects
    }

    /// Returns whether [`Root::check_requests`] must be called again at once.
    #[must_use]
    pub fn has_more_to_check(&self) -> bool {
        self.open_requests.is_busy()
    }

    /// Reads the age of the revocation set, for a thread that does not call [`Root::tick`].
    pub fn refresh(&mut self, host: Host<'_>) {
        if let Some(revocation) = &mut self.revocation {
            revocation.knowledge = revocation.feed.known_at(host.shared, host.clock.now());
        }
    }

    /// Loads the keys that another thread has fetched.
    pub fn reload_keys(&mut self, host: Host<'_>) {
        let keys = self.key_sets.load(host.shared, host.clock.now(), (host.random)());
        self.admission.replace_keys(keys);
    }

    /// Returns whether newly fetched keys have replaced the keys of this root since the last call.
    /// Other threads must then call [`Root::reload_keys`].
    pub fn take_key_change(&mut self) -> bool {
        mem::take(&mut self.has_other_keys)
    }

    /// Returns whether a token has named a missing key since the last call. If so, asks the leader
    /// to fetch the keys early.
    #[must_use]
    pub fn note_missed_key(&self, host: Host<'_>) -> bool {
        let has_missed = self.admission.take_missed_key();
        if has_missed {
            self.key_sets.note_missed_key(host.shared, host.clock.now());
        }
        has_missed
    }

    /// Returns the version of the last change to the revocation set.
    #[must_use]
    pub fn generation(&self, host: Host<'_>) -> Option<Version> {
        self.revocation.as_ref()?.feed.set().generations().current(host.shared)
    }

    /// Handles the response to a call. `None` means that the call failed or could not be sent.
    pub fn call_response(
        &mut self,
        question: Question,
        response: Option<&Response>,
        host: Host<'_>,
    ) -> Effects {
        let mut effects = Effects::default();
        let (shared, now, random) = (host.shared, host.clock.now(), (host.random)());
        if let Question::Keys(index) = question {
            let of_keys = self.key_sets.fetch_finished(index, shared, now, random, response);
            self.apply_key_sets(of_keys, &mut effects);
            return effects;
        }
        let Some(RevocationState { feed, knowledge, .. }) = &mut self.revocation else {
            return effects;
        };
        let of_feed = match question {
            Question::Poll => feed.poll_finished(shared, now, random, response),
            _ => feed.delivery_finished(shared, now, random, response),
        };
        *knowledge = feed.knowledge();
        self.apply_feed(of_feed, &mut effects);
        effects
    }

    /// Returns the destination of a call. Returns `None` only for a question that this root never
    /// asks.
    #[must_use]
    pub fn destination(&self, question: Question) -> Option<&Destination> {
        match question {
            Question::Poll | Question::Delivery => self.service(),
            Question::Keys(index) => self.issuers.get(index),
        }
    }

    /// Returns the signout service, to which the calls of requests go.
    #[must_use]
    pub fn service(&self) -> Option<&Destination> {
        self.revocation.as_ref().map(|revocation| &revocation.service)
    }

    /// Releases the leader leases of this VM, because it stops using this configuration. Another VM
    /// may then poll at once.
    pub fn release(&mut self, host: Host<'_>) {
        let now = host.clock.now();
        self.key_sets.release(host.shared, now);
        if let Some(revocation) = &mut self.revocation {
            revocation.feed.release(host.shared, now);
        }
    }

    /// Counts the end of an open request that the host has ended.
    pub fn note_end(&mut self, ending: Ending) {
        self.count(Counter::StreamsEnded(ending.refusal));
        if ending.is_late {
            self.count(Counter::StreamsLate);
        }
    }

    /// Returns the response for a refusal. If the application's response has already begun, the
    /// proxy cannot send this one, and only ends the request.
    #[must_use]
    pub fn response_to(&self, refusal: Refusal) -> LocalResponse {
        self.sentences.response(&refusal.into(), &[])
    }

    /// Returns the gauges of this configuration. The gauges of a feed or of fetched keys are left
    /// out if the configuration has none, because a gauge that stays 0 would raise an alarm.
    pub fn gauges(&self) -> impl Iterator<Item = Gauge> {
        let (has_feed, fetches_keys) = (self.revocation.is_some(), !self.key_sets.is_empty());
        Gauge::all().filter(move |gauge| match gauge {
            Gauge::Build => true,
            Gauge::KeysCurrent => fetches_keys,
            _ => has_feed,
        })
    }

    /// Removes and returns the sums of the counters.
    pub fn take_counts(&mut self) -> SmallVec<[(Counter, u64); 2]> {
        let unchecked = self.admission.take_unchecked();
        if unchecked > 0 {
            self.count_many(Counter::SignatureChecksRefused, unchecked);
        }
        self.counters.take()
    }

    /// Removes and returns the lines for the log. None of them contains a token or a secret.
    pub fn take_log(&mut self) -> Vec<(Severity, String)> {
        mem::take(&mut self.log)
    }

    /// Returns the period of the tick in milliseconds if it has changed since the last call.
    pub fn take_tick_period(&mut self) -> Option<u64> {
        self.tick_period.take_change()
    }

    #[cfg(test)]
    pub(crate) fn assume(&mut self, known: Knowledge) {
        if let Some(revocation) = &mut self.revocation {
            revocation.knowledge = known;
        }
    }

    pub(crate) fn count(&mut self, counter: Counter) {
        self.counters.add(counter, 1);
    }

    pub(crate) fn count_many(&mut self, counter: Counter, amount: u64) {
        self.counters.add(counter, amount);
    }

    pub(crate) fn log(&mut self, severity: Severity, line: impl Into<String>) {
        self.log.push((severity, line.into()));
    }

    /// Logs a line that requests cause, unless the same line was logged within the last minute.
    pub(crate) fn log_at_intervals(
        &mut self,
        severity: Severity,
        line: impl Into<Cow<'static, str>>,
        host: Host<'_>,
    ) {
        let line = line.into();
        let now = host.clock.monotonic_milliseconds();
        let is_recent = |at: &u64| now.saturating_sub(*at) < LOG_INTERVAL_MILLISECONDS;
        if !self.logged_at.get(&line).is_some_and(is_recent) {
            self.log(severity, line.clone());
            self.logged_at.insert(line, now);
        }
    }

    /// Returns the response to a request that is refused, counts it, and logs the reason if the
    /// operator can do something about it.
    pub(crate) fn refuse(
        &mut self,
        objection: &Objection,
        clear_cookies: &[String],
        host: Host<'_>,
    ) -> LocalResponse {
        self.count(Counter::Refused(objection.refusal()));
        self.log_objection(objection, host);
        self.sentences.response(objection, clear_cookies)
    }

    /// Counts and logs a refusal that has no effect, because this is a dry run.
    pub(crate) fn note_would_refuse(&mut self, objection: &Objection, host: Host<'_>) {
        self.count(Counter::WouldRefuse(objection.refusal()));
        self.log_objection(objection, host);
    }

    fn log_objection(&mut self, objection: &Objection, host: Host<'_>) {
        if let Some(severity) = objection.severity() {
            self.log_at_intervals(severity, objection.line(self.enforcement), host);
        }
    }

    /// Returns the state of this proxy that decisions about a new request depend on.
    pub(crate) fn moment<'a>(&mut self, host: Host<'a>) -> Moment<'a> {
        self.has_served = true;
        self.load_missing_keys(host);
        self.keys_settled = self.keys_settled || self.key_sets.are_settled(host.shared);
        let knowledge = self.revocation.as_mut().map(|revocation| {
            // The value of the last tick is used if it is `Current`. Otherwise another VM may have
            // updated the set since, so the state is read again before the request is refused.
            if revocation.knowledge != Knowledge::Current {
                revocation.knowledge = revocation.feed.known_at(host.shared, host.clock.now());
            }
            revocation.knowledge
        });
        Moment {
            unix_milliseconds: host.clock.unix_milliseconds(),
            knowledge: knowledge.unwrap_or(Knowledge::Never),
            keys_settled: self.keys_settled,
            shared: host.shared,
        }
    }

    /// If this VM lacks keys, loads those that another VM has fetched since the last tick. A
    /// request must not be refused because of keys that the process already has.
    fn load_missing_keys(&mut self, host: Host<'_>) {
        if self.admission.lacks_keys() {
            let (now, random) = (host.clock.now(), (host.random)());
            if let Some(keys) = self.key_sets.load_missing(host.shared, now, random) {
                self.admission.replace_keys(keys);
            }
        }
    }

    fn tick_key_sets(&mut self, has_served: bool, host: Host<'_>, effects: &mut Effects) {
        if self.key_sets.is_empty() {
            return;
        }
        let now = host.clock.now();
        if has_served {
            self.key_sets.note_request();
        }
        if self.admission.take_missed_key() {
            self.key_sets.note_missed_key(host.shared, now);
        }
        let of_keys = self.key_sets.tick(host.shared, now, (host.random)());
        self.apply_key_sets(of_keys, effects);
    }

    /// Checks open requests, and adds a bounded number of those that must end to `effects`.
    fn sweep_open_requests(&mut self, host: Host<'_>, effects: &mut Effects) {
        let now = host.clock.monotonic_milliseconds();
        let open = self.open_requests.len();
        if let Some(all) = self.open_requests_gauge.update(host.shared, open, now) {
            effects.gauges.push((Gauge::StreamsOpen, all));
        }
        if open == 0 {
            return self.open_requests.note_clear(now);
        }
        let knowledge = self.revocation.as_ref().map(|revocation| revocation.knowledge);
        let moment = Moment {
            unix_milliseconds: host.clock.unix_milliseconds(),
            knowledge: knowledge.unwrap_or(Knowledge::Never),
            keys_settled: true,
            shared: host.shared,
        };
        let basis = self.admission.basis(moment);
        let objection = |credentials: &_| self.admission.objection(credentials, moment);
        self.open_requests.sweep(basis, now, objection);
        effects.end = self.open_requests.due(now);
    }

    fn apply_feed(&mut self, of_feed: FeedEffects, effects: &mut Effects) {
        self.log.extend(of_feed.notices.iter().map(|it| (it.severity(), it.to_string())));
        for (counter, amount) in of_feed.counts.into_iter().map(Counter::of) {
            self.counters.add(counter, amount);
        }
        effects.gauges.extend(of_feed.gauges.iter().flat_map(gauges_of));
        effects.calls.extend(of_feed.poll.map(|call| (Question::Poll, call)));
        effects.calls.extend(of_feed.delivery.map(|call| (Question::Delivery, call)));
        let of_requests = if self.open_requests.is_busy() {
            ENDING_TICK_MILLISECONDS
        } else if !self.open_requests.is_empty() {
            OPEN_REQUESTS_TICK_MILLISECONDS
        } else {
            TICK_MILLISECONDS
        };
        let holds = self.revocation.as_ref().is_some_and(|it| !it.held.is_empty());
        let of_held = if holds { HOLD_TICK_MILLISECONDS } else { TICK_MILLISECONDS };
        let of_feed = of_feed.tick_within_milliseconds.unwrap_or(TICK_MILLISECONDS);
        self.tick_period.set(of_feed.min(of_requests).min(of_held).min(TICK_MILLISECONDS));
    }

    fn apply_key_sets(&mut self, of_keys: KeySetEffects, effects: &mut Effects) {
        self.log.extend(of_keys.notices.iter().map(|it| (it.severity(), it.to_string())));
        for counter in of_keys.counts.into_iter().map(Counter::of_keys) {
            self.counters.add(counter, 1);
        }
        let time = of_keys.keys_current_timestamp_seconds;
        effects.gauges.extend(time.map(|time| (Gauge::KeysCurrent, time)));
        if let Some(keys) = of_keys.keys {
            self.admission.replace_keys(keys);
            self.has_other_keys = true;
        }
        let fetches = of_keys.fetch.into_iter();
        effects.calls.extend(fetches.map(|(index, call)| (Question::Keys(index), call)));
        self.tick_period.set_for_keys(of_keys.tick_within_milliseconds);
    }
}

fn gauges_of(gauges: &Gauges) -> Vec<(Gauge, u64)> {
    let mut list = vec![
        (Gauge::FeedCurrent, gauges.feed_current_timestamp_seconds),
        (Gauge::Outbox, gauges.outbox),
        (Gauge::ClockDifference, gauges.clock_difference_seconds),
    ];
    let kinds = Kind::ALL.into_iter().map(Gauge::Revocations);
    list.extend(kinds.zip(gauges.revocations));
    list
}

/// The period of the tick, on which a VM checks the age of the revocation set.
const TICK_MILLISECONDS: u64 = 1_000;

/// The first tick comes soon after the configuration is loaded, so that the proxy is ready soon.
const FIRST_TICK_MILLISECONDS: u64 = 5;

/// The period of the tick while a response is held.
pub(crate) const HOLD_TICK_MILLISECONDS: u64 = 20;

/// The period of the tick while requests are open. A request must end within a second of its
/// token's revocation, and the feed takes part of that second.
pub(crate) const OPEN_REQUESTS_TICK_MILLISECONDS: u64 = 250;

/// The period of the tick while more requests must end than one tick may end.
const ENDING_TICK_MILLISECONDS: u64 = 1;

/// A line that requests cause is logged at most this often.
const LOG_INTERVAL_MILLISECONDS: u64 = 60_000;

#[cfg(test)]
mod tests;
