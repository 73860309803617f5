//! Checks that objects, not lists, are used where objects belong.
//!
//! serde also accepts a list in place of an object, and assigns its items to the fields in the
//! order of the code. That is never intended: `"claims": []` would be accepted as an object without
//! claims, and each further item would set the next field.

use serde_json::Value;

use crate::config::error::{At, ConfigError};
use crate::config::settings::SETTINGS;

/// Returns the paths of all objects in the filter's configuration.
pub(super) fn of_settings() -> impl Iterator<Item = &'static str> {
    let parents = SETTINGS.iter().filter_map(|setting| setting.path.rsplit_once('.'));
    let more =
        ["keys[].jwks.inline", "claims.values[]", "forward.claims[]", "revocation.upstream.token"];
    parents.map(|(parent, _)| parent).chain(more)
}

/// Returns an error if the whole text, or the value at one of these paths, is a list.
pub(super) fn check<'a>(
    text: &[u8],
    objects: impl Iterator<Item = &'a str>,
) -> Result<(), ConfigError> {
    // Invalid JSON is reported later by the typed parser, which has better messages.
    let Ok(whole) = serde_json::from_slice::<Value>(text) else { return Ok(()) };
    is_no_list(&At::root(), &whole)?;
    for path in objects {
        look(&At::root(), &whole, path)?;
    }
    Ok(())
}

/// Returns an error if the value at this path is a list in place of an object. A path may lead to
/// every item of a list.
fn look(at: &At, value: &Value, path: &str) -> Result<(), ConfigError> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let (name, is_list) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
    let (at, Some(value)) = (at.field(name), value.get(name)) else { return Ok(()) };
    let items = if is_list { value.as_array().map(Vec::as_slice).unwrap_or_default() } else { &[] };
    let items = items.iter().enumerate().map(|(index, item)| (at.item(index), item));
    let itself = (!is_list).then_some((at.clone(), value));
    for (at, value) in items.chain(itself) {
        is_no_list(&at, value)?;
        rest.map_or(Ok(()), |rest| look(&at, value, rest))?;
    }
    Ok(())
}

fn is_no_list(at: &At, value: &Value) -> Result<(), ConfigError> {
    if value.is_array() { Err(at.error("a list where an object belongs", "")) } else { Ok(()) }
}
