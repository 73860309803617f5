//! How is Envoy's shared data reached?

use proxy_wasm::hostcalls;
use session_guard_core::shared::{Expect, SharedData, Stored, Version};

/// The map that Envoy keeps for all VMs of one `vm_id`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostSharedData;

impl SharedData for HostSharedData {
    fn get(&self, key: &str) -> Option<Stored> {
        let (value, version) = hostcalls::get_shared_data(key).ok()?;
        Some(Stored { value: value.unwrap_or_default(), version: Version(version?) })
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

/// Envoy compares the number only where the key exists: one that no write ever had means "only if
/// it does not".
const NO_SUCH_WRITE: u32 = u32::MAX;
