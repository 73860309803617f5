//! How long does a cold Envoy take to load the set, what does that cost in memory, and do requests
//! feel it?
//!
//! Two Envoys of one configuration, one after the other: the first one's service knows of no
//! revocation, the second one's of a million. Both serve the same requests on a public route, through
//! the filter; each request is due at its time, whether or not the one before was answered. The
//! second Envoy has more memory in use at the end: that is the set.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Connection, Envoy, EnvoySetup, Request};

use crate::listeners;
use crate::load::{ListenerLoad, Requests};
use crate::machine::resident_bytes;
use crate::statistics::quantile;

/// What was seen of one start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// From the start of the process until it was ready to judge tokens.
    pub(crate) load_seconds: f64,
    /// How long 99 of 100 requests took at most, while it was loading.
    pub(crate) loading_p99_milliseconds: f64,
    /// The longest of them.
    pub(crate) loading_longest_milliseconds: f64,
    /// The same afterwards.
    pub(crate) quiet_p99_milliseconds: f64,
    /// The longest time that one page of the feed held its worker.
    pub(crate) longest_page_milliseconds: f64,
    /// Memory in use at the end.
    pub(crate) resident_bytes: u64,
}

impl Start {
    /// For the terminal.
    pub(crate) fn report(&self) -> String {
        format!(
            "ready after {:.2} s; p99 of requests {:.2} ms meanwhile (longest {:.2}), {:.2} ms after; \
             longest page {:.2} ms",
            self.load_seconds,
            self.loading_p99_milliseconds,
            self.loading_longest_milliseconds,
            self.quiet_p99_milliseconds,
            self.longest_page_milliseconds
        )
    }
}

/// Starts an Envoy before that service, and stops it.
///
/// # Errors
/// A request was not answered.
pub(crate) fn start(service: SocketAddr) -> Result<Start, String> {
    let began = Instant::now();
    let envoy = setup(service).workers(1).memory_mib(MEMORY_MIB).start();
    let mut load = ListenerLoad::to(envoy.address(), CONNECTIONS);
    let requests = Requests::to_public_page();
    let ready = AtomicBool::new(false);
    let (loading, load_seconds) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            await_ready(envoy.address());
            let seconds = began.elapsed().as_secs_f64();
            ready.store(true, Ordering::Relaxed);
            seconds
        });
        let is_loading = &mut |_: Duration| !ready.load(Ordering::Relaxed);
        let loading = load.run_paced(&requests, PACE, is_loading);
        (loading, watch.join().expect("no panic"))
    });
    let loading = loading?.milliseconds();
    let quiet = load.run_paced(&requests, PACE, &mut |elapsed| elapsed < QUIET)?.milliseconds();
    let [_, longest_page] = envoy.half_and_all_below("page_microseconds");
    Ok(Start {
        load_seconds,
        loading_p99_milliseconds: quantile(&loading, 0.99),
        loading_longest_milliseconds: quantile(&loading, 1.0),
        quiet_p99_milliseconds: quantile(&quiet, 0.99),
        longest_page_milliseconds: longest_page / 1_000.0,
        resident_bytes: resident_bytes(envoy.process_id()),
    })
}

/// An Envoy that answers itself, with the shipped filter before that service.
pub(crate) fn setup(service: SocketAddr) -> EnvoySetup {
    let setup = Envoy::setup().service(service).log_levels("main:warning,wasm:warning");
    setup.edit(listeners::configure_alone)
}

/// Waits until it can judge tokens there.
pub(crate) fn await_ready(listener: SocketAddr) {
    let mut connection = Connection::to(listener);
    testbed::eventually(READY_WITHIN, || connection.send(&Request::get(READY)).status == 200);
}

const CONNECTIONS: usize = 32;
/// A worker's tenth: what is measured is the delay, not the capacity.
const PACE: Duration = Duration::from_micros(500);
const QUIET: Duration = Duration::from_secs(3);
/// Ten million revocations take more than any other Envoy of a test.
pub(crate) const MEMORY_MIB: u64 = 8_192;
const READY: &str = "/.session-guard/ready";
const READY_WITHIN: Duration = Duration::from_secs(180);
