//! The functions of Envoy that the core uses: shared data, clocks and random numbers.

use std::time::{SystemTime, UNIX_EPOCH};

use proxy_wasm::hostcalls;
use session_guard_core::clock::Clock;
use session_guard_core::root::Host;
use session_guard_core::shared::{Expect, SharedData, Stored, Version};

/// Returns the functions of Envoy that the core uses.
pub(crate) fn host() -> Host<'static> {
    Host { shared: &EnvoySharedData, clock: &EnvoyClock, random }
}

/// Returns a random UUID.
pub(crate) fn uuid() -> [u8; 16] {
    *uuid::Uuid::new_v4().as_bytes()
}

fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// The map that Envoy keeps for all VMs of one `vm_id`.
#[derive(Debug)]
struct EnvoySharedData;

impl SharedData for EnvoySharedData {
    fn get(&self, key: &str) -> Option<Stored> {
        let (value, version) = hostcalls::get_shared_data(key).ok()?;
        Some(Stored { value: value.unwrap_or_default(), version: Version(version?) })
    }

    fn version(&self, key: &str) -> Option<Version> {
        // The call also returns the value. Envoy copies it into the VM only if it is not empty.
        hostcalls::get_shared_data(key).ok()?.1.map(Version)
    }

    fn set_if(&self, key: &str, value: &[u8], expect: Expect) -> bool {
        let cas = match expect {
            Expect::Absent => Some(NO_SUCH_WRITE),
            Expect::At(Version(number)) => Some(number),
            Expect::Anything => None,
        };
        let value = (!value.is_empty()).then_some(value);
        hostcalls::set_shared_data(key, value, cas).is_ok()
    }
}

/// The version number for [`Expect::Absent`]. Envoy compares version numbers only if the key
/// exists. With a number that no write has, a write therefore succeeds only if the key does not
/// exist.
const NO_SUCH_WRITE: u32 = u32::MAX;

/// The proxy's clocks.
struct EnvoyClock;

impl Clock for EnvoyClock {
    /// Returns 0 if the clock is set before 1970. Tokens with an `iat` are then refused, because
    /// their `iat` lies in the future.
    fn unix_milliseconds(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }

    /// Uses coarsetime, whose instants count from the same start in all VMs of a process. The start
    /// of std's instants is not accessible.
    fn monotonic_milliseconds(&self) -> u64 {
        coarsetime::Duration::from_ticks(coarsetime::Instant::now().as_ticks()).as_millis()
    }
}
