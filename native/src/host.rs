//! The functions that this process provides to the core: shared data, clocks and random numbers.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use session_guard_core::clock::Clock;
use session_guard_core::root::Host;
use session_guard_core::shared::store::SharedStore;

/// The shared data of the process. It outlives every configuration because Envoy never unloads the
/// module (`do_not_close`).
static STORE: LazyLock<SharedStore> = LazyLock::new(SharedStore::new);

/// Returns the host functions that the core needs.
pub(crate) fn host() -> Host<'static> {
    Host { shared: &*STORE, clock: &SystemClock, random }
}

/// Returns a random identifier for one thread of one process.
pub(crate) fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    let _ = getrandom::fill(&mut id); // the kernel has random bytes once it has started
    id
}

fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// The clocks of the system.
struct SystemClock;

impl Clock for SystemClock {
    /// Returns 0 if the clock is set before 1970. Tokens with an `iat` are then refused, because
    /// their `iat` lies in the future.
    fn unix_milliseconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Reads the kernel's coarse clock, which is accurate to a few milliseconds and cheaper to
    /// read.
    fn monotonic_milliseconds(&self) -> u64 {
        coarsetime::Duration::from_ticks(coarsetime::Instant::now().as_ticks()).as_millis()
    }
}
