//! Follows the feed: how the proxy learns of revocations that were made elsewhere.
//!
//! The proxy uses long polls, like Consul's blocking queries. One VM of the process, the
//! [leader](crate::shared::lease), requests everything after its [cursor](wire::Cursor), applies
//! the response completely, and polls again. All VMs use the same set, and check on their tick
//! whether it is [recent enough](staleness).
//!
//! [`Feed`] is the state machine of one VM. The host calls it on events (a tick, a response) with
//! the time and a random number, and applies the [`FeedEffects`] that it returns. `Feed` itself
//! reads no clock and makes no call.
//!
//! # Why a page removes nothing from the set
//!
//! The service may be restored from an old backup, a replica may be behind, and an intermediary may
//! replay a response. Applying a page therefore only adds records, and pages may come in any order.
//! Each page of a reset names the range of ids that it covers. If the set contains records in that
//! range that the page lacks, the service has lost them, and the leader re-sends them through the
//! [outbox].

pub mod delivery;
pub mod gauges;
pub mod notice;
pub mod outbox;
pub mod page;
pub mod poll;
pub mod realm;
pub mod repair;
pub mod staleness;
pub mod state;
pub mod wire;

use crate::call::{Call, Response};
use crate::clock::Now;
use crate::feed::outbox::Outbox;
use crate::revocation::record::RecordId;
use crate::revocation::set::RevocationSet;
use crate::revocation::sweep::Sweep;
use crate::shared::SharedData;
use crate::shared::lease::{Lease, Owner};
use crate::shared::names::KeySpace;

use delivery::{Delivery, DeliveryOutcome};
use gauges::Gauges;
use notice::FeedNotice;
use page::PageTarget;
use poll::{Poll, PollRejection, SentPoll};
use realm::{Adoption, RealmFeeds};
use staleness::Knowledge;
use state::FeedState;
use wire::{Page, PageKey};

/// The settings of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedSettings {
    /// The realm that this proxy enforces.
    pub realm: String,
    /// The name of the service's cluster.
    pub cluster: String,
    /// `:authority` of calls to the service.
    pub authority: String,
    /// The age of the last complete update above which the set is stale.
    pub max_staleness_seconds: u64,
    /// How long to wait for the response to a delivery.
    pub delivery_timeout_milliseconds: u64,
}

/// The actions for the host. Each is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedEffects {
    /// The poll to send. The host passes the response to [`Feed::poll_finished`], or `None` if the
    /// call cannot be made.
    pub poll: Option<Call>,
    /// The delivery to send. The host passes the response to [`Feed::delivery_finished`], or `None`
    /// if the call cannot be made.
    pub delivery: Option<Call>,
    /// The latest time for the next tick, in milliseconds from now.
    pub tick_within_milliseconds: Option<u64>,
    /// Events to count.
    pub counts: Vec<FeedCount>,
    /// Gauges to set.
    pub gauges: Option<Gauges>,
    /// Messages for the log. Each is sent once per change of state.
    pub notices: Vec<FeedNotice>,
}

/// An event that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedCount {
    /// `resets`: the service began to send the whole set.
    Reset,
    /// `refresh_rejected.<reason>`: a response was rejected.
    Rejected(PollRejection),
    /// `outbox_dropped`: the service rejected a record permanently.
    Dropped,
    /// `outbox_sent`: records that the service has acknowledged to the leader.
    Sent(u64),
    /// `set_damaged`: shared data did not contain what this filter had written.
    Damaged,
}

/// One VM's part in the feed (strictly: one root context's).
pub struct Feed {
    space: KeySpace,
    page_key: PageKey,
    set: RevocationSet,
    outbox: Outbox,
    realm_feeds: RealmFeeds,
    is_registered: bool,
    adoption: Adoption,
    max_staleness_seconds: u64,
    lease: Lease,
    poll: Poll,
    delivery: Delivery,
    sweep: Sweep,
    knowledge: Knowledge,
    /// Whether the last page was rejected because the outbox is full: the service has lost records
    /// of this set, and the outbox has no room to re-send them. The next poll then waits until the
    /// outbox has been delivered to the service.
    waits_for_room: bool,
    /// Whether the current reset re-sends records that the service has lost.
    resends: bool,
    clock_difference_seconds: Option<i64>,
    maintained_at: Option<u64>,
}

impl Feed {
    /// Creates a feed that has not been loaded. `page_key` must be that of the API token with which
    /// the feed polls. `owner` must be a new random UUID.
    #[must_use]
    pub fn new(settings: &FeedSettings, page_key: PageKey, owner: Owner) -> Self {
        let FeedSettings { realm, cluster, authority, .. } = settings;
        let space = KeySpace::of_feed(realm, cluster, authority);
        Self {
            space,
            page_key,
            set: RevocationSet::new(space, realm),
            outbox: Outbox::new(space),
            realm_feeds: RealmFeeds::new(realm, space),
            is_registered: false,
            adoption: Adoption::default(),
            max_staleness_seconds: settings.max_staleness_seconds,
            lease: Lease::new(&space, owner),
            poll: Poll::new(settings.max_staleness_seconds),
            delivery: Delivery::new(settings.delivery_timeout_milliseconds),
            sweep: Sweep::default(),
            knowledge: Knowledge::Never,
            waits_for_room: false,
            resends: false,
            clock_difference_seconds: None,
            maintained_at: None,
        }
    }

    /// Returns the set of revocations.
    #[must_use]
    pub fn set(&self) -> &RevocationSet {
        &self.set
    }

    /// Returns the outbox, into which sign-outs put their revocations.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Returns the state of the set as of the last tick or page.
    #[must_use]
    pub fn knowledge(&self) -> Knowledge {
        self.knowledge
    }

    /// Returns the state of the set now. Call this before a request is refused because of the state
    /// at the last tick.
    #[must_use]
    pub fn known_at(&self, shared: &dyn SharedData, now: Now) -> Knowledge {
        let (state, _) = FeedState::read(shared, &self.space);
        Knowledge::of(&state, now, self.max_staleness_seconds)
    }

    /// Notes that this VM has served a request. It then offers its leader lease to a VM that serves
    /// none.
    pub fn note_request(&mut self) {
        self.lease.note_request();
    }

    /// Releases the lease, because this VM ends or its configuration is replaced.
    pub fn release(&mut self, shared: &dyn SharedData, now: Now) {
        self.lease.release(shared, now.monotonic_milliseconds);
    }

    /// Does the periodic work. Call this once a second, or after
    /// [`FeedEffects::tick_within_milliseconds`].
    #[must_use]
    pub fn tick(&mut self, shared: &dyn SharedData, now: Now) -> FeedEffects {
        let mut effects = FeedEffects::default();
        let milliseconds = now.monotonic_milliseconds;
        if !self.is_registered {
            self.is_registered = self.realm_feeds.register(shared).is_ok(); // else on the next tick
        }
        let held = self.lease.is_held(milliseconds);
        self.lease.tick(shared, milliseconds);
        self.check_staleness(shared, now, &mut effects);
        if !self.lease.is_held(milliseconds) {
            let soon = self.lease.is_successor().then_some(poll::PAUSE_MILLISECONDS);
            return FeedEffects { tick_within_milliseconds: soon, ..effects };
        }
        if !held {
            effects.notices.push(FeedNotice::Leads);
        }
        let is_time = |at| milliseconds.abs_diff(at) >= MAINTENANCE_MILLISECONDS;
        if self.maintained_at.is_none_or(is_time) {
            self.maintained_at = Some(milliseconds);
            self.run_maintenance(shared, now, &mut effects);
        }
        self.send_due(shared, now, &mut effects);
        effects
    }

    /// Handles the response to a poll. `None` means that the call failed or could not be made.
    /// `random` may be any number.
    #[must_use]
    pub fn poll_finished(
        &mut self,
        shared: &dyn SharedData,
        now: Now,
        random: u32,
        response: Option<&Response>,
    ) -> FeedEffects {
        let mut effects = FeedEffects::default();
        let Some(sent) = self.poll.end() else { return effects };
        let milliseconds = now.monotonic_milliseconds;
        let failures = self.poll.failures();
        match self.apply_page(shared, &sent, now, response, &mut effects) {
            Ok(page) => {
                self.poll.accepted(&page, milliseconds, random);
                if failures > 0 {
                    effects.notices.push(FeedNotice::Accepted);
                    self.delivery.call_within(milliseconds, 0); // the service is back
                }
                self.check_staleness(shared, now, &mut effects);
            }
            Err(PollRejection::NoRoom) => {
                self.poll.postponed(milliseconds);
                self.waits_for_room = true;
                effects.counts.push(FeedCount::Rejected(PollRejection::NoRoom));
                self.note_resend(&mut effects);
            }
            Err(rejection) => {
                self.poll.rejected(response, milliseconds, random);
                effects.counts.push(FeedCount::Rejected(rejection));
                if failures == 0 {
                    effects.notices.push(FeedNotice::Rejected(rejection));
                }
                if rejection == PollRejection::Unauthorized {
                    self.lease.bar(milliseconds, self.barred_milliseconds());
                }
            }
        }
        self.send_due(shared, now, &mut effects);
        effects
    }

    /// Handles the response to a delivery. `None` means that the call failed or could not be made.
    #[must_use]
    pub fn delivery_finished(
        &mut self,
        shared: &dyn SharedData,
        now: Now,
        random: u32,
        response: Option<&Response>,
    ) -> FeedEffects {
        let mut effects = FeedEffects::default();
        let failures = self.delivery.failures();
        let outcome = self.delivery.finished(shared, &self.outbox, now, random, response);
        match outcome {
            Some(DeliveryOutcome::Delivered(count) | DeliveryOutcome::Partly(count)) => {
                effects.counts.push(FeedCount::Sent(count));
            }
            Some(DeliveryOutcome::Dropped(record)) => {
                effects.counts.push(FeedCount::Dropped);
                effects.notices.push(FeedNotice::Dropped(record.kind));
            }
            Some(DeliveryOutcome::Unauthorized) => {
                self.lease.bar(now.monotonic_milliseconds, self.barred_milliseconds());
            }
            Some(DeliveryOutcome::Divided | DeliveryOutcome::Postponed) | None => {}
        }
        match (failures, self.delivery.failures()) {
            (0, 1..) => effects.notices.push(FeedNotice::NotDelivered),
            (1.., 0) => effects.notices.push(FeedNotice::Delivered),
            _ => {}
        }
        self.send_due(shared, now, &mut effects);
        effects
    }

    /// Returns how long this VM does not compete for the lease after its API token was rejected.
    /// Other VMs may have a newer configuration.
    fn barred_milliseconds(&self) -> u64 {
        match self.knowledge {
            Knowledge::Current => BARRED_MILLISECONDS,
            Knowledge::Stale | Knowledge::Never => LONGEST_WAIT_WHILE_UNKNOWN_MILLISECONDS,
        }
    }

    fn check_staleness(&mut self, shared: &dyn SharedData, now: Now, effects: &mut FeedEffects) {
        let knowledge = self.known_at(shared, now);
        if std::mem::replace(&mut self.knowledge, knowledge) == knowledge {
            return;
        }
        effects.notices.push(FeedNotice::Knows(self.knowledge));
        // A loaded set becomes unknown only by damage, which the leader counts.
        if self.knowledge == Knowledge::Never && self.lease.is_held(now.monotonic_milliseconds) {
            effects.counts.push(FeedCount::Damaged);
            effects.notices.push(FeedNotice::Damaged);
        }
    }

    fn apply_page(
        &mut self,
        shared: &dyn SharedData,
        sent: &SentPoll,
        now: Now,
        response: Option<&Response>,
        effects: &mut FeedEffects,
    ) -> Result<Page, PollRejection> {
        let page = poll::read_page(response, &self.page_key)?;
        self.compare_clocks(&page, now, effects);
        let Self { space, set, outbox, realm_feeds, .. } = &*self;
        let target = PageTarget { shared, space, set, outbox, realm_feeds };
        let resent = page::apply(target, page.clone(), sent, now);
        if matches!(resent, Ok(_) | Err(PollRejection::NoRoom)) {
            // If this fails, an entry remains in the outbox. It is later found to be missing in the
            // feed, which is then reloaded.
            let _ = outbox.shown(shared, &page.records);
        }
        let resent = resent?;
        if state::begins_reset(&page) {
            effects.counts.push(FeedCount::Reset);
            effects.notices.push(FeedNotice::Reset);
        }
        if resent > 0 {
            self.note_resend(effects);
        }
        if page.range.1 == RecordId::LAST {
            self.resends = false;
        }
        Ok(page)
    }

    fn note_resend(&mut self, effects: &mut FeedEffects) {
        if !std::mem::replace(&mut self.resends, true) {
            effects.notices.push(FeedNotice::Resends);
        }
    }

    fn compare_clocks(&mut self, page: &Page, now: Now, effects: &mut FeedEffects) {
        let apart = |difference: i64| difference.unsigned_abs() > notice::CLOCKS_APART_SECONDS;
        let difference = page.now.cast_signed().saturating_sub(now.unix_seconds.cast_signed());
        let before = self.clock_difference_seconds.replace(difference);
        match (before.is_some_and(apart), apart(difference)) {
            (false, true) => effects.notices.push(FeedNotice::ClocksDiffer(difference)),
            (true, false) => effects.notices.push(FeedNotice::ClocksAgree),
            _ => {}
        }
    }

    /// Runs the leader's maintenance, once a second.
    fn run_maintenance(&mut self, shared: &dyn SharedData, now: Now, effects: &mut FeedEffects) {
        self.set.generations().renew(shared);
        let (state, expect) = FeedState::read(shared, &self.space);
        self.outbox.forget_past(shared, state.service_now);
        let is_missing_any = |at| self.outbox.is_missing_any(shared, at);
        let lacks = !state.is_in_reset() && state.current_at.is_some_and(is_missing_any);
        if lacks || state.wants_clamped(now.unix_seconds) {
            let again = FeedState { cursor: None, next_id: None, clamped: None, ..state.clone() };
            let _ = again.write(shared, &self.space, expect); // else in a second
        }
        let horizon = state.horizon(now.unix_seconds);
        let own = (&self.set, &self.outbox);
        let adopted = self.adoption.step(shared, &self.realm_feeds, own, horizon, now);
        if adopted > 0 {
            effects.notices.push(FeedNotice::Adopted(adopted));
        }
        if self.sweep.step(shared, &self.set, horizon).is_err() {
            repair::report(shared, &self.set);
        }
        let age_milliseconds = |at| now.monotonic_milliseconds.saturating_sub(at);
        let proved_at = |at| now.unix_seconds.saturating_sub(age_milliseconds(at) / 1_000);
        let proof = state.current_at.map(proved_at);
        let own = Gauges {
            feed_current_timestamp_seconds: proof.unwrap_or(0),
            clock_difference_seconds: self.clock_difference_seconds.unwrap_or(0).unsigned_abs(),
            revocations: self.sweep.counts().unwrap_or_default(),
            outbox: self.outbox.len(shared) as u64,
        };
        effects.gauges = Some(own.with_others(shared, &self.space, now.monotonic_milliseconds));
    }

    /// Sends the calls that are due.
    fn send_due(&mut self, shared: &dyn SharedData, now: Now, effects: &mut FeedEffects) {
        let milliseconds = now.monotonic_milliseconds;
        let releases = self.lease.should_let_go(milliseconds);
        if releases && !self.poll.is_pending() && !self.delivery.is_pending() {
            self.lease.release(shared, milliseconds);
        }
        if !self.lease.is_held(milliseconds) || self.lease.is_barred(milliseconds) {
            return;
        }
        effects.delivery = self.delivery.start(shared, &self.outbox, now); // also before it releases the lease
        let delivery_wait = self.delivery.wait_milliseconds(milliseconds);
        if effects.delivery.is_none() && !self.delivery.is_pending() && delivery_wait == 0 {
            self.waits_for_room = false;
        }
        let is_current = self.knowledge == Knowledge::Current;
        if !is_current {
            self.poll.call_within(milliseconds, LONGEST_WAIT_WHILE_UNKNOWN_MILLISECONDS);
        }
        let poll_wait = self.poll.wait_milliseconds(milliseconds);
        if poll_wait == 0 && !releases && !self.poll.is_pending() && !self.waits_for_room {
            let (state, _) = FeedState::read(shared, &self.space);
            effects.poll = Some(self.poll.ask(state.cursor, is_current, milliseconds));
        }
        let waits = [poll_wait, delivery_wait].into_iter().filter(|&wait| wait > 0);
        effects.tick_within_milliseconds = waits.min();
    }
}

/// How often the leader runs maintenance. It is a little less than a second, because a tick may
/// come early.
const MAINTENANCE_MILLISECONDS: u64 = 900;

/// How long a VM does not compete for the lease after its API token was rejected.
const BARRED_MILLISECONDS: u64 = 60_000;

/// Longest wait between two polls while the set is stale or not loaded. Protected routes respond
/// 503 in that time, so they work again within five seconds after the service has returned.
const LONGEST_WAIT_WHILE_UNKNOWN_MILLISECONDS: u64 = 4_000;

#[cfg(test)]
mod tests;
