//! What happens when the VM panics, or knows of a request that is gone? A test build finds out.
//!
//! The request header `x-panic-drill` says where: `request`, `tick` or `callout` of the VM that gets
//! it, or `reader`: the next answer of the feed, in whichever VM reads it. With `ghost` the request
//! stands among the open ones a second time, under a context that there is not. Only the feature
//! `panic-drill` has this file, and no shipped module has the feature.
#![allow(clippy::panic)]

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use session_guard_core::headers::Headers;
use session_guard_core::open_requests::Streams;
use session_guard_core::token::VerifiedToken;

thread_local! {
    static ARMED: Cell<Option<&'static str>> = const { Cell::new(None) };
    static HAUNTED: Cell<bool> = const { Cell::new(false) };
}

/// Panics, or arms the panic that the header asks for.
pub(crate) fn on_request(headers: &Headers) {
    match headers.first(b"x-panic-drill") {
        Some(b"request") => panic!("drill: request"),
        Some(b"tick") => ARMED.set(Some("tick")),
        Some(b"callout") => ARMED.set(Some("callout")),
        Some(b"reader") => arm_reader(Some(b"armed")),
        Some(b"ghost") => HAUNTED.set(true),
        _ => {}
    }
}

/// Panics if that was asked for.
pub(crate) fn at(place: &str) {
    if ARMED.get() == Some(place) {
        panic!("drill: {place}");
    }
}

/// Panics, once, if that was asked of the VM that reads the feed.
pub(crate) fn in_reader() {
    if matches!(hostcalls::get_shared_data(READER), Ok((Some(_), _))) {
        arm_reader(None);
        panic!("drill: reader");
    }
}

/// Enters the request that asked for it once more, for good.
pub(crate) fn haunt(streams: &mut Streams, tokens: &[Rc<VerifiedToken>]) {
    if HAUNTED.take() {
        let _stays = streams.enter(GHOST, tokens.to_vec());
    }
}

fn arm_reader(value: Option<&[u8]>) {
    let _ = hostcalls::set_shared_data(READER, value, None);
}

/// The main thread's VM gets no requests, so it is asked through shared data.
const READER: &str = "panic-drill";

/// Contexts are counted from 1.
const GHOST: u32 = u32::MAX;
