//! Passes one request through Envoy's hooks.
//!
//! The core's [`Exchange`](session_guard_core::exchange::Exchange) decides and this file applies
//! the decisions.
//!
//! A call into Envoy may re-enter this module before it returns. For example, a local reply passes
//! this filter's response hooks, and the response to a call may be delivered while it is being
//! sent. So no cell is borrowed while Envoy is called.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use session_guard_core::admission::Forward;
use session_guard_core::call::{Call, Response};
use session_guard_core::exchange::{self, Half, Next};
use session_guard_core::headers::Edit;
use session_guard_core::open_requests::Ending;
use session_guard_core::refusal::{LocalResponse, Refusal};
use session_guard_core::root::Root;

use crate::abi::{HookStatus, Map, RequestHandle};
use crate::host::host;
use crate::ticker::Alarm;
use crate::wake::CHECK;
use crate::worker::{HOLD_PERIOD, Worker};
use crate::{local_reply, log, outgoing, wake};

/// One request and its response.
pub(crate) struct NativeExchange {
    worker: Rc<Worker>,
    context: u32,
    state: RefCell<exchange::Exchange>,
    /// Whether the request is in its worker's mailbox, so that other threads can wake it.
    is_in_mailbox: Cell<bool>,
    /// The pending wake-up while the response is held.
    alarm: Cell<Option<Alarm>>,
    /// Whether Envoy is sending a call at this moment.
    is_sending: Cell<bool>,
    /// The outcome of a call, if Envoy delivered it before it returned from sending.
    early: RefCell<Option<Option<Response>>>,
}

impl NativeExchange {
    pub(crate) fn new(worker: Rc<Worker>) -> Self {
        let context = worker.next_context();
        Self {
            worker,
            context,
            state: RefCell::new(exchange::Exchange::new(context)),
            is_in_mailbox: Cell::new(false),
            alarm: Cell::new(None),
            is_sending: Cell::new(false),
            early: RefCell::new(None),
        }
    }

    /// Decides about a request by its headers.
    pub(crate) fn request_headers(&self, request: &mut RequestHandle<'_>) -> HookStatus {
        self.worker.refresh(request);
        let headers = request.headers(Map::RequestHeaders);
        #[cfg(feature = "panic-drill")]
        headers.iter().for_each(crate::drill::on_request);
        let next = self.take(|state, root| state.request_headers(root, headers.as_ref(), host()));
        drop(headers);
        let status = self.act(request, next);
        self.worker.note_missed_key();
        status
    }

    /// Removes forged headers from a request's trailers.
    pub(crate) fn request_trailers(&self, request: &mut RequestHandle<'_>) -> HookStatus {
        let Some(trailers) = request.headers(Map::RequestTrailers) else {
            return HookStatus::Continue;
        };
        let edits = {
            let (state, root) = (self.state.borrow(), self.worker.root.borrow());
            state.request_trailers(&root, &trailers)
        };
        drop(trailers);
        if edit(request, Map::RequestTrailers, &edits) {
            return HookStatus::Continue;
        }
        let root = &mut self.worker.root.borrow_mut();
        let response = self.state.borrow().trailers_not_changed(root, host());
        respond(request, &response);
        HookStatus::Stop
    }

    /// Handles the response of the application, for example to set the cutoff of a `revoke_user`
    /// route.
    pub(crate) fn response_headers(&self, request: &mut RequestHandle<'_>) -> HookStatus {
        if !self.state.borrow().reads_response_headers() {
            return HookStatus::Continue;
        }
        let headers = request.headers(Map::ResponseHeaders);
        let next = self.take(|state, root| state.response_headers(root, headers.as_ref(), host()));
        drop(headers);
        self.act(request, next)
    }

    /// Handles the response to the call that the exchange waits for. `None` means that the call
    /// failed.
    pub(crate) fn called(&self, request: &mut RequestHandle<'_>, response: Option<Response>) {
        #[cfg(feature = "panic-drill")]
        crate::drill::at_callout();
        if self.is_sending.get() {
            self.early.replace(Some(response));
            return;
        }
        let next = self.take(|state, root| state.call_response(root, response.as_ref(), host()));
        match self.apply(request, next) {
            Some(Half::Request) => request.continue_request(),
            Some(Half::Response) => request.continue_response(),
            None => {}
        }
    }

    /// Handles an event that was sent to this request.
    pub(crate) fn woken(&self, request: &mut RequestHandle<'_>, event: u64) {
        match event {
            CHECK => self.worker.check_if_asked(),
            HELD => {
                self.alarm.take();
                self.wait_on(request); // check again after the next period, until `RESUME` comes
                self.worker.check();
            }
            RESUME => {
                self.stop_waiting();
                request.continue_response();
            }
            event => {
                let Some(ending) = ending_of(event, self.context) else { return };
                let response = {
                    let mut root = self.worker.root.borrow_mut();
                    root.note_end(ending);
                    root.response_to(ending.refusal)
                };
                self.write(request);
                respond(request, &response);
            }
        }
    }

    /// Frees everything that the exchange holds.
    pub(crate) fn end(&self) {
        self.stop_waiting();
        self.state.borrow_mut().end(&mut self.worker.root.borrow_mut());
        if self.is_in_mailbox.take() {
            self.worker.mailbox.leave(self.context);
            self.worker.check_if_asked();
        }
    }

    /// Applies what the exchange decided in a hook and returns the hook's status.
    fn act(&self, request: &mut RequestHandle<'_>, next: Next) -> HookStatus {
        if self.apply(request, next).is_some() { HookStatus::Continue } else { HookStatus::Stop }
    }

    /// Applies what the exchange decided, until nothing is left to do. Returns the half (request or
    /// response) that continues, if one does.
    fn apply(&self, request: &mut RequestHandle<'_>, mut next: Next) -> Option<Half> {
        let continues = loop {
            next = match next {
                Next::Change(forward) => self.change(request, forward),
                Next::Call(call) => match self.send(request, &call) {
                    None => break None,
                    Some(response) => self
                        .take(|state, root| state.call_response(root, response.as_ref(), host())),
                },
                Next::Respond(response) => {
                    self.write(request);
                    respond(request, &response);
                    return None;
                }
                Next::Hold => {
                    self.enter_mailbox(request);
                    self.wait_on(request);
                    break None;
                }
                Next::Continue(half) => break Some(half),
            };
        };
        self.write(request);
        continues
    }

    /// Runs one step of the exchange.
    fn take(&self, take: impl FnOnce(&mut exchange::Exchange, &mut Root) -> Next) -> Next {
        take(&mut self.state.borrow_mut(), &mut self.worker.root.borrow_mut())
    }

    /// Applies the changes to a request before it goes to the application.
    fn change(&self, request: &mut RequestHandle<'_>, forward: Forward) -> Next {
        let applied = change(request, &forward);
        let may_end = !forward.credentials.is_empty();
        if may_end {
            self.enter_mailbox(request); // before the core registers it, so no wake-up is lost
        }
        let next = self.take(|state, root| state.changed(root, forward, applied, host()));
        if may_end {
            self.worker.check_if_asked();
        }
        next
    }

    /// Sends a call. Returns its outcome if it is already known: `Some(None)` if Envoy could not
    /// send the call, or the response if Envoy delivered it while sending.
    fn send(&self, request: &mut RequestHandle<'_>, call: &Call) -> Option<Option<Response>> {
        wake::ring_all(); // every call delivers revocations that were just added to the set
        let service = self.worker.root.borrow().service().cloned();
        self.is_sending.set(true);
        let id =
            service.and_then(|it| outgoing::send(&it, call, |outgoing| request.call(outgoing)));
        self.is_sending.set(false);
        let early = self.early.take();
        if id.is_some() { early } else { Some(None) }
    }

    fn enter_mailbox(&self, request: &mut RequestHandle<'_>) {
        if !self.is_in_mailbox.replace(true) {
            self.worker.mailbox.enter(self.context, request.scheduler());
        }
    }

    fn wait_on(&self, request: &mut RequestHandle<'_>) {
        if let Some(ticker) = &self.worker.loaded.ticker {
            self.alarm.set(Some(ticker.wake_in(HOLD_PERIOD, request.scheduler(), HELD)));
        }
    }

    fn stop_waiting(&self) {
        if let (Some(alarm), Some(ticker)) = (self.alarm.take(), &self.worker.loaded.ticker) {
            ticker.cancel(alarm);
        }
    }

    /// Writes the core's counts and log lines to Envoy.
    fn write(&self, request: &mut RequestHandle<'_>) {
        let root = &mut self.worker.root.borrow_mut();
        self.worker.loaded.metrics.write(request, root);
        root.take_log().iter().for_each(|(severity, line)| log::write(*severity, line));
    }
}

/// Encodes the end of a request as the number of an event.
pub(crate) fn end_event(ending: &Ending) -> u64 {
    let index = Refusal::ALL.iter().position(|known| *known == ending.refusal);
    FIRST_END + 2 * index.unwrap_or_default() as u64 + u64::from(ending.is_late)
}

fn ending_of(event: u64, context: u32) -> Option<Ending> {
    let number = event.checked_sub(FIRST_END)?;
    let refusal = *Refusal::ALL.get(usize::try_from(number / 2).ok()?)?;
    Some(Ending { context, refusal, is_late: number % 2 == 1 })
}

fn respond(request: &mut RequestHandle<'_>, response: &LocalResponse) {
    let LocalResponse { status, code_details, headers, body } = response;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    local_reply::send(request, *status, code_details, &headers, body);
}

/// Applies the changes to a request and returns whether all of them succeeded.
fn change(request: &mut RequestHandle<'_>, forward: &Forward) -> bool {
    if let Some(objection) = &forward.would_refuse {
        let name = objection.name(); // for access logs
        request.set_metadata(METADATA_NAMESPACE, "would_refuse", &name);
        let _ = request.set_filter_state(WOULD_REFUSE_STATE, name.as_bytes());
    }
    let is_edited = edit(request, Map::RequestHeaders, &forward.edits);
    let publish = |user: &str| {
        request.set_metadata(METADATA_NAMESPACE, "user_id", user);
        request.set_filter_state(USER_ID_STATE, user.as_bytes())
    };
    is_edited && forward.published_user.as_deref().is_none_or(publish)
}

/// Changes headers and returns whether all changes succeeded. Removing a header always counts as
/// success, because Envoy fails only if there are no such headers.
fn edit(request: &mut RequestHandle<'_>, map: Map, edits: &[Edit]) -> bool {
    edits.iter().all(|edit| match edit {
        Edit::Remove(name) => {
            request.remove_header(map, name);
            true
        }
        Edit::Set(name, value) => request.set_header(map, name, value),
        Edit::Add(name, value) => request.add_header(map, name, value),
    })
}

/// The filter state key of the user id. The proxy-wasm filter uses the same key, so one access log
/// format or rule works with both filters.
const USER_ID_STATE: &str = "wasm.session_guard.user_id";

/// Access logs find the refusal of a dry run under this name.
const WOULD_REFUSE_STATE: &str = "wasm.session_guard.would_refuse";

/// The namespace of the dynamic metadata: the user id as `user_id`, and `would_refuse`.
const METADATA_NAMESPACE: &str = "session_guard";

/// Events for [`NativeExchange::woken`], besides [`CHECK`]. `HELD`: time to check a held response.
/// `RESUME`: the held response may continue. Numbers from `FIRST_END` end the request.
const HELD: u64 = 1;
pub(crate) const RESUME: u64 = 2;
const FIRST_END: u64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_own_event() {
        for refusal in Refusal::ALL {
            for is_late in [false, true] {
                let ending = Ending { context: 7, refusal, is_late };
                assert_eq!(ending_of(end_event(&ending), 7), Some(ending));
            }
        }
        for event in [CHECK, HELD, RESUME, u64::MAX] {
            assert_eq!(ending_of(event, 7), None);
        }
    }
}
