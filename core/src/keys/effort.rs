//! Limits the time that signature checks take.
//!
//! A client can send tokens with wrong signatures faster than a worker can check them. Four limits
//! bound the time that they take. All count the expected time of a check (see `cost.rs`), so they
//! hold for every algorithm, number of keys and number of tokens.
//!
//! 1. A request may use [`MOST_NANOSECONDS`] for all its checks, over all tokens and keys. Its first
//!    check may take longer. A request that needs more is refused with 503; checks that were made are
//!    remembered, so a retry continues where this request stopped.
//! 2. Once the invalid tokens of a request have used [`FAILED_NANOSECONDS_TO_ADMIT`], or
//!    [`FAILED_NANOSECONDS_TO_SIGN_OUT`], no further unseen token of the request is read. A token
//!    is unseen if this VM has not verified it before. The time for reading invalid tokens counts,
//!    too. While the budget of point 4 is empty, the limit is [`FAILED_NANOSECONDS_IN_A_FLOOD`].
//! 3. Some checks are always allowed, which is the free time of a request: its first check, if it takes
//!    at most [`FREE_NANOSECONDS`], and further checks up to [`FREE_NANOSECONDS_OF_SEVERAL`] in all.
//!    This suffices for one check by the proxy with RSA or P-256, or for several by HMAC, so a flood
//!    of forged tokens never keeps a worker from checking such a token. A forged request then costs
//!    no more than a valid one.
//! 4. Beyond that, failed checks use a [`FailureBudget`]: a token bucket that refills continuously.
//!    While it is empty, a request that needs more than its free time is refused with 503. Of a
//!    request's second and later invalid tokens, all the time is charged. Successful checks are
//!    never charged. Requests for pages and sign-outs have separate buckets.
//!
//! # Why many invalid tokens end a request early
//!
//! With only the first limit, eight cookies of one name, each tried with eight keys, could take the
//! time of twenty valid requests. With the second limit, the invalid tokens of a request take at
//! most that limit and the time of one unseen token, tried with every key that may have signed it.
//! A valid request may need as many tries, if the last key is the right one. If keys have ids, few
//! are tried.
//!
//! The price: if a request carries several invalid tokens whose algorithm and `kid` fit the
//! configured keys, an unseen genuine token after them is not checked, and the response is 503. The
//! results of checks are remembered, so each retry gets further, until the request succeeds. Tokens
//! of other applications usually have another algorithm or `kid` and need no check. A sign-out has
//! a higher limit, because a valid sign-out costs the proxy two requests, and because the user must
//! click again to retry. A sign-out revokes every genuine token that was checked, even if the
//! response is 503.
//!
//! # The bound
//!
//! With F forged requests per second and the default of 100 ms per second, a worker spends at most
//! F × 60 µs + 2 × (100 ms + one request's 3 ms) of each second on wrong signatures, and at most
//! 3 ms in one callback, for any tokens and keys (2 ms, or one check of the slowest kind). The
//! forged tokens that use up a bucket, per second and worker: 1,110 for EdDSA, 165 for PS256 (2,048
//! bits), 250 for ES384. Each needs its own bytes, since repeated bytes are not checked again: 70
//! KB/s and more. At n times that rate, one in n unseen tokens is still checked, because the bucket
//! refills all the time.
//!
//! While the bucket is empty, a token that the second or a later key without an id has signed may
//! get 503 once for each key before it, because each retry tries the next key.

use std::cell::Cell;

use crate::keys::cost;
use crate::keys::host::SignatureHost;

/// The time that failed checks may take: a token bucket.
///
/// It uses the wall clock, which each request has read already. If the clock is set back, the
/// bucket does not refill until the next millisecond passes.
pub(crate) struct FailureBudget {
    milliseconds_per_second: u64,
    left_nanoseconds: Cell<i64>,
    refilled_at_milliseconds: Cell<u64>,
}

impl FailureBudget {
    /// Creates a full bucket that refills at this rate and holds a fifth of a second's refill.
    pub(crate) fn new(milliseconds_per_second: u64) -> Self {
        Self {
            milliseconds_per_second,
            left_nanoseconds: Cell::new(i64::MAX),
            refilled_at_milliseconds: Cell::new(0),
        }
    }

    /// Returns whether any time is left.
    fn is_left(&self, unix_milliseconds: u64) -> bool {
        let before = self.refilled_at_milliseconds.replace(unix_milliseconds);
        let elapsed = unix_milliseconds.saturating_sub(before);
        // 1 ms per second is 1,000 ns per millisecond.
        let refill = elapsed.saturating_mul(self.milliseconds_per_second.saturating_mul(1_000));
        let capacity = self.milliseconds_per_second.saturating_mul(NANOSECONDS_PER_MILLISECOND) / 5;
        let left = self.left_nanoseconds.get().saturating_add_unsigned(refill);
        let left = left.min(i64::try_from(capacity).unwrap_or(i64::MAX));
        self.left_nanoseconds.set(left);
        left > 0
    }

    /// Takes time out of the bucket. The last check may take more than is left; later refills pay
    /// that debt.
    fn charge(&self, nanoseconds: u64) {
        self.left_nanoseconds.set(self.left_nanoseconds.get().saturating_sub_unsigned(nanoseconds));
    }
}

/// The signature checks of one request.
pub(crate) struct Effort<'a> {
    host: &'a dyn SignatureHost,
    budget: &'a FailureBudget,
    unix_milliseconds: u64,
    spent_nanoseconds: Cell<u64>,
    failed_nanoseconds: Cell<u64>,
    most_failed_nanoseconds: u64,
}

impl<'a> Effort<'a> {
    /// Creates the account of a request at this time, which has made no checks yet.
    pub(crate) fn new(
        host: &'a dyn SignatureHost,
        budget: &'a FailureBudget,
        unix_milliseconds: u64,
        most_failed_nanoseconds: u64,
    ) -> Self {
        Self {
            host,
            budget,
            unix_milliseconds,
            spent_nanoseconds: Cell::new(0),
            failed_nanoseconds: Cell::new(0),
            most_failed_nanoseconds,
        }
    }

    /// Returns whether another unseen token of the request may be read and checked.
    pub(crate) fn is_left_for_a_token(&self) -> bool {
        let failed = self.failed_nanoseconds.get();
        failed < FAILED_NANOSECONDS_IN_A_FLOOD
            || failed < self.most_failed_nanoseconds && self.budget.is_left(self.unix_milliseconds)
    }

    /// Records and charges the time of a token that is not genuine, or whose checks were cut off:
    /// the time for reading it, and for the checks made since the total was `spent_before`. The
    /// request's first such token has free time.
    pub(crate) fn note_failure(&self, token_bytes: usize, spent_before: u64) {
        let checks = self.spent_nanoseconds.get().saturating_sub(spent_before);
        let failed = checks.saturating_add(cost::of_reading_nanoseconds(token_bytes));
        let before =
            self.failed_nanoseconds.replace(self.failed_nanoseconds.get().saturating_add(failed));
        let charged = if before == 0 { checks.saturating_sub(FREE_NANOSECONDS) } else { failed };
        self.budget.charge(charged);
    }

    /// Returns the host that may check signatures faster.
    pub(super) fn host(&self) -> &'a dyn SignatureHost {
        self.host
    }

    /// Returns the time of this request, in seconds since 1970 UTC.
    pub(crate) fn unix_seconds(&self) -> u64 {
        self.unix_milliseconds / 1_000
    }

    /// Returns the total of the expected times of the checks made so far.
    pub(crate) fn spent_nanoseconds(&self) -> u64 {
        self.spent_nanoseconds.get()
    }

    /// Returns whether a check that takes this long may be made. If so, its time is spent.
    pub(super) fn spend(&self, nanoseconds: u64) -> bool {
        let before = self.spent_nanoseconds.get();
        let spent = before.saturating_add(nanoseconds);
        let is_within_limit = before == 0 || spent <= MOST_NANOSECONDS;
        let free = if before == 0 { FREE_NANOSECONDS } else { FREE_NANOSECONDS_OF_SEVERAL };
        let is_allowed =
            spent <= free || is_within_limit && self.budget.is_left(self.unix_milliseconds);
        if is_allowed {
            self.spent_nanoseconds.set(spent);
        }
        is_allowed
    }

    /// Returns the time of a check that was not made.
    pub(super) fn return_unspent(&self, nanoseconds: u64) {
        self.spent_nanoseconds.set(self.spent_nanoseconds.get().saturating_sub(nanoseconds));
    }
}

/// The longest time for the checks of one request, unless the first alone takes longer. On machines
/// that need 1.7 times the expected time, a callback with all its other work still takes less than
/// 5 ms.
pub(crate) const MOST_NANOSECONDS: u64 = 2_000_000;

/// The longest time of a single check: PS512 with 4,096 bits, in WebAssembly.
#[cfg(test)]
pub(crate) const LONGEST_CHECK_NANOSECONDS: u64 = 3_000_000;

/// The free time of a request: one check by the proxy with RSA of 4,096 bits, or with P-256. The
/// proxy itself needs about as much time to forward a request.
pub(crate) const FREE_NANOSECONDS: u64 = 60_000;

/// The free time of a request that makes several checks: five by HMAC, for tokens of usual length. It
/// is less than a second check by the proxy takes, so that a token that was forged costs no more than
/// a valid one even if many keys may have signed it.
pub(crate) const FREE_NANOSECONDS_OF_SEVERAL: u64 = 20_000;

/// The longest time for the invalid tokens of a request that is no sign-out: about what the proxy
/// itself needs for a request. Two checks by the proxy with P-256 exceed it.
pub(crate) const FAILED_NANOSECONDS_TO_ADMIT: u64 = FREE_NANOSECONDS;

/// The longest time for the invalid tokens of a sign-out: about what the proxy needs to forward a
/// sign-out and to call the service. It suffices for 45 tokens of usual length with HMAC, or 6 with
/// P-256.
pub(crate) const FAILED_NANOSECONDS_TO_SIGN_OUT: u64 = 250_000;

/// The longest time for the invalid tokens of any request while the budget for failed checks is
/// empty. It suffices for three tokens that are refused without a check, so that a user's old cookies
/// of other applications do not keep a new token from being checked in a flood.
pub(crate) const FAILED_NANOSECONDS_IN_A_FLOOD: u64 = 10_000;

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::host::NoHost;

    const MILLISECOND: u64 = NANOSECONDS_PER_MILLISECOND;

    #[test]
    fn the_bucket_refills_with_time_and_holds_a_fifth_of_a_second() {
        let budget = FailureBudget::new(100);
        assert!(budget.is_left(7_000), "full at first");
        budget.charge(20 * MILLISECOND);
        assert!(!budget.is_left(7_000), "20 ms is all it holds");
        assert!(budget.is_left(7_001), "a tenth of a millisecond came in");
        budget.charge(MILLISECOND);
        let left = [7_001, 7_009, 7_010, 7_011].map(|at| budget.is_left(at));
        assert_eq!(
            left,
            [false, false, true, true][..].try_into().map(|_: [bool; 4]| left).unwrap()
        );
        assert!(budget.is_left(90_000));
        budget.charge(20 * MILLISECOND);
        assert!(!budget.is_left(90_000), "an idle minute saves up no more");
    }

    #[test]
    fn a_clock_that_is_set_back_refills_nothing() {
        let budget = FailureBudget::new(100);
        assert!(budget.is_left(9_000));
        budget.charge(20 * MILLISECOND);
        assert_eq!(
            [9_000, 5_000, 5_000, 5_001].map(|at| budget.is_left(at)),
            [false, false, false, true]
        );
    }

    #[test]
    fn a_request_has_free_time_and_a_limit() {
        let budget = FailureBudget::new(100);
        let effort = || Effort::new(&NoHost, &budget, 1_000, FAILED_NANOSECONDS_TO_ADMIT);
        let full = effort();
        assert!(full.spend(MOST_NANOSECONDS) && !full.spend(1));
        let long = effort();
        assert!(long.spend(LONGEST_CHECK_NANOSECONDS) && !long.spend(1), "only the first");
        let by_host = effort();
        assert!(by_host.spend(FREE_NANOSECONDS));
        by_host.return_unspent(FREE_NANOSECONDS);
        assert!(by_host.spend(LONGEST_CHECK_NANOSECONDS), "the host has not made the check");
        budget.charge(20 * MILLISECOND);
        budget.is_left(1_000);
        budget.charge(20 * MILLISECOND);
        let one = effort();
        assert!(one.spend(FREE_NANOSECONDS) && !one.spend(1));
        assert!(!effort().spend(FREE_NANOSECONDS + 1));
        let several = effort();
        for _ in 0..4 {
            assert!(several.spend(FREE_NANOSECONDS_OF_SEVERAL / 4));
        }
        assert!(!several.spend(1));
    }

    /// Returns how many failed tokens of a sign-out are read until the limit is reached.
    fn failed_tokens(budget: &FailureBudget, check_nanoseconds: u64, token_bytes: usize) -> usize {
        let effort = Effort::new(&NoHost, budget, 1_000, FAILED_NANOSECONDS_TO_SIGN_OUT);
        let mut count = 0;
        while effort.is_left_for_a_token() {
            let before = effort.spent_nanoseconds();
            assert!(effort.spend(check_nanoseconds));
            effort.note_failure(token_bytes, before);
            count += 1;
        }
        count
    }

    #[test]
    fn failed_tokens_end_a_request() {
        let budget = FailureBudget::new(100);
        let limit = FAILED_NANOSECONDS_TO_SIGN_OUT;
        let count = |check_nanoseconds, bytes| failed_tokens(&budget, check_nanoseconds, bytes);
        assert_eq!([count(limit, 0), count(limit - 1, 0), count(limit / 10, 0)], [1, 1, 10]);
        assert!(count(0, 1_000) < count(0, 100), "reading counts");
        let effort = Effort::new(&NoHost, &budget, 1_000, limit);
        assert!(effort.spend(2 * limit) && effort.is_left_for_a_token(), "of a genuine token");
    }

    #[test]
    fn in_a_flood_few_failed_tokens_end_a_request() {
        let budget = FailureBudget::new(100);
        assert!(budget.is_left(1_000));
        budget.charge(20 * MILLISECOND);
        let count = |check_nanoseconds, bytes| failed_tokens(&budget, check_nanoseconds, bytes);
        assert_eq!(count(FREE_NANOSECONDS, 300), 1);
        assert_eq!(count(cost::of_hmac_nanoseconds(300), 300), 2);
        assert!(count(0, 300) >= 3, "tokens that are refused without a check");
    }

    #[test]
    fn the_first_failed_token_has_free_time_and_later_ones_have_none() {
        let budget = FailureBudget::new(100);
        assert!(budget.is_left(1_000));
        let effort = Effort::new(&NoHost, &budget, 1_000, FAILED_NANOSECONDS_TO_SIGN_OUT);
        let charged = |nanoseconds| {
            let (left, before) = (budget.left_nanoseconds.get(), effort.spent_nanoseconds());
            assert!(effort.spend(nanoseconds));
            effort.note_failure(100, before);
            left - budget.left_nanoseconds.get()
        };
        let reading = i64::try_from(cost::of_reading_nanoseconds(100)).unwrap();
        assert_eq!(charged(FREE_NANOSECONDS + 5), 5);
        assert_eq!([charged(0), charged(7)], [reading, reading + 7]);
        let effort = Effort::new(&NoHost, &budget, 1_000, FAILED_NANOSECONDS_TO_SIGN_OUT);
        let left = budget.left_nanoseconds.get();
        assert!(effort.spend(FREE_NANOSECONDS));
        effort.note_failure(100, 0);
        assert_eq!(budget.left_nanoseconds.get(), left);
    }

    #[test]
    fn failed_checks_get_their_share_of_time_at_any_rate() {
        // A flood of checks of 150 µs for ten seconds: the time used never exceeds the rate and
        // one bucket; at n times the rate one in n checks is made, spread over the second.
        for per_millisecond in [1, 2, 10, 100] {
            let budget = FailureBudget::new(250);
            let (mut made, mut longest_pause, mut last) = (0_u64, 0, 0);
            for at in 0..10_000_u64 {
                for _ in 0..per_millisecond {
                    let effort =
                        Effort::new(&NoHost, &budget, 1_000 + at, FAILED_NANOSECONDS_TO_ADMIT);
                    if effort.spend(150_000) {
                        effort.note_failure(0, 0);
                        made += 1;
                        longest_pause = longest_pause.max(at - last);
                        last = at;
                    }
                }
            }
            let used_milliseconds = made * 90 / 1_000;
            let demanded = per_millisecond * 90 * 10_000 / 1_000;
            assert!(used_milliseconds <= 10 * 250 + 51, "{used_milliseconds} ms");
            assert!(used_milliseconds + 5 >= demanded.min(10 * 250), "{used_milliseconds} ms");
            assert!(longest_pause <= 2, "{longest_pause} ms without a check");
        }
    }
}
