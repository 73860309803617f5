//! Makes the VM panic, or register a request that does not exist, when a test asks for it.
//!
//! The request header `x-panic-drill` chooses the place. `request`, `tick` and `callout` panic in
//! the VM that receives the header. `reader` panics in the VM that reads the next response of the
//! feed. `ghost` also registers the request under a context that does not exist. This file is
//! compiled only with the feature `panic-drill`, which no shipped module enables.
#![allow(clippy::panic)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use proxy_wasm::hostcalls;
use session_guard_core::exchange::{Exchange, Next};
use session_guard_core::headers::Headers;
use session_guard_core::root::Root;

use crate::host::host;

thread_local! {
    static ARMED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Panics, or arms the panic that the header asks for.
pub(crate) fn on_request(root: Option<&Rc<RefCell<Root>>>, headers: Option<&Headers>) {
    let Some(headers) = headers else { return };
    match headers.first(b"x-panic-drill") {
        Some(b"request") => panic!("drill: request"),
        Some(b"tick") => ARMED.set(Some("tick")),
        Some(b"callout") => ARMED.set(Some("callout")),
        Some(b"reader") => arm_reader(Some(b"armed")),
        Some(b"ghost") => root.into_iter().for_each(|root| register_ghost(root, headers)),
        _ => {}
    }
}

/// Panics if a request has armed this panic.
pub(crate) fn at(place: &str) {
    if ARMED.get() == Some(place) {
        panic!("drill: {place}");
    }
}

/// Panics, once, if a request has armed this panic for the VM that reads the feed.
pub(crate) fn in_reader() {
    if matches!(hostcalls::get_shared_data(READER), Ok((Some(_), _))) {
        arm_reader(None);
        panic!("drill: reader");
    }
}

/// Registers the request once more, under a context that does not exist and never ends.
fn register_ghost(root: &RefCell<Root>, headers: &Headers) {
    let (root, mut ghost) = (&mut root.borrow_mut(), Exchange::new(GHOST));
    if let Next::Change(forward) = ghost.request_headers(root, Some(headers), host()) {
        let _ = ghost.changed(root, forward, true, host());
    }
}

fn arm_reader(value: Option<&[u8]>) {
    let _ = hostcalls::set_shared_data(READER, value, None);
}

/// The main thread's VM gets no requests, so the panic is armed through shared data.
const READER: &str = "panic-drill";

/// A context that does not exist, because contexts are counted from 1.
const GHOST: u32 = u32::MAX;
