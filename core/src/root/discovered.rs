//! The keys whose secret the proxy discovers, in one VM.
//!
//! A secret that is not usable never replaces one that is: a mistake during a rotation must not sign
//! all users out.

use std::sync::Arc;

use crate::config::DiscoveredSecret;
use crate::hash::{SHA256_BYTES, sha256};
use crate::keys::Key;
use crate::severity::Severity;

/// All discovered keys of one configuration.
pub(super) struct DiscoveredKeys(Vec<DiscoveredKey>);

struct DiscoveredKey {
    secret: DiscoveredSecret,
    /// The hash of the value that was read last, so that each value is checked and reported once.
    seen: Option<[u8; SHA256_BYTES]>,
    key: Option<Arc<Key>>,
}

impl DiscoveredKeys {
    pub(super) fn new(secrets: Vec<DiscoveredSecret>) -> Self {
        let key = |secret| DiscoveredKey { secret, seen: None, key: None };
        Self(secrets.into_iter().map(key).collect())
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = &DiscoveredSecret> {
        self.0.iter().map(|key| &key.secret)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Arc<Key>> {
        self.0.iter().filter_map(|key| key.key.clone())
    }

    /// Returns whether a key has never had a usable secret.
    pub(super) fn lacks_some(&self) -> bool {
        self.0.iter().any(|key| key.key.is_none())
    }

    /// Reads the secrets. `value` returns the present value of the secret with this index. Returns
    /// whether a key has changed, and adds messages about secrets that have changed to `log`.
    pub(super) fn read(
        &mut self,
        value: impl Fn(usize) -> Option<Vec<u8>>,
        log: &mut Vec<(Severity, String)>,
    ) -> bool {
        let mut has_changed = false;
        for (index, key) in self.0.iter_mut().enumerate() {
            let Some(value) = value(index).filter(|value| !value.is_empty()) else { continue };
            let digest = sha256([value.as_slice()]);
            if key.seen.replace(digest) == Some(digest) {
                continue;
            }
            let mut warnings = vec![];
            match key.secret.key(&value, &mut warnings) {
                Ok(new) => {
                    let what = if key.key.is_some() { "replaced" } else { "loaded" };
                    let (path, name) = (key.secret.path(), &key.secret.name);
                    log.push((Severity::Info, format!("{path}: secret {name} {what}")));
                    log.extend(warnings.into_iter().map(|warning| (Severity::Warning, warning)));
                    key.key = Some(Arc::new(new));
                    has_changed = true;
                }
                Err(error) => {
                    let kept = if key.key.is_some() { "; the previous secret stays" } else { "" };
                    log.push((Severity::Error, format!("{error}{kept}")));
                }
            }
        }
        has_changed
    }
}
