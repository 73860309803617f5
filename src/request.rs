//! The context of one request: it passes headers and responses to the request's [`Exchange`] and
//! applies the step that the exchange returns.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, MapType};
use session_guard_core::admission::Forward;
use session_guard_core::exchange::{Exchange, Half, Next};
use session_guard_core::headers::{Edit, Headers};
use session_guard_core::root::Root;

use crate::host::host;
use crate::{callout, raw, root};

/// One request.
pub(crate) struct RequestContext {
    /// `None` if Envoy created the request before a configuration was accepted.
    root: Option<Rc<RefCell<Root>>>,
    exchange: Exchange,
    /// Envoy's number for the call whose response the exchange waits for.
    call: Option<u32>,
}

impl RequestContext {
    pub(crate) fn new(context: u32, root: Option<Rc<RefCell<Root>>>) -> Self {
        Self { root, exchange: Exchange::new(context), call: None }
    }

    /// Runs one step of the exchange and applies the result. Returns the half (request or response)
    /// that continues, if one does.
    fn step(&mut self, take: impl FnOnce(&mut Exchange, &mut Root) -> Next) -> Option<Half> {
        let root = self.root.clone()?;
        let mut next = take(&mut self.exchange, &mut root.borrow_mut());
        let continues = loop {
            next = match next {
                Next::Change(forward) => {
                    let applied = change(&forward);
                    self.exchange.changed(&mut root.borrow_mut(), forward, applied, host())
                }
                Next::Call(call) => {
                    let root = &mut root.borrow_mut();
                    self.call = root.service().and_then(|service| callout::send(service, &call));
                    if self.call.is_some() {
                        break None;
                    }
                    self.exchange.call_response(root, None, host())
                }
                Next::Respond(response) => {
                    raw::respond(&response);
                    break None;
                }
                Next::Hold => break None,
                Next::Continue(half) => break Some(half),
            };
        };
        root::write_log_and_tick_period(&mut root.borrow_mut());
        continues
    }

    /// Runs one step inside a callback of Envoy, which continues or pauses according to the
    /// returned action.
    fn act(&mut self, take: impl FnOnce(&mut Exchange, &mut Root) -> Next) -> Action {
        if self.step(take).is_some() { Action::Continue } else { Action::Pause }
    }
}

impl Context for RequestContext {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body: usize, _: usize) {
        #[cfg(feature = "panic-drill")]
        crate::drill::at("callout");
        if self.call != Some(call) {
            return;
        }
        self.call = None;
        let response = callout::response(headers, body);
        let step = |exchange: &mut Exchange, root: &mut Root| {
            exchange.call_response(root, response.as_ref(), host())
        };
        if let Some(half) = self.step(step) {
            raw::resume(half);
        }
    }
}

impl HttpContext for RequestContext {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        if self.root.is_none() {
            raw::respond_not_configured();
            return Action::Pause;
        }
        let headers = raw::headers(MapType::HttpRequestHeaders);
        let headers = headers.as_deref().and_then(Headers::parse);
        #[cfg(feature = "panic-drill")]
        crate::drill::on_request(self.root.as_ref(), headers.as_ref());
        self.act(|exchange, root| exchange.request_headers(root, headers.as_ref(), host()))
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let trailers = raw::headers(MapType::HttpRequestTrailers);
        let trailers = trailers.as_deref().and_then(Headers::parse);
        let (Some(root), Some(trailers)) = (&self.root, trailers) else {
            return Action::Continue;
        };
        let edits = self.exchange.request_trailers(&root.borrow(), &trailers);
        if edit(MapType::HttpRequestTrailers, &edits) {
            return Action::Continue;
        }
        raw::respond(&self.exchange.trailers_not_changed(&mut root.borrow_mut(), host()));
        Action::Pause
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if !self.exchange.reads_response_headers() {
            return Action::Continue;
        }
        let headers = raw::headers(MapType::HttpResponseHeaders);
        let headers = headers.as_deref().and_then(Headers::parse);
        self.act(|exchange, root| exchange.response_headers(root, headers.as_ref(), host()))
    }
}

impl Drop for RequestContext {
    fn drop(&mut self) {
        if let Some(root) = &self.root {
            self.exchange.end(&mut root.borrow_mut());
        }
    }
}

/// Applies the changes to a request and returns whether all of them succeeded.
fn change(forward: &Forward) -> bool {
    let user = forward.published_user.as_deref();
    if let Some(objection) = &forward.would_refuse {
        let _ = raw::publish(WOULD_REFUSE_PROPERTY, objection.name().as_bytes()); // for access logs
    }
    edit(MapType::HttpRequestHeaders, &forward.edits)
        && user.is_none_or(|user| raw::publish(USER_ID_PROPERTY, user.as_bytes()))
}

/// Changes headers and returns whether all changes succeeded.
fn edit(map: MapType, edits: &[Edit]) -> bool {
    edits.iter().all(|edit| match edit {
        Edit::Remove(name) => raw::remove(map, name),
        Edit::Set(name, value) => raw::set(map, name, value),
        Edit::Add(name, value) => raw::add(map, name, value),
    })
}

/// Other filters find the user id in the filter state as `wasm.` followed by this name. The dot is
/// part of one name, because an access log cannot read a name with several elements.
const USER_ID_PROPERTY: &str = "session_guard.user_id";

/// Access logs find the refusal of a dry run under this name.
const WOULD_REFUSE_PROPERTY: &str = "session_guard.would_refuse";
