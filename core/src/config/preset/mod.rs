//! Which settings does an application's name stand for?
//!
//! A preset is a whole configuration of its own, one JSON text an application. What the operator
//! wrote wins, field by field: objects are filled one name at a time, everything else is taken as
//! written, lists too. Only `routes` are joined, the written rules before the preset's: as the first
//! that matches decides, they win as well, and nobody loses the sign-out by opening one more path.
//!
//! # Open WebUI
//!
//! What its back end does, and where a narrower reading would let a revoked token through:
//!
//! - It takes a token after any scheme of `Authorization`, from the cookie and from `x-api-key`; what
//!   begins with `sk-` is an API key there, in each of the three.
//! - Its tokens name the user in `id`. They have no `iss` and no `sub`; `exp` is absent where the
//!   administrator chose tokens without end, `jti` before 0.6.38, `iat` before 0.9.0. All can be
//!   revoked, so none is required.
//! - The preset is for version 0.9.0 and later. Before, tokens have no `iat`, so that a cutoff would
//!   refuse every later token of its user, and the page signs out with `GET`.
//! - Its page signs out with `POST` and the cookie alone (since 0.9.3). A `GET` of that path is no
//!   sign-out: a picture in a chat can cause it.
//! - Its WebSockets read the token from a frame, if at all, so every upgrade needs a token in the
//!   handshake, and an API key does not replace it.
//! - Its page fetches `/api/config` before anything else and shows nothing at all after a 401, and
//!   it takes a 401 for the end of a session only where the sentence is one of its own. A tab whose
//!   session another tab has ended sends no token any more; the page does not notice and shows the
//!   sentence as it is, so it is the same one, which asks to sign in.
//! - Files of the page have no common prefix, so what no rule names is `optional`: a bad token is
//!   taken out, and the page comes. No answer there depends on a token that was not verified.
//! - It opens its socket before anybody has signed in, and a token that comes in a frame is not seen
//!   here. So the handshake needs the cookie; the page tries again until it has one.
//! - SCIM has a static token of its own, which is none of our business.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};

use crate::config::raw::Preset;

/// What `"preset": "open-webui"` stands for.
pub const OPEN_WEBUI: &str = include_str!("open-webui.json");

/// The configuration with what is absent filled in. `written` is one that can be read.
pub(super) fn filled(preset: Preset, written: &[u8]) -> Vec<u8> {
    let facts = match preset {
        Preset::OpenWebui => OPEN_WEBUI,
    };
    let fields = |text| serde_json::from_slice::<Fields>(text).unwrap_or_default();
    let filled = merged(fields(written), fields(facts.as_bytes()));
    serde_json::to_vec(&filled).unwrap_or_default()
}

/// Values stay the text that they are, so that nothing in them is lost before it is checked.
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

/// Two objects, merged; `None` where they are not.
fn within(written: &RawValue, fact: &RawValue) -> Option<Box<RawValue>> {
    let fields = |value: &RawValue| serde_json::from_str::<Fields>(value.get()).ok();
    to_raw_value(&merged(fields(written)?, fields(fact)?)).ok()
}

/// Two lists, joined; `None` where they are not.
fn joined(written: &RawValue, facts: &RawValue) -> Option<Box<RawValue>> {
    let items = |value: &RawValue| serde_json::from_str::<Vec<Box<RawValue>>>(value.get()).ok();
    to_raw_value(&[items(written)?, items(facts)?].concat()).ok()
}

const ROUTES: &str = "routes";

#[cfg(test)]
mod tests;
