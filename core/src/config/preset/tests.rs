//! Promise: written settings take precedence, and absent ones are filled in. Method: each text is
//! compared with the equivalent complete configuration. The facts of the preset are checked with
//! requests and their routes.
use serde_json::{Value, json};

use super::*;
use crate::config::{Config, ConfigError};
use crate::headers::Headers;
use crate::refusal::Refusal;
use crate::request::routes::{Access, RevokeUser};

const SECRET: &str = "a9f3c1e07b52d8460f1e2d3c4b5a6978";
const OLD_SECRET: &str = "b9f3c1e07b52d8460f1e2d3c4b5a6978";

fn environment(name: &str) -> Option<String> {
    match name {
        "WEBUI_SECRET_KEY" | "OTHER" => Some(SECRET.to_owned()),
        "SIGNOUT_TOKEN" => Some("api-token".to_owned()),
        _ => None,
    }
}

fn parse(written: &Value) -> Result<Config, ConfigError> {
    Config::parse(written.to_string().as_bytes(), &environment)
}

fn facts() -> Value {
    serde_json::from_str(OPEN_WEBUI).expect("JSON")
}

/// Returns the preset's facts with another value at this path.
fn facts_with(pointer: &[&str], value: Value) -> Value {
    let mut facts = facts();
    let mut place = &mut facts;
    for name in pointer {
        place = &mut place[name];
    }
    *place = value;
    facts
}

#[test]
fn written_settings_take_precedence_over_the_preset() {
    let other_key = json!([{"algorithm": "HS512", "secret": {"inline": "x".repeat(64)}}]);
    let source = json!([{"cookie": "other"}]);
    for (written, expected) in [
        (json!({}), facts()),
        (json!({"keys": other_key}), facts_with(&["keys"], other_key.clone())),
        (json!({"token_sources": source}), facts_with(&["token_sources"], source.clone())),
        (json!({"claims": {}}), facts()),
        (json!({"claims": {"user_id": "sub"}}), facts_with(&["claims", "user_id"], json!("sub"))),
        (
            json!({"claims": {"required": ["exp"]}}),
            facts_with(&["claims", "required"], json!(["exp"])),
        ),
        (
            json!({"claims": {"max_lifetime_seconds": 2_419_200}}),
            facts_with(&["claims", "max_lifetime_seconds"], json!(2_419_200)),
        ),
        (
            json!({"answers": {"unavailable": "wait"}}),
            facts_with(&["answers", "unavailable"], json!("wait")),
        ),
        (
            json!({"answers": {"invalid_token": "no"}}),
            facts_with(&["answers", "invalid_token"], json!("no")),
        ),
        (
            json!({"default_access": "protected"}),
            facts_with(&["default_access"], json!("protected")),
        ),
        (json!({"forward": {"user_id": null}}), facts_with(&["forward", "user_id"], json!(null))),
        (
            json!({"revocation": {"when_unknown": "use_last"}}),
            facts_with(&["revocation", "when_unknown"], json!("use_last")),
        ),
        (
            json!({"revocation": {"upstream": {"token": {"inline": "abc"}}}}),
            facts_with(&["revocation", "upstream"], json!({"token": {"inline": "abc"}})),
        ),
        (json!({"routes": []}), facts()),
    ] {
        let mut with_preset = written.clone();
        with_preset["preset"] = json!("open-webui");
        let shown = |config| format!("{:?}", parse(&config).expect("loads"));
        assert_eq!(shown(with_preset), shown(expected), "{written}");
    }
}

#[test]
fn written_rules_come_before_the_presets_and_replace_none() {
    let config = parse(&json!({"preset": "open-webui", "routes": [
        {"path": "/api/models", "access": "public"},
        {"path": "/metrics", "access": "protected"},
    ]}));
    let config = config.expect("loads");
    for (method, path, access) in [
        ("GET", "/api/models", Access::Public),
        ("GET", "/metrics", Access::Protected),
        ("GET", "/api/v1/chats/", Access::Protected),
        ("POST", "/api/v1/auths/signout", Access::Signout),
    ] {
        assert_eq!(access_of(&config, method, path), access, "{method} {path}");
    }
}

#[test]
fn errors_are_the_same_with_and_without_a_preset() {
    for (written, at) in [
        (json!({"preset": "open-webui", "claim": {}}), "claim"),
        (json!({"preset": "open-webui", "keys": []}), "keys"),
        (
            json!({"preset": "open-webui", "routes": [{"path": "a", "access": "public"}]}),
            "routes[0].path",
        ),
        (json!({"preset": "open-webui", "routes": null}), "routes"),
        (json!({"preset": "open-webui", "claims": {"user_id": 5}}), "claims.user_id"),
        (json!({"preset": "open-webui", "revocation": null}), "revocation"),
        (
            json!({"preset": "open-webui", "answers": {"invalid_token": ""}}),
            "answers.invalid_token",
        ),
        (json!({"preset": "other"}), "preset"),
        (json!({"preset": null}), "preset"),
        (json!({"preset": ["open-webui"]}), "preset"),
    ] {
        assert_eq!(parse(&written).expect_err("wrong").path, at, "{written}");
    }
    let twice = br#"{"preset": "open-webui", "claims": {"user_id": "a", "user_id": "b"}}"#;
    let error = Config::parse(twice, &environment).expect_err("twice");
    assert_eq!(error.path, "claims.user_id");
}

/// A written value is checked as the text that was written, not as another parser has interpreted
/// it.
#[test]
fn a_preset_also_leaves_out_a_key_with_duplicate_names() {
    let jwk = r#"{"kty": "oct", "alg": "HS256", "k": "AA", "k": "AA"}"#;
    let text =
        |preset| format!(r#"{{{preset} "keys": [{{"jwks": {{"inline": {{"keys": [{jwk}]}}}}}}]}}"#);
    let error = |text: String| Config::parse(text.as_bytes(), &environment).expect_err("no key");
    assert_eq!(error(text(r#""preset": "open-webui","#)), error(text("")));
}

#[test]
fn the_secret_is_the_first_variable_that_is_set() {
    let parse = |environment: &dyn Fn(&str) -> Option<String>| {
        Config::parse(br#"{"preset": "open-webui"}"#, environment)
    };
    let token = |name: &str| (name == "SIGNOUT_TOKEN").then(|| "api-token".to_owned());
    let new = |name: &str| (name == "WEBUI_SECRET_KEY").then(|| SECRET.to_owned());
    let old = |name: &str| (name == "WEBUI_JWT_SECRET_KEY").then(|| OLD_SECRET.to_owned());
    let keys = |config: Config| format!("{:?}", config.keys);
    assert!(parse(&|name| token(name).or(new(name))).is_ok());
    assert!(parse(&|name| token(name).or(old(name))).is_ok());
    assert_eq!(parse(&token).map(keys).expect_err("no secret").path, "keys[0].secret.env");
    let known = |name: &str| Some(token(name).unwrap_or("t0p-s3cr3t".to_owned()));
    assert_eq!(parse(&known).map(keys).expect_err("known").path, "keys[0].secret");
}

#[test]
fn refusals_use_sentences_that_the_front_end_knows() {
    let config = parse(&json!({"preset": "open-webui"})).expect("loads");
    let detail = |refusal| config.sentences.answer(refusal).detail.to_owned();
    for refusal in Refusal::ALL {
        let ours = refusal.answer().detail;
        match refusal {
            Refusal::Unavailable => assert_eq!(detail(refusal), ours),
            _ => assert_eq!(
                detail(refusal),
                "Your session has expired or the token is invalid. Please sign in again."
            ),
        }
    }
}

#[test]
fn each_request_has_the_expected_route() {
    let config = parse(&json!({"preset": "open-webui"})).expect("loads");
    for (access, requests) in ROUTES_OF_OPEN_WEBUI {
        for request in *requests {
            let (method, path) = request.split_once(' ').expect("method and path");
            assert_eq!(access_of(&config, method, path), *access, "{request}");
        }
    }
}

#[test]
fn routes_that_end_all_sessions_name_their_user() {
    let config = parse(&json!({"preset": "open-webui"})).expect("loads");
    let named = |id: &'static str| Some(RevokeUser::Named(id.into()));
    for (request, user) in [
        ("POST /api/v1/auths/update/password", Some(RevokeUser::OfToken)),
        ("POST /api/v1/users/u-1/update", named("u-1")),
        ("POST /api/v1/users/u-1/sessions/revoke", named("u-1")),
        ("DELETE /api/v1/users/u-1", named("u-1")),
        ("DELETE /api/v1/scim/v2/Users/u-1", named("u-1")),
        ("GET /api/v1/users/u-1", None),
        ("GET /api/v1/users/u-1/info", None),
        ("POST /api/v1/users/user/settings/update", None),
        ("POST /api/v1/auths/update/profile", None),
        ("PATCH /api/v1/scim/v2/Users/u-1", None),
        ("POST /api/v1/auths/signout", None),
    ] {
        let (method, path) = request.split_once(' ').expect("method and path");
        let headers =
            Headers::from_pairs(&[(":method", method.as_bytes()), (":path", path.as_bytes())]);
        assert_eq!(config.routes.find(&headers).revoke_user, user, "{request}");
    }
}

/// The paths of the sockets in 0.12, and some that later versions may use.
#[test]
fn every_upgrade_needs_a_token_and_takes_no_api_key() {
    let config = parse(&facts()).expect("loads");
    for path in [
        "/ws/socket.io/?EIO=4&transport=websocket",
        "/api/v1/terminals/s/api/terminals/t",
        "/api/v1/audio/realtime",
        "/",
        "/static/socket",
        "/api/config",
        "/api/v1/scim/v2/socket",
        "/of-a-later-version",
    ] {
        let http1 = [(":method", "GET"), ("connection", "upgrade"), ("upgrade", "websocket")];
        let http2 = [(":method", "CONNECT"), (":protocol", "websocket")];
        for lines in [&http1[..], &http2] {
            let headers = Headers::from_pairs(&[lines, &[(":path", path)]].concat());
            let route = config.routes.find(&headers);
            assert_eq!((route.access, route.api_keys), (Access::Protected, false), "{path}");
        }
    }
}

fn access_of(config: &Config, method: &str, path: &str) -> Access {
    let headers =
        Headers::from_pairs(&[(":method", method.as_bytes()), (":path", path.as_bytes())]);
    config.routes.find(&headers).access
}

/// The requests of the page of 0.12.4, and others. Requests that do not depend on a user are
/// public, optional or use their own key.
const ROUTES_OF_OPEN_WEBUI: &[(Access, &[&str])] = &[
    (Access::Ready, &["GET /.session-guard/ready"]),
    (Access::Signout, &["POST /api/v1/auths/signout"]),
    (
        Access::Public,
        &[
            "POST /api/v1/auths/signin",
            "POST /api/v1/auths/signup",
            "POST /api/v1/auths/ldap",
            "POST /api/v1/auths/oauth/google/token/exchange",
            "POST /api/v1/auths/mfa/challenge",
            "POST /api/v1/auths/mfa/enroll/start",
            "POST /api/v1/auths/mfa/enroll/confirm",
            "POST /api/v1/auths/mfa/verify",
            "POST /api/v1/auths/mfa/recover",
            "GET /api/v1/scim/v2/ServiceProviderConfig",
            "GET /api/v1/scim/v2/Users",
            "PATCH /api/v1/scim/v2/Users/u-1",
            "DELETE /api/v1/scim/v2/Groups/g-1",
            "POST /api/v1/channels/webhooks/w-1/secret",
            "GET /ollama/",
            "HEAD /ollama/",
        ],
    ),
    (
        Access::Optional,
        &[
            "GET /",
            "GET /auth",
            "GET /c/0a1b",
            "GET /s/0a1b",
            "GET /admin/users",
            "GET /_app/immutable/nodes/0.zfrqCKbs.js",
            "GET /static/favicon.png",
            "GET /pyodide/pyodide.mjs",
            "GET /manifest.json",
            "GET /health",
            "GET /ready",
            "GET /api/config",
            "GET /api/version",
            "GET /api/changelog",
            "GET /api/v1/chats/share/0a1b",
            "GET /oauth/google/login",
            "GET /oauth/google/login/callback",
            "GET /oauth/clients/c-1/callback",
            "POST /oauth/backchannel-logout",
            "GET /of-a-later-version",
        ],
    ),
    (
        Access::Protected,
        &[
            "GET /api/v1/auths/",
            "GET /api/v1/auths/signout",
            "POST /api/v1/auths/update/password",
            "POST /api/v1/auths/add",
            "GET /api/v1/auths/api_key",
            "GET /api/v1/auths/mfa/status",
            "POST /api/v1/auths/mfa/replace",
            "GET /api/v1/users/",
            "DELETE /api/v1/users/u-1",
            "POST /api/v1/users/u-1/update",
            "GET /api/v1/chats/",
            "POST /api/chat/completions",
            "GET /api/models",
            "GET /api/v1/files/f-1/content",
            "GET /api/v1/of-a-later-version",
            "GET /api/v1/auths/signin",
            "GET /ollama/api/tags",
            "POST /openai/chat/completions",
            "GET /cache/image/generations/1.png",
            "GET /oauth/clients/c-1/authorize",
            "GET /ws/socket.io/",
            "GET /api/v1/terminals/s/api/terminals/t",
            "GET /API/v1/chats/",
            "GET //api/v1/chats/",
            "GET /static/../api/v1/chats/",
            "GET /api%2Fv1/chats/",
        ],
    ),
];
