//! Keys whose secret the proxy discovers while it runs (SDS).
//!
//! The configuration contains only the name of such a secret and the place where the proxy finds
//! it. The host asks the proxy for the value after the configuration has loaded, and then
//! repeatedly, so that a secret can be replaced without a restart. Each value passes the same checks
//! as a secret from the environment.

use crate::config::error::{At, ConfigError};
use crate::config::key_entry::{issuer_and_audiences, optional};
use crate::config::{limits, raw, secret, settings};
use crate::keys::{Algorithm, Key, KeyName};

/// A key whose secret is discovered.
#[derive(Debug)]
pub struct DiscoveredSecret {
    at: At,
    /// The name by which the proxy knows the secret.
    pub name: String,
    /// Where the proxy finds the secret: Envoy's `ConfigSource` as JSON. Empty if the secret is part
    /// of the proxy's own configuration.
    pub source: String,
    algorithm: Algorithm,
    encoding: raw::Encoding,
    weak_secret: raw::WeakSecret,
    id: Option<String>,
    issuer: Option<String>,
    audiences: Vec<String>,
}

impl DiscoveredSecret {
    /// Checks everything that is known without the value of the secret.
    pub(super) fn check(
        at: &At,
        key: &raw::RawKey,
        algorithm: Algorithm,
        written: &raw::RawKeySecret,
        sds: &raw::RawSds,
    ) -> Result<Self, ConfigError> {
        let id = optional(&at.field("id"), key.id.as_deref(), settings::NAME_BYTES)?;
        let (issuer, audiences) = issuer_and_audiences(at, key)?;
        let at = at.field("secret").field("sds");
        let name = limits::text(&at.field("name"), &sds.name, settings::NAME_BYTES)?;
        let source = sds.sds_config.as_ref().map(|source| source.get()).unwrap_or_default();
        if !source.is_empty() && !source.starts_with('{') {
            return Err(at.field("sds_config").error("is no object", "Envoy's `ConfigSource`"));
        }
        if source.len() > settings::TEXT_BYTES {
            let problem = format!("longer than {} bytes", settings::TEXT_BYTES);
            return Err(at.field("sds_config").error(problem, ""));
        }
        Ok(Self {
            at,
            name,
            source: source.to_owned(),
            algorithm,
            encoding: written.encoding,
            weak_secret: key.weak_secret.unwrap_or(raw::WeakSecret::Refuse),
            id,
            issuer,
            audiences,
        })
    }

    /// Returns the key with this value of the secret. Unusual but valid values add a message to
    /// `warnings`.
    ///
    /// # Errors
    ///
    /// The value cannot be used as a secret. The error does not contain it.
    pub fn key(&self, value: &[u8], warnings: &mut Vec<String>) -> Result<Key, ConfigError> {
        let text = std::str::from_utf8(value).map_err(|_| {
            self.at.error("is not UTF-8", "see `encoding`: base64, base64url or hex")
        })?;
        let text = secret::within_limits(&self.at, text)?;
        let (algorithm, encoding) = (self.algorithm, self.encoding);
        let secret =
            secret::checked(&self.at, text, encoding, algorithm, self.weak_secret, warnings)?;
        let (id, issuer) = (self.id.clone(), self.issuer.clone());
        Ok(Key::hmac(algorithm, secret.expose(), id, issuer, self.audiences.clone()))
    }

    /// Returns an error for a filter that has no access to discovered secrets.
    #[must_use]
    pub fn unsupported(&self) -> ConfigError {
        let remedy = "use `env`; only the dynamic module reads secrets from Envoy (docs/native.md)";
        self.at.error("this filter cannot discover secrets", remedy)
    }

    /// Returns the path of the secret in the configuration.
    #[must_use]
    pub fn path(&self) -> &At {
        &self.at
    }

    /// Returns the name of the key's algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    pub(super) fn key_name(&self) -> KeyName<'_> {
        let (id, issuer) = (self.id.as_deref(), self.issuer.as_deref());
        KeyName { algorithm: self.algorithm.name(), id, issuer }
    }
}
