//! Promise: the JSON Schemas of the filter's configuration, the issuers file and the tokens file agree with
//! the code that reads them. They accept everything that loads, and reject unknown names and wrong types as the
//! code does.
//! Method: a real validator checks all shipped files, and variants of them with one change.
//!
//! `UPDATE_DOCUMENTS=1 cargo test -p signout --test schema` regenerates the committed schemas.

use std::process::Command;
use std::{env, fs};

use jsonschema::Validator;
use serde_json::{Value, json};
use session_guard_core::config::schema::schema;
use session_guard_core::config::settings::SETTINGS;
use session_guard_core::config::{Config, ConfigError};
use signout::{access, issuers};
use testbed::repository;

#[test]
fn the_committed_schemas_equal_the_code() {
    for (committed, schema, arguments) in [
        ("docs/configuration.schema.json", schema(), ["schema"].as_slice()),
        ("docs/issuers.schema.json", issuers::schema::schema(), &["schema", "--issuers"]),
        ("docs/tokens.schema.json", access::schema::schema(), &["schema", "--tokens"]),
    ] {
        let made = format!("{schema:#}\n");
        if env::var_os("UPDATE_DOCUMENTS").is_some() {
            let path = format!("{}/../{committed}", env!("CARGO_MANIFEST_DIR"));
            fs::write(path, &made).expect("written");
        }
        let remedy = "run UPDATE_DOCUMENTS=1 cargo test -p signout --test schema";
        assert!(repository::read(committed) == made, "{committed}: {remedy}");
        let mut print = Command::new(env!("CARGO_BIN_EXE_signout"));
        let printed = print.args(arguments).output().unwrap();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), made);
    }
}

#[test]
fn every_issuers_file_in_the_documents_is_valid() {
    let validator = validator_of(&issuers::schema::schema());
    let files = issuers_files();
    assert!(files.len() > 5, "{}", files.len());
    for file in files {
        let wrong: Vec<_> = validator.iter_errors(&file).map(|error| error.to_string()).collect();
        assert_eq!(wrong, [""; 0], "{file:#}");
        read_issuers(&file).unwrap_or_else(|error| panic!("{error}: {file:#}"));
    }
}

#[test]
fn schema_and_service_agree_on_changed_issuers_files() {
    let schema = issuers::schema::schema();
    agree(&schema, &[every_issuer_setting()], read_issuers, 300, 10);
}

#[test]
fn every_setting_of_an_issuer_is_described_and_documented() {
    let (schema, document) = (issuers::schema::schema(), repository::read("docs/sessions.md"));
    let mut names = vec![];
    collect_names(&schema, &mut names);
    assert!(names.len() > 15, "{names:?}");
    for (name, setting) in names {
        assert!(setting["description"].is_string(), "{name}");
        let is_named =
            [format!("\"{name}\""), format!("{name}`")].iter().any(|it| document.contains(it));
        assert!(is_named, "{name}");
    }
}

#[test]
fn every_tokens_file_in_the_documents_is_valid() {
    let validator = validator_of(&access::schema::schema());
    let files = files_in(&["docs/operations.md"], "\"tokens\": [");
    assert!(!files.is_empty());
    for file in files {
        assert!(validator.is_valid(&file), "{file:#}");
        read_tokens(&file).unwrap_or_else(|error| panic!("{error}: {file:#}"));
    }
}

#[test]
fn schema_and_service_agree_on_changed_tokens_files() {
    let token = json!({"name": "support", "token": "a".repeat(64), "rights": ["revoke", "read"]});
    let hash = "0".repeat(64);
    let hashed =
        json!({"name": "audit", "token_sha256": hash, "rights": ["read"], "realms": ["shop", ""]});
    let file = json!({"tokens": [token, hashed]});
    agree(&access::schema::schema(), &[file], read_tokens, 100, 5);
}

#[test]
fn every_shipped_configuration_is_valid() {
    let (validator, shipped) = (validator(), repository::configurations());
    assert!(shipped.len() > 5, "{}", shipped.len());
    for (name, text) in shipped {
        let config: Value = serde_json::from_str(&text).expect("JSON");
        let wrong: Vec<_> = validator.iter_errors(&config).map(|error| error.to_string()).collect();
        assert_eq!(wrong, [""; 0], "{name}:\n{text}");
    }
}

#[test]
fn every_setting_is_described_with_its_default_and_its_limit() {
    let schema = schema();
    for setting in SETTINGS {
        let mut place = &schema;
        for name in setting.path.split('.') {
            place = &inner(place)["properties"][name.trim_end_matches("[]")];
            if name.ends_with("[]") {
                place = &inner(place)["items"];
            }
        }
        let place = inner(place);
        assert_eq!(place["description"], setting.about, "{}", setting.path);
        let default: Option<Value> =
            setting.default.map(|json| serde_json::from_str(json).unwrap());
        assert_eq!(place.get("default"), default.as_ref(), "{}", setting.path);
    }
}

#[test]
fn schema_and_filter_agree_on_changed_configurations() {
    agree(&schema(), &goods(), |config| parse(config).map(drop), 500, 50);
}

/// Checks that schema and code agree on every variant of these files. At least as many variants must
/// be rejected by both, and accepted by both, as the last arguments say.
fn agree(
    schema: &Value,
    goods: &[Value],
    read: impl Fn(&Value) -> Result<(), ConfigError>,
    least_refused: usize,
    least_loaded: usize,
) {
    let validator = validator_of(schema);
    let (mut refused_by_both, mut loaded) = (0, 0);
    for changed in goods.iter().flat_map(changes) {
        let valid = validator.is_valid(&changed);
        match read(&changed) {
            Ok(()) => {
                assert!(valid, "it loads, but the schema refuses it: {changed:#}");
                loaded += 1;
            }
            Err(error) if is_of_form(&error) => {
                assert!(!valid, "{error}, but the schema takes it: {changed:#}");
                refused_by_both += 1;
            }
            Err(_) => {} // more than a schema can know
        }
    }
    let enough = refused_by_both > least_refused && loaded > least_loaded;
    assert!(enough, "{refused_by_both} {loaded}");
}

#[test]
fn typical_mistakes_are_rejected() {
    let validator = validator();
    let key = json!({"algorithm": "HS256", "secret": {"env": "A"}});
    for (name, value) in [
        ("keys", json!([])),
        ("keys", json!([{"algorithm": "hs256", "secret": {"env": "A"}}])),
        ("keys", json!([{"algorithm": "none", "secret": {"env": "A"}}])),
        ("keys", json!([{"algorithm": "HS256"}])),
        ("keys", json!([{"secret": {"env": "A"}}])),
        ("keys", json!([{"algorithm": "HS256", "secret": {"env": "A", "inline": "b"}}])),
        ("keys", json!([{"algorithm": "HS256", "secret": {}}])),
        ("keys", json!([{"jwks": {"cluster": "a", "authority": "b"}}])),
        ("claims", json!({"clock_skew_seconds": 301})),
        ("claims", json!({"audience": "a"})),
        ("token_sources", json!([])),
        ("token_sources", json!([{"header": "a", "cookie": "b"}])),
        ("token_sources", json!([{"cookie": "a", "scheme": "Bearer"}])),
        ("routes", json!([{"path": "/"}])),
        ("routes", json!([{"path": "a", "access": "public"}])),
        ("routes", json!([{"path": "/", "prefix": "/", "access": "public"}])),
        ("routes", json!([{"preflight": false, "access": "public"}])),
        ("routes", json!([{"path": "/", "access": "open"}])),
        ("routes", json!([{"path": "/", "access": "public", "methods": ["get"]}])),
        ("default_access", json!("signout")),
        ("preset", json!("openwebui")),
        ("revocation", json!(null)),
        ("revocation", json!({"max_staleness_seconds": 2})),
        ("revocation", json!({"upstream": {"token": {}}})),
    ] {
        let mut config = json!({"keys": [key]});
        assert!(validator.is_valid(&config));
        config[name] = value;
        assert!(!validator.is_valid(&config), "{config:#}");
        assert!(parse(&config).is_err(), "{config:#}");
    }
    assert!(!validator.is_valid(&json!({})) && !validator.is_valid(&json!("")));
}

fn validator() -> Validator {
    validator_of(&schema())
}

fn validator_of(schema: &Value) -> Validator {
    assert!(jsonschema::meta::is_valid(schema), "no schema at all");
    jsonschema::validator_for(schema).expect("a schema")
}

fn read_issuers(file: &Value) -> Result<(), ConfigError> {
    let environment = |name: &str| Some(format!("{name:-<64}"));
    issuers::settings::read(file.to_string().as_bytes(), &environment).map(drop)
}

fn read_tokens(file: &Value) -> Result<(), ConfigError> {
    let (_, errors) = access::settings::read_all(file.to_string().as_bytes());
    errors.into_iter().next().map_or(Ok(()), Err)
}

/// Returns the issuers files in the documents.
fn issuers_files() -> Vec<Value> {
    files_in(&["docs/sessions.md", "examples/identity-provider/README.md"], "\"issuers\": [")
}

/// Returns the JSON blocks of the documents that contain the text.
fn files_in(documents: &[&str], text: &str) -> Vec<Value> {
    let documents = documents.iter().map(|name| repository::read(name));
    let blocks = documents.flat_map(|document| {
        let blocks = document.split("```json\n").skip(1);
        blocks.filter_map(|it| it.split("```").next().map(str::to_owned)).collect::<Vec<_>>()
    });
    let files = blocks.filter(|block| block.contains(text));
    files.map(|block| serde_json::from_str(&block).expect(&block)).collect()
}

/// Returns an issuers file in which every setting is written.
fn every_issuer_setting() -> Value {
    let [url, audiences] = [json!("https://id.example.com/x"), json!({"audiences": ["app"]})];
    json!({"issuers": [{
        "issuer": "https://id.example.com", "realm": "shop", "token_issuers": ["https://a.example"],
        "jwks": {"url": url, "refresh_seconds": 300}, "algorithms": ["RS256", "ES256"],
        "user_id": "email", "max_lifetime_seconds": 3600, "backchannel_logout": audiences,
        "events": {
            "audiences": ["app"], "types": ["session-revoked"],
            "transmitter": {"metadata": url, "token": {"env": "SSF_TOKEN"}, "poll": url},
        },
        "global_token_revocation": audiences, "token_revocation": true,
    }]})
}

/// Collects the settings of a schema, with their names.
fn collect_names<'a>(schema: &'a Value, names: &mut Vec<(&'a str, &'a Value)>) {
    for (name, setting) in schema["properties"].as_object().into_iter().flatten() {
        names.push((name, setting));
        collect_names(setting, names);
        collect_names(&setting["items"], names);
    }
}

fn parse(config: &Value) -> Result<Config, ConfigError> {
    let environment = |name: &str| Some(format!("{name:-<64}"));
    Config::parse(config.to_string().as_bytes(), &environment)
}

/// Returns whether a schema can express the error: an unknown name, or a value of the wrong type.
fn is_of_form(error: &ConfigError) -> bool {
    error.problem.starts_with("unknown field") || error.problem.starts_with("must be ")
}

/// Returns all shipped configurations, and one with every setting at its default.
fn goods() -> Vec<Value> {
    let shipped = repository::configurations();
    let shipped = shipped.iter().map(|(_, text)| serde_json::from_str(text).expect("JSON"));
    let key = json!({"algorithm": "HS256", "secret": {"env": "A"}});
    let whole = json!({"keys": [key], "routes": [{"path": "/a", "access": "signout"}],
        "token_sources": [{"header": "a"}], "revocation": {}});
    let effective = session_guard_core::config::effective::effective(whole.to_string().as_bytes());
    shipped.chain([effective.expect("readable")]).collect()
}

/// Returns variants of the configuration: for every place in it, one variant per change.
fn changes(good: &Value) -> Vec<Value> {
    let mut pointers = vec![];
    collect(good, String::new(), &mut pointers);
    let mut changed = vec![];
    for pointer in pointers {
        for value in [
            json!(null),
            json!(true),
            json!(0),
            json!(-1),
            json!(7),
            json!(1.5),
            json!(1e12),
            json!(""),
            json!("x"),
            json!("/x"),
            json!([]),
            json!(["x"]),
            json!([7]),
            json!({}),
            json!({"odd": 1}),
        ] {
            let mut copy = good.clone();
            let place = copy.pointer_mut(&pointer).expect("it is there");
            if place.is_object() && value.is_array() {
                continue; // core/src/config/tests.rs tests lists in place of objects
            }
            *place = value;
            changed.push(copy);
        }
        let mut copy = good.clone();
        if let Some(fields) = copy.pointer_mut(&pointer).and_then(Value::as_object_mut) {
            fields.insert("odd".to_owned(), json!(1));
            changed.push(copy);
        }
        let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
        let mut copy = good.clone();
        if let Some(fields) = copy.pointer_mut(parent).and_then(Value::as_object_mut) {
            fields.remove(name);
            changed.push(copy);
        }
    }
    changed
}

fn collect(value: &Value, pointer: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, it)| collect(it, format!("{pointer}/{name}"), found));
        }
        Value::Array(items) => {
            let items = items.iter().take(12).enumerate(); // the first of many similar ones
            items.for_each(|(at, it)| collect(it, format!("{pointer}/{at}"), found));
        }
        _ => {}
    }
    found.push(pointer);
}

/// Returns the schema itself, or the first alternative of an `anyOf`.
fn inner(schema: &Value) -> &Value {
    schema
        .get("anyOf")
        .map_or(schema, |any| if any[0].get("required").is_some() { schema } else { &any[0] })
}
