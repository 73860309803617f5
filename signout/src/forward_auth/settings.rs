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

use axum::http::HeaderName;
use serde_json::{Value, json};
use session_guard_core::config::effective::effective;
use session_guard_core::config::{Config, ConfigError};

use crate::check::ProcessEnvironment;

/// A configuration of the filter that forward auth can apply.
#[derive(Debug)]
pub struct GuardSettings {
    /// The JSON text for the core.
    pub(super) text: Vec<u8>,
    /// The headers that every response to an admitted request has.
    pub(super) names: Vec<HeaderName>,
}

/// Reads the JSON text of the filter's configuration. `environment` returns the values of the
/// variables with its secrets. `api_token` is an API token that the service accepts.
///
/// # Errors
///
/// It is invalid, or needs something that forward auth cannot do.
pub fn read(
    text: &[u8],
    environment: ProcessEnvironment<'_>,
    api_token: &str,
) -> Result<GuardSettings, ConfigError> {
    let effective = effective(text)?;
    refuse_impossible(&effective)?;
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
    Ok(GuardSettings { text, names })
}

/// Refuses settings that need more than a decision and headers. `config` has all defaults.
fn refuse_impossible(config: &Value) -> Result<(), ConfigError> {
    let refused = |path: String, problem: &str, remedy: &str| {
        Err(ConfigError::new(path, format!("{problem} with --guard"), remedy))
    };
    let list = |name: &str| config.get(name).and_then(Value::as_array).into_iter().flatten();
    for (index, key) in list("keys").enumerate() {
        if key.pointer("/jwks/cluster").is_some_and(|cluster| !cluster.is_null()) {
            return refused(
                format!("keys[{index}].jwks.cluster"),
                "cannot be fetched, because only a proxy has clusters,",
                "write the key set as `jwks.inline`, or each key as `public_key_pem`",
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

    fn read_with(more: &str) -> Result<GuardSettings, ConfigError> {
        let keys = r#""keys": [{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}]"#;
        read(format!("{{{keys}{more}}}").as_bytes(), &environment, TOKEN)
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
            let error = read_with(more).expect_err(more);
            assert_eq!(error.path, path);
            assert!(!error.remedy.is_empty(), "{error}");
        }
        let jwks = r#"{"keys": [{"jwks": {"cluster": "idp", "authority": "a", "path": "/"}}]}"#;
        let error = read(jwks.as_bytes(), &environment, TOKEN).expect_err("not fetched");
        assert_eq!(error.path, "keys[0].jwks.cluster");
        assert!(error.remedy.contains("jwks.inline"), "{error}");
        let preset = br#"{"preset": "open-webui"}"#;
        let error = read(preset, &environment, TOKEN).expect_err("it has such routes");
        assert!(error.path.starts_with("routes["), "{error}");
    }

    #[test]
    fn a_duplicate_name_does_not_load() {
        assert!(
            read_with(r#", "default_access": "protected", "default_access": "public""#).is_err()
        );
    }
}
