//! The pacing of calls of one kind.
//!
//! The polls of the feed, the deliveries of the outbox and the fetches of a key set all follow the
//! same rules: one call at a time, [exponential backoff](super::backoff) after failures, and an
//! earliest time for the next call. [`Poller`] keeps that state for one of them. It sends nothing
//! and reads no clock.

use crate::call::Response;
use crate::call::backoff::wait_after;

/// The pacing of one kind of call. `P` describes the pending call. Times are monotonic
/// milliseconds.
#[derive(Clone, Debug)]
pub struct Poller<P> {
    pending: Option<P>,
    failures: u32,
    not_before: u64,
}

impl<P> Default for Poller<P> {
    fn default() -> Self {
        Self { pending: None, failures: 0, not_before: 0 }
    }
}

impl<P> Poller<P> {
    /// Returns whether a call is pending.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Returns whether the next call may be sent.
    #[must_use]
    pub fn may_call(&self, now: u64) -> bool {
        !self.is_pending() && self.wait_milliseconds(now) == 0
    }

    /// Returns the time until the next call may be sent.
    #[must_use]
    pub fn wait_milliseconds(&self, now: u64) -> u64 {
        self.not_before.saturating_sub(now)
    }

    /// Returns the number of failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes that a call is being sent.
    pub fn begin(&mut self, pending: P) {
        self.pending = Some(pending);
    }

    /// Ends the pending call and returns its description.
    pub fn end(&mut self) -> Option<P> {
        self.pending.take()
    }

    /// Notes a success. Returns whether the call before it had failed.
    pub fn succeeded(&mut self) -> bool {
        std::mem::take(&mut self.failures) > 0
    }

    /// Notes a failure, after which the caller waits. Returns whether it is the first in a row.
    /// `random` is any number.
    pub fn failed(&mut self, response: Option<&Response>, now: u64, random: u32) -> bool {
        self.failures = self.failures.saturating_add(1);
        let retry_after = response.and_then(Response::retry_after_seconds);
        self.pause(now, wait_after(self.failures, random, retry_after));
        self.failures == 1
    }

    /// Delays the next call until at least this many milliseconds from now.
    pub fn pause(&mut self, now: u64, milliseconds: u64) {
        self.not_before = now.saturating_add(milliseconds);
    }

    /// Shortens the wait for the next call to at most this many milliseconds from now.
    pub fn call_within(&mut self, now: u64, milliseconds: u64) {
        self.not_before = self.not_before.min(now.saturating_add(milliseconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_is_pending_at_a_time() {
        let mut poller = Poller::default();
        assert!(poller.may_call(5));
        poller.begin("first");
        assert!(poller.is_pending() && !poller.may_call(5));
        assert_eq!(poller.end(), Some("first"));
        assert_eq!(poller.end(), None);
        assert!(poller.may_call(5));
    }

    #[test]
    fn failures_delay_the_next_call() {
        let mut poller = Poller::<()>::default();
        assert!(poller.failed(None, 10_000, 0), "the first in a row");
        assert!(!poller.failed(None, 10_000, u32::MAX));
        assert_eq!((poller.failures(), poller.wait_milliseconds(10_000)), (2, 4_000));
        assert!(!poller.may_call(13_999) && poller.may_call(14_000));
        assert!(poller.succeeded());
        assert!(!poller.succeeded());
    }

    #[test]
    fn a_wait_can_be_shortened_but_not_prolonged() {
        let mut poller = Poller::<()>::default();
        poller.pause(0, 60_000);
        poller.call_within(1_000, 5_000);
        assert_eq!(poller.wait_milliseconds(1_000), 5_000);
        poller.call_within(1_000, 9_000);
        assert_eq!(poller.wait_milliseconds(1_000), 5_000);
    }
}
