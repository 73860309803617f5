//! Measures how long a starting Envoy takes to load the set, how much memory the set needs, and how
//! much requests are delayed meanwhile.
//!
//! Two Envoys with the same configuration run one after the other. The service of the first has no
//! revocations, that of the second a million. Both serve the same requests on a public route
//! through the filter. Each request has a fixed send time, whether or not the previous response has
//! arrived. The memory of the set is the difference between the two Envoys at the end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Connection, Envoy, EnvoySetup, Request};

use crate::listeners;
use crate::load::{ListenerLoad, Requests};
use crate::machine::resident_bytes;
use crate::statistics::quantile;

/// Measurements of one start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// Time from the start of the process until the filter was ready.
    pub(crate) load_seconds: f64,
    /// p99 of the requests during the load.
    pub(crate) loading_p99_milliseconds: f64,
    /// Longest request during the load.
    pub(crate) loading_longest_milliseconds: f64,
    /// p99 of the requests after the load.
    pub(crate) quiet_p99_milliseconds: f64,
    /// Longest time for which one page of the feed occupied its worker.
    pub(crate) longest_page_milliseconds: f64,
    /// Memory in use at the end, in bytes.
    pub(crate) resident_bytes: u64,
}

impl Start {
    /// Returns a line for the terminal.
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

/// Starts an Envoy with that service, measures it, and stops it.
///
/// # Errors
/// A request got no response.
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

/// Starts an Envoy that responds by itself, with the shipped filter and that service.
pub(crate) fn setup(service: SocketAddr) -> EnvoySetup {
    let setup = Envoy::setup().service(service).log_levels("main:warning,wasm:warning");
    setup.edit(listeners::configure_alone)
}

/// Waits until the filter on this listener is ready.
pub(crate) fn await_ready(listener: SocketAddr) {
    let mut connection = Connection::to(listener);
    testbed::eventually(READY_WITHIN, || connection.send(&Request::get(READY)).status == 200);
}

const CONNECTIONS: usize = 32;
/// Interval of the requests: a tenth of a worker's capacity, because the delay is measured.
const PACE: Duration = Duration::from_micros(500);
const QUIET: Duration = Duration::from_secs(3);
/// Memory limit: ten million revocations need more than any other Envoy of a test.
pub(crate) const MEMORY_MIB: u64 = 8_192;
const READY: &str = "/.session-guard/ready";
const READY_WITHIN: Duration = Duration::from_secs(180);
