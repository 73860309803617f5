//! The state that all threads of one configuration share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use session_guard_core::config::{Config, ConfigError, DiscoveredSecret};
use session_guard_core::root::Root;
use session_guard_core::severity::Severity;

use crate::abi::{self, ConfigurationHandle, SecretId};
use crate::host::{host, random_id};
use crate::log;
use crate::metrics::FilterMetrics;
use crate::signatures::AwsLcSignatures;
use crate::ticker::Ticker;

/// One configuration that Envoy has accepted.
pub(crate) struct Loaded {
    /// The configuration's JSON. Each thread parses it and builds its own [`Root`], which cannot be
    /// shared.
    text: Vec<u8>,
    /// Envoy's numbers for the secrets to discover, in the order of [`Root::secrets`].
    secrets: Vec<SecretId>,
    pub(crate) metrics: FilterMetrics,
    /// `None` while Envoy only validates its configuration.
    pub(crate) ticker: Option<Ticker>,
    /// The version of the fetched keys. It increases whenever they change.
    keys: AtomicU64,
    is_over: AtomicBool,
}

impl Loaded {
    /// Loads a configuration. The error says why it was refused.
    pub(crate) fn new(envoy: ConfigurationHandle<'_>, text: &[u8]) -> Result<Arc<Self>, String> {
        let mut root = configure(text).map_err(|error| error.to_string())?;
        root.take_log().iter().for_each(|(severity, line)| log::write(*severity, line));
        let secrets = discover(envoy, &root)?;
        // A secret may have a value already, for example if it belongs to the bootstrap.
        let notices = root.read_secrets(|index| envoy.secret(*secrets.get(index)?));
        for (severity, line) in notices {
            if severity == Severity::Error {
                return Err(line);
            }
            log::write(severity, &line);
        }
        let ticker = if abi::is_validating() {
            None
        } else {
            Some(Ticker::start(envoy.scheduler()).ok_or("the system cannot start another thread")?)
        };
        Ok(Arc::new(Self {
            text: text.to_vec(),
            secrets,
            metrics: FilterMetrics::define(envoy, &root),
            ticker,
            keys: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }))
    }

    /// Builds the [`Root`] of one thread. Returns `None` only if the environment has changed since
    /// the configuration was loaded.
    pub(crate) fn root(&self) -> Option<Root> {
        let mut root = configure(&self.text).ok()?;
        root.take_log(); // these lines were logged when the configuration loaded
        Some(root)
    }

    /// Returns Envoy's number for the secret with this index in [`Root::secrets`].
    pub(crate) fn secret(&self, index: usize) -> Option<SecretId> {
        self.secrets.get(index).copied()
    }

    /// Returns the version of the fetched keys.
    pub(crate) fn keys(&self) -> u64 {
        self.keys.load(Ordering::Acquire)
    }

    /// Increases the version of the fetched keys, so that each worker reloads them.
    pub(crate) fn note_keys(&self) {
        self.keys.fetch_add(1, Ordering::AcqRel);
    }

    /// Marks the configuration as dropped by Envoy.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Returns whether Envoy has dropped the configuration.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

fn configure(text: &[u8]) -> Result<Root, ConfigError> {
    let environment = |name: &str| std::env::var(name).ok();
    Ok(Root::of(Config::parse(text, &environment)?, &AwsLcSignatures, &random_id, host()))
}

/// Makes Envoy discover the secrets of the configuration.
fn discover(envoy: ConfigurationHandle<'_>, root: &Root) -> Result<Vec<SecretId>, String> {
    let id = |secret: &DiscoveredSecret| {
        let refused = || format!("{}: refused by Envoy, whose log tells why", secret.path());
        envoy.discover(&secret.name, &secret.source).ok_or_else(refused)
    };
    root.secrets().map(id).collect()
}
