//! The state that a VM has only if its configuration has `revocation`.

use crate::clock::Clock;
use crate::config::Config;
use crate::feed::staleness::Knowledge;
use crate::feed::wire::PageKey;
use crate::feed::{Feed, FeedSettings};
use crate::open_requests::AT_ONCE_LIMIT;
use crate::root::{Destination, identity};
use crate::shared::SharedData;
use crate::sign_out::{self, Hold};

/// The state of revocation in one VM.
pub(crate) struct RevocationState {
    pub(super) service: Destination,
    pub(crate) feed: Feed,
    pub(crate) sign_out: sign_out::Settings,
    /// The longest lifetime of a token, if the configuration limits it.
    pub(crate) max_lifetime_seconds: Option<u64>,
    /// Whether open requests may have to end early.
    pub(crate) ends_requests: bool,
    /// How fresh the revocation set was on the last tick.
    pub(super) knowledge: Knowledge,
    /// The contexts whose response is held until the time of a cutoff has passed.
    pub(super) held: Vec<(u32, Hold)>,
}

impl RevocationState {
    /// Returns the state before the first poll. `uuid` identifies this VM.
    pub(super) fn of(config: &Config, uuid: [u8; 16], shared: &dyn SharedData) -> Option<Self> {
        let settings = config.revocation.as_ref()?;
        let timeout_milliseconds = settings.signout_timeout_seconds.saturating_mul(1_000);
        let feed = FeedSettings {
            realm: settings.realm.clone(),
            cluster: settings.cluster.clone(),
            authority: settings.authority.clone(),
            max_staleness_seconds: settings.max_staleness_seconds,
            delivery_timeout_milliseconds: timeout_milliseconds,
        };
        let api_token = String::from_utf8_lossy(settings.token.expose());
        Some(Self {
            service: Destination {
                cluster: settings.cluster.clone(),
                authority: settings.authority.clone(),
                authorization: Some(format!("Bearer {api_token}")),
                headers: identity::headers(&feed, uuid, shared),
            },
            feed: Feed::new(&feed, PageKey::new(settings.token.expose()), uuid),
            sign_out: sign_out::Settings {
                timeout_milliseconds,
                when_unreachable: settings.when_unreachable,
            },
            max_lifetime_seconds: config.policy.max_lifetime_seconds,
            ends_requests: settings.streams.end_on_revocation || settings.streams.end_at_expiry,
            knowledge: Knowledge::Never,
            held: Vec::new(),
        })
    }

    pub(crate) fn hold(&mut self, context: u32, hold: Hold) {
        self.held.push((context, hold));
    }

    /// Removes the hold of a request that has ended.
    pub(crate) fn forget_hold(&mut self, context: u32) {
        self.held.retain(|(held, _)| *held != context);
    }

    /// Removes and returns the contexts whose hold is over. The number is limited like the number
    /// of requests that may end at once, because resuming a response may end its request.
    pub(super) fn release_held(&mut self, clock: &dyn Clock) -> Vec<u32> {
        if self.held.is_empty() {
            return Vec::new();
        }
        let now = clock.now();
        let over = self.held.iter().filter(|(_, hold)| hold.is_over(now));
        let over: Vec<_> = over.map(|(context, _)| *context).take(AT_ONCE_LIMIT).collect();
        self.held.retain(|(context, _)| !over.contains(context));
        over
    }
}
