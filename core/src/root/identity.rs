//! Tells the signout service who calls: the filter and its version, the process, and the realm.
//!
//! The service shows its proxies to operators, and keeps in its audit which of them revoked a token.
//! All VMs of a process send the same random id. Nothing depends on it: the API token authenticates
//! a proxy.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::feed::FeedSettings;
use crate::hash::hex;
use crate::metrics::VERSION;
use crate::shared::SharedData;
use crate::shared::names::KeySpace;
use crate::shared::swap::swap;

/// The header with the realm, percent-encoded. It is sent only if the realm is not empty.
pub const REALM_HEADER: &str = "session-guard-realm";

/// Returns the headers of all calls to the service. `uuid` identifies this VM.
pub(super) fn headers(
    feed: &FeedSettings,
    uuid: [u8; 16],
    shared: &dyn SharedData,
) -> Vec<(&'static str, String)> {
    let space = KeySpace::of_feed(&feed.realm, &feed.cluster, &feed.authority);
    let mut headers = vec![("user-agent", user_agent(Some(process_id(space, uuid, shared))))];
    if !feed.realm.is_empty() {
        headers.push((REALM_HEADER, utf8_percent_encode(&feed.realm, VALUE).to_string()));
    }
    headers
}

/// Returns the value of `User-Agent`: the name and version of this filter, and in a comment its
/// build and the id of the process.
pub(super) fn user_agent(process: Option<ProcessId>) -> String {
    let build = if cfg!(target_family = "wasm") { "wasm" } else { "native" };
    let id = process.map(|id| format!("; {}", hex(&id))).unwrap_or_default();
    format!("session-guard/{VERSION} ({build}{id})")
}

/// The id of a process for one feed.
type ProcessId = [u8; 8];

/// Returns the id that the first VM of the process has stored.
fn process_id(space: KeySpace, uuid: [u8; 16], shared: &dyn SharedData) -> ProcessId {
    let own = uuid.first_chunk().copied().unwrap_or_default();
    let stored = swap(shared, &space.name(NAME, None), |known| {
        match known.and_then(|known| known.try_into().ok()) {
            Some(known) => (None, known),
            None => (Some(own.to_vec()), own),
        }
    });
    stored.unwrap_or(own)
}

/// The name of the id in shared data.
const NAME: &str = "process";

const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::InMemory;

    fn feed(realm: &str) -> FeedSettings {
        FeedSettings {
            realm: realm.to_owned(),
            cluster: "signout".to_owned(),
            authority: "signout".to_owned(),
            max_staleness_seconds: 300,
            delivery_timeout_milliseconds: 2_000,
        }
    }

    #[test]
    fn all_vms_of_a_process_send_the_same_id() {
        let shared = InMemory::default();
        let first = headers(&feed(""), [1; 16], &shared);
        assert_eq!(first, [("user-agent", user_agent(Some([1; 8])))]);
        assert_eq!(headers(&feed(""), [2; 16], &shared), first);
        assert_ne!(headers(&feed("shop"), [2; 16], &shared)[0], first[0], "another feed");
        let expected = format!("session-guard/{VERSION} (native; 0101010101010101)");
        assert_eq!(first[0].1, expected);
    }

    #[test]
    fn a_realm_is_a_header_value_of_visible_ascii() {
        let realm = headers(&feed("shop \u{e9}%"), [1; 16], &InMemory::default()).pop();
        assert_eq!(realm, Some((REALM_HEADER, "shop%20%C3%A9%25".to_owned())));
    }
}
