//! What the service's JSON files (issuers, tokens) have in common: their schema, and their strictness.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use session_guard_core::config::ConfigError;

/// Returns the JSON Schema of the files that the type reads, for editors. `name` is the last part of its
/// id, which is a name and not an address: nothing has to be fetched.
pub(crate) fn schema_of<File: JsonSchema>(name: &str, title: &str) -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<File>();
    RecursiveTransform(|schema: &mut schemars::Schema| {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace('\n', " ");
        }
        // What Rust's types say, not the file.
        schema.remove("format");
        if schema.get("default") == Some(&Value::Null) {
            schema.remove("default");
        }
    })
    .transform(&mut schema);
    schema.insert("title".to_owned(), title.into());
    schema.insert("$id".to_owned(), format!("urn:session-guard:{name}").into());
    schema.to_value()
}

/// Returns the description of the setting with this path (`issuers[0].jwks.url`).
pub(crate) fn description(schema: &Value, path: &str) -> Option<String> {
    let mut place = schema;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        let (name, is_item) = name.split_once('[').map_or((name, false), |(name, _)| (name, true));
        place = place.get("properties")?.get(name)?;
        if is_item
            && let Some(items) = place.get("items").filter(|it| it.get("properties").is_some())
        {
            place = items;
        }
    }
    place.get("description")?.as_str().map(str::to_owned)
}

/// Returns whether the text is a JSON object with a member of this name.
pub(crate) fn has_member(text: &[u8], name: &str) -> bool {
    serde_json::from_slice::<Value>(text).is_ok_and(|file| file.get(name).is_some())
}

/// The errors of a file that were found so far.
#[derive(Default)]
pub(crate) struct FileErrors(pub(crate) Vec<ConfigError>);

impl FileErrors {
    /// Returns the value, or notes the error.
    pub(crate) fn note<T>(&mut self, checked: Result<T, ConfigError>) -> Option<T> {
        checked.map_err(|error| self.0.push(error)).ok()
    }
}

/// Parses a member that may be absent but not `null`: a template without a value for it must not
/// disable a check.
pub(crate) fn not_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
