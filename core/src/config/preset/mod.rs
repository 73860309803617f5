//! Fills in the settings for a known application.
//!
//! A preset is a complete configuration for one application, as JSON. A setting that the operator
//! has written takes precedence. Objects are merged by field name. All other values, including
//! lists, are taken as written. Only `routes` are joined, with the operator's rules first. Because
//! the first match decides, the operator's rules take precedence, and adding a rule does not remove
//! the preset's sign-out rule.
//!
//! # Open WebUI
//!
//! The facts about Open WebUI's back end, and the reasons why a narrower configuration would accept
//! a revoked token:
//!
//! - It accepts a token after any scheme of `Authorization`, in the cookie and in `x-api-key`. In
//!   each of the three, a value that begins with `sk-` is an API key.
//! - Its tokens name the user in `id`. They have no `iss` and no `sub`. `exp` is absent if the
//!   administrator chose tokens without end, `jti` before 0.6.38, `iat` before 0.9.0. All these
//!   tokens can be revoked, so none of these claims is required.
//! - The preset is for version 0.9.0 and later. Earlier tokens have no `iat`, so a cutoff would
//!   refuse every later token of its user, and the page signs out with `GET`.
//! - Its page signs out with `POST` and only the cookie (since 0.9.3). A `GET` of that path is not
//!   a sign-out, because an image in a chat can cause it.
//! - Its WebSockets read the token from a frame, if at all. Every upgrade therefore needs a token
//!   in the handshake, and an API key does not replace it.
//! - Its page fetches `/api/config` first and shows nothing after a 401. It treats a 401 as the end
//!   of the session only if `detail` is one of the back end's own sentences. If another tab has
//!   ended the session, a request carries no token, and the page shows the sentence unchanged. Both
//!   401 responses therefore use the same sentence, which asks the user to sign in.
//! - The files of its page have no common prefix. Paths without a rule are therefore `optional`: a
//!   bad token is removed, and the page loads. No response on these paths depends on a token that
//!   was not verified.
//! - It opens its socket before the user has signed in, and the filter cannot see a token in a
//!   frame. The handshake therefore needs the cookie. The page retries until it has one.
//! - SCIM uses its own static token, which the filter does not check.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

use crate::config::raw::Preset;

/// The configuration for `"preset": "open-webui"`.
pub const OPEN_WEBUI: &str = include_str!("open-webui.json");

/// Returns the configuration with absent settings filled in. `written` must be a configuration that
/// can be parsed.
pub(super) fn filled(preset: Preset, written: &[u8]) -> Vec<u8> {
    let facts = match preset {
        Preset::OpenWebui => OPEN_WEBUI,
    };
    let fields = |text| serde_json::from_slice::<Fields>(text).unwrap_or_default();
    let filled = merged(fields(written), fields(facts.as_bytes()));
    serde_json::to_vec(&filled).unwrap_or_default()
}

/// The fields of an object. Values remain unparsed text, so that the later check sees exactly what
/// was written.
type Fields = BTreeMap<String, Box<RawValue>>;

fn merged(mut written: Fields, facts: Fields) -> Fields {
    for (name, fact) in facts {
        let value = match written.remove(&name) {
            None => fact,
            Some(rules) if name == ROUTES => joined(&rules, &fact).unwrap_or(rules),
            Some(value) => within(&value, &fact).unwrap_or(value),
        };
        written.insert(name, value);
    }
    written
}

/// Merges two objects. Returns `None` if one of the values is not an object.
fn within(written: &RawValue, fact: &RawValue) -> Option<Box<RawValue>> {
    let fields = |value: &RawValue| serde_json::from_str::<Fields>(value.get()).ok();
    to_raw_value(&merged(fields(written)?, fields(fact)?)).ok()
}

/// Joins two lists. Returns `None` if one of the values is not a list.
fn joined(written: &RawValue, facts: &RawValue) -> Option<Box<RawValue>> {
    let items = |value: &RawValue| serde_json::from_str::<Vec<Box<RawValue>>>(value.get()).ok();
    to_raw_value(&[items(written)?, items(facts)?].concat()).ok()
}

const ROUTES: &str = "routes";

#[cfg(test)]
mod tests;
