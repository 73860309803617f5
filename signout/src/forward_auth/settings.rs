//! Reads the filter's configuration for forward auth, and refuses what forward auth cannot do.
//!
//! A proxy that asks another server takes the decision and some headers from the response. Nothing
//! else is possible: the application's response does not pass here, so a `revoke_user` route would
//! never see a success; an open request cannot be ended; and no header, cookie or parameter can be
//! removed from the request, except the headers that the proxy overwrites. A configuration that
//! needs one of these does not load, because a rule without effect would protect in appearance
//! only.
//!
//! # What is replaced
//!
//! The service itself is the source of the revocations, so the core's calls to it need no cluster and
//! no secret of the operator. The API token of the configuration is replaced by a random one that
//! exists only in this process. A service that does not accept a sign-out makes it fail
//! (`when_unreachable: refuse`): there is no other process that could deliver it later.

use std::collections::HashMap;

use axum::http::HeaderName;
use serde_json::{Value, json};
use session_guard_core::config::effective::effective;
use session_guard_core::config::{Config, ConfigError};

use crate::check::ProcessEnvironment;
use crate::http::client::HttpClient;

/// A configuration of the filter that forward auth can apply.
pub struct GuardSettings {
    /// The JSON text for the core.
    pub(super) text: Vec<u8>,
    /// The headers that every response to an admitted request has.
    pub(super) names: Vec<HeaderName>,
    /// The address of each issuer of keys, by the name of its cluster.
    pub(super) origins: HashMap<String, String>,
    /// Fetches the keys.
    pub(super) client: HttpClient,
}

/// The surroundings in which a configuration is applied.
pub struct GuardContext<'a> {
    /// Returns the values of the variables with its secrets.
    pub environment: ProcessEnvironment<'a>,
    /// An API token that the service accepts.
    pub api_token: &'a str,
    /// The address of each issuer of keys, without a path, by the name of its cluster.
    pub origins: HashMap<String, String>,
    /// Fetches the keys.
    pub client: HttpClient,
}

/// Reads the JSON text of the filter's configuration.
///
/// # Errors
///
/// It is invalid, or needs something that forward auth cannot do.
pub fn read(text: &[u8], context: GuardContext<'_>) -> Result<GuardSettings, ConfigError> {
    let GuardContext { environment, api_token, origins, client } = context;
    let effective = effective(text)?;
    refuse_impossible(&effective, &origins)?;
    let mut config: Value = serde_json::from_slice(text).unwrap_or_default();
    let fields = config.as_object_mut().filter(|_| effective.get("revocation").is_some());
    let revocation = fields.map(|fields| fields.entry("revocation").or_insert_with(|| json!({})));
    if let Some(revocation) = revocation.and_then(Value::as_object_mut) {
        let mut set = |name: &str, field: &str, value| {
            let object = revocation.entry(name).or_insert_with(|| json!({}));
            if let Some(fields) = object.as_object_mut() {
                fields.insert(field.to_owned(), value);
            }
        };
        set("upstream", "token", json!({"inline": api_token}));
        set("signout", "when_unreachable", json!("refuse"));
        set("streams", "end_on_revocation", json!(false));
    }
    let text = config.to_string().into_bytes();
    let checked = Config::parse(&text, environment)?;
    let names = checked.upstream.names().map(HeaderName::from_bytes);
    let names = names.collect::<Result<_, _>>().map_err(|_| {
        ConfigError::new("forward", "has a name that no header can have", "rename the header")
    })?;
    Ok(GuardSettings { text, names, origins, client })
}

/// Refuses settings that need more than a decision and headers. `config` has all defaults.
fn refuse_impossible(config: &Value, origins: &HashMap<String, String>) -> Result<(), ConfigError> {
    let refused = |path: String, problem: &str, remedy: &str| {
        Err(ConfigError::new(path, format!("{problem} with --guard"), remedy))
    };
    let list = |name: &str| config.get(name).and_then(Value::as_array).into_iter().flatten();
    for (index, key) in list("keys").enumerate() {
        let cluster = key.pointer("/jwks/cluster").and_then(Value::as_str);
        if cluster.is_some_and(|cluster| !origins.contains_key(cluster)) {
            return refused(
                format!("keys[{index}].jwks.cluster"),
                "has no address",
                "give it with --guard-issuer CLUSTER=https://HOST, or use `jwks.inline`",
            );
        }
    }
    for (index, route) in list("routes").enumerate() {
        let path = |field: &str| format!("routes[{index}].{field}");
        if route.get("revoke_user").is_some_and(|it| !it.is_null()) {
            return refused(
                path("revoke_user"),
                "cannot work, because the application's response does not pass here,",
                "remove it, and let the application call POST /v1/revocations",
            );
        }
        if route.get("access").is_some_and(|access| access == "ready") {
            return refused(
                path("access"),
                "`ready` would reach the application",
                "remove the route, and use GET /readyz of --guard-listen",
            );
        }
    }
    if config.pointer("/forward/token").is_some_and(|token| token == "strip") {
        return refused(
            "forward.token".to_owned(),
            "`strip` is not possible",
            "set \"keep\", and remove the token in the proxy (docs/forward-auth.md)",
        );
    }
    if config.pointer("/revocation/streams/end_at_expiry").is_some_and(|it| it == true) {
        return refused(
            "revocation.streams.end_at_expiry".to_owned(),
            "is not possible",
            "set it to false: only the filter can end open requests",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "api-token-of-this-process-with-40-bytes";

    fn environment(name: &str) -> Option<String> {
        (name == "SESSION_SECRET").then(|| "long-enough-for-any-algorithm-and-secret".to_owned())
    }

    /// Reads a text where the cluster `idp` has an address.
    fn read_text(text: &str) -> Result<GuardSettings, ConfigError> {
        let context = GuardContext {
            environment: &environment,
            api_token: TOKEN,
            origins: [("idp".to_owned(), "https://id.example".to_owned())].into(),
            client: HttpClient::new(None).expect("a client"),
        };
        read(text.as_bytes(), context)
    }

    fn read_with(more: &str) -> Result<GuardSettings, ConfigError> {
        let keys = r#""keys": [{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}]"#;
        read_text(&format!("{{{keys}{more}}}"))
    }

    fn error_of(text: &str) -> ConfigError {
        read_text(text).err().expect("an error")
    }

    #[test]
    fn a_usual_configuration_needs_no_api_token() {
        let settings = read_with(
            r#", "revocation": {"upstream": {"token": {"env": "SIGNOUT_TOKEN"}}},
            "forward": {"claims": {"email": "x-email"}}"#,
        )
        .expect("loads");
        assert_eq!(settings.names, ["x-user-id", "x-email"]);
        let config: Value = serde_json::from_slice(&settings.text).unwrap();
        assert_eq!(config["revocation"]["upstream"]["token"], json!({"inline": TOKEN}));
        assert_eq!(config["revocation"]["signout"]["when_unreachable"], "refuse");
        assert_eq!(config["revocation"]["streams"]["end_on_revocation"], false);
    }

    #[test]
    fn a_configuration_that_only_verifies_stays_one() {
        let settings = read_with("").expect("loads");
        assert_eq!(
            serde_json::from_slice::<Value>(&settings.text).unwrap().get("revocation"),
            None
        );
    }

    #[test]
    fn what_forward_auth_cannot_do_does_not_load() {
        for (more, path) in [
            (
                r#", "revocation": {}, "routes": [{"path": "/", "access": "public"},
                {"path": "/u", "access": "protected", "revoke_user": "token"}]"#,
                "routes[1].revoke_user",
            ),
            (r#", "routes": [{"path": "/r", "access": "ready"}]"#, "routes[0].access"),
            (r#", "forward": {"token": "strip"}"#, "forward.token"),
            (
                r#", "revocation": {"streams": {"end_at_expiry": true}}"#,
                "revocation.streams.end_at_expiry",
            ),
        ] {
            let error = read_with(more).err().expect(more);
            assert_eq!(error.path, path);
            assert!(!error.remedy.is_empty(), "{error}");
        }
        let error = error_of(r#"{"preset": "open-webui"}"#);
        assert!(error.path.starts_with("routes["), "{error}");
    }

    #[test]
    fn a_fetched_key_set_needs_the_address_of_its_cluster() {
        let jwks = r#"{"keys": [{"jwks": {"cluster": "idp", "authority": "a", "path": "/"}}]}"#;
        assert!(read_text(jwks).is_ok());
        let error = error_of(&jwks.replace("idp", "other"));
        assert_eq!(error.path, "keys[0].jwks.cluster");
        assert!(error.remedy.contains("jwks.inline"), "{error}");
    }

    #[test]
    fn a_duplicate_name_does_not_load() {
        assert!(
            read_with(r#", "default_access": "protected", "default_access": "public""#).is_err()
        );
    }
}
