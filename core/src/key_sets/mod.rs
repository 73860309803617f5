//! How do the keys of an issuer reach the proxy, and stay current?
//!
//! A published JWK Set is fetched from a cluster: at start, then again and again, by the one VM of the
//! process that holds the set's [lease](crate::shared::lease). KeySetEvent was published lies in shared data;
//! every VM takes it over when it has changed, and a new configuration before its first request.
//!
//! [`KeySets`] is the state machine of one VM. It is told what happened (a tick, an response), with the
//! time and a random number, and says what to do ([`KeySetEffects`]); it reads no clock and calls nobody.
//!
//! # Why old keys stay
//!
//! An issuer that cannot be reached, or responses nonsense, says nothing about its keys. So they are
//! replaced by whole sets that hold at least one key, and by nothing else. Before the first one nobody
//! can tell whether a token is genuine, and [`KeyRing::lacks_some`] makes the verifier say so.
//!
//! # Why each set has a lease of its own
//!
//! Two configurations may share a set and no feed, or have no feed at all. It is the same lease: taken
//! on ticks alone, and best held by the main thread.

pub mod document;
pub mod notice;
pub mod response;
mod stored;

use std::rc::Rc;

use crate::call::backoff;
use crate::call::{Call, Response};
use crate::clock::Now;
use crate::keys::{Fingerprint, Key, KeyRing, PublicAlgorithm};
use crate::shared::lease::{Lease, Owner};
use crate::shared::names::KeySpace;
use crate::shared::{SharedData, Version};

use document::{KeySetDocument, KeySetRules};
use notice::{KeySetEvent, KeySetNotice};
use response::KeySetRejection;
use stored::{KeySetNames, Published};

/// KeySetEvent is settled about one set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetSettings {
    /// Where the configuration names it: `keys[1].jwks`.
    pub name: String,
    /// Envoy's name of the cluster that publishes it.
    pub cluster: String,
    /// `:authority` of the request for it.
    pub authority: String,
    /// `:path` of the request for it.
    pub path: String,
    /// How old the set may get before it is fetched again.
    pub refresh_seconds: u64,
    /// KeySetEvent its keys are for.
    pub rules: KeySetRules,
}

/// KeySetEvent the host is to do now. Everything is optional.
#[derive(Debug, Default)]
pub struct KeySetEffects {
    /// Fetch the set of that number; hand the response to [`KeySets::answered`], and `None` if it
    /// cannot be asked for.
    pub fetch: Vec<(usize, Call)>,
    /// Verify with these keys from now on.
    pub keys: Option<KeyRing>,
    /// Tick again after that time, if the next tick is not due before.
    pub tick_within_milliseconds: Option<u64>,
    /// KeySetEvent to add to counters.
    pub counts: Vec<KeySetCount>,
    /// `keys_current_timestamp_seconds`: unix time at which the oldest set came, 0 while one lacks.
    pub keys_current_timestamp_seconds: Option<u64>,
    /// KeySetEvent to write into the log.
    pub notices: Vec<KeySetNotice>,
}

/// One more of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetCount {
    /// `keys_fetched`: an response counted.
    Fetched,
    /// `keys_rejected.<reason>`: one did not.
    Rejected(KeySetRejection),
}

/// The sets of one configuration as one VM (strictly: one root context) follows them.
pub struct KeySets {
    /// The keys that the configuration itself holds.
    fixed: KeyRing,
    sets: Vec<KeySet>,
}

struct KeySet {
    settings: KeySetSettings,
    names: KeySetNames,
    lease: Lease,
    /// KeySetEvent this VM has taken over of shared data.
    seen: Option<Version>,
    digest: Option<Fingerprint>,
    keys: Vec<Rc<Key>>,
    /// When the set in shared data came; monotonic milliseconds here and below.
    fetched_at: Option<u64>,
    /// When it is to be fetched again.
    due_at: u64,
    under_way: Option<PendingFetch>,
    asked_at: Option<u64>,
    /// When it was last fetched because a token missed a key.
    early_at: Option<u64>,
    failures: u32,
    not_before: u64,
}

/// KeySetEvent was known when the set was asked for.
struct PendingFetch {
    seen: Option<Version>,
}

impl KeySets {
    /// Sets that were not looked at yet, besides the keys of the configuration itself; `owner` is a
    /// fresh random UUID.
    #[must_use]
    pub fn new(settings: Vec<KeySetSettings>, fixed: KeyRing, owner: Owner) -> Self {
        let sets = settings.into_iter().map(|settings| KeySet::new(settings, owner)).collect();
        Self { fixed, sets }
    }

    /// Whether there are none, and never will be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// All keys that there are in this process now: for a configuration that begins. `random` is any
    /// number, here and below.
    #[must_use]
    pub fn load(&mut self, shared: &dyn SharedData, now: Now, random: u32) -> KeyRing {
        let mut unused = KeySetEffects::default();
        for set in &mut self.sets {
            set.look(shared, now.monotonic_milliseconds, random, &mut unused);
        }
        self.ring()
    }

    /// This VM serves requests: it stands back from fetching.
    pub fn note_request(&mut self) {
        self.sets.iter_mut().for_each(|set| set.lease.note_request());
    }

    /// A token came that misses a key: whoever holds the lease may fetch early.
    pub fn note_missed_key(&self, shared: &dyn SharedData, now: Now) {
        for set in &self.sets {
            set.names.note_missed(shared, now.monotonic_milliseconds);
        }
    }

    /// This VM ends, or its configuration is replaced: another may fetch.
    pub fn release(&mut self, shared: &dyn SharedData, now: Now) {
        for set in &mut self.sets {
            set.lease.release(shared, now.monotonic_milliseconds);
        }
    }

    /// A second has passed, or the time that [`KeySetEffects::tick_within_milliseconds`] named.
    #[must_use]
    pub fn tick(&mut self, shared: &dyn SharedData, now: Now, random: u32) -> KeySetEffects {
        let milliseconds = now.monotonic_milliseconds;
        let mut effects = KeySetEffects::default();
        let mut changed = false;
        for set in &mut self.sets {
            set.lease.tick(shared, milliseconds);
            changed |= set.look(shared, milliseconds, random, &mut effects);
        }
        self.go_on(shared, now, changed, effects)
    }

    /// The set of that number was answered; `None` where the call failed or could not be made.
    #[must_use]
    pub fn answered(
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
            set.answered(shared, now.monotonic_milliseconds, random, response, &mut effects)
        });
        self.go_on(shared, now, changed, effects)
    }

    fn go_on(
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
            let came = |at| now.unix_seconds.saturating_sub(age_milliseconds(at) / 1_000);
            let times = self.sets.iter().map(|set| set.fetched_at.map_or(0, came));
            effects.keys_current_timestamp_seconds = times.min();
        }
        effects.keys = changed.then(|| self.ring());
        effects
    }

    fn ring(&self) -> KeyRing {
        let lacks_some = self.sets.iter().any(|set| set.keys.is_empty());
        self.fixed.with(self.sets.iter().flat_map(|set| set.keys.iter().cloned()), lacks_some)
    }
}

impl KeySet {
    fn new(settings: KeySetSettings, owner: Owner) -> Self {
        let KeySetSettings { cluster, authority, path, rules, .. } = &settings;
        // Who cannot read a set is not to fetch it for those who can.
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
            under_way: None,
            asked_at: None,
            early_at: None,
            failures: 0,
            not_before: 0,
        }
    }

    /// Takes over what is in shared data; says whether there are other keys now.
    fn look(
        &mut self,
        shared: &dyn SharedData,
        now: u64,
        random: u32,
        effects: &mut KeySetEffects,
    ) -> bool {
        let Some((version, published)) = self.names.read(shared) else { return false };
        if self.seen.replace(version) == Some(version) {
            return false;
        }
        let Some(Published { fetched_at, json }) = published else {
            (self.fetched_at, self.due_at) = (None, now); // not of our making
            return false;
        };
        // Another thread may have written it since our time was taken.
        let fetched_at = fetched_at.min(now);
        self.fetched_at = Some(fetched_at);
        self.due_at = fetched_at.saturating_add(self.period_milliseconds(random));
        let digest = Fingerprint::of(std::iter::once(&*json));
        if self.digest == Some(digest) {
            return false;
        }
        let Ok(KeySetDocument { keys, left_out }) = document::read(&json, &self.settings.rules)
        else {
            self.due_at = now;
            return false;
        };
        self.digest = Some(digest);
        self.keys = keys.into_iter().map(Rc::new).collect();
        if self.lease.is_held(now) {
            // One VM of the process tells it.
            left_out.into_iter().for_each(|key| self.tell(KeySetEvent::LeftOut(key), effects));
            self.tell(KeySetEvent::Loaded(self.keys.len()), effects);
        }
        true
    }

    /// Shortly before the set would be too old, at a time of each process's own.
    fn period_milliseconds(&self, random: u32) -> u64 {
        let longest = self.settings.refresh_seconds.saturating_mul(1_000);
        longest - longest / JITTER_SHARE * u64::from(random) / u64::from(u32::MAX)
    }

    /// Asks for the set, if that is due.
    fn fetch(&mut self, shared: &dyn SharedData, now: u64) -> Option<Call> {
        let idle = self.under_way.is_none();
        if idle && self.lease.should_let_go(now) {
            self.lease.release(shared, now);
        }
        let reads = self.lease.is_held(now) && !self.lease.should_let_go(now);
        if !idle || !reads || now < self.not_before {
            return None;
        }
        let early = now < self.due_at;
        if early && !self.may_fetch_early(shared, now) {
            return None;
        }
        if early {
            self.early_at = Some(now);
        }
        self.asked_at = Some(now);
        self.under_way = Some(PendingFetch { seen: self.seen });
        Some(Call {
            method: "GET",
            path: self.settings.path.clone(),
            headers: &[("accept", "application/json, application/jwk-set+json")],
            body: Vec::new(),
            timeout_milliseconds: TIMEOUT_MILLISECONDS,
        })
    }

    /// Once in the time between two refreshes, if a token has missed a key since the last one: a
    /// flood of tokens with made-up keys costs the issuer one request more.
    fn may_fetch_early(&self, shared: &dyn SharedData, now: u64) -> bool {
        let interval = self.settings.refresh_seconds.saturating_mul(1_000);
        let is_over = self.early_at.is_none_or(|at| now >= at.saturating_add(interval));
        let known_since = self.asked_at.or(self.fetched_at).unwrap_or(0);
        is_over && self.names.missed_at(shared).is_some_and(|at| at > known_since && at <= now)
    }

    /// Takes over an response; says whether there are other keys now.
    fn answered(
        &mut self,
        shared: &dyn SharedData,
        now: u64,
        random: u32,
        response: Option<&Response>,
        effects: &mut KeySetEffects,
    ) -> bool {
        let Some(asked) = self.under_way.take() else { return false };
        match self.publish(shared, now, &asked, response) {
            Ok(()) => {
                effects.counts.push(KeySetCount::Fetched);
                if std::mem::take(&mut self.failures) > 0 {
                    self.tell(KeySetEvent::Accepted, effects);
                }
            }
            Err(KeySetRejection::Superseded) => {
                effects.counts.push(KeySetCount::Rejected(KeySetRejection::Superseded));
            }
            Err(rejection) => {
                effects.counts.push(KeySetCount::Rejected(rejection));
                if self.failures == 0 {
                    self.tell(KeySetEvent::Rejected(rejection, !self.keys.is_empty()), effects);
                }
                self.failures = self.failures.saturating_add(1);
                let retry_after = response.and_then(Response::retry_after_seconds);
                let wait = backoff::wait_as_asked(self.failures, random, retry_after);
                self.not_before = now.saturating_add(wait);
                (self.asked_at, self.early_at) = (None, None); // what was asked for is still wanted
            }
        }
        self.look(shared, now, random, effects)
    }

    /// Puts what came into shared data, if it counts.
    fn publish(
        &self,
        shared: &dyn SharedData,
        now: u64,
        asked: &PendingFetch,
        response: Option<&Response>,
    ) -> Result<(), KeySetRejection> {
        let json = response::judge(response)?;
        if self.digest != Some(Fingerprint::of(std::iter::once(json))) {
            document::read(json, &self.settings.rules)?;
        }
        let published = Published { fetched_at: now, json: json.to_vec() };
        let written = self.names.write(shared, &published, asked.seen);
        if written { Ok(()) } else { Err(KeySetRejection::Superseded) }
    }

    fn tick_within(&self, now: u64) -> Option<u64> {
        // A worker that has no keys waits for whoever fetches them.
        let lacks = self.keys.is_empty().then_some(LACKING_TICK_MILLISECONDS);
        let fetches = self.lease.is_held(now) && self.under_way.is_none();
        let due = self.due_at.max(self.not_before).saturating_sub(now);
        lacks.into_iter().chain((fetches && due > 0).then_some(due)).min()
    }

    fn tell(&self, what: KeySetEvent, effects: &mut KeySetEffects) {
        effects.notices.push(KeySetNotice { set: self.settings.name.clone(), what });
    }
}

/// How long the issuer may take.
const TIMEOUT_MILLISECONDS: u64 = 5_000;

/// A refresh comes up to a fifth of its time early: proxies that started together drift apart.
const JITTER_SHARE: u64 = 5;

/// How soon a VM looks again for keys that it needs.
const LACKING_TICK_MILLISECONDS: u64 = 100;

#[cfg(test)]
mod tests;
