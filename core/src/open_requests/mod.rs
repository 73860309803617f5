//! The registry of open requests, which finds those that must end.
//!
//! A sign-out does not by itself close a WebSocket, an event stream, a download or a long poll that
//! was opened with the token, so the filter must end it. The same holds for a request that was
//! opened with an API key that is revoked later. Every admitted request is therefore registered
//! here until its context ends, regardless of its content type. After a change of the revocation
//! set, the tick checks every entry again.
//!
//! # Why every request is registered
//!
//! A long poll has no response yet, and streams of language models come as `text/plain` or JSON.
//! Reading the headers of each response would cost more (1.7 µs) than registering the request (20
//! ns).
//!
//! # Why each request ends once, and few at a time
//!
//! If a request is closed twice within one call into the VM, Envoy crashes. Hundreds of closes in
//! one call exhaust the stack of the VM. Each entry therefore becomes due only once, and
//! [`OpenRequests::due`] returns a bounded number of them.

pub mod bound;
pub mod gauge;
pub mod kind;

use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;
use smallvec::SmallVec;

use crate::refusal::Refusal;
use crate::revocation::record::RecordId;
use crate::shared::Version;
use crate::token::VerifiedToken;

/// The maximum number of requests to end in one call into the VM. About 300 exhaust its stack.
pub const AT_ONCE_LIMIT: usize = 64;

/// The maximum number of open requests to check in one call into the VM. This takes 3 ms, because
/// each request takes up to four lookups.
pub const CHECKED_AT_ONCE_LIMIT: usize = 1_000;

/// The delay above which the end of a request is [late](Ending::is_late).
pub const LATE_MILLISECONDS: u64 = 1_000;

/// The open requests of one VM.
#[derive(Debug, Default)]
pub struct OpenRequests {
    entries: Slab<OpenRequest>,
    due: VecDeque<DueEntry>,
    /// The basis of the last sweep.
    basis: Option<Basis>,
    /// The index at which the sweep continues; `None` if it has checked all entries.
    next: Option<usize>,
    /// When the last sweep began or [`OpenRequests::note_clear`] was last called, whichever is
    /// later, in monotonic milliseconds. `None` before both. Every revocation in the set at this
    /// time has been checked against the open requests, or is being checked by the current sweep.
    swept_at: Option<u64>,
    /// The value of `swept_at` just before the last sweep began.
    swept_before: Option<u64>,
}

/// The state on which verdicts about open requests depend. While it is unchanged, the verdicts are
/// unchanged, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The version of the last change to the revocation set.
    pub generation: Option<Version>,
    /// The time in seconds since 1970 UTC, if requests end when their token expires; otherwise
    /// `None`.
    pub unix_seconds: Option<u64>,
}

/// The tokens and API keys with which a request was admitted. If one of them is revoked, the request
/// ends.
#[derive(Clone, Debug, Default)]
pub struct RequestCredentials {
    /// The tokens.
    pub tokens: SmallVec<[Rc<VerifiedToken>; 2]>,
    /// The record ids of the API keys, so that no key stays in memory.
    pub api_keys: Vec<RecordId>,
}

impl RequestCredentials {
    /// Returns whether the request was admitted without any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.api_keys.is_empty()
    }
}

/// Identifies the entry of a request. Only the request's exchange can remove the entry.
#[derive(Debug, PartialEq, Eq)]
pub struct Registration(usize);

/// A request to end now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The host's number for the request.
    pub context: u32,
    /// The reason why it ends.
    pub refusal: Refusal,
    /// Whether more than a second has passed since the VM last found no reason to end this request.
    /// That time is the start of the last sweep in which the request could stay open. It is long
    /// ago if the next sweep began late, or if so many requests had to end that this one had to
    /// wait.
    pub is_late: bool,
}

#[derive(Debug)]
struct OpenRequest {
    context: u32,
    credentials: RequestCredentials,
    is_due: bool,
}

/// An entry that must end. `unknown_at` is the last time, in monotonic milliseconds, at which the
/// VM knew no reason to end it.
#[derive(Debug)]
struct DueEntry {
    index: usize,
    refusal: Refusal,
    unknown_at: Option<u64>,
}

impl OpenRequests {
    /// Registers a request that was admitted with these credentials.
    #[must_use]
    pub fn register(&mut self, context: u32, credentials: RequestCredentials) -> Registration {
        Registration(self.entries.insert(OpenRequest { context, credentials, is_due: false }))
    }

    /// Removes a request that has ended, or that must not end early any more.
    pub fn unregister(&mut self, registration: Registration) {
        if self.entries.try_remove(registration.0).is_some_and(|entry| entry.is_due) {
            self.due.retain(|due| due.index != registration.0);
        }
    }

    /// Returns the number of open requests.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether no request is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Records that no open request had to end at this time (monotonic milliseconds), because none
    /// was open, the first one has just been admitted, or the basis has not changed.
    pub fn note_clear(&mut self, now: u64) {
        self.swept_at = Some(now);
    }

    /// Checks open requests, at most [`CHECKED_AT_ONCE_LIMIT`]. The next call continues where this
    /// one stopped. A request for which `objection` returns a refusal becomes due, once. While the
    /// basis stays the same, no new sweep begins, because requests admitted since the last sweep
    /// were judged on the same basis. `now` is in monotonic milliseconds.
    pub fn sweep(
        &mut self,
        basis: Basis,
        now: u64,
        objection: impl Fn(&RequestCredentials) -> Option<Refusal>,
    ) {
        let first = match self.next {
            Some(next) => next,
            None if self.basis == Some(basis) => return self.note_clear(now),
            None => {
                self.basis = Some(basis);
                self.swept_before = self.swept_at.replace(now);
                0
            }
        };
        let end = first.saturating_add(CHECKED_AT_ONCE_LIMIT);
        self.next = (end < self.entries.capacity()).then_some(end);
        for index in first..end.min(self.entries.capacity()) {
            let Some(entry) = self.entries.get_mut(index).filter(|entry| !entry.is_due) else {
                continue;
            };
            if let Some(refusal) = objection(&entry.credentials) {
                entry.is_due = true;
                self.due.push_back(DueEntry { index, refusal, unknown_at: self.swept_before });
            }
        }
    }

    /// Removes and returns requests to end now, at most [`AT_ONCE_LIMIT`]. `now` is in monotonic
    /// milliseconds.
    pub fn due(&mut self, now: u64) -> Vec<Ending> {
        let count = self.due.len().min(AT_ONCE_LIMIT);
        let late = |at: u64| now.saturating_sub(at) > LATE_MILLISECONDS;
        let due = self.due.drain(..count);
        let endings = due.filter_map(|DueEntry { index, refusal, unknown_at }| {
            let context = self.entries.get(index)?.context;
            Some(Ending { context, refusal, is_late: unknown_at.is_some_and(late) })
        });
        endings.collect()
    }

    /// Returns whether there are more requests to end or to check.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.due.is_empty() || self.next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use smallvec::smallvec;

    use super::*;
    use crate::token::builder::{NOW, TokenBuilder, ring};
    use crate::token::{Policy, Verifier};

    /// Returns the credentials of a request with one token.
    fn one_token(n: usize) -> RequestCredentials {
        let verifier = Verifier::new(ring(), Policy::default());
        let token = TokenBuilder::new().claim("jti", format!("\"{n}\"")).sign();
        let tokens = smallvec![verifier.verify(token.as_bytes(), NOW).unwrap()];
        RequestCredentials { tokens, api_keys: vec![] }
    }

    fn at(generation: u32) -> Basis {
        Basis { generation: Some(Version(generation)), unix_seconds: None }
    }

    fn revoked(_: &RequestCredentials) -> Option<Refusal> {
        Some(Refusal::Revoked)
    }

    fn contexts(due: Vec<Ending>) -> Vec<u32> {
        due.into_iter().map(|due| due.context).collect()
    }

    #[test]
    fn a_request_is_due_once() {
        let mut requests = OpenRequests::default();
        let all = [0, 1].map(one_token);
        let registrations: Vec<_> =
            (7..).zip(&all).map(|(id, it)| requests.register(id, it.clone())).collect();
        let first = all[0].tokens[0].record_id();
        let revoked = |it: &RequestCredentials| {
            (it.tokens[0].record_id() == first).then_some(Refusal::Revoked)
        };
        for generation in 0..3 {
            requests.sweep(at(generation), 0, revoked);
        }
        let due = Ending { context: 7, refusal: Refusal::Revoked, is_late: false };
        assert_eq!(requests.due(0), [due]);
        requests.sweep(at(3), 0, revoked);
        assert_eq!(requests.due(0), []);
        registrations.into_iter().for_each(|it| requests.unregister(it));
        assert!(requests.is_empty());
    }

    #[test]
    fn a_request_that_has_ended_is_not_due() {
        let mut requests = OpenRequests::default();
        let token = one_token(0);
        let it = requests.register(7, token.clone());
        requests.sweep(at(0), 0, revoked);
        requests.unregister(it);
        let _next = requests.register(8, token);
        assert_eq!(requests.due(0), []);
    }

    #[test]
    fn a_changed_set_or_time_checks_all_again() {
        let asked = |sweeps: &[(u32, Option<u64>)]| {
            let mut requests = OpenRequests::default();
            let _registration = requests.register(7, one_token(0));
            let count = std::cell::Cell::new(0);
            for (generation, unix_seconds) in sweeps {
                requests.sweep(Basis { unix_seconds: *unix_seconds, ..at(*generation) }, 0, |_| {
                    count.set(count.get() + 1);
                    None
                });
            }
            count.get()
        };
        assert_eq!(asked(&[(1, None), (1, None)]), 1);
        assert_eq!(asked(&[(1, None), (2, None), (2, None), (1, None)]), 3);
        assert_eq!(asked(&[(1, Some(NOW)), (1, Some(NOW + 1)), (1, Some(NOW + 1))]), 2);
    }

    #[test]
    fn many_requests_are_checked_in_slices_once_per_change() {
        let mut requests = OpenRequests::default();
        let token = one_token(0);
        for id in 0..2_500 {
            let _ = requests.register(id, token.clone());
        }
        let mut asked_at = |generation| {
            let asked = std::cell::Cell::new(0);
            requests.sweep(at(generation), 0, |_| {
                asked.set(asked.get() + 1);
                None
            });
            asked.get()
        };
        let asked: Vec<usize> = [1, 2].into_iter().chain([2; 20]).map(&mut asked_at).collect();
        assert!(asked.iter().all(|&count| count <= CHECKED_AT_ONCE_LIMIT), "{asked:?}");
        assert_eq!(asked.iter().sum::<usize>(), 2 * 2_500, "each once a sweep: {asked:?}");
    }

    #[test]
    fn a_bounded_number_is_due_at_a_time() {
        let mut requests = OpenRequests::default();
        let token = one_token(0);
        for id in 0..150 {
            let _ = requests.register(id, token.clone());
        }
        requests.sweep(at(0), 0, revoked);
        assert_eq!([64, 64, 22, 0], std::array::from_fn(|_| requests.due(0).len()));
    }

    #[test]
    fn an_end_is_late_a_second_after_the_last_clear_sweep() {
        let late = |looks: &[u64], found_at: u64, ended_at: u64| {
            let mut requests = OpenRequests::default();
            requests.note_clear(0);
            let _ = requests.register(7, one_token(0));
            looks.iter().for_each(|look| requests.sweep(at(1), *look, |_| None));
            requests.sweep(at(2), found_at, revoked);
            requests.due(ended_at)[0].is_late
        };
        assert!(!late(&[250, 500], 750, 1_500));
        assert!(late(&[250, 500], 750, 1_501), "ended too late");
        assert!(!late(&[], 1_000, 1_000));
        assert!(late(&[], 1_001, 1_001), "found too late: admitted at 0");
    }

    #[test]
    fn lateness_is_measured_from_the_previous_sweep() {
        let mut requests = OpenRequests::default();
        let token = one_token(0);
        for id in 0..1_500 {
            let _ = requests.register(id, token.clone());
        }
        requests.sweep(at(1), 1_000, |_| None);
        while requests.is_busy() {
            requests.sweep(at(2), 1_900, |_| None); // the rest of the first sweep
        }
        requests.sweep(at(2), 2_000, revoked);
        let ended = [2_000, 2_001].map(|now| requests.due(now)[0].is_late);
        assert_eq!(ended, [false, true]);
        assert_eq!(contexts(requests.due(2_000)).len(), AT_ONCE_LIMIT);
    }
}
