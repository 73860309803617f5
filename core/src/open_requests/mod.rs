//! Which requests are open, and which of them must end?
//!
//! A WebSocket, an event stream, a download or a long poll that was opened with a token outlives its
//! sign-out unless the filter ends it. So every admitted request is entered here, whatever it asks
//! for and whatever its response contains, and leaves when its context goes. After a change of the
//! revocation set, the tick checks every entry again.
//!
//! # Why every request
//!
//! A long poll has no response yet, and streams of language models come as `text/plain` or JSON. To
//! look at the response of each request would cost more (1.7 µs) than to enter it here (20 ns).
//!
//! # Why each ends once, and few at a time
//!
//! Two closes of one stream within one call into the VM crash Envoy, and hundreds of closes exhaust
//! the stack of the VM. So an entry that is due is never due again, and [`Streams::due`] gives out a
//! bounded number at a time.

pub mod bound;
pub mod gauge;
pub mod kind;

use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;

use crate::refusal::Refusal;
use crate::shared::Version;
use crate::token::VerifiedToken;

/// Most streams to end in one call into the VM: it breaks near 300.
pub const MOST_AT_ONCE: usize = 64;

/// Most open requests to ask again in one call into the VM: 3 ms, for each takes three look-ups.
pub const MOST_ASKED: usize = 1_000;

/// An end that comes later than this after its reason was known here counts as late.
pub const LATE_MILLISECONDS: u64 = 1_000;

/// The open requests of one VM.
#[derive(Debug, Default)]
pub struct Streams {
    open: Slab<Stream>,
    due: VecDeque<Found>,
    /// What the last round went by.
    round: Option<Basis>,
    /// Where the round goes on, while it is not at its end.
    next: Option<usize>,
    /// Whatever was known by then has been asked for, or is by the round that began then.
    looked_at: Option<u64>,
    /// The same before that round.
    looked_before: Option<u64>,
}

/// What verdicts about open requests depend on: while it stays as it is, so do they.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// The number of the last change to the revocation set.
    pub generation: Option<Version>,
    /// The time, seconds since 1970 UTC, where streams end with their tokens.
    pub unix_seconds: Option<u64>,
}

/// Where a request stands in the registry.
#[derive(Debug, PartialEq, Eq)]
pub struct Place(usize);

/// A request that is to end now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its context.
    pub context: u32,
    /// Why.
    pub refusal: Refusal,
    /// Whether that may have been known here for more than a second: this VM looked that long ago
    /// and did not know yet, or there was too much to end.
    pub is_late: bool,
}

#[derive(Debug)]
struct Stream {
    context: u32,
    tokens: Vec<Rc<VerifiedToken>>,
    ending: bool,
}

/// An entry with an objection, which was not there yet at that time.
#[derive(Debug)]
struct Found {
    place: usize,
    refusal: Refusal,
    unknown_at: Option<u64>,
}

impl Streams {
    /// A request was admitted with these tokens.
    #[must_use]
    pub fn enter(&mut self, context: u32, tokens: Vec<Rc<VerifiedToken>>) -> Place {
        Place(self.open.insert(Stream { context, tokens, ending: false }))
    }

    /// The request is over, or nothing is to end it from here on.
    pub fn leave(&mut self, place: Place) {
        if self.open.try_remove(place.0).is_some_and(|stream| stream.ending) {
            self.due.retain(|found| found.place != place.0);
        }
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// At that time (monotonic milliseconds) nothing that is open had an objection: nothing was open,
    /// or the first has just been admitted.
    pub fn note_clear(&mut self, now: u64) {
        self.looked_at = Some(now);
    }

    /// Asks open requests again, at most [`MOST_ASKED`], and goes on there the next time; those with
    /// an objection are due from then on, once each. No new round begins while the basis stays the
    /// same: what was admitted since was judged by that very set. The time is in monotonic
    /// milliseconds.
    pub fn sweep(
        &mut self,
        basis: Basis,
        now: u64,
        objection: impl Fn(&VerifiedToken) -> Option<Refusal>,
    ) {
        let first = match self.next {
            Some(next) => next,
            None if self.round == Some(basis) => return self.note_clear(now),
            None => {
                self.round = Some(basis);
                self.looked_before = self.looked_at.replace(now);
                0
            }
        };
        let end = first.saturating_add(MOST_ASKED);
        self.next = (end < self.open.capacity()).then_some(end);
        for place in first..end.min(self.open.capacity()) {
            let Some(stream) = self.open.get_mut(place).filter(|stream| !stream.ending) else {
                continue;
            };
            if let Some(refusal) = stream.tokens.iter().find_map(|token| objection(token)) {
                stream.ending = true;
                self.due.push_back(Found { place, refusal, unknown_at: self.looked_before });
            }
        }
    }

    /// What to end at that time (monotonic milliseconds), at most [`MOST_AT_ONCE`].
    pub fn due(&mut self, now: u64) -> Vec<Due> {
        let count = self.due.len().min(MOST_AT_ONCE);
        let late = |at: u64| now.saturating_sub(at) > LATE_MILLISECONDS;
        let found = self.due.drain(..count);
        let due = found.filter_map(|Found { place, refusal, unknown_at }| {
            let context = self.open.get(place)?.context;
            Some(Due { context, refusal, is_late: unknown_at.is_some_and(late) })
        });
        due.collect()
    }

    /// Whether there are more to end or to ask.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.due.is_empty() || self.next.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::builder::{NOW, TokenBuilder, ring};
    use crate::token::{Policy, Verifier};

    fn tokens(count: usize) -> Vec<Rc<VerifiedToken>> {
        let verifier = Verifier::new(ring(), Policy::default());
        let token = |n: usize| TokenBuilder::new().claim("jti", format!("\"{n}\"")).sign();
        (0..count).map(|n| verifier.verify(token(n).as_bytes(), NOW).unwrap()).collect()
    }

    fn at(generation: u32) -> Basis {
        Basis { generation: Some(Version(generation)), unix_seconds: None }
    }

    fn revoked(_: &VerifiedToken) -> Option<Refusal> {
        Some(Refusal::Revoked)
    }

    fn contexts(due: Vec<Due>) -> Vec<u32> {
        due.into_iter().map(|due| due.context).collect()
    }

    #[test]
    fn a_stream_is_due_once() {
        let mut streams = Streams::default();
        let all = tokens(2);
        let places: Vec<_> =
            (7..).zip(&all).map(|(id, token)| streams.enter(id, vec![token.clone()])).collect();
        let first = all[0].record_id();
        let revoked =
            |token: &VerifiedToken| (token.record_id() == first).then_some(Refusal::Revoked);
        for generation in 0..3 {
            streams.sweep(at(generation), 0, revoked);
        }
        let due = Due { context: 7, refusal: Refusal::Revoked, is_late: false };
        assert_eq!(streams.due(0), [due]);
        streams.sweep(at(3), 0, revoked);
        assert_eq!(streams.due(0), []);
        places.into_iter().for_each(|place| streams.leave(place));
        assert!(streams.is_empty());
    }

    #[test]
    fn a_stream_that_has_left_is_not_due() {
        let mut streams = Streams::default();
        let token = tokens(1);
        let place = streams.enter(7, token.clone());
        streams.sweep(at(0), 0, revoked);
        streams.leave(place);
        let _next = streams.enter(8, token);
        assert_eq!(streams.due(0), []);
    }

    #[test]
    fn all_are_asked_again_when_the_set_has_changed_or_tokens_may_have_ended() {
        let asked = |sweeps: &[(u32, Option<u64>)]| {
            let mut streams = Streams::default();
            let _place = streams.enter(7, tokens(1));
            let count = std::cell::Cell::new(0);
            for (generation, unix_seconds) in sweeps {
                streams.sweep(Basis { unix_seconds: *unix_seconds, ..at(*generation) }, 0, |_| {
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
    fn a_crowd_is_asked_in_slices_and_a_change_on_the_way_begins_another_round() {
        let mut streams = Streams::default();
        let token = tokens(1);
        for id in 0..2_500 {
            let _ = streams.enter(id, token.clone());
        }
        let mut asked_at = |generation| {
            let asked = std::cell::Cell::new(0);
            streams.sweep(at(generation), 0, |_| {
                asked.set(asked.get() + 1);
                None
            });
            asked.get()
        };
        let asked: Vec<usize> = [1, 2].into_iter().chain([2; 20]).map(&mut asked_at).collect();
        assert!(asked.iter().all(|&count| count <= MOST_ASKED), "{asked:?}");
        assert_eq!(asked.iter().sum::<usize>(), 2 * 2_500, "each once a round: {asked:?}");
    }

    #[test]
    fn few_are_given_out_at_a_time() {
        let mut streams = Streams::default();
        let token = tokens(1);
        for id in 0..150 {
            let _ = streams.enter(id, token.clone());
        }
        streams.sweep(at(0), 0, revoked);
        assert_eq!([64, 64, 22, 0], std::array::from_fn(|_| streams.due(0).len()));
    }

    #[test]
    fn an_end_is_late_a_second_after_the_last_look_that_did_not_know_of_it() {
        let late = |looks: &[u64], found_at: u64, ended_at: u64| {
            let mut streams = Streams::default();
            streams.note_clear(0);
            let _ = streams.enter(7, tokens(1));
            looks.iter().for_each(|look| streams.sweep(at(1), *look, |_| None));
            streams.sweep(at(2), found_at, revoked);
            streams.due(ended_at)[0].is_late
        };
        assert!(!late(&[250, 500], 750, 1_500));
        assert!(late(&[250, 500], 750, 1_501), "ended too late");
        assert!(!late(&[], 1_000, 1_000));
        assert!(late(&[], 1_001, 1_001), "found too late: admitted at 0");
    }

    #[test]
    fn what_a_second_round_finds_was_not_known_when_the_first_began() {
        let mut streams = Streams::default();
        let token = tokens(1);
        for id in 0..1_500 {
            let _ = streams.enter(id, token.clone());
        }
        streams.sweep(at(1), 1_000, |_| None);
        while streams.is_busy() {
            streams.sweep(at(2), 1_900, |_| None); // the rest of the first round
        }
        streams.sweep(at(2), 2_000, revoked);
        let ended = [2_000, 2_001].map(|now| streams.due(now)[0].is_late);
        assert_eq!(ended, [false, true]);
        assert_eq!(contexts(streams.due(2_000)).len(), MOST_AT_ONCE);
    }
}
