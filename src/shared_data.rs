//! How does the core reach Envoy's shared data?

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

    fn version(&self, key: &str) -> Option<Version> {
        // The value comes along; Envoy copies it into the VM only if it is not empty.
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

/// Envoy compares the number only if the key exists. A number that no write ever had therefore means
/// "only if the key does not exist".
const NO_SUCH_WRITE: u32 = u32::MAX;
