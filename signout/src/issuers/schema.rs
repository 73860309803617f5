//! The JSON Schema of the issuers file, for editors (`signout schema --issuers`).
//!
//! It is derived from the types that read the file, so it never refuses a valid one. Checks that need
//! more than the form (addresses, keys, an issuer that comes twice) are left to `signout check`.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::Value;

use super::raw::IssuersFile;

/// Returns the schema.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<IssuersFile>();
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
    schema.insert("title".to_owned(), TITLE.into());
    schema.insert("$id".to_owned(), ID.into());
    schema.to_value()
}

/// Returns the description of the setting with this path (`issuers[0].jwks.url`).
pub(super) fn description(path: &str) -> Option<String> {
    let schema = schema();
    let mut place = &schema;
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

const TITLE: &str = "session-guard: the issuers file of the signout service";

/// A name, not an address: nothing has to be fetched.
const ID: &str = "urn:session-guard:issuers";
