//! Finds all errors of a configuration, or of another file that the service reads.
//!
//! The filter stops at the first error. Here each error is corrected on a copy of the configuration,
//! and the filter's own code reads the copy again, until it loads. A correction renames a misspelt
//! field, removes a field, or replaces a list item by a harmless one, so that the indexes of the other
//! items stay. An error that a correction may have caused is not reported.

use serde_json::{Value, json};
use session_guard_core::config::settings::Setting;
use session_guard_core::config::{Config, ConfigError};

use crate::check::{ProcessEnvironment, similar};

/// Returns every error of the configuration. The first one is the error that the filter reports.
/// The list is empty if the configuration loads.
pub(super) fn all(text: &[u8], environment: ProcessEnvironment<'_>) -> Vec<ConfigError> {
    let read = |text: &[u8]| Config::parse(text, environment).err().into_iter().collect();
    all_errors(text, &FileReader { read: &read, about: &about })
}

/// How a kind of file is read.
pub(crate) struct FileReader<'a> {
    /// Returns the errors that reading the file stops at. The list is empty if the file is
    /// accepted.
    pub(crate) read: &'a dyn Fn(&[u8]) -> Vec<ConfigError>,
    /// Returns what the setting with this path is for.
    pub(crate) about: &'a dyn Fn(&str) -> String,
}

/// Returns every error of a file. The list is empty if the file is accepted.
pub(crate) fn all_errors(text: &[u8], reader: &FileReader<'_>) -> Vec<ConfigError> {
    let with_remedy = |error| with_remedy(error, reader.about);
    let mut found = (reader.read)(text);
    let Ok(mut copy) = serde_json::from_slice::<Value>(text) else {
        return found.into_iter().map(with_remedy).collect();
    };
    let (mut errors, mut corrected) = (vec![], vec![]);
    while !found.is_empty() && corrected.len() < CORRECTIONS_LIMIT {
        let mut corrected_now = vec![];
        for error in found {
            let path = steps(&error.path);
            // An error at the path of a correction, above it or below it, may be caused by the
            // correction.
            let is_near =
                |known: &Vec<PathStep>| known.starts_with(&path) || path.starts_with(known);
            let consequence = corrected.iter().any(is_near);
            if !consequence {
                errors.push(with_remedy(error.clone()));
            }
            let is_corrected = match consequence {
                false => correct(&mut copy, &path, &error),
                true => replace_item(&mut copy, &path),
            };
            corrected_now.extend(is_corrected.then_some(path));
        }
        if corrected_now.is_empty() {
            break;
        }
        corrected.append(&mut corrected_now);
        found = (reader.read)(copy.to_string().as_bytes());
    }
    errors
}

/// A step from an object or list to one of its values.
#[derive(Clone, Debug, PartialEq)]
enum PathStep {
    Field(String),
    Item(usize),
}

/// Reads `keys[0].secret`.
fn steps(path: &str) -> Vec<PathStep> {
    let mut steps = vec![];
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let mut pieces = part.split('[');
        let name = pieces.next().unwrap_or_default();
        if !name.is_empty() {
            steps.push(PathStep::Field(name.to_owned()));
        }
        let indexes = pieces.filter_map(|piece| piece.trim_end_matches(']').parse().ok());
        steps.extend(indexes.map(PathStep::Item));
    }
    steps
}

fn correct(copy: &mut Value, path: &[PathStep], error: &ConfigError) -> bool {
    let Some((last, parent)) = path.split_last() else { return false };
    let Some(parent) = find(copy, parent) else { return false };
    match (last, parent) {
        (PathStep::Field(name), Value::Object(fields)) => {
            let Some(value) = fields.remove(name) else { return replace_item(copy, path) };
            if name == "revocation" {
                fields.insert(name.clone(), json!({})); // without it, sign-out rules are errors
            } else if let Some(meant) = similar::field(&error.problem)
                && !fields.contains_key(&meant)
            {
                fields.insert(meant, value);
            }
            true
        }
        _ => replace_item(copy, path),
    }
}

/// Replaces the innermost list item on the path for which there is a harmless item.
fn replace_item(copy: &mut Value, path: &[PathStep]) -> bool {
    for length in (1..=path.len()).rev() {
        let Some((inner, outer)) = path.get(..length).and_then(<[PathStep]>::split_last) else {
            break;
        };
        let (PathStep::Item(index), [.., PathStep::Field(list)]) = (inner, outer) else { continue };
        let harmless = match list.as_str() {
            "routes" => json!({"path": format!("/{HARMLESS}{index}"), "access": "protected"}),
            "token_sources" => json!({"header": format!("x-{HARMLESS}{index}")}),
            "keys" if outer.len() == 1 => json!({
                "algorithm": "HS256", "id": format!("{HARMLESS}{index}"),
                "secret": {"inline": format!("{HARMLESS}{index}").repeat(8)},
            }),
            "issuers" => json!({
                "issuer": format!("https://{HARMLESS}{index}.invalid"), "token_revocation": true,
                "jwks": {"url": format!("https://{HARMLESS}{index}.invalid/jwks")},
            }),
            "tokens" => json!({
                "name": format!("{HARMLESS}{index}"), "rights": ["read"],
                "token_sha256": format!("{index:064x}"),
            }),
            _ => continue,
        };
        let Some(Value::Array(items)) = find(copy, outer) else { return false };
        let Some(item) = items.get_mut(*index).filter(|item| **item != harmless) else {
            return false;
        };
        *item = harmless;
        return true;
    }
    false
}

fn find<'a>(value: &'a mut Value, path: &[PathStep]) -> Option<&'a mut Value> {
    path.iter().try_fold(value, |value, step| match step {
        PathStep::Field(name) => value.get_mut(name),
        PathStep::Item(index) => value.get_mut(index),
    })
}

/// If the error has no remedy, adds one: the name that may be meant, or what the setting is for.
fn with_remedy(error: ConfigError, about: &dyn Fn(&str) -> String) -> ConfigError {
    if !error.remedy.is_empty() {
        return error;
    }
    let remedy = match similar::field(&error.problem) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => about(&error.path),
    };
    ConfigError { remedy, ..error }
}

fn about(path: &str) -> String {
    match Setting::at(path) {
        Some(setting) => {
            let (about, anchor) = (setting.about, setting.anchor());
            format!("this setting: {about} See docs/configuration.md#{anchor}")
        }
        None if path.is_empty() => "see docs/configuration.md for a complete example".to_owned(),
        None => "see this setting in docs/configuration.md".to_owned(),
    }
}

/// The maximum number of corrections of one configuration, which also limits the number of reported
/// errors.
const CORRECTIONS_LIMIT: usize = 100;

/// Part of the names in harmless items.
const HARMLESS: &str = "signout-check-";
