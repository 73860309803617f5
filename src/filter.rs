//! What do the contexts of one configuration share within one VM?

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::types::LogLevel;
use session_guard_core::admission::{Admission, Moment};
use session_guard_core::config::{self, Config, ConfigError};
use session_guard_core::feed::notice::FeedNotice;
use session_guard_core::feed::staleness::Knowledge;
use session_guard_core::feed::wire::PageKey;
use session_guard_core::feed::{self, Feed};
use session_guard_core::key_sets::KeySets;
use session_guard_core::metrics::{Counter, Gauge};
use session_guard_core::open_requests::Streams;
use session_guard_core::open_requests::gauge::Tally;
use session_guard_core::refusal::Sentences;
use session_guard_core::severity::Severity;
use session_guard_core::sign_out;

use crate::callout::Service;
use crate::clock;
use crate::metrics::Metrics;
use crate::shared_data::HostSharedData;
use crate::signatures::HostSignatures;
use crate::ticks::Ticks;

/// One configuration at work in one VM.
pub(crate) struct Filter {
    pub(crate) admission: Admission,
    pub(crate) sentences: Sentences,
    pub(crate) metrics: Metrics,
    pub(crate) ticks: Ticks,
    /// The requests that are open; empty where they need not end early.
    pub(crate) streams: RefCell<Streams>,
    /// How many that are in all VMs.
    tally: RefCell<Tally>,
    pub(crate) revocation: Option<Revocation>,
    pub(crate) key_sets: RefCell<KeySets>,
    /// Where each of them is published: cluster and authority.
    pub(crate) issuers: Vec<(String, String)>,
    /// Whether each key set has keys, or was asked for without success.
    keys_settled: Cell<bool>,
    /// Whether this VM has served a request since the last tick.
    pub(crate) has_served: Cell<bool>,
}

/// What there is besides where the configuration has `revocation`.
pub(crate) struct Revocation {
    pub(crate) service: Service,
    pub(crate) feed: RefCell<Feed>,
    pub(crate) signout: sign_out::Settings,
    /// The lifetime that no token exceeds, where the configuration sets one.
    pub(crate) max_lifetime_seconds: Option<u64>,
    /// Whether open requests may have to end early.
    pub(crate) ends_streams: bool,
    /// What was known about revocations on the last tick.
    pub(crate) knowledge: Cell<Knowledge>,
    /// The contexts whose answers are held until a cutoff lies in the past.
    pub(crate) held: RefCell<Vec<(u32, sign_out::Hold)>>,
}

impl Filter {
    /// Reads the configuration and gets everything ready.
    pub(crate) fn new(text: &[u8]) -> Result<Rc<Self>, ConfigError> {
        let mut config = Config::parse(text, &|name| std::env::var(name).ok())?;
        for warning in &config.warnings {
            log(Severity::Warning, warning);
        }
        let max_lifetime_seconds = config.policy.max_lifetime_seconds;
        let revocation = config
            .revocation
            .as_ref()
            .map(|settings| Revocation::new(settings, max_lifetime_seconds));
        let set = revocation.as_ref().map(|revocation| *revocation.feed.borrow().set());
        let sentences = mem::take(&mut config.sentences);
        let issuers = config.key_sets.iter();
        let issuers = issuers.map(|set| (set.cluster.clone(), set.authority.clone())).collect();
        let sets = mem::take(&mut config.key_sets);
        let owner = *uuid::Uuid::new_v4().as_bytes();
        let mut key_sets = KeySets::new(sets, mem::take(&mut config.keys), owner);
        config.keys = key_sets.load(&HostSharedData, clock::now(), random());
        let admission = Admission::new(config, set, &HostSignatures);
        Ok(Rc::new(Self {
            admission,
            sentences,
            metrics: Metrics::define(revocation.is_some(), !key_sets.is_empty()),
            ticks: Ticks::default(),
            streams: RefCell::default(),
            tally: RefCell::new(Tally::new(*uuid::Uuid::new_v4().as_bytes())),
            revocation,
            key_sets: RefCell::new(key_sets),
            issuers,
            keys_settled: Cell::new(false),
            has_served: Cell::new(false),
        }))
    }

    /// What a request is judged by, apart from itself.
    pub(crate) fn moment(&self) -> Moment<'static> {
        self.has_served.set(true);
        self.load_missing_keys();
        let knowledge = self.revocation.as_ref().map(Revocation::knowledge);
        Moment {
            unix_seconds: clock::unix_seconds(),
            knowledge: knowledge.unwrap_or(Knowledge::Never),
            keys_settled: self.keys_settled(),
            shared: &HostSharedData,
        }
    }

    /// Reads the keys that another VM has fetched since the last tick, if this VM still lacks some:
    /// a request must not be refused for keys that the process has.
    fn load_missing_keys(&self) {
        if self.admission.lacks_keys() {
            let mut key_sets = self.key_sets.borrow_mut();
            if let Some(keys) = key_sets.load_missing(&HostSharedData, clock::now(), random()) {
                self.admission.replace_keys(keys);
            }
        }
    }

    /// Whether each key set has keys, or was asked for without success.
    fn keys_settled(&self) -> bool {
        if !self.keys_settled.get() {
            self.keys_settled.set(self.key_sets.borrow().are_settled(&HostSharedData));
        }
        self.keys_settled.get()
    }

    /// The same for open requests on the tick: whoever looks after them is not serving one.
    pub(crate) fn moment_of_tick(&self) -> Moment<'static> {
        let knowledge = self.revocation.as_ref().map(|revocation| revocation.knowledge.get());
        let knowledge = knowledge.unwrap_or(Knowledge::Never);
        Moment {
            unix_seconds: clock::unix_seconds(),
            knowledge,
            keys_settled: true,
            shared: &HostSharedData,
        }
    }

    /// Shows how many requests are open in the whole process, once a second.
    pub(crate) fn show_open_streams(&self, now_milliseconds: u64) {
        let open = self.streams.borrow().len();
        let sum = self.tally.borrow_mut().note(&HostSharedData, open, now_milliseconds);
        if let Some(sum) = sum {
            self.metrics.set(Gauge::StreamsOpen, sum);
        }
    }

    pub(crate) fn count(&self, counter: Counter) {
        self.metrics.add(counter, 1);
    }
}

impl Revocation {
    fn new(settings: &config::Revocation, max_lifetime_seconds: Option<u64>) -> Self {
        let timeout_milliseconds = settings.signout_timeout_seconds.saturating_mul(1_000);
        let feed = feed::FeedSettings {
            realm: settings.realm.clone(),
            cluster: settings.cluster.clone(),
            authority: settings.authority.clone(),
            max_staleness_seconds: settings.max_staleness_seconds,
            delivery_timeout_milliseconds: timeout_milliseconds,
        };
        let feed = Feed::new(
            &feed,
            PageKey::new(settings.token.expose()),
            *uuid::Uuid::new_v4().as_bytes(),
        );
        Self {
            service: Service {
                cluster: settings.cluster.clone(),
                authority: settings.authority.clone(),
                authorization: format!(
                    "Bearer {}",
                    String::from_utf8_lossy(settings.token.expose())
                ),
            },
            knowledge: Cell::new(Knowledge::Never),
            feed: RefCell::new(feed),
            signout: sign_out::Settings {
                timeout_milliseconds,
                when_unreachable: settings.when_unreachable,
            },
            max_lifetime_seconds,
            ends_streams: settings.streams.end_on_revocation || settings.streams.end_at_expiry,
            held: RefCell::new(Vec::new()),
        }
    }

    /// What this process knows, for a request: as of the last tick, unless that would refuse it.
    /// Another VM may have read the feed meanwhile.
    fn knowledge(&self) -> Knowledge {
        if self.knowledge.get() != Knowledge::Current {
            self.knowledge.set(self.feed.borrow().known_at(&HostSharedData, clock::now()));
        }
        self.knowledge.get()
    }
}

/// Tells the operator. Never with a token or a secret in it.
pub(crate) fn log(severity: Severity, message: &str) {
    let level = match severity {
        Severity::Info => LogLevel::Info,
        Severity::Warning => LogLevel::Warn,
        Severity::Error => LogLevel::Error,
    };
    let _ = hostcalls::log(level, &format!("session-guard: {message}")); // there is no one to tell
}

/// Any number, for waits that are to differ.
pub(crate) fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// Tells the operator what the feed has noticed.
pub(crate) fn report(notices: &[FeedNotice]) {
    for notice in notices {
        log(notice.severity(), &notice.to_string());
    }
}
