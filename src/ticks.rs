//! How often does Envoy wake this VM?

use std::cell::Cell;
use std::time::Duration;

use proxy_wasm::hostcalls;

/// The tick of one root context, as it was last asked for.
#[derive(Default)]
pub(crate) struct Ticks {
    period_milliseconds: Cell<u64>,
    wanted_by_keys: Cell<Option<u64>>,
}

impl Ticks {
    /// Asks for a tick in so many milliseconds from now, and again each time.
    pub(crate) fn every(&self, milliseconds: u64) {
        let milliseconds = milliseconds.max(1); // 0 would mean never again
        if self.period_milliseconds.replace(milliseconds) != milliseconds {
            let _ = hostcalls::set_tick_period(Duration::from_millis(milliseconds)); // cannot fail
        }
    }

    /// The same, but sooner where fetching keys wants it.
    pub(crate) fn every_or_for_keys(&self, milliseconds: u64) {
        self.every(milliseconds.min(self.wanted_by_keys.get().unwrap_or(milliseconds)));
    }

    /// Notes how soon fetching keys wants a tick.
    pub(crate) fn for_keys(&self, milliseconds: Option<u64>) {
        self.wanted_by_keys.set(milliseconds);
        if let Some(milliseconds) = milliseconds {
            self.within(milliseconds);
        }
    }

    /// Asks for a tick in so many milliseconds, unless one is to come as soon anyway. Says whether
    /// that was asked for now.
    pub(crate) fn within(&self, milliseconds: u64) -> bool {
        let is_sooner = self.period_milliseconds.get() > milliseconds;
        if is_sooner {
            self.every(milliseconds);
        }
        is_sooner
    }
}

/// How often a VM looks how old the set is.
pub(crate) const TICK_MILLISECONDS: u64 = 1_000;

/// Soon after configuration, so that a proxy is ready soon.
pub(crate) const FIRST_TICK_MILLISECONDS: u64 = 5;

/// How often to look while an answer is held.
pub(crate) const HOLD_TICK_MILLISECONDS: u64 = 20;

/// How often to look whether an open request must end: it may take a second, feed included.
pub(crate) const STREAMS_TICK_MILLISECONDS: u64 = 250;

/// How soon to go on where more of them must end than may at once.
pub(crate) const ENDING_TICK_MILLISECONDS: u64 = 1;
