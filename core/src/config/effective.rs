//! Returns a configuration with all defaults and the settings of its preset filled in.
//!
//! The result is for people and programs that read configurations, not for the filter. It has the
//! same JSON form, loads, and has the same meaning. Secrets are replaced, except for the names of
//! the variables that contain them.

use serde_json::{Map, Value, json};

use crate::config::error::ConfigError;
use crate::config::lists::Names;
use crate::config::settings::SETTINGS;
use crate::config::variable::is_shown;
use crate::config::{preset, text};

/// Returns the configuration with absent settings filled in and without its secrets.
///
/// # Errors
///
/// The configuration cannot be parsed. It may still be invalid:
/// [`Config::parse`](crate::config::Config) checks that.
pub fn effective(written: &[u8]) -> Result<Value, ConfigError> {
    let filled = text::read(written)?.preset.map(|preset| preset::filled(preset, written));
    let unreadable = |_| ConfigError::new("", "cannot be read", "");
    let mut config: Value =
        serde_json::from_slice(filled.as_deref().unwrap_or(written)).map_err(unreadable)?;
    if let Some(fields) = config.as_object_mut() {
        fields.remove("preset"); // its settings are filled in; keeping it would add its routes twice
    }
    let only_verifies = config.get("revocation").is_none();
    for setting in SETTINGS {
        let path: Vec<_> = setting.path.split('.').collect();
        match setting.path {
            "claims.required" if only_verifies => fill(&mut config, &path, "", &json!(["exp"])),
            _ => {
                let default = setting.default.and_then(|json| serde_json::from_str(json).ok());
                default.into_iter().for_each(|it| fill(&mut config, &path, setting.path, &it));
            }
        }
    }
    hide_secrets(&mut config);
    Ok(config)
}

/// Returns the environment variables that the configuration names, one list for each secret. The
/// first variable of a list that is set is used.
///
/// # Errors
///
/// The configuration cannot be parsed.
pub fn variables(written: &[u8]) -> Result<Vec<Vec<String>>, ConfigError> {
    let mut config = text::read(written)?;
    if let Some(preset) = config.preset {
        config = text::read(&preset::filled(preset, written))?;
    }
    let keys = config.keys.into_iter().flatten().filter_map(|key| key.secret?.env);
    let service = config.revocation.and_then(|revocation| revocation.upstream.token.env);
    Ok(keys.chain(service).map(|Names(names)| names).collect())
}

/// Inserts a default at each place to which the path leads, if the setting is absent there.
fn fill(place: &mut Value, path: &[&str], setting: &str, default: &Value) {
    let (Some(fields), Some((name, rest))) = (place.as_object_mut(), path.split_first()) else {
        return;
    };
    let Some(name) = name.strip_suffix("[]") else {
        if rest.is_empty() {
            return fill_field(fields, name, setting, default);
        }
        if !fields.contains_key(*name) && !WHOLE.contains(name) {
            fields.insert((*name).to_owned(), json!({}));
        }
        return fields.get_mut(*name).into_iter().for_each(|it| fill(it, rest, setting, default));
    };
    let items = fields.get_mut(name).and_then(Value::as_array_mut);
    items.into_iter().flatten().for_each(|item| fill(item, rest, setting, default));
}

fn fill_field(fields: &mut Map<String, Value>, name: &str, setting: &str, default: &Value) {
    let has = |other: &str| fields.get(other).is_some_and(|value| !value.is_null());
    let is_meant = match setting {
        "keys[].weak_secret" => has("secret"),
        "keys[].jwks.refresh_seconds" => has("cluster"),
        "routes[].api_keys" => fields.get("access").is_some_and(|access| access == "protected"),
        "routes[].cross_site" => fields.get("access").is_some_and(|access| access == "signout"),
        _ => true,
    };
    // For these settings null is a value: it means no user, or no session.
    let means_none = matches!(name, "user_id" | "session_id");
    let is_written = has(name) || (means_none && fields.contains_key(name));
    if is_meant && !is_written {
        fields.insert(name.to_owned(), default.clone());
    }
}

/// Replaces every secret in the configuration. Of an inline JWK, keeps only its id, kind and
/// algorithm.
fn hide_secrets(config: &mut Value) {
    let keys = config.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten();
    for key in keys {
        key.get_mut("secret").into_iter().for_each(hide_secret);
        let set = key.pointer_mut("/jwks/inline/keys").and_then(Value::as_array_mut);
        for jwk in set.into_iter().flatten() {
            match jwk.as_object_mut() {
                Some(fields) => fields.retain(|name, _| OF_A_KEY.contains(&name.as_str())),
                None => *jwk = json!(HIDDEN),
            }
        }
    }
    config.pointer_mut("/revocation/upstream/token").into_iter().for_each(hide_secret);
}

fn hide_secret(secret: &mut Value) {
    if let Some(source) = secret.pointer_mut("/sds/sds_config").filter(|source| !source.is_null()) {
        *source = json!(HIDDEN); // it may contain a credential for the discovery service
    }
    if let Some(inline) = secret.get_mut("inline").filter(|inline| !inline.is_null()) {
        *inline = json!(HIDDEN);
    }
    // A user may have written the secret in place of the variable's name, so it must not be shown.
    match secret.get_mut("env") {
        Some(Value::Array(names)) => names.iter_mut().for_each(hide_unless_a_name),
        Some(name) => hide_unless_a_name(name),
        None => {}
    }
}

fn hide_unless_a_name(name: &mut Value) {
    if !name.as_str().is_some_and(is_shown) {
        *name = json!(HIDDEN);
    }
}

/// Objects whose absence has a meaning. They are not created only to contain a default.
const WHOLE: &[&str] = &["revocation", "secret", "sds", "jwks"];

/// The members of a JWK that may be shown.
const OF_A_KEY: &[&str] = &["kid", "kty", "alg", "crv", "use", "key_ops"];

const HIDDEN: &str = "(hidden)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::preset::OPEN_WEBUI;

    const LONG: &str = "long-enough-for-any-algorithm-and-known-to-nobody-but-this-one-test";

    fn shown(text: &str) -> String {
        let environment = |_: &str| Some(LONG.to_owned());
        format!("{:?}", Config::parse(text.as_bytes(), &environment).expect("loads"))
    }

    fn filled(text: &str) -> Value {
        effective(text.as_bytes()).expect("readable")
    }

    #[test]
    fn the_effective_configuration_means_the_same() {
        for text in [
            r#"{"keys": [{"algorithm": "HS256", "secret": {"env": "A"}}]}"#,
            r#"{"keys": [{"algorithm": "HS256", "secret": {"env": "A"}}], "revocation": {}}"#,
            r#"{"keys": [{"algorithm": "HS256", "secret": {"env": ["A", "B"]}},
                {"jwks": {"cluster": "c", "authority": "a", "path": "/"}}],
                "claims": {"user_id": null, "clock_skew_seconds": null, "required": null},
                "forward": {"user_id": null}, "revocation": {"streams": {}},
                "routes": [{"path": "/out", "access": "signout"}, {"path": "/", "access": "public"}]}"#,
            r#"{"preset": "open-webui"}"#,
            r#"{"preset": "open-webui", "routes": [{"path": "/x", "access": "public"}]}"#,
            OPEN_WEBUI,
        ] {
            let config = filled(text);
            assert_eq!(shown(&config.to_string()), shown(text), "{config:#}");
            assert_eq!(filled(&config.to_string()), config, "nothing is left to fill in");
        }
    }

    #[test]
    fn absent_settings_are_filled_in() {
        let config = filled(r#"{"keys": [], "routes": [{"access": "signout"}]}"#);
        assert_eq!(config["claims"]["required"], json!(["exp"]));
        assert_eq!(config["routes"][0]["cross_site"], "forward");
        assert_eq!(config.get("revocation"), None, "it would mean another thing");
        let config = filled(r#"{"revocation": {}, "claims": {"user_id": null}}"#);
        assert_eq!(config["claims"]["required"], json!(["exp", "jti"]));
        assert_eq!(config["claims"]["user_id"], Value::Null);
        assert_eq!(config["revocation"]["signout"]["timeout_seconds"], 2);
    }

    #[test]
    fn secrets_are_hidden() {
        let canary = "c0ffee15c0ffee15c0ffee15c0ffee15";
        let config = json!({
            "keys": [
                {"algorithm": "HS256", "secret": {"inline": canary}},
                {"algorithm": "HS256", "secret": {"env": canary}},
                {"algorithm": "HS256", "secret": {"sds": {"name": "a", "sds_config": {"b": canary}}}},
                {"algorithm": "HS256", "secret": {"env": ["OK", canary.to_uppercase().repeat(2)]}},
                {"jwks": {"inline": {"keys": [{"kty": "oct", "k": canary, "kid": "a"}, canary]}}},
            ],
            "revocation": {"upstream": {"token": {"inline": canary}}},
        });
        let shown = filled(&config.to_string()).to_string();
        assert!(!shown.to_lowercase().contains(canary), "{shown}");
        assert!(shown.contains("\"OK\"") && shown.contains("\"a\""), "{shown}");
    }

    #[test]
    fn every_environment_variable_is_returned() {
        let text = r#"{"preset": "open-webui", "keys": [
            {"algorithm": "HS256", "secret": {"env": "A"}},
            {"algorithm": "HS256", "secret": {"env": ["B", "C"]}}]}"#;
        let names = variables(text.as_bytes()).expect("readable");
        assert_eq!(names, [vec!["A"], vec!["B", "C"], vec!["SIGNOUT_TOKEN"]]);
    }
}
