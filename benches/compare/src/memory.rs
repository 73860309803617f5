//! Measures the memory and the start-up time that the filter adds before it sees a token.
//!
//! Envoys with one worker and with five run one after the other, with the filter and with an empty
//! filter in its place. Every worker has its own VM, and the main thread has one, too.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::json;

use crate::cold_start::{await_ready, setup};
use crate::machine::resident_bytes;

/// What the filter adds to an Envoy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Added {
    /// Bytes in an Envoy with one worker.
    pub(crate) bytes: f64,
    /// Bytes for each further worker.
    pub(crate) bytes_per_worker: f64,
    /// Milliseconds from the start of the process until it listens, with one worker.
    pub(crate) start_milliseconds: f64,
    /// Milliseconds for each further worker.
    pub(crate) start_milliseconds_per_worker: f64,
}

/// Starts, measures and stops the four Envoys.
pub(crate) fn measure(service: SocketAddr) -> Added {
    let [(bytes, milliseconds), (many_bytes, many_milliseconds)] =
        [1, 1 + FURTHER].map(|workers| {
            let (with, without) = (start(service, workers, true), start(service, workers, false));
            (with.0 - without.0, with.1 - without.1)
        });
    let further = |many: f64, one: f64| (many - one) / FURTHER as f64;
    Added {
        bytes,
        bytes_per_worker: further(many_bytes, bytes),
        start_milliseconds: milliseconds,
        start_milliseconds_per_worker: further(many_milliseconds, milliseconds),
    }
}

/// Returns the bytes in use, and the milliseconds until Envoy listened.
fn start(service: SocketAddr, workers: usize, guarded: bool) -> (f64, f64) {
    let began = Instant::now();
    let envoy = setup(service).workers(workers).edit(|configuration| {
        let nothing = "type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors";
        let nothing = json!({"name": "nothing", "typed_config": {"@type": nothing}});
        configuration.replacement = (!guarded).then_some(nothing);
    });
    let envoy = envoy.start();
    let milliseconds = began.elapsed().as_secs_f64() * 1_000.0;
    if guarded {
        await_ready(envoy.address());
    }
    (resident_bytes(envoy.process_id()) as f64, milliseconds)
}

const FURTHER: usize = 4;
