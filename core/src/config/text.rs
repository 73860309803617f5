//! Parses the text of a configuration into [`raw::RawConfig`].
//!
//! Errors name the field, but never contain its value, because the value may be a secret that was
//! written in the wrong field.

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::config::error::ConfigError;
use crate::config::{raw, settings, shape};

/// Parses the text of the filter's configuration.
pub(super) fn read(text: &[u8]) -> Result<raw::RawConfig, ConfigError> {
    let whole = |problem: &str, remedy: &str| Err(ConfigError::new("", problem, remedy));
    if text.len() > settings::CONFIGURATION_BYTES {
        return whole(
            &format!("longer than {} bytes", settings::CONFIGURATION_BYTES),
            "split the listener",
        );
    }
    if text.trim_ascii().is_empty() {
        return whole("empty", STRING_VALUE);
    }
    if is_protobuf(text) {
        return whole("a protobuf message (`Struct`?), not JSON text", STRING_VALUE);
    }
    shape::check(text, shape::of_settings())?;
    typed(text)
}

/// Parses another JSON object with the same strictness and the same errors. The type must refuse
/// unknown fields. `objects` are the paths of fields that must be objects (`issuers[].jwks`).
///
/// # Errors
///
/// The path of the first field that is invalid, and the problem, without the value.
pub fn read_object<T: DeserializeOwned>(text: &[u8], objects: &[&str]) -> Result<T, ConfigError> {
    if text.len() > settings::CONFIGURATION_BYTES {
        let problem = format!("longer than {} bytes", settings::CONFIGURATION_BYTES);
        return Err(ConfigError::new("", problem, ""));
    }
    shape::check(text, objects.iter().copied())?;
    typed(text)
}

fn typed<T: DeserializeOwned>(text: &[u8]) -> Result<T, ConfigError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let config = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let (path, mut problem) = (path(&error), told(error.inner()));
        if !error.inner().is_data() && serde_json::from_slice::<IgnoredAny>(text).is_ok() {
            problem = of_another_kind(&path); // serde reports it as invalid JSON
        }
        ConfigError::new(path, problem, "")
    })?;
    match json.end() {
        Ok(()) => Ok(config),
        Err(_) => Err(ConfigError::new("", "something follows the JSON object", "remove it")),
    }
}

/// Returns whether the text is a `Struct` in the form in which Envoy passes it. Such a message
/// contains control characters other than white space, which JSON text never does.
fn is_protobuf(text: &[u8]) -> bool {
    text.first() == Some(&FIRST_FIELD)
        && text.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
}

/// Returns the path of the field. For a duplicate name, serde only reports the path of the object.
fn path(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let known = path.trim_end_matches(['.', '?']);
    let message = error.inner().to_string();
    let twice = message.strip_prefix("duplicate field `").and_then(|rest| rest.split_once('`'));
    match twice {
        Some((name, _)) if known.is_empty() => name.to_owned(),
        Some((name, _)) => format!("{known}.{name}"),
        None => known.to_owned(),
    }
}

/// Returns serde's message without the value.
fn told(error: &serde_json::Error) -> String {
    let message = error.to_string();
    if !error.is_data() {
        return format!("cannot be read: {message}"); // kind, line and column
    }
    let message = message.rsplit_once(" at line ").map_or(&*message, |(message, _)| message);
    if ["unknown field ", "duplicate field "].iter().any(|start| message.starts_with(start)) {
        return message.to_owned();
    }
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("must be {}", in_words_of_json(expected)),
        None => message.to_owned(), // a message of ours
    }
}

/// Returns the message for a value of the wrong kind: it says what is allowed in the field with
/// this path.
fn of_another_kind(path: &str) -> String {
    let digits = |piece: &str| piece.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    let general = path.split('[').map(digits).collect::<Vec<_>>().join("[");
    let setting = settings::SETTINGS.iter().find(|setting| setting.path == general);
    match setting.map(|setting| setting.form) {
        Some(settings::Form::Choice(words)) => format!("must be one of {}", words.join(", ")),
        _ => "has the wrong type".to_owned(),
    }
}

fn in_words_of_json(expected: &str) -> &str {
    match expected {
        "u64" => "a whole number",
        "a sequence" => "a list",
        "a boolean" => "true or false",
        "a string" => "text",
        _ if expected.starts_with("struct ") => "an object",
        _ => expected,
    }
}

/// The tag of field 1, length-delimited, as in `Struct.fields`, `TypedStruct.type_url` and
/// `Any.type_url`.
const FIRST_FIELD: u8 = 0x0a;

const STRING_VALUE: &str = "give JSON text: configuration: {\"@type\": \
    type.googleapis.com/google.protobuf.StringValue, value: '{\"keys\": […], …}'} \
    (Istio makes this of `pluginConfig`)";
