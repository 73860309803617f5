//! What happens to one request?
//!
//! Its headers go to [`admission`](session_guard_core::admission), and what that decides is carried out. Two
//! requests wait for something: a sign-out, until the service was told, and the application's answer
//! on a `revoke_user` route, until the user's cutoff has been told and lies in the past.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};
use session_guard_core::admission::{Cutoff, Decision, Forward};
use session_guard_core::headers::Edit;
use session_guard_core::metrics::Counter;
use session_guard_core::open_requests::Place;
use session_guard_core::refusal::Refusal;
use session_guard_core::revocation::record::Record;
use session_guard_core::severity::Severity;
use session_guard_core::sign_out::{self, Hold, SignOut, Step};
use session_guard_core::token::VerifiedToken;

use crate::filter::{Filter, Revocation, log};
use crate::raw::Stream;
use crate::shared_data::HostSharedData;
use crate::ticks::{HOLD_TICK_MILLISECONDS, STREAMS_TICK_MILLISECONDS};
use crate::{callout, clock, raw};

/// The context of one request.
pub(crate) struct Request {
    id: u32,
    filter: Option<Rc<Filter>>,
    /// Whose tokens a 2xx answer revokes.
    cutoff: Option<Cutoff>,
    told: Option<Told>,
    /// Where it stands among the open requests, if it may have to end early.
    place: Option<Place>,
}

/// The service is being told.
struct Told {
    call: u32,
    sign_out: SignOut,
    /// Set where the application's answer waits, not the request.
    cutoff: Option<Record>,
}

impl Request {
    pub(crate) fn new(id: u32, filter: Option<Rc<Filter>>) -> Self {
        Self { id, filter, cutoff: None, told: None, place: None }
    }

    fn forward(&mut self, filter: &Filter, forward: Forward) -> Action {
        if !apply(MapType::HttpRequestHeaders, &forward.edits) {
            return refuse(filter, Refusal::Unavailable, &[]);
        }
        if let Some(user) = &forward.published_user
            && !raw::publish(USER_ID_PROPERTY, user.as_bytes())
        {
            // A rule that forbids something to this user would not see who it is.
            return refuse(filter, Refusal::Unavailable, &[]);
        }
        for _ in 0..forward.claims_left_out {
            filter.count(Counter::ClaimsLeftOut);
        }
        self.cutoff = forward.cutoff;
        let Some(revocation) = &filter.revocation else { return allow(filter) };
        if revocation.ends_streams && !forward.tokens.is_empty() {
            let mut streams = filter.streams.borrow_mut();
            if filter.ticks.within(STREAMS_TICK_MILLISECONDS) {
                streams.note_clear(clock::monotonic_milliseconds()); // at most once a tick
            }
            #[cfg(feature = "panic-drill")]
            crate::drill::haunt(&mut streams, &forward.tokens);
            self.place = Some(streams.enter(self.id, forward.tokens));
        }
        if forward.sign_out.is_empty() && forward.signed_out.is_empty() {
            return allow(filter);
        }
        let records = records_of(filter, &forward.sign_out);
        let revoked: Vec<_> =
            forward.signed_out.iter().map(|token| record_of(filter, token)).collect();
        let step = begin(revocation, records, &revoked);
        self.follow(filter, revocation, step, None)
    }

    /// From here on nothing ends this request early.
    fn leave(&mut self) {
        if let (Some(filter), Some(place)) = (&self.filter, self.place.take()) {
            filter.streams.borrow_mut().leave(place);
        }
    }

    /// Carries out the steps of a sign-out or a cutoff, up to the one that waits for an answer.
    fn follow(
        &mut self,
        filter: &Filter,
        revocation: &Revocation,
        step: Step,
        cutoff: Option<Record>,
    ) -> Action {
        match step {
            Step::Forward => match cutoff {
                None => allow(filter),
                Some(cutoff) => self.hold(filter, revocation, &cutoff),
            },
            Step::Unavailable => refuse(filter, Refusal::Unavailable, &[]),
            Step::Tell(call, sign_out) => match revocation.service.send(&call) {
                Some(call) => {
                    self.told = Some(Told { call, sign_out, cutoff });
                    Action::Pause
                }
                None => {
                    let outbox = *revocation.feed.borrow().outbox();
                    let step = sign_out.told(&outbox, &HostSharedData, None, clock::now());
                    self.follow(filter, revocation, step, cutoff)
                }
            },
        }
    }

    /// Holds the application's answer until a sign-in after it makes a token that is not cut off.
    fn hold(&self, filter: &Filter, revocation: &Revocation, cutoff: &Record) -> Action {
        let now = clock::now();
        let hold = Hold::new(cutoff, now);
        if hold.is_over(now) {
            return Action::Continue;
        }
        revocation.held.borrow_mut().push((self.id, hold));
        filter.ticks.within(HOLD_TICK_MILLISECONDS);
        Action::Pause
    }
}

impl Context for Request {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        #[cfg(feature = "panic-drill")]
        crate::drill::at("callout");
        let (Some(told), Some(filter)) = (self.told.take(), self.filter.clone()) else { return };
        let Some(revocation) = &filter.revocation else { return };
        if told.call != token {
            self.told = Some(told);
            return;
        }
        let answer = callout::answer(headers, body);
        let outbox = *revocation.feed.borrow().outbox();
        let step = told.sign_out.told(&outbox, &HostSharedData, answer.as_ref(), clock::now());
        if self.follow(&filter, revocation, step, told.cutoff) == Action::Continue {
            raw::resume(match told.cutoff {
                None => Stream::Request,
                Some(_) => Stream::Answer,
            });
        }
    }
}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let Some(filter) = self.filter.clone() else {
            raw::answer(503, "session_guard_not_configured", &[], "");
            return Action::Pause;
        };
        let Some(headers) = raw::headers(MapType::HttpRequestHeaders) else {
            return refuse(&filter, Refusal::Unavailable, &[]);
        };
        #[cfg(feature = "panic-drill")]
        crate::drill::on_request(&headers);
        match filter.admission.decide(&headers, filter.moment()) {
            Decision::Forward(forward) => self.forward(&filter, forward),
            Decision::Refuse { refusal, clear_cookies, sign_out } => {
                if let (Some(revocation), false) = (&filter.revocation, sign_out.is_empty()) {
                    // The service hears of it through the outbox.
                    let _ = begin(revocation, records_of(&filter, &sign_out), &[]);
                }
                refuse(&filter, refusal, &clear_cookies)
            }
            Decision::Ready(ready) => tell_ready(ready),
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let (Some(filter), Some(trailers)) =
            (self.filter.clone(), raw::headers(MapType::HttpRequestTrailers))
        else {
            return Action::Continue;
        };
        if apply(MapType::HttpRequestTrailers, &filter.admission.trailers(&trailers)) {
            Action::Continue
        } else {
            refuse(&filter, Refusal::Unavailable, &[])
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let (Some(cutoff), Some(filter)) = (self.cutoff.take(), self.filter.clone()) else {
            return Action::Continue;
        };
        let Some(revocation) = &filter.revocation else { return Action::Continue };
        let Some(headers) = raw::headers(MapType::HttpResponseHeaders) else {
            return Action::Continue;
        };
        if !sign_out::is_success(&headers) {
            return Action::Continue;
        }
        self.leave(); // this answer ends the user's streams, and is not one of them
        let date = headers.first(b"date");
        let lifetime = revocation.max_lifetime_seconds;
        let record = sign_out::of_user(cutoff.user, date, cutoff.iat, clock::now(), lifetime);
        filter.count(Counter::CutOff);
        let step = begin(revocation, vec![record], &[]);
        self.follow(&filter, revocation, step, Some(record))
    }
}

impl Drop for Request {
    /// A held answer whose client has gone is not waited for any more.
    fn drop(&mut self) {
        self.leave();
        if let Some(revocation) = self.filter.as_ref().and_then(|filter| filter.revocation.as_ref())
        {
            revocation.held.borrow_mut().retain(|(context, _)| *context != self.id);
        }
    }
}

/// What signs these tokens out, which is counted.
fn records_of(filter: &Filter, tokens: &[Rc<VerifiedToken>]) -> Vec<Record> {
    filter.metrics.add(Counter::SignedOut, u64::try_from(tokens.len()).unwrap_or(u64::MAX));
    tokens.iter().map(|token| record_of(filter, token)).collect()
}

fn record_of(filter: &Filter, token: &VerifiedToken) -> Record {
    let lifetime = filter.revocation.as_ref().and_then(|it| it.max_lifetime_seconds);
    sign_out::of_token(token.record_id(), token.exp(), clock::unix_seconds(), lifetime)
}

fn begin(revocation: &Revocation, records: Vec<Record>, revoked: &[Record]) -> Step {
    let (set, outbox) = {
        let feed = revocation.feed.borrow();
        (*feed.set(), *feed.outbox())
    };
    let step = sign_out::begin(
        &set,
        &outbox,
        &HostSharedData,
        records,
        revoked,
        revocation.signout,
        clock::now(),
    );
    if step == Step::Unavailable {
        log(
            Severity::Error,
            "a sign-out was answered 503: the outbox is full or shared data is busy",
        );
    }
    step
}

fn allow(filter: &Filter) -> Action {
    filter.count(Counter::Allowed);
    Action::Continue
}

/// Answers in the application's place. What Envoy is told to do after that does not matter.
pub(crate) fn refuse(filter: &Filter, refusal: Refusal, clear_cookies: &[String]) -> Action {
    filter.count(Counter::Refused(refusal));
    answer(filter, refusal, clear_cookies);
    Action::Pause
}

/// What a refusal looks like. To a stream whose answer has begun Envoy only makes an end.
pub(crate) fn answer(filter: &Filter, refusal: Refusal, clear_cookies: &[String]) {
    let answer = filter.sentences.answer(refusal);
    let headers = answer.headers(clear_cookies);
    raw::answer(answer.status, &answer.response_code_details(), &headers, &answer.body());
}

fn tell_ready(ready: bool) -> Action {
    let status = if ready { 200 } else { 503 };
    let headers = [("content-type", "application/json"), ("cache-control", "no-store")];
    let body = format!("{{\"ready\": {ready}}}");
    raw::answer(status, "session_guard_ready", &headers, &body);
    Action::Pause
}

/// Changes headers; says whether all of it was done.
fn apply(map: MapType, edits: &[Edit]) -> bool {
    for edit in edits {
        let applied = match edit {
            Edit::Remove(name) => raw::remove(map, name),
            Edit::Set(name, value) => raw::set(map, name, value),
        };
        if !applied {
            return false;
        }
    }
    true
}

/// Other filters find it in the filter state as `wasm.` and this: one name with a dot in it, for what
/// has several elements cannot be named in an access log.
const USER_ID_PROPERTY: &str = "session_guard.user_id";
