//! The metrics of the filter and their names.
//!
//! Envoy shows `session_guard.allowed` as `wasmcustom.session_guard.allowed`, and to Prometheus as
//! `session_guard_allowed`. The part after the second dot, if there is one, becomes a label
//! (`stats_tags` in `envoy/envoy.yaml`). Every metric is defined at start, so that a rate over it
//! is never absent.

use std::mem;

use smallvec::SmallVec;

use crate::feed::FeedCount;
use crate::feed::poll::PollRejection;
use crate::key_sets::KeySetCount;
use crate::key_sets::response::KeySetRejection;
use crate::refusal::Refusal;
use crate::revocation::record::Kind;
use crate::sign_out::without_effect::WithoutEffect;

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Requests that were forwarded to the application, including those on public routes.
    Allowed,
    /// Forwarded claims that were left out of a request because no header can carry their values.
    ClaimsLeftOut,
    /// Requests that were refused, by code.
    Refused(Refusal),
    /// Requests that continued in a dry run and would be refused without it, by code.
    WouldRefuse(Refusal),
    /// Tokens that sign-outs on this proxy have revoked.
    SignedOut,
    /// Sessions that a sign-out on this proxy ended.
    SessionSignedOut,
    /// Sign-outs that revoked nothing, by reason.
    SignOutWithoutEffect(WithoutEffect),
    /// Sign-outs and cutoffs that the service definitely rejected. Their users got 503.
    SignOutRejected,
    /// Users whose tokens were revoked by a `revoke_user` route on this proxy.
    CutOff,
    /// Open streams that were ended, by the code of the reason.
    StreamsEnded(Refusal),
    /// Streams that were ended more than a second after this proxy could have known the reason.
    StreamsLate,
    /// Full reloads of the feed.
    Resets,
    /// Rejected responses of the feed, by reason.
    RefreshRejected(PollRejection),
    /// Revocations that the service rejected permanently.
    OutboxDropped,
    /// Revocations that the leader delivered because the call of their own request had failed.
    OutboxSent,
    /// Damage found in shared data.
    SetDamaged,
    /// Key sets that were fetched.
    KeysFetched,
    /// Rejected responses to requests for keys, by reason.
    KeysRejected(KeySetRejection),
    /// Tokens that were not checked, because failed signature checks had used up the budget.
    SignatureChecksRefused,
}

impl Counter {
    /// Returns every counter.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Allowed, Self::ClaimsLeftOut]
            .into_iter()
            .chain(Refusal::ALL.map(Self::Refused))
            .chain(Refusal::ALL.map(Self::WouldRefuse))
            .chain([Refusal::Expired, Refusal::Revoked].map(Self::StreamsEnded))
            .chain([
                Self::StreamsLate,
                Self::SignedOut,
                Self::SessionSignedOut,
                Self::SignOutRejected,
            ])
            .chain(WithoutEffect::ALL.map(Self::SignOutWithoutEffect))
            .chain([Self::CutOff, Self::Resets])
            .chain(PollRejection::ALL.map(Self::RefreshRejected))
            .chain([Self::OutboxDropped, Self::OutboxSent, Self::SetDamaged, Self::KeysFetched])
            .chain(KeySetRejection::ALL.map(Self::KeysRejected))
            .chain([Self::SignatureChecksRefused])
    }

    /// Returns the counter for an event of the key sets.
    #[must_use]
    pub fn of_keys(count: KeySetCount) -> Self {
        match count {
            KeySetCount::Fetched => Self::KeysFetched,
            KeySetCount::Rejected(reason) => Self::KeysRejected(reason),
        }
    }

    /// Returns the counter for an event of the feed, and the amount.
    #[must_use]
    pub fn of(count: FeedCount) -> (Self, u64) {
        match count {
            FeedCount::Reset => (Self::Resets, 1),
            FeedCount::Rejected(reason) => (Self::RefreshRejected(reason), 1),
            FeedCount::Dropped => (Self::OutboxDropped, 1),
            FeedCount::Sent(records) => (Self::OutboxSent, records),
            FeedCount::Damaged => (Self::SetDamaged, 1),
        }
    }

    /// Returns the name of the counter.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Allowed => named("allowed"),
            Self::ClaimsLeftOut => named("claims_left_out"),
            Self::Refused(refusal) => named("refused.") + refusal.answer().code,
            Self::WouldRefuse(refusal) => named("would_refuse.") + refusal.answer().code,
            Self::SignedOut => named("signed_out"),
            Self::SessionSignedOut => named("sessions_signed_out"),
            Self::SignOutWithoutEffect(reason) => {
                named("sign_outs_without_effect.") + reason.name()
            }
            Self::SignOutRejected => named("sign_outs_rejected"),
            Self::CutOff => named("cut_off"),
            Self::StreamsEnded(refusal) => named("streams_ended.") + refusal.answer().code,
            Self::StreamsLate => named("streams_late"),
            Self::Resets => named("resets"),
            Self::RefreshRejected(reason) => named("refresh_rejected.") + reason.name(),
            Self::OutboxDropped => named("outbox_dropped"),
            Self::OutboxSent => named("outbox_sent"),
            Self::SetDamaged => named("set_damaged"),
            Self::KeysFetched => named("keys_fetched"),
            Self::KeysRejected(reason) => named("keys_rejected.") + reason.name(),
            Self::SignatureChecksRefused => named("signature_checks_refused"),
        }
    }
}

/// Sums of counters that the host has not written yet.
#[derive(Debug)]
pub struct Counters {
    sums: Vec<(Counter, u64)>,
    /// The indices of the sums that are not 0. A request changes one of them.
    changed: Vec<usize>,
}

impl Default for Counters {
    fn default() -> Self {
        Self { sums: Counter::all().map(|counter| (counter, 0)).collect(), changed: vec![] }
    }
}

impl Counters {
    /// Adds to a counter.
    pub fn add(&mut self, counter: Counter, amount: u64) {
        let mut sums = self.sums.iter_mut().enumerate();
        let Some((index, (_, sum))) = sums.find(|(_, (known, _))| *known == counter) else {
            return;
        };
        if *sum == 0 && amount > 0 {
            self.changed.push(index);
        }
        *sum = sum.saturating_add(amount);
    }

    /// Returns the sums that are not 0, and sets them to 0.
    pub fn take(&mut self) -> SmallVec<[(Counter, u64); 2]> {
        self.changed.sort_unstable();
        let take = |index| {
            let (counter, sum) = self.sums.get_mut(index)?;
            Some((*counter, mem::take(sum)))
        };
        self.changed.drain(..).filter_map(take).collect()
    }
}

/// A gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// Unix time of the last complete update of the revocation set; alert on `time() - x`.
    FeedCurrent,
    /// Unix time at which the oldest key set was fetched, or 0 while a key set is missing.
    KeysCurrent,
    /// Absolute difference between the service's clock and the proxy's, in seconds.
    ClockDifference,
    /// Revocations that the service has not yet acknowledged, or not yet shown in the feed.
    Outbox,
    /// Live revocations, by kind.
    Revocations(Kind),
    /// Open requests that end with their token.
    StreamsOpen,
    /// Always 1; its name contains the filter's version.
    Build,
}

impl Gauge {
    /// Returns every gauge.
    pub fn all() -> impl Iterator<Item = Self> {
        let kinds = Kind::ALL.map(Self::Revocations);
        [Self::FeedCurrent, Self::KeysCurrent, Self::ClockDifference, Self::Outbox]
            .into_iter()
            .chain(kinds)
            .chain([Self::StreamsOpen, Self::Build])
    }

    /// Returns the name of the gauge.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::FeedCurrent => named("feed_current_timestamp_seconds"),
            Self::KeysCurrent => named("keys_current_timestamp_seconds"),
            Self::ClockDifference => named("clock_difference_seconds"),
            Self::Outbox => named("outbox"),
            Self::Revocations(kind) => named("revocations.") + kind.name(),
            Self::StreamsOpen => named("streams_open"),
            Self::Build => named("build_info.") + VERSION,
        }
    }
}

/// A histogram of the time for which a worker is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duration {
    /// Applying one response of the feed, in microseconds.
    Page,
    /// One tick, in microseconds. It sweeps the set and ends open requests.
    Tick,
}

impl Duration {
    /// Every duration.
    pub const ALL: [Self; 2] = [Self::Page, Self::Tick];

    /// Returns the name of the histogram.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Page => named("page_microseconds"),
            Self::Tick => named("tick_microseconds"),
        }
    }
}

/// The filter's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

fn named(name: &str) -> String {
    format!("session_guard.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_until_they_are_taken() {
        let mut counters = Counters::default();
        counters.add(Counter::SignedOut, 1);
        counters.add(Counter::SignedOut, 2);
        assert_eq!(*counters.take(), [(Counter::SignedOut, 3)]);
        assert!(counters.take().is_empty());
    }

    #[test]
    fn names_are_unique() {
        let names = Counter::all().map(Counter::name).chain(Gauge::all().map(Gauge::name));
        let mut names: Vec<_> = names.chain(Duration::ALL.map(Duration::name)).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.contains(&"session_guard.refused.revoked".to_owned()));
    }
}
