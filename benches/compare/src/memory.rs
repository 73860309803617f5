//! What does the filter take before it has seen a token: memory, by worker, and time to start?
//!
//! Envoys with one worker and with five, with the filter and with another in its place that does
//! nothing, one after the other. Every worker has a VM of its own, and the main thread another.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::json;

use crate::cold_start::{await_ready, setup};
use crate::machine::resident_bytes;

/// What the filter adds to an Envoy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Added {
    /// Bytes with one worker.
    pub(crate) bytes: f64,
    /// Bytes with each further one.
    pub(crate) bytes_per_worker: f64,
    /// From the start of the process until it listens, with one worker.
    pub(crate) start_milliseconds: f64,
    /// The same with each further one.
    pub(crate) start_milliseconds_per_worker: f64,
}

/// Starts the four, and stops them.
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

/// Bytes in use, and milliseconds until it listened.
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
