//! Finds the usual mistakes with a secret: verifies a refused token again with variants of it.
//!
//! Only `signout explain` tries these variants. The filter uses exactly the configured secret.

use serde_json::{Value, json};
use session_guard_core::clock::Now;
use session_guard_core::config::effective::effective;
use session_guard_core::keys::host::NoHost;
use session_guard_core::root::Root;
use session_guard_core::shared::InMemory;

use super::{STARTED_AT, Stage, host};
use crate::check::ProcessEnvironment;

/// A variant of the configured secret, which an application may have used by mistake.
struct Change {
    /// Changes the text of the secret.
    of_text: fn(String) -> String,
    /// Replaces the encoding of the secret.
    encoding: Option<&'static str>,
    /// The mistake to report if the token verifies with this variant.
    meaning: &'static str,
}

/// Returns the mistake that explains why the token does not verify. Returns `None` if the token
/// verifies with none of the variants.
pub(super) fn find(
    config: &[u8],
    environment: ProcessEnvironment<'_>,
    token: &[u8],
    unix_seconds: u64,
) -> Option<&'static str> {
    // The effective configuration contains the keys of a preset, but no inline secret.
    let written: Value = serde_json::from_slice(config).ok()?;
    let has_keys = written.get("keys").is_some_and(Value::is_array);
    let config = if has_keys { written } else { effective(config).ok()? };
    let verifies = |change: &&Change| {
        verifies_with(change, &config, environment, token, unix_seconds).unwrap_or(false)
    };
    CHANGES.iter().find(verifies).map(|change| change.meaning)
}

fn verifies_with(
    change: &Change,
    config: &Value,
    environment: ProcessEnvironment<'_>,
    token: &[u8],
    unix_seconds: u64,
) -> Option<bool> {
    let keys = config.get("keys")?.as_array()?;
    let changed = keys.iter().filter_map(|key| {
        let mut key = key.as_object()?.clone();
        let secret = key.get_mut("secret")?.as_object_mut()?;
        if let Some(Value::String(text)) = secret.get_mut("inline") {
            *text = (change.of_text)(std::mem::take(text));
        }
        if let Some(encoding) = change.encoding {
            secret.insert("encoding".to_owned(), json!(encoding));
        }
        key.insert("weak_secret".to_owned(), json!("accept"));
        Some(Value::Object(key))
    });
    let keys = json!({"keys": changed.collect::<Vec<_>>()});
    let environment = |name: &str| environment(name).map(change.of_text);
    let now = Now { unix_seconds, monotonic_milliseconds: STARTED_AT };
    let shared = InMemory::default();
    let host = host(&shared, &now);
    let text = keys.to_string();
    let mut root =
        Root::configure(text.as_bytes(), &environment, &NoHost, &|| [0; 16], host).ok()?;
    let objection = root.examine(token, host);
    Some(objection.is_none_or(|objection| Stage::of(&objection) > Stage::Signature))
}

const CHANGES: [Change; 6] = [
    Change {
        of_text: |text| format!("{text}\n"),
        encoding: None,
        meaning: "it verifies with a newline after the secret: the application signs with a line \
                  break that its secret's file ends with; let it trim the secret",
    },
    Change {
        of_text: |text| text.trim().to_owned(),
        encoding: None,
        meaning: "it verifies without the white space around the secret: remove that here",
    },
    Change {
        of_text: |text| text,
        encoding: Some("base64"),
        meaning: "it verifies with the decoded secret: add `\"encoding\": \"base64\"` to `secret`",
    },
    Change {
        of_text: |text| text,
        encoding: Some("base64url"),
        meaning: "it verifies with the decoded secret: add `\"encoding\": \"base64url\"` to \
                  `secret`",
    },
    Change {
        of_text: |text| text,
        encoding: Some("hex"),
        meaning: "it verifies with the decoded secret: add `\"encoding\": \"hex\"` to `secret`",
    },
    Change {
        of_text: |text| text,
        encoding: Some("utf8"),
        meaning: "it verifies with the text of the secret: remove `encoding` from `secret`",
    },
];
