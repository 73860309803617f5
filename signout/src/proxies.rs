//! The proxies that poll this service: their versions, and how far each is behind the feed.
//!
//! Everything is known from the polls themselves. A proxy names its version and its process's random
//! id in `User-Agent`, and its cursor shows the newest entry that it knows. If several services share
//! a store, each knows only the proxies that poll it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cursor::ProxyPosition;

/// The proxies that have polled in the last [`FORGOTTEN_AFTER`].
#[derive(Clone, Default)]
pub(crate) struct Proxies {
    by_id: Arc<Mutex<HashMap<String, KnownProxy>>>,
}

/// The identity of a proxy, as its polls state it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyIdentity {
    /// Random, and the same for all VMs of the process.
    pub(crate) id: String,
    pub(crate) version: String,
    /// `wasm` or `native`.
    pub(crate) build: String,
    pub(crate) realm: String,
    pub(crate) address: Option<IpAddr>,
}

struct KnownProxy {
    identity: ProxyIdentity,
    position: ProxyPosition,
    polls: usize,
    /// When its last poll began or ended.
    last_at: Instant,
}

/// A proxy, as the status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ProxyStatus {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) build: String,
    pub(crate) realm: String,
    pub(crate) address: Option<IpAddr>,
    /// Number of changes that it has not requested yet; `None` while it loads the whole set.
    pub(crate) behind: Option<u64>,
    /// Whether a poll of it is waiting now.
    pub(crate) is_polling: bool,
    /// Time since its last poll began or ended.
    pub(crate) seconds_since_poll: u64,
}

/// A poll that is being processed.
pub(crate) struct ProxyPoll {
    proxies: Proxies,
    id: String,
}

impl Proxies {
    /// Notes that a poll of a proxy at that position has arrived. The poll ends when the returned
    /// value is dropped.
    pub(crate) fn poll_begins(
        &self,
        identity: ProxyIdentity,
        position: ProxyPosition,
    ) -> Option<ProxyPoll> {
        let id = identity.id.clone();
        let now = Instant::now();
        let mut by_id = self.by_id();
        if by_id.len() >= PROXIES && !by_id.contains_key(&id) {
            by_id.retain(|_, proxy| !proxy.is_forgotten(now));
            if by_id.len() >= PROXIES {
                return None;
            }
        }
        let polls = by_id.get(&id).map_or(0, |proxy| proxy.polls) + 1;
        by_id.insert(id.clone(), KnownProxy { identity, position, polls, last_at: now });
        Some(ProxyPoll { proxies: self.clone(), id })
    }

    /// Returns all known proxies, the worst first. A proxy whose last poll is longer ago comes
    /// first. Among proxies with equal times, such as those with a waiting poll, the one with the
    /// largest [`behind`](ProxyStatus::behind) comes first, and one that loads the whole set comes
    /// before all of these. `head` is the sequence number of the newest entry in the feed.
    pub(crate) fn list(&self, head: u64) -> Vec<ProxyStatus> {
        let now = Instant::now();
        let mut by_id = self.by_id();
        by_id.retain(|_, proxy| !proxy.is_forgotten(now));
        let mut list: Vec<_> = by_id.values().map(|proxy| proxy.status(head, now)).collect();
        drop(by_id);
        let worst_first = |one: &ProxyStatus| {
            let behind = one.behind.unwrap_or(u64::MAX);
            (std::cmp::Reverse((one.seconds_since_poll_if_silent(), behind)), one.id.clone())
        };
        list.sort_by_cached_key(worst_first);
        list
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<String, KnownProxy>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KnownProxy {
    fn is_forgotten(&self, now: Instant) -> bool {
        self.polls == 0 && now.duration_since(self.last_at) >= FORGOTTEN_AFTER
    }

    fn status(&self, head: u64, now: Instant) -> ProxyStatus {
        let ProxyIdentity { id, version, build, realm, address } = self.identity.clone();
        let behind = match self.position {
            ProxyPosition::After(after) | ProxyPosition::AfterReset { after, .. } => {
                Some(head.saturating_sub(after.sequence))
            }
            ProxyPosition::Start | ProxyPosition::InReset { .. } => None,
        };
        let seconds_since_poll = now.duration_since(self.last_at).as_secs();
        let is_polling = self.polls > 0;
        ProxyStatus { id, version, build, realm, address, behind, is_polling, seconds_since_poll }
    }
}

impl ProxyStatus {
    /// Returns the time without a poll, or 0 if a poll is waiting.
    fn seconds_since_poll_if_silent(&self) -> u64 {
        if self.is_polling { 0 } else { self.seconds_since_poll }
    }
}

impl Drop for ProxyPoll {
    fn drop(&mut self) {
        if let Some(proxy) = self.proxies.by_id().get_mut(&self.id) {
            proxy.polls = proxy.polls.saturating_sub(1);
            proxy.last_at = Instant::now();
        }
    }
}

/// A proxy without a poll for this long is forgotten. A proxy that cannot reach the service polls at
/// least once a minute, so this one has ended or polls another service.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(300);

/// The maximum number of proxies in the table, which is also the maximum that may poll at a time.
const PROXIES: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Position;

    fn identity(id: &str) -> ProxyIdentity {
        let text = |text: &str| text.to_owned();
        let (version, build, realm) = (text("0.1.0"), text("wasm"), text(""));
        ProxyIdentity { id: text(id), version, build, realm, address: None }
    }

    fn after(sequence: u64) -> ProxyPosition {
        ProxyPosition::After(Position { sequence, tag: 1 })
    }

    #[test]
    fn a_proxy_is_listed_with_its_lag() {
        let proxies = Proxies::default();
        let first = proxies.poll_begins(identity("a"), ProxyPosition::Start);
        let second = proxies.poll_begins(identity("a"), after(7));
        let other = proxies.poll_begins(identity("b"), after(9));
        drop(first);
        let [a, b] = &proxies.list(9)[..] else { panic!("two proxies") };
        assert_eq!((&*a.id, a.behind, a.is_polling), ("a", Some(2), true));
        assert_eq!((&*b.id, b.behind, b.is_polling), ("b", Some(0), true));
        drop((second, other));
        assert!(proxies.list(9).iter().all(|proxy| !proxy.is_polling));
        let _loading = proxies.poll_begins(identity("c"), ProxyPosition::Start);
        assert_eq!(proxies.list(9)[0].behind, None, "the worst comes first");
    }

    #[test]
    fn silent_proxies_are_forgotten_and_the_table_has_a_limit() {
        let proxies = Proxies::default();
        for number in 0..PROXIES {
            assert!(proxies.poll_begins(identity(&number.to_string()), after(1)).is_some());
        }
        assert!(proxies.poll_begins(identity("new"), after(1)).is_none());
        let long_ago = Instant::now().checked_sub(FORGOTTEN_AFTER).expect("the machine is up");
        for proxy in proxies.by_id().values_mut().take(9) {
            proxy.last_at = long_ago;
        }
        assert!(proxies.poll_begins(identity("new"), after(1)).is_some());
        assert_eq!(proxies.list(1).len(), PROXIES - 9 + 1);
    }
}
