//! Helpers for the entries of `keys`, used for single keys and for key sets.

use crate::config::discovered::DiscoveredSecret;
use crate::config::error::{At, ConfigError};
use crate::config::{limits, raw, settings};
use crate::key_sets;
use crate::keys::{Key, KeyName};

/// The keys that are ready to verify, those that lack their secret, and the key sets to fetch.
#[derive(Default)]
pub(super) struct FoundKeys {
    pub(super) keys: Vec<Key>,
    pub(super) discovered: Vec<DiscoveredSecret>,
    pub(super) sets: Vec<key_sets::KeySetSettings>,
}

impl FoundKeys {
    /// Returns the names of all keys that are not fetched.
    pub(super) fn names(&self) -> impl Iterator<Item = KeyName<'_>> {
        self.keys
            .iter()
            .map(Key::name)
            .chain(self.discovered.iter().map(DiscoveredSecret::key_name))
    }
}

/// Returns the issuer and the audiences that tokens of this key must have.
pub(super) fn issuer_and_audiences(
    at: &At,
    key: &raw::RawKey,
) -> Result<(Option<String>, Vec<String>), ConfigError> {
    let issuer = optional(&at.field("issuer"), key.issuer.as_deref(), settings::TEXT_BYTES)?;
    let (items, bytes) = (settings::LIST_ITEMS, settings::TEXT_BYTES);
    let audiences = limits::texts(&at.field("audiences"), &key.audiences, items, bytes)?;
    Ok((issuer, audiences))
}

/// Returns an error if a setting is present that has no meaning in this entry.
pub(super) fn refuse(at: &At, name: &str, written: bool, remedy: &str) -> Result<(), ConfigError> {
    if written { Err(at.field(name).error("does not belong here", remedy)) } else { Ok(()) }
}

/// Returns a text if it is present and within its limit.
pub(super) fn optional(
    at: &At,
    text: Option<&str>,
    most: usize,
) -> Result<Option<String>, ConfigError> {
    text.map(|text| limits::text(at, text, most)).transpose()
}
