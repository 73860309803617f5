//! Makes a hook panic when a test asks for it.
//!
//! The request header `x-panic-drill` chooses the place. `request` panics at once. `callout` panics
//! at the next response to a call made for a request of the same worker. `tick` panics at the next
//! tick, and `reader` at the next response of the feed. This file is compiled only with the feature
//! `panic-drill`, which no shipped module enables.
#![allow(clippy::panic)]

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use session_guard_core::headers::Headers;

thread_local! {
    static CALLOUT: Cell<bool> = const { Cell::new(false) };
}

static TICK: AtomicBool = AtomicBool::new(false);
static READER: AtomicBool = AtomicBool::new(false);

/// Panics, or arms the panic that the header asks for.
pub(crate) fn on_request(headers: &Headers) {
    match headers.first(b"x-panic-drill") {
        Some(b"request") => panic!("drill: request"),
        Some(b"callout") => CALLOUT.set(true),
        Some(b"tick") => TICK.store(true, Ordering::Relaxed),
        Some(b"reader") => READER.store(true, Ordering::Relaxed),
        _ => {}
    }
}

/// Panics once if a request has armed this panic.
pub(crate) fn at_callout() {
    if CALLOUT.take() {
        panic!("drill: callout");
    }
}

/// Panics once if a request has armed this panic.
pub(crate) fn at_tick() {
    if TICK.swap(false, Ordering::Relaxed) {
        panic!("drill: tick");
    }
}

/// Panics once if a request has armed this panic.
pub(crate) fn in_reader() {
    if READER.swap(false, Ordering::Relaxed) {
        panic!("drill: reader");
    }
}
