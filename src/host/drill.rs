//! What happens when the VM panics? A test build finds out.
//!
//! The request header `x-panic-drill` says where: `request`, `tick` or `callout`. Only the feature
//! `panic-drill` has this file, and no shipped module has the feature.
#![allow(clippy::panic)]

use std::cell::Cell;

use crate::headers::Headers;

thread_local! {
    static ARMED: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Panics, or arms the panic that the header asks for.
pub(crate) fn on_request(headers: &Headers) {
    match headers.first(b"x-panic-drill") {
        Some(b"request") => panic!("drill: request"),
        Some(b"tick") => ARMED.set(Some("tick")),
        Some(b"callout") => ARMED.set(Some("callout")),
        _ => {}
    }
}

/// Panics if that was asked for.
pub(crate) fn at(place: &str) {
    if ARMED.get() == Some(place) {
        panic!("drill: {place}");
    }
}
