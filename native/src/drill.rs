//! What happens when a hook panics? A test build finds out.
//!
//! The request header `x-panic-drill` says where: `request`, or `callout`, the next response to a call
//! of a request on that worker; `tick`, the next tick; `reader`, the next response of the feed. Only the
//! feature `panic-drill` has this file, and no shipped module has the feature.
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

/// Panics once if that was asked for.
pub(crate) fn at_callout() {
    if CALLOUT.take() {
        panic!("drill: callout");
    }
}

/// Panics once if that was asked for.
pub(crate) fn at_tick() {
    if TICK.swap(false, Ordering::Relaxed) {
        panic!("drill: tick");
    }
}

/// Panics once if that was asked for.
pub(crate) fn in_reader() {
    if READER.swap(false, Ordering::Relaxed) {
        panic!("drill: reader");
    }
}
