//! Which requests are open, and which of them must end?
//!
//! A WebSocket, an event stream or a long poll that was opened with a token goes on after sign-out
//! unless somebody ends it. So every admitted request is entered here, and leaves when its context
//! goes or its answer turns out to be a [plain one](is_stream), which goes on whatever becomes of the
//! token. On the tick each that is left is asked again.
//!
//! Every request is entered, not those that turn out to be streams: the long poll has no answer yet.
//! Its answer is looked at when it comes, because Envoy shows it at no other time.
//!
//! # Why each ends once, and few at a time
//!
//! Two closes of one stream within one call into the VM crash Envoy, and hundreds of closes exhaust
//! the stack of the VM. So an entry that is due is never due again, and [`Streams::due`] gives out a
//! bounded number at a time.

use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;

use crate::headers::Headers;
use crate::refusal::Refusal;
use crate::shared_data::Version;
use crate::token::VerifiedToken;

/// Most streams to end in one call into the VM: it breaks near 300.
pub const MOST_AT_ONCE: usize = 64;

/// Most open requests to ask again in one call into the VM: 3 ms, for each takes three look-ups.
pub const MOST_ASKED: usize = 1_000;

/// The open requests of one VM.
#[derive(Debug, Default)]
pub struct Streams {
    open: Slab<Stream>,
    due: VecDeque<(usize, Refusal)>,
    /// Generation and second at which the last round began.
    round: Option<(Option<Version>, u64)>,
    /// Where the round goes on, while it is not at its end.
    next: Option<usize>,
}

/// Where a request stands in the registry.
#[derive(Debug, PartialEq, Eq)]
pub struct Place(usize);

#[derive(Debug)]
struct Stream {
    context: u32,
    tokens: Vec<Rc<VerifiedToken>>,
    ending: bool,
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
            self.due.retain(|(due, _)| *due != place.0);
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

    /// Asks open requests again, at most [`MOST_ASKED`], and goes on there the next time; those with
    /// an objection are due from then on, once each. No new round begins while the set's generation
    /// and the second stay the same: what was admitted since was judged by that very set.
    pub fn sweep(
        &mut self,
        generation: Option<Version>,
        unix_seconds: u64,
        objection: impl Fn(&VerifiedToken) -> Option<Refusal>,
    ) {
        let now = Some((generation, unix_seconds));
        let Some(first) = self.next.or((self.round != now).then_some(0)) else { return };
        if first == 0 {
            self.round = now;
        }
        let end = first.saturating_add(MOST_ASKED);
        self.next = (end < self.open.capacity()).then_some(end);
        for place in first..end.min(self.open.capacity()) {
            let Some(stream) = self.open.get_mut(place).filter(|stream| !stream.ending) else {
                continue;
            };
            if let Some(refusal) = stream.tokens.iter().find_map(|token| objection(token)) {
                stream.ending = true;
                self.due.push_back((place, refusal));
            }
        }
    }

    /// The next contexts to end, and why; at most [`MOST_AT_ONCE`].
    pub fn due(&mut self) -> Vec<(u32, Refusal)> {
        let count = self.due.len().min(MOST_AT_ONCE);
        let due = self.due.drain(..count);
        due.filter_map(|(place, why)| Some((self.open.get(place)?.context, why))).collect()
    }

    /// Whether there are more to end or to ask.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.due.is_empty() || self.next.is_some()
    }
}

/// Whether a request with these headers asks for another protocol, which is a stream whatever the
/// answer says of its content.
#[must_use]
pub fn is_upgrade(request: &Headers) -> bool {
    request.first(b"upgrade").is_some()
}

/// Whether an answer of this content type is a stream, which ends with its token, or a plain one,
/// which goes on: events, RPC, or one of the forms in which records follow each other without end.
#[must_use]
pub fn is_stream(content_type: &[u8]) -> bool {
    let media_type = content_type.split(|byte| b";,".contains(byte)).next().unwrap_or_default();
    let media_type = media_type.trim_ascii().to_ascii_lowercase();
    STREAMS.contains(&media_type.as_slice())
        || RPC.iter().any(|prefix| media_type.starts_with(prefix))
}

const STREAMS: [&[u8]; 6] = [
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/jsonl",
    b"application/json-seq",
    b"application/stream+json",
    b"multipart/x-mixed-replace",
];

/// gRPC, gRPC-Web and Connect, each followed by a form of its messages.
const RPC: [&[u8]; 2] = [b"application/grpc", b"application/connect+"];

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

    #[test]
    fn a_stream_is_due_once() {
        let mut streams = Streams::default();
        let all = tokens(2);
        let places: Vec<_> =
            (7..).zip(&all).map(|(id, token)| streams.enter(id, vec![token.clone()])).collect();
        let first = all[0].record_id();
        let revoked =
            |token: &VerifiedToken| (token.record_id() == first).then_some(Refusal::Revoked);
        for generation in [None, Some(Version(1)), Some(Version(2))] {
            streams.sweep(generation, NOW, revoked);
        }
        assert_eq!(streams.due(), [(7, Refusal::Revoked)]);
        streams.sweep(Some(Version(3)), NOW, revoked);
        assert_eq!(streams.due(), []);
        places.into_iter().for_each(|place| streams.leave(place));
        assert!(streams.is_empty());
    }

    #[test]
    fn a_stream_that_has_left_is_not_due() {
        let mut streams = Streams::default();
        let token = tokens(1);
        let place = streams.enter(7, token.clone());
        streams.sweep(None, NOW, |_| Some(Refusal::Revoked));
        streams.leave(place);
        let _next = streams.enter(8, token);
        assert_eq!(streams.due(), []);
    }

    #[test]
    fn all_are_asked_again_when_the_set_has_changed_and_every_second() {
        let asked = |sweeps: &[(u32, u64)]| {
            let mut streams = Streams::default();
            let _place = streams.enter(7, tokens(1));
            let count = std::cell::Cell::new(0);
            for (generation, unix_seconds) in sweeps {
                streams.sweep(Some(Version(*generation)), *unix_seconds, |_| {
                    count.set(count.get() + 1);
                    None
                });
            }
            count.get()
        };
        assert_eq!(asked(&[(1, NOW), (1, NOW)]), 1);
        assert_eq!(asked(&[(1, NOW), (2, NOW), (2, NOW), (1, NOW)]), 3);
        assert_eq!(asked(&[(1, NOW), (1, NOW + 1), (1, NOW + 1)]), 2);
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
            streams.sweep(Some(Version(generation)), NOW, |_| {
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
        streams.sweep(None, NOW, |_| Some(Refusal::Revoked));
        assert_eq!([64, 64, 22, 0], std::array::from_fn(|_| streams.due().len()));
    }

    #[test]
    fn streams_end_and_plain_answers_go_on() {
        for media in [
            "text/event-stream",
            "Text/Event-Stream; charset=utf-8",
            "text/event-stream,text/event-stream",
            "application/grpc+proto",
            "application/grpc-web",
            "application/connect+json",
        ] {
            assert!(is_stream(media.as_bytes()), "{media}");
        }
        for media in ["", "text/html", "application/octet-stream", "application/json"] {
            assert!(!is_stream(media.as_bytes()), "{media}");
        }
    }

    #[test]
    fn a_request_for_another_protocol_says_so() {
        let request = |name: &str| Headers::from_pairs(&[(":method", "GET"), (name, "websocket")]);
        assert!(is_upgrade(&request("upgrade")));
        assert!(!is_upgrade(&request("x-upgrade")));
    }
}
