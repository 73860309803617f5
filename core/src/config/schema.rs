//! The JSON Schema of the configuration, for editors.
//!
//! Names, nesting and types are derived from the types that parse the configuration. Descriptions,
//! defaults and limits come from [`SETTINGS`]. The schema can therefore not differ from the code.
//! It never refuses a valid configuration. Checks that need the whole configuration (a key's
//! length, a path's spelling, a segment's name) are left to `signout check`.
//!
//! The schema uses draft 7, which editors support best. It is part of the service
//! (`signout schema`), not of the filter's module.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::config::raw;
use crate::config::settings::{Form, SETTINGS, Setting};

/// Returns the schema of the filter's configuration.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<raw::RawConfig>().to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("title".to_owned(), json!(TITLE));
        fields.insert("$id".to_owned(), json!(ID));
    }
    for setting in SETTINGS {
        let place = at(&mut schema, setting.path);
        place.into_iter().for_each(|place| describe(place, setting));
    }
    for (path, condition) in conditions() {
        let place = at(&mut schema, path);
        place.into_iter().for_each(|place| add(place, &condition));
    }
    schema
}

/// Returns the schema at this path of a setting.
fn at<'a>(schema: &'a mut Value, path: &str) -> Option<&'a mut Map<String, Value>> {
    let mut place = schema;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        let (name, is_item) = match name.strip_suffix("[]") {
            Some(name) => (name, true),
            None => (name, false),
        };
        place = object(place)?.get_mut("properties")?.get_mut(name)?;
        if is_item {
            place = object(place)?.get_mut("items")?;
        }
    }
    object(place)?.as_object_mut()
}

/// Returns the schema of the object. If null is also allowed, `anyOf` contains the object first.
fn object(schema: &mut Value) -> Option<&mut Value> {
    let is_one_of_several = schema.get("anyOf").is_some();
    if is_one_of_several { schema.get_mut("anyOf")?.get_mut(0) } else { Some(schema) }
}

fn describe(place: &mut Map<String, Value>, setting: &Setting) {
    place.insert("description".to_owned(), json!(setting.about));
    for name in ["format", "default"] {
        place.remove(name); // what Rust's types say of it
    }
    if let Some(default) = setting.default.and_then(|json| serde_json::from_str(json).ok()) {
        place.insert("default".to_owned(), default);
    }
    let mut limit = |name: &str, value: Value| place.insert(name.to_owned(), value);
    match setting.form {
        Form::Number(whole) => {
            limit("minimum", json!(whole.least));
            limit("maximum", json!(whole.most));
        }
        Form::Text(bytes) => {
            limit("maxLength", json!(bytes)); // counted in characters: never stricter than bytes
        }
        Form::Texts(items) | Form::Objects(items) | Form::Claims(items) => {
            limit("maxItems", json!(items));
        }
        Form::PerClaim(items) => {
            limit("maxProperties", json!(items)); // of the object
            limit("maxItems", json!(items)); // of the list
        }
        Form::Choice(words) if !place.contains_key("enum") => {
            let null = place.get("type").is_some_and(Value::is_array).then_some(Value::Null);
            let words = words.iter().map(|word| json!(word)).chain(null);
            place.insert("enum".to_owned(), words.collect());
        }
        Form::Choice(_) | Form::Flag | Form::Claim | Form::Other => {}
    }
}

fn add(place: &mut Map<String, Value>, condition: &Value) {
    let all = place.entry("allOf").or_insert_with(|| json!([]));
    all.as_array_mut().into_iter().for_each(|all| all.push(condition.clone()));
}

/// Returns the conditions between settings that a schema can express.
fn conditions() -> Vec<(&'static str, Value)> {
    let secret = one_of(&[&["env"], &["inline"]]);
    let some = json!({"minItems": 1});
    let path = json!({"pattern": "^/"});
    vec![
        ("", json!({"anyOf": [{"required": ["keys"]}, {"required": ["preset"]}]})),
        ("keys", some.clone()),
        (
            "keys[]",
            one_of(&[&["secret", "algorithm"], &["public_key_pem", "algorithm"], &["jwks"]]),
        ),
        ("keys[].secret", one_of(&[&["env"], &["inline"], &["sds"]])),
        ("keys[].secret.sds", given("name")),
        ("keys[].jwks", one_of(&[&["inline"], &["cluster", "authority", "path"]])),
        ("token_sources", some.clone()),
        ("token_sources[]", one_of(&[&["header"], &["cookie"], &["query"]])),
        ("token_sources[]", json!({"anyOf": [{"not": {"required": ["scheme"]}}, given("header")]})),
        ("token_sources[].routes", some.clone()),
        ("token_sources[].routes[]", one_of(&[&["path"], &["prefix"], &["template"]])),
        ("token_sources[].routes[].path", path.clone()),
        ("token_sources[].routes[].prefix", path.clone()),
        ("token_sources[].routes[].template", path.clone()),
        ("token_sources[].routes[].upgrade", json!({"enum": [true, null]})),
        ("token_sources[].routes[].methods", some.clone()),
        ("token_sources[].routes[].methods", json!({"items": {"pattern": "^[A-Z-]+$"}})),
        ("token_sources[].routes[].hosts", some.clone()),
        ("routes[]", one_of(&[&["path"], &["prefix"], &["template"], &["preflight"]])),
        ("routes[]", given("access")),
        ("routes[].path", path.clone()),
        ("routes[].prefix", path.clone()),
        ("routes[].template", path),
        ("routes[].preflight", json!({"enum": [true, null]})),
        ("routes[].upgrade", json!({"enum": [true, null]})),
        ("routes[].methods", some.clone()),
        ("routes[].methods", json!({"items": {"pattern": "^[A-Z-]+$"}})),
        ("routes[].hosts", some),
        ("revocation.upstream.token", secret),
    ]
}

/// Returns the condition that exactly one of these groups of settings is written.
fn one_of(groups: &[&[&str]]) -> Value {
    let all =
        |names: &&[&str]| json!({"allOf": names.iter().copied().map(given).collect::<Vec<_>>()});
    json!({"oneOf": groups.iter().map(all).collect::<Vec<_>>()})
}

/// Returns the condition that this setting is written, and is not null, which mostly means absent.
fn given(name: &str) -> Value {
    json!({"required": [name], "properties": {name: {"not": {"type": "null"}}}})
}

const TITLE: &str = "session-guard: the filter's configuration";

/// The `$id` of the schema. It is a name and not an address, so nothing can be fetched from it.
const ID: &str = "urn:session-guard:configuration";
