//! Fetches the keys that issuers publish, and keeps them up to date.
//!
//! The leader of the process fetches the published JWK Set from a cluster at start and then
//! periodically. The set is stored in shared data as it was published. Every VM reads it when it
//! has changed, and a new configuration reads it before its first request.
//!
//! [`KeySets`] is the state machine of one VM. The host calls it on events (a tick, a response)
//! with the time and a random number, and applies the [`KeySetEffects`] that it returns. `KeySets`
//! itself reads no clock and makes no call.
//!
//! # Why old keys stay
//!
//! If an issuer is unreachable, or its response is invalid, nothing is known about its keys. Keys
//! are therefore replaced only by a complete set that contains at least one key. Before the first
//! set arrives, the filter cannot tell whether a token is genuine, so [`KeyRing::lacks_some`] makes
//! it respond 503 instead of 401.
//!
//! # Why each set has its own leader lease
//!
//! Two configurations may share a key set but not a feed, or may have no feed at all. The
//! [lease](crate::shared::lease) works the same way as that of a feed: VMs take it only on ticks,
//! and the main thread is preferred.

pub mod document;
pub mod notice;
pub mod response;
mod stored;

use std::sync::Arc;

use crate::call::poller::Poller;
use crate::call::{Call, Response};
use crate::clock::Now;
use crate::keys::{Fingerprint, Key, KeyRing, PublicAlgorithm};
use crate::shared::lease::{Lease, Owner};
use crate::shared::names::KeySpace;
use crate::shared::{SharedData, Version};

use document::{KeySetDocument, KeySetRules, LeftOut};
use notice::{KeySetEvent, KeySetNotice};
use response::{KeySetRejection, MediaType};
use stored::{KeySetNames, Published};

/// The settings of one key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetSettings {
    /// The set's path in the configuration: `keys[1].jwks`.
    pub name: String,
    /// The name of the cluster that publishes it.
    pub cluster: String,
    /// `:authority` of the request for it.
    pub authority: String,
    /// `:path` of the request for it.
    pub path: String,
    /// The age at which the set is fetched again.
    pub refresh_seconds: u64,
    /// The rules for its keys.
    pub rules: KeySetRules,
}

/// The actions for the host. Each is optional.
#[derive(Debug, Default)]
pub struct KeySetEffects {
    /// The sets to fetch, by index. The host passes the response to [`KeySets::fetch_finished`], or
    /// `None` if the call cannot be made.
    pub fetch: Vec<(usize, Call)>,
    /// The new keys for verification, if they have changed.
    pub keys: Option<KeyRing>,
    /// The latest time for the next tick, in milliseconds from now.
    pub tick_within_milliseconds: Option<u64>,
    /// Events to count.
    pub counts: Vec<KeySetCount>,
    /// The gauge `keys_current_timestamp_seconds`: Unix time when the oldest set was fetched, or 0
    /// while one is missing.
    pub keys_current_timestamp_seconds: Option<u64>,
    /// Messages for the log.
    pub notices: Vec<KeySetNotice>,
}

/// An event that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetCount {
    /// `keys_fetched`: a set was fetched.
    Fetched,
    /// `keys_rejected.<reason>`: a response was rejected.
    Rejected(KeySetRejection),
}

/// One VM's view of the key sets of one configuration (strictly: one root context's).
pub struct KeySets {
    /// The keys that the configuration itself contains.
    fixed: KeyRing,
    sets: Vec<KeySet>,
}

/// The state of one key set. Times are monotonic milliseconds, here and below.
struct KeySet {
    settings: KeySetSettings,
    names: KeySetNames,
    lease: Lease,
    /// The version of the set in shared data that this VM has loaded.
    seen: Option<Version>,
    digest: Option<Fingerprint>,
    keys: Vec<Arc<Key>>,
    /// When the set in shared data was fetched.
    fetched_at: Option<u64>,
    /// When the set must be fetched again.
    due_at: u64,
    poller: Poller<PendingFetch>,
    /// When this VM last sent a fetch.
    sent_at: Option<u64>,
    /// When this VM last fetched early because no key had a token's `kid`.
    early_at: Option<u64>,
    /// The keys that were left out of the last response, so that each is reported once.
    left_out: Vec<LeftOut>,
    /// The media type of the last accepted response.
    media_type: MediaType,
}

/// A fetch that is pending.
#[derive(Clone, Debug)]
struct PendingFetch {
    /// The version of the set in shared data when the fetch was sent.
    seen: Option<Version>,
}

impl KeySets {
    /// Creates key sets that have not been loaded yet. `fixed` are the keys of the configuration
    /// itself, `owner` is a fresh random UUID.
    #[must_use]
    pub fn new(settings: Vec<KeySetSettings>, fixed: KeyRing, owner: Owner) -> Self {
        let sets = settings.into_iter().map(|settings| KeySet::new(settings, owner)).collect();
        Self { fixed, sets }
    }

    /// Replaces the keys of the configuration itself, and returns all keys.
    #[must_use]
    pub fn replace_fixed(&mut self, fixed: KeyRing) -> KeyRing {
        self.fixed = fixed;
        self.ring()
    }

    /// Returns whether the configuration fetches no key set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Loads the key sets that are in shared data, and returns all keys. A new configuration begins
    /// with these keys. A thread that does not tick calls this to replace its keys. `random` may be
    /// any number, here and below.
    #[must_use]
    pub fn load(&mut self, shared: &dyn SharedData, now: Now, random: u32) -> KeyRing {
        let _changed = self.read_sets(shared, now, random, |_| true);
        self.ring()
    }

    /// Loads the key sets that this VM lacks and another VM has fetched. Returns all keys if they
    /// have changed. A VM that lacks keys calls this before it refuses a request, instead of
    /// waiting for its next tick.
    #[must_use]
    pub fn load_missing(
        &mut self,
        shared: &dyn SharedData,
        now: Now,
        random: u32,
    ) -> Option<KeyRing> {
        let changed = self.read_sets(shared, now, random, |set| set.keys.is_empty());
        changed.then(|| self.ring())
    }

    /// Reads these sets from shared data. Returns whether any keys have changed.
    fn read_sets(
        &mut self,
        shared: &dyn SharedData,
        now: Now,
        random: u32,
        is_read: impl Fn(&KeySet) -> bool,
    ) -> bool {
        let mut unused = KeySetEffects::default();
        let mut changed = false;
        for set in self.sets.iter_mut().filter(|set| is_read(set)) {
            changed |= set.read_shared(shared, now.monotonic_milliseconds, random, &mut unused);
        }
        changed
    }

    /// Returns whether every set has keys or a failed fetch. An unreachable issuer must not keep
    /// the proxy from getting ready for the users of other issuers.
    #[must_use]
    pub fn are_settled(&self, shared: &dyn SharedData) -> bool {
        self.sets.iter().all(|set| !set.keys.is_empty() || set.names.has_failed(shared))
    }

    /// Notes that this VM has served a request. It then offers its leader leases to a VM that serves
    /// none.
    pub fn note_request(&mut self) {
        self.sets.iter_mut().for_each(|set| set.lease.note_request());
    }

    /// Records that a token has named a key that is not known, so that the leader may fetch the
    /// keys early.
    pub fn note_missed_key(&self, shared: &dyn SharedData, now: Now) {
        for set in &self.sets {
            set.names.note_missed(shared, now.monotonic_milliseconds);
        }
    }

    /// Releases the leases, because this VM ends or its configuration is replaced.
    pub fn release(&mut self, shared: &dyn SharedData, now: Now) {
        for set in &mut self.sets {
            set.lease.release(shared, now.monotonic_milliseconds);
        }
    }

    /// Does the periodic work. Call this once a second, or after
    /// [`KeySetEffects::tick_within_milliseconds`].
    #[must_use]
    pub fn tick(&mut self, shared: &dyn SharedData, now: Now, random: u32) -> KeySetEffects {
        let milliseconds = now.monotonic_milliseconds;
        let mut effects = KeySetEffects::default();
        let mut changed = false;
        for set in &mut self.sets {
            set.lease.tick(shared, milliseconds);
            changed |= set.read_shared(shared, milliseconds, random, &mut effects);
        }
        self.send_due(shared, now, changed, effects)
    }

    /// Handles the response to the fetch of the set with this index. `None` means that the call
    /// failed or could not be made.
    #[must_use]
    pub fn fetch_finished(
        &mut self,
        index: usize,
        shared: &dyn SharedData,
        now: Now,
        random: u32,
        response: Option<&Response>,
    ) -> KeySetEffects {
        let mut effects = KeySetEffects::default();
        let set = self.sets.get_mut(index);
        let changed = set.is_some_and(|set| {
            set.fetch_finished(shared, now.monotonic_milliseconds, random, response, &mut effects)
        });
        self.send_due(shared, now, changed, effects)
    }

    fn send_due(
        &mut self,
        shared: &dyn SharedData,
        now: Now,
        changed: bool,
        mut effects: KeySetEffects,
    ) -> KeySetEffects {
        let milliseconds = now.monotonic_milliseconds;
        for (index, set) in self.sets.iter_mut().enumerate() {
            effects.fetch.extend(set.fetch(shared, milliseconds).map(|call| (index, call)));
            let soon = set.tick_within(milliseconds);
            effects.tick_within_milliseconds =
                effects.tick_within_milliseconds.into_iter().chain(soon).min();
        }
        if self.sets.iter().any(|set| set.lease.is_held(milliseconds)) {
            let age_milliseconds = |at: u64| milliseconds.saturating_sub(at);
            let unix_time = |at| now.unix_seconds.saturating_sub(age_milliseconds(at) / 1_000);
            let times = self.sets.iter().map(|set| set.fetched_at.map_or(0, unix_time));
            effects.keys_current_timestamp_seconds = times.min();
        }
        effects.keys = changed.then(|| self.ring());
        effects
    }

    fn ring(&self) -> KeyRing {
        let lacks_some = self.fixed.lacks_some() || self.sets.iter().any(|set| set.keys.is_empty());
        self.fixed.with(self.sets.iter().flat_map(|set| set.keys.iter().cloned()), lacks_some)
    }
}

impl KeySet {
    fn new(settings: KeySetSettings, owner: Owner) -> Self {
        let KeySetSettings { cluster, authority, path, rules, .. } = &settings;
        // VMs with different rules for the set do not share it: one might reject a response that
        // the other accepts.
        let rsa = rules.rsa.map_or("", PublicAlgorithm::name);
        let space = KeySpace::of_key_set(cluster, authority, path, rsa);
        Self {
            names: KeySetNames::new(&space),
            lease: Lease::new(&space, owner),
            settings,
            seen: None,
            digest: None,
            keys: Vec::new(),
            fetched_at: None,
            due_at: 0,
            poller: Poller::default(),
            sent_at: None,
            early_at: None,
            left_out: Vec::new(),
            media_type: MediaType::Json,
        }
    }

    /// Loads the set from shared data if it has changed. Returns whether the keys are different
    /// now.
    fn read_shared(
        &mut self,
        shared: &dyn SharedData,
        now: u64,
        random: u32,
        effects: &mut KeySetEffects,
    ) -> bool {
        let Some((version, published)) = self.names.read(shared, self.seen) else { return false };
        self.seen = Some(version);
        let Some(Published { fetched_at, json }) = published else {
            (self.fetched_at, self.due_at) = (None, now); // the value was not written by this filter
            return false;
        };
        // Another thread may have written the value after this thread read the clock.
        let fetched_at = fetched_at.min(now);
        self.fetched_at = Some(fetched_at);
        self.due_at = fetched_at.saturating_add(self.period_milliseconds(random));
        let digest = Fingerprint::of(std::iter::once(&*json));
        if self.digest == Some(digest) {
            return false;
        }
        let document = document::read(&json, &self.settings.rules);
        let Some(KeySetDocument { keys, left_out }) =
            document.ok().filter(|it| !it.keys.is_empty())
        else {
            self.due_at = now;
            return false;
        };
        self.digest = Some(digest);
        self.keys = keys.into_iter().map(Arc::new).collect();
        if self.lease.is_held(now) {
            // Only the leader logs the change, so that it is logged once per process.
            self.report_left_out(left_out, effects);
            self.report(KeySetEvent::Loaded(self.keys.len()), effects);
        }
        true
    }

    /// Returns the time until the next refresh. It is a little less than `refresh_seconds`, and
    /// different in each process.
    fn period_milliseconds(&self, random: u32) -> u64 {
        let longest = self.settings.refresh_seconds.saturating_mul(1_000);
        longest - longest / JITTER_SHARE * u64::from(random) / u64::from(u32::MAX)
    }

    /// Returns the call that fetches the set, if it is due.
    fn fetch(&mut self, shared: &dyn SharedData, now: u64) -> Option<Call> {
        if !self.poller.is_pending() && self.lease.should_let_go(now) {
            self.lease.release(shared, now);
        }
        let is_leader = self.lease.is_held(now) && !self.lease.should_let_go(now);
        if !is_leader || !self.poller.may_call(now) {
            return None;
        }
        let early = now < self.due_at;
        if early && !self.may_fetch_early(shared, now) {
            return None;
        }
        if early {
            self.early_at = Some(now);
        }
        self.sent_at = Some(now);
        self.poller.begin(PendingFetch { seen: self.seen });
        Some(Call {
            method: "GET",
            path: self.settings.path.clone(),
            headers: vec![("accept", "application/json, application/jwk-set+json".into())],
            body: Vec::new(),
            timeout_milliseconds: TIMEOUT_MILLISECONDS,
        })
    }

    /// Returns whether an early fetch is allowed: once between two refreshes, if a token has named
    /// an unknown key since the last fetch. A flood of tokens with invented `kid`s therefore costs
    /// the issuer only one more request.
    fn may_fetch_early(&self, shared: &dyn SharedData, now: u64) -> bool {
        let interval = self.settings.refresh_seconds.saturating_mul(1_000);
        let is_over = self.early_at.is_none_or(|at| now >= at.saturating_add(interval));
        let known_since = self.sent_at.or(self.fetched_at).unwrap_or(0);
        is_over && self.names.missed_at(shared).is_some_and(|at| at > known_since && at <= now)
    }

    /// Handles a response. Returns whether the keys are different now.
    fn fetch_finished(
        &mut self,
        shared: &dyn SharedData,
        now: u64,
        random: u32,
        response: Option<&Response>,
        effects: &mut KeySetEffects,
    ) -> bool {
        let Some(pending) = self.poller.end() else { return false };
        match self.publish(shared, now, &pending, response, effects) {
            Ok(()) => {
                effects.counts.push(KeySetCount::Fetched);
                if self.poller.succeeded() {
                    self.report(KeySetEvent::Accepted, effects);
                }
            }
            Err(KeySetRejection::Superseded) => {
                effects.counts.push(KeySetCount::Rejected(KeySetRejection::Superseded));
            }
            Err(rejection) => {
                effects.counts.push(KeySetCount::Rejected(rejection));
                if self.poller.failed(response, now, random) {
                    let has_keys = !self.keys.is_empty();
                    self.report(KeySetEvent::Rejected(rejection, has_keys), effects);
                }
                if self.keys.is_empty() {
                    self.names.note_failed(shared);
                    self.poller.call_within(now, LONGEST_WAIT_WITHOUT_KEYS_MILLISECONDS);
                }
                (self.sent_at, self.early_at) = (None, None); // a new early fetch is allowed
            }
        }
        self.read_shared(shared, now, random, effects)
    }

    /// Stores the set of a response in shared data, if the response is accepted.
    fn publish(
        &mut self,
        shared: &dyn SharedData,
        now: u64,
        pending: &PendingFetch,
        response: Option<&Response>,
        effects: &mut KeySetEffects,
    ) -> Result<(), KeySetRejection> {
        let (json, media_type) = response::read(response)?;
        if self.digest != Some(Fingerprint::of(std::iter::once(json))) {
            let document = document::read(json, &self.settings.rules)?;
            if document.keys.is_empty() {
                self.report_left_out(document.left_out, effects);
                return Err(KeySetRejection::NoKeys);
            }
        }
        if std::mem::replace(&mut self.media_type, media_type) != media_type
            && media_type == MediaType::Text
        {
            self.report(KeySetEvent::PlainText, effects);
        }
        let published = Published { fetched_at: now, json: json.to_vec() };
        let written = self.names.write(shared, &published, pending.seen);
        if written { Ok(()) } else { Err(KeySetRejection::Superseded) }
    }

    fn tick_within(&self, now: u64) -> Option<u64> {
        // A worker without keys checks often whether the leader has fetched them.
        let lacks = self.keys.is_empty().then_some(LACKING_TICK_MILLISECONDS);
        let fetches = self.lease.is_held(now) && !self.poller.is_pending();
        let due = self.due_at.saturating_sub(now).max(self.poller.wait_milliseconds(now));
        lacks.into_iter().chain((fetches && due > 0).then_some(due)).min()
    }

    fn report_left_out(&mut self, left_out: Vec<LeftOut>, effects: &mut KeySetEffects) {
        for key in left_out.iter().filter(|key| !self.left_out.contains(key)) {
            self.report(KeySetEvent::LeftOut(key.clone()), effects);
        }
        self.left_out = left_out;
    }

    fn report(&self, event: KeySetEvent, effects: &mut KeySetEffects) {
        effects.notices.push(KeySetNotice { set: self.settings.name.clone(), event });
    }
}

/// How long the issuer may take to respond.
const TIMEOUT_MILLISECONDS: u64 = 5_000;

/// A refresh comes early by up to a fifth of its period, so that proxies that started together do
/// not fetch together for ever.
const JITTER_SHARE: u64 = 5;

/// How often a VM without keys checks whether they have been fetched.
const LACKING_TICK_MILLISECONDS: u64 = 100;

/// Longest wait between two fetches while a set has no keys. In that time its users get 503.
const LONGEST_WAIT_WITHOUT_KEYS_MILLISECONDS: u64 = 4_000;

#[cfg(test)]
mod tests;
