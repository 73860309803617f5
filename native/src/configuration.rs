//! What do the threads of one configuration share?

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use session_guard_core::config::ConfigError;
use session_guard_core::root::Root;

use crate::abi::{self, ConfigurationHandle};
use crate::host::{host, random_id};
use crate::log;
use crate::metrics::FilterMetrics;
use crate::signatures::RingSignatures;
use crate::ticker::Ticker;

/// One configuration that Envoy has accepted.
pub(crate) struct Loaded {
    /// Every thread reads it for itself: what comes of it belongs to one thread.
    text: Vec<u8>,
    pub(crate) metrics: FilterMetrics,
    /// None while Envoy only validates its configuration.
    pub(crate) ticker: Option<Ticker>,
    /// How often the keys that the configuration fetches have changed.
    keys: AtomicU64,
    is_over: AtomicBool,
}

impl Loaded {
    /// Reads a configuration; an error says why it does not load.
    pub(crate) fn new(envoy: ConfigurationHandle<'_>, text: &[u8]) -> Result<Arc<Self>, String> {
        let mut root = configure(text).map_err(|error| error.to_string())?;
        root.take_log().iter().for_each(|(severity, line)| log::write(*severity, line));
        let ticker = if abi::is_validating() {
            None
        } else {
            Some(Ticker::start(envoy.scheduler()).ok_or("the system has no thread for it")?)
        };
        Ok(Arc::new(Self {
            text: text.to_vec(),
            metrics: FilterMetrics::define(envoy, &root),
            ticker,
            keys: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }))
    }

    /// Makes the state of one thread; `None` only if the environment has changed since.
    pub(crate) fn root(&self) -> Option<Root> {
        let mut root = configure(&self.text).ok()?;
        root.take_log(); // the same lines as the first time
        Some(root)
    }

    /// Returns a number that changes whenever the fetched keys do.
    pub(crate) fn keys(&self) -> u64 {
        self.keys.load(Ordering::Acquire)
    }

    /// The main thread has other keys: each worker takes them over.
    pub(crate) fn note_keys(&self) {
        self.keys.fetch_add(1, Ordering::AcqRel);
    }

    /// Envoy has dropped the configuration.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Returns whether Envoy has dropped it.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

fn configure(text: &[u8]) -> Result<Root, ConfigError> {
    let environment = |name: &str| std::env::var(name).ok();
    Root::configure(text, &environment, &RingSignatures, &random_id, host())
}
