//! What happens at configuration and on the tick?
//!
//! One root context a configuration and VM. It reads the configuration, makes the contexts of
//! requests, and carries out what the [feed](session_guard_core::feed) says.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType};
use session_guard_core::call::{Call, Response};
use session_guard_core::feed::FeedEffects;
use session_guard_core::key_sets;
use session_guard_core::metrics::{Counter, Duration, Gauge, VERSION};
use session_guard_core::open_requests::{Due, MOST_AT_ONCE};
use session_guard_core::severity::Severity;
use session_guard_core::token::VerifiedToken;

use crate::filter::{Filter, Revocation, log, random, report};
use crate::raw::Stream;
use crate::request::{self, Request};
use crate::shared_data::HostSharedData;
use crate::ticks::{
    ENDING_TICK_MILLISECONDS, FIRST_TICK_MILLISECONDS, HOLD_TICK_MILLISECONDS,
    STREAMS_TICK_MILLISECONDS, TICK_MILLISECONDS,
};
use crate::{callout, clock, raw};

/// The context of one configuration in one VM.
pub(crate) struct Root {
    id: u32,
    filter: Option<Rc<Filter>>,
    calls: HashMap<u32, CallPurpose>,
    /// Which key set was asked for.
    fetches: HashMap<u32, usize>,
}

/// What a call was about.
#[derive(Clone, Copy)]
enum CallPurpose {
    Poll,
    Delivery,
}

impl Root {
    pub(crate) fn new(id: u32) -> Self {
        Self { id, filter: None, calls: HashMap::new(), fetches: HashMap::new() }
    }

    /// Carries out what the feed says, and what it says to that.
    fn carry_out(&mut self, filter: &Filter, revocation: &Revocation, effects: FeedEffects) {
        let mut wanted = TICK_MILLISECONDS;
        let mut pending = vec![effects];
        while let Some(effects) = pending.pop() {
            report(&effects.notices);
            for (counter, amount) in effects.counts.into_iter().map(Counter::of) {
                filter.metrics.add(counter, amount);
            }
            if let Some(gauges) = &effects.gauges {
                filter.metrics.show(gauges);
            }
            wanted = wanted.min(effects.tick_within_milliseconds.unwrap_or(wanted));
            let calls =
                [(CallPurpose::Poll, effects.poll), (CallPurpose::Delivery, effects.delivery)];
            for (asked, call) in calls.into_iter().filter_map(|(a, call)| Some((a, call?))) {
                pending.extend(self.send(revocation, asked, &call));
            }
        }
        if filter.streams.borrow().is_busy() {
            wanted = wanted.min(ENDING_TICK_MILLISECONDS);
        } else if !filter.streams.borrow().is_empty() {
            wanted = wanted.min(STREAMS_TICK_MILLISECONDS);
        }
        if !revocation.held.borrow().is_empty() {
            wanted = wanted.min(HOLD_TICK_MILLISECONDS);
        }
        filter.ticks.every_or_for_keys(wanted);
    }

    /// Carries out what the key sets say, and what they say to that.
    fn carry_out_keys(&mut self, filter: &Filter, effects: key_sets::KeySetEffects) {
        let mut wanted = None;
        let mut pending = vec![effects];
        while let Some(effects) = pending.pop() {
            for notice in &effects.notices {
                log(notice.severity(), &notice.to_string());
            }
            for counter in effects.counts.into_iter().map(Counter::of_keys) {
                filter.count(counter);
            }
            if let Some(time) = effects.keys_current_timestamp_seconds {
                filter.metrics.set(Gauge::KeysCurrent, time);
            }
            if let Some(keys) = effects.keys {
                filter.admission.replace_keys(keys);
            }
            wanted = effects.tick_within_milliseconds.into_iter().chain(wanted).min();
            for (index, call) in effects.fetch {
                let issuer = filter.issuers.get(index);
                match issuer.and_then(|(cluster, host)| callout::send(cluster, host, &[], &call)) {
                    Some(number) => {
                        self.fetches.insert(number, index);
                    }
                    None => pending.push(keys_answered(filter, index, None)),
                }
            }
        }
        filter.ticks.for_keys(wanted);
    }

    /// Looks after the keys that are fetched, if there are any.
    fn tick_keys(&mut self, filter: &Filter, has_served: bool) {
        if filter.key_sets.borrow().is_empty() {
            return;
        }
        let now = clock::now();
        let effects = {
            let mut sets = filter.key_sets.borrow_mut();
            if has_served {
                sets.note_request();
            }
            if filter.admission.take_missed_key() {
                sets.note_missed_key(&HostSharedData, now);
            }
            sets.tick(&HostSharedData, now, random())
        };
        self.carry_out_keys(filter, effects);
    }

    /// Sends a call; one that cannot be sent has failed at once.
    fn send(
        &mut self,
        revocation: &Revocation,
        asked: CallPurpose,
        call: &Call,
    ) -> Option<FeedEffects> {
        if let Some(number) = revocation.service.send(call) {
            self.calls.insert(number, asked);
            return None;
        }
        Some(answered(revocation, asked, None))
    }

    /// Ends the open requests whose tokens do not hold any more, a bounded number at a time. One that
    /// has no answer yet is refused, a stream is cut.
    fn end_streams(&self, filter: &Filter) {
        let now = clock::monotonic_milliseconds();
        filter.show_open_streams(now);
        if filter.streams.borrow().is_empty() {
            return filter.streams.borrow_mut().note_clear(now);
        }
        let moment = filter.moment_of_tick();
        let objection = |token: &VerifiedToken| filter.admission.objection(token, moment);
        let basis = filter.admission.basis(moment);
        filter.streams.borrow_mut().sweep(basis, now, objection);
        let due = filter.streams.borrow_mut().due(now);
        for Due { context, refusal, is_late } in due {
            // Only where that context is still there: what follows would hit another one.
            if hostcalls::set_effective_context(context).is_ok() {
                filter.count(Counter::StreamsEnded(refusal));
                if is_late {
                    filter.count(Counter::StreamsLate);
                }
                request::answer(filter, refusal, &[]);
            }
        }
        let _ = hostcalls::set_effective_context(self.id); // calls belong to this context again
    }

    /// Lets the answers go whose cutoffs have become the past, as few at a time as streams end: each
    /// may be the last of its request.
    fn release_held(&self, revocation: &Revocation) {
        let now = clock::now();
        let over: Vec<_> = {
            let held = revocation.held.borrow();
            let over = held.iter().filter(|(_, hold)| hold.is_over(now));
            over.map(|(context, _)| *context).take(MOST_AT_ONCE).collect()
        };
        revocation.held.borrow_mut().retain(|(context, _)| !over.contains(context));
        for context in over {
            if hostcalls::set_effective_context(context).is_ok() {
                raw::resume(Stream::Answer);
            }
        }
        let _ = hostcalls::set_effective_context(self.id); // calls belong to this context again
    }
}

fn answered(revocation: &Revocation, asked: CallPurpose, answer: Option<&Response>) -> FeedEffects {
    let (now, random) = (clock::now(), random());
    let mut feed = revocation.feed.borrow_mut();
    match asked {
        CallPurpose::Poll => feed.poll_finished(&HostSharedData, now, random, answer),
        CallPurpose::Delivery => feed.delivery_finished(&HostSharedData, now, random, answer),
    }
}

fn keys_answered(
    filter: &Filter,
    index: usize,
    answer: Option<&Response>,
) -> key_sets::KeySetEffects {
    let mut sets = filter.key_sets.borrow_mut();
    sets.fetch_finished(index, &HostSharedData, clock::now(), random(), answer)
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body: usize, _: usize) {
        #[cfg(feature = "panic-drill")]
        crate::drill::in_reader();
        let began = Instant::now();
        let Some(filter) = self.filter.clone() else { return };
        let (fetch, call) = (self.fetches.remove(&token), self.calls.remove(&token));
        let answer = callout::answer(headers, body);
        if let Some(index) = fetch {
            let effects = keys_answered(&filter, index, answer.as_ref());
            self.carry_out_keys(&filter, effects);
        }
        let (Some(asked), Some(revocation)) = (call, &filter.revocation) else { return };
        let effects = answered(revocation, asked, answer.as_ref());
        revocation.knowledge.set(revocation.feed.borrow().knowledge());
        self.carry_out(&filter, revocation, effects);
        if let CallPurpose::Poll = asked {
            filter.metrics.took(Duration::Page, began);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size);
        let text = text.ok().flatten().unwrap_or_default();
        match Filter::new(&text) {
            Ok(filter) => {
                log(Severity::Info, &format!("version {VERSION}, configuration accepted"));
                filter.ticks.every(FIRST_TICK_MILLISECONDS);
                self.filter = Some(filter);
                true
            }
            Err(error) => {
                log(Severity::Error, &format!("the configuration does not load: {error}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        #[cfg(feature = "panic-drill")]
        crate::drill::at("tick");
        let began = Instant::now();
        let Some(filter) = self.filter.clone() else { return };
        filter.metrics.write();
        let has_served = filter.has_served.take();
        self.tick_keys(&filter, has_served);
        let Some(revocation) = &filter.revocation else {
            return filter.ticks.every_or_for_keys(TICK_MILLISECONDS);
        };
        self.release_held(revocation);
        self.end_streams(&filter);
        let effects = {
            let mut feed = revocation.feed.borrow_mut();
            if has_served {
                feed.note_request();
            }
            let effects = feed.tick(&HostSharedData, clock::now());
            revocation.knowledge.set(feed.knowledge());
            effects
        };
        self.carry_out(&filter, revocation, effects);
        filter.metrics.took(Duration::Tick, began);
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request::new(id, self.filter.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Drop for Root {
    /// The configuration is gone: what was counted is written, and another VM may poll at once.
    fn drop(&mut self) {
        let Some(filter) = &self.filter else { return };
        filter.metrics.write();
        filter.key_sets.borrow_mut().release(&HostSharedData, clock::now());
        if let Some(revocation) = &filter.revocation {
            revocation.feed.borrow_mut().release(&HostSharedData, clock::now());
        }
    }
}
