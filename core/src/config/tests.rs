//! Promise: each setting loads within its limits only, and an error names the field but never its
//! value. Tests compare values, not messages.
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::settings::{ANY, Form, SETTINGS, Setting};
use super::*;
use crate::headers::Headers;
use crate::keys::fixtures::{P_256, RSA_1024, RSA_2048, TOKENS};
use crate::token::ClaimPath;

const SECRET: &str = "a9f3c1e07b52d8460f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978";

/// The example of the contract, with the keys that this version supports.
const EXAMPLE: &str = r#"{
  "keys": [
    {"id": "2026-11", "algorithm": "HS256", "secret": {"env": "SESSION_SECRET", "encoding": "utf8"}},
    {"algorithm": "HS256", "secret": {"inline": "a9f3c1e07b52d8460f1e2d3c4b5a6978"}}
  ],
  "claims": {"issuer": null, "audiences": [], "user_id": "sub", "required": ["exp", "jti"],
    "clock_skew_seconds": 60, "max_lifetime_seconds": null},
  "token_sources": [{"header": "authorization", "scheme": "Bearer"}, {"cookie": "token"},
    {"query": "access_token"}],
  "forward": {"user_id": "x-user-id", "claims": {}, "token": "keep"},
  "routes": [
    {"path": "/health", "access": "public"},
    {"prefix": "/static/", "access": "public", "hosts": ["app.example.com", "*.example.com"]},
    {"preflight": true, "access": "public"},
    {"path": "/api/config", "access": "optional"},
    {"path": "/api/v1/auths/signout", "methods": ["POST"], "access": "signout"},
    {"template": "/api/v1/users/{id}", "methods": ["DELETE"], "access": "protected",
      "revoke_user": {"segment": "id"}},
    {"path": "/.session-guard/ready", "access": "ready"}
  ],
  "default_access": "protected",
  "revocation": {
    "upstream": {"cluster": "signout", "authority": "signout", "token": {"env": "SIGNOUT_TOKEN"}},
    "realm": "", "max_staleness_seconds": 300, "when_unknown": "refuse",
    "signout": {"timeout_seconds": 2, "when_unreachable": "forward"},
    "streams": {"end_on_revocation": true, "end_at_expiry": false}
  }
}"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "SESSION_SECRET" => Some(SECRET.to_owned()),
        "SIGNOUT_TOKEN" => Some("api-token-1,api-token-2".to_owned()),
        "EMPTY" => Some(String::new()),
        "WITH_NEWLINE" => Some(format!("{SECRET}\n")),
        "KNOWN" => Some("t0p-s3cr3t".to_owned()),
        "WRAPPED_BASE64" => {
            Some("AAECAwQFBgcICQoLDA0ODxAREhMU\nFRYXGBkaGxwdHh8gISIjJCU=\n".to_owned())
        }
        "SPACED" => Some("api token".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text.as_bytes(), &environment)
}

/// Returns the smallest valid configuration with a signout service.
fn least() -> Value {
    json!({
        "keys": [{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}],
        "revocation": {},
    })
}

/// Returns [`least`] with `value` at `path`. Both `[]` and `[0]` mean the first item of a list.
fn with(path: &str, value: Value) -> Value {
    let mut config = least();
    if path.starts_with("keys[].jwks.refresh") {
        let set = json!({"cluster": "idp", "authority": "id.example.com", "path": "/jwks.json"});
        config["keys"] = json!([{"jwks": set}]);
    }
    let mut place = &mut config;
    for name in path.split('.') {
        let list = name.find('[');
        if place.is_null() {
            *place = json!({});
        }
        place = &mut place[&name[..list.unwrap_or(name.len())]];
        if list.is_some() {
            if place.is_null() {
                *place = json!([null]);
            }
            place = &mut place[0];
        }
    }
    *place = value;
    config
}

/// Returns the path of the error, or an empty text if the configuration loads.
fn wrong(config: &Value) -> String {
    match parse(&config.to_string()) {
        Ok(_) => String::new(),
        Err(error) if error.path.is_empty() => "configuration".to_owned(),
        Err(error) => error.path,
    }
}

/// Checks, for each value at `path`, the path of the error.
fn check(path: &str, table: &[(Value, &str)]) {
    for (value, at) in table {
        assert_eq!(wrong(&with(path, value.clone())), *at, "{path}: {value}");
    }
}

#[test]
fn the_example_of_the_documentation_loads() {
    let config = parse(EXAMPLE).expect("the example");
    let revocation = config.revocation.expect("a service");
    assert_eq!(revocation.token.expose(), b"api-token-1");
    assert_eq!(revocation.max_staleness_seconds, 300);
    assert_eq!(config.policy.required, ["exp", "jti"].map(ClaimPath::from));
    assert_eq!(config.policy.forwarded, [] as [ClaimPath; 0]);
    assert_eq!(config.warnings.len(), 1, "of the inline secret: {:?}", config.warnings);
}

#[test]
fn absent_settings_have_the_defaults_of_the_table() {
    let mut written = least();
    for Setting { path, default, .. } in SETTINGS {
        let Some(default) = default.filter(|_| !path.contains("[]")) else { continue };
        let mut place = &mut written;
        for name in path.split('.') {
            place = &mut place[name];
        }
        *place = serde_json::from_str(default).expect("JSON");
    }
    let shown = |config: &Value| format!("{:?}", parse(&config.to_string()).expect("loads"));
    assert_eq!(shown(&written), shown(&least()));
}

#[test]
fn every_value_is_explained_once() {
    // `signout check` composes the sentences of these from several settings.
    let is_composed = |path: &str| {
        let groups =
            ["preset", "keys", "token_sources", "routes", "answers", "revocation.upstream"];
        let single = ["claims.user_id", "claims.values", "forward.user_id", "forward.claims"];
        groups.iter().any(|group| path.starts_with(group))
            || single.contains(&path)
            || path == "default_access"
    };
    for Setting { path, says, .. } in SETTINGS {
        assert_eq!(says.is_empty(), is_composed(path), "{path}");
        for (at, (value, _)) in says.iter().enumerate() {
            let is_last = at + 1 == says.len();
            let loads = || match serde_json::from_str(value) {
                Ok(value) => wrong(&with(path, value)).is_empty(),
                Err(_) => false,
            };
            assert!(*value == ANY && is_last || loads(), "{path}: {value}");
        }
    }
}

#[test]
fn jti_is_required_by_default_with_revocation() {
    let mut config = least();
    let required = |config: &Value| parse(&config.to_string()).expect("loads").policy.required;
    assert_eq!(required(&config), ["exp", "jti"].map(ClaimPath::from));
    config.as_object_mut().unwrap().remove("revocation");
    assert_eq!(required(&config), ["exp"].map(ClaimPath::from));
    config["claims"] = json!({"required": []});
    assert_eq!(required(&config), [] as [ClaimPath; 0]);
}

#[test]
fn every_number_loads_up_to_its_limits() {
    for Setting { path, form, .. } in SETTINGS {
        let Form::Number(whole) = form else { continue };
        for (number, at) in [
            (i128::from(whole.least), ""),
            (i128::from(whole.most), ""),
            (i128::from(whole.least) - 1, *path),
            (i128::from(whole.most) + 1, *path),
        ] {
            let number = json!(i64::try_from(number).unwrap());
            let at = at.replace("[]", "[0]");
            assert_eq!(wrong(&with(path, number.clone())), at, "{path}: {number}");
        }
        let at = path.replace("[]", "[0]");
        assert_eq!(wrong(&with(path, json!(2.5))), at);
        assert_eq!(wrong(&with(path, json!("60"))), at);
    }
}

#[test]
fn the_parser_accepts_only_the_choices_of_the_table() {
    for Setting { path, form, .. } in SETTINGS {
        let Form::Choice(choices) = form else { continue };
        let whole_path = path.replace("[]", "[0]");
        let known = |value: &str| {
            let error = parse(&with(path, json!(value)).to_string()).err();
            // Some choices need other settings, too. Only the error about the name itself matters
            // here.
            error.is_none_or(|e| e.path != whole_path || !e.problem.starts_with("must be "))
        };
        for choice in *choices {
            assert!(known(choice), "{path}: {choice}");
        }
        if !path.ends_with("algorithm") {
            assert!(!known("other"), "{path}");
        }
        assert_eq!(wrong(&with(path, json!("other"))), whole_path);
    }
}

#[test]
fn the_table_names_every_setting_that_the_parser_knows() {
    // The list comes from the parser: it names the expected fields when it meets an unknown one.
    let places = [
        "",
        "keys[]",
        "keys[].secret",
        "keys[].secret.sds",
        "keys[].jwks",
        "claims",
        "token_sources[]",
        "token_sources[].routes[]",
        "forward",
        "answers",
        "routes[]",
        "revocation",
        "revocation.upstream",
        "revocation.signout",
        "revocation.streams",
    ];
    for place in places {
        let name = if place.is_empty() { "odd".to_owned() } else { format!("{place}.odd") };
        let error = parse(&with(&name, json!(1)).to_string()).expect_err("unknown");
        assert_eq!(error.path, name.replace("[]", "[0]"));
        let (_, known) = error.problem.split_once("expected ").expect("a list");
        for known in known.split('`').skip(1).step_by(2) {
            let path = if place.is_empty() { known.to_owned() } else { format!("{place}.{known}") };
            let listed =
                SETTINGS.iter().any(|s| s.path == path || s.path.starts_with(&format!("{path}.")));
            assert!(listed, "{path}");
        }
    }
}

#[test]
fn a_text_that_is_no_configuration_is_refused() {
    let struct_bytes = b"\n\x14\n\x04keys\x12\x0c2\n\n\x08*\x06\n\x04\n\x02id";
    for text in [&b""[..], b" \n", b"[]", b"null", b"{", b"{}x", b"\xff", b"keys: []", struct_bytes]
    {
        let error = Config::parse(text, &environment).expect_err("no configuration");
        assert_eq!(error.path, "", "{}", text.escape_ascii());
    }
    assert_eq!(parse("{}").expect_err("empty").path, "keys");
    let told = |text: &[u8]| Config::parse(text, &environment).expect_err("refused").to_string();
    assert!(told(struct_bytes).contains("StringValue") && told(b"").contains("StringValue"));
    let long = format!("{{}}{}", " ".repeat(settings::CONFIGURATION_BYTES));
    assert_eq!(parse(&long).expect_err("long").path, "");
}

#[test]
fn a_duplicate_name_is_refused_at_every_level() {
    for (text, at) in [
        (r#"{"keys": [], "keys": []}"#, "keys"),
        (r#"{"claims": {"user_id": "a", "user_id": "b"}}"#, "claims.user_id"),
        (r#"{"forward": {"claims": {"a": "x-a", "a": "x-b"}}}"#, "forward.claims"),
    ] {
        assert_eq!(parse(text).expect_err("twice").path, at);
    }
}

#[test]
fn keys_are_checked() {
    let key = |more: Value| {
        let mut key = json!({"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    check(
        "keys",
        &[
            (json!([]), "keys"),
            (json!(null), "keys"),
            (json!([key(json!({"id": "a"})), key(json!({"id": "b"}))]), ""),
            (json!([key(json!({"id": "a"})), key(json!({"id": "a"}))]), "keys[1].id"),
            (json!([key(json!({"id": "a"})), key(json!({"id": "a", "algorithm": "HS512"}))]), ""),
            (json!([key(json!({"id": "a"})), key(json!({"id": "a", "issuer": "b"}))]), ""),
            (json!(vec![key(json!({})); 8]), ""),
            (json!(vec![key(json!({})); 9]), "keys[8]"),
            (json!((0..9).map(|n| key(json!({"id": n.to_string()}))).collect::<Vec<_>>()), ""),
            (json!([key(json!({"id": ""}))]), "keys[0].id"),
            (json!([key(json!({"id": "a".repeat(257)}))]), "keys[0].id"),
            (json!([key(json!({"issuer": "a", "audiences": ["b", "c"]}))]), ""),
            (json!([key(json!({"audiences": ["b", "b"]}))]), "keys[0].audiences[1]"),
            (json!([key(json!({"algorithm": "HS512"}))]), ""),
            (json!([key(json!({"algorithm": "none"}))]), "keys[0].algorithm"),
            (json!([key(json!({"algorithm": "hs256"}))]), "keys[0].algorithm"),
            (json!([{"secret": {"env": "SESSION_SECRET"}}]), "keys[0].algorithm"),
            (json!([{"algorithm": "HS256"}]), "keys[0].secret"),
            (json!([{"secrets": {}}]), "keys[0].secrets"),
        ],
    );
}

#[test]
fn public_keys_are_checked() {
    let key = |algorithm: &str, pem: &str, more: Value| {
        let mut key = json!({"algorithm": algorithm, "public_key_pem": pem});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    for (algorithm, pem, _) in TOKENS {
        assert_eq!(wrong(&with("keys[]", key(algorithm, pem, json!({"id": "a"})))), "");
    }
    let secret = json!({"env": "SESSION_SECRET"});
    for (key, at) in [
        (key("RS256", RSA_1024, json!({})), "public_key_pem"),
        (key("RS256", P_256, json!({})), "public_key_pem"),
        (key("ES384", P_256, json!({})), "public_key_pem"),
        (key("RS256", "…", json!({})), "public_key_pem"),
        (key("RS256", &format!("{RSA_2048}{}", " ".repeat(4096)), json!({})), "public_key_pem"),
        (key("HS256", RSA_2048, json!({})), "public_key_pem"),
        (key("HS256", RSA_2048, json!({"secret": secret})), "public_key_pem"),
        (key("RS256", RSA_2048, json!({"secret": secret})), "secret"),
        (key("RS256", RSA_2048, json!({"weak_secret": "accept"})), "weak_secret"),
        (key("RSA", RSA_2048, json!({})), "algorithm"),
        (key("ES512", P_256, json!({})), "algorithm"),
        (json!({"algorithm": "RS256"}), "public_key_pem"),
        (json!({"algorithm": "RS256", "public_key_pem": null}), "public_key_pem"),
        (json!({"public_key_pem": RSA_2048}), "algorithm"),
    ] {
        assert_eq!(wrong(&with("keys[]", key.clone())), format!("keys[0].{at}"), "{key}");
    }
}

/// Each case: settings beside the set, its keys, and either the path of the error or the numbers of
/// keys and warnings.
#[test]
fn the_keys_of_a_jwk_set_are_checked_one_by_one() {
    let k =
        "CzBVep_E6Q4zWH2ix-wRNluApcrvFDleg6jN8hc8YYar0PUaP2SJrtP4HUJnjLHW-yBFao-02f4jSG2St9wBJg";
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let good = |kid: &str| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x});
    let secret = |k: &str| json!({"kty": "oct", "alg": "HS256", "kid": "s", "k": k});
    let unnamed = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let encrypting = json!({"kty": "RSA", "use": "enc"});
    let (short, known) = ("c2hvcnQ", "c2VjcmV0");
    let many = |n: usize| (0..n).map(|kid| good(&kid.to_string())).collect::<Vec<_>>();
    for (beside, keys, expected) in [
        (json!({}), vec![good("a"), good("b")], Ok((2, 0))),
        (json!({"issuer": "i", "audiences": ["a"]}), vec![good("a")], Ok((1, 0))),
        (json!({"algorithm": "PS256"}), vec![good("a")], Ok((1, 0))),
        (json!({}), vec![good("a"), encrypting.clone()], Ok((1, 0))),
        (json!({}), vec![json!({"kty": "RSA"}), good("a"), json!(7)], Ok((1, 2))),
        (json!({}), vec![good("a"), good("a")], Ok((1, 1))),
        (json!({}), vec![good("a"), secret(k)], Ok((2, 1))), // shows in config_dump
        (json!({}), vec![good("a"), secret(short)], Ok((1, 1))),
        (json!({}), many(8), Ok((8, 0))),
        (json!({}), many(64), Ok((64, 1))), // without kid only eight are tried
        (json!({}), many(65), Err(".jwks.inline.keys")),
        (json!({}), vec![unnamed; 9], Err("")),
        (json!({}), vec![], Err(".jwks.inline.keys")),
        (json!({}), vec![encrypting], Err(".jwks.inline.keys")),
        (json!({}), vec![json!({"kty": "RSA"})], Err(".jwks.inline.keys[0]")),
        (json!({}), vec![secret(known)], Err(".jwks.inline.keys[0].k")),
        (json!({"id": "a"}), vec![good("a")], Err(".id")),
        (json!({"algorithm": "HS256"}), vec![good("a")], Err(".algorithm")),
        (json!({"algorithm": "EdDSA"}), vec![good("a")], Err(".algorithm")),
        (json!({"secret": {"env": "SESSION_SECRET"}}), vec![good("a")], Err(".secret")),
        (json!({"weak_secret": "accept"}), vec![good("a")], Err(".weak_secret")),
        (json!({"public_key_pem": RSA_2048}), vec![good("a")], Err(".public_key_pem")),
        (json!({"issuer": ""}), vec![good("a")], Err(".issuer")),
    ] {
        let mut key = json!({"jwks": {"inline": {"keys": keys, "published": "by somebody"}}});
        key.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
        let parsed = parse(&with("keys[]", key.clone()).to_string());
        let found = parsed.map(|c| (c.keys.count(), c.warnings.len())).map_err(|e| e.path);
        assert_eq!(found, expected.map_err(|at| format!("keys[0]{at}")), "{key}");
    }
}

#[test]
fn a_jwk_set_is_inline_or_fetched() {
    let at = "keys[0].jwks";
    let remote = |name: &str, value: Value| {
        let mut set = json!({"cluster": "idp", "authority": "a", "path": "/jwks.json?tenant=1"});
        set[name] = value;
        set
    };
    for (jwks, at) in [
        (remote("refresh_seconds", json!(5)), String::new()),
        (remote("refresh_seconds", json!(4)), format!("{at}.refresh_seconds")),
        (remote("cluster", json!("")), format!("{at}.cluster")),
        (remote("cluster", json!(null)), format!("{at}.cluster")),
        (remote("authority", json!(null)), format!("{at}.authority")),
        (remote("authority", json!("a b")), format!("{at}.authority")),
        (remote("path", json!(null)), format!("{at}.path")),
        (remote("path", json!("jwks.json")), format!("{at}.path")),
        (remote("path", json!("/a b")), format!("{at}.path")),
        (remote("path", json!("/a#b")), format!("{at}.path")),
        (remote("path", json!("/a\r\nb: c")), format!("{at}.path")),
        (remote("inline", json!({"keys": []})), format!("{at}.cluster")),
        (json!({"inline": {"keys": []}, "refresh_seconds": 5}), format!("{at}.refresh_seconds")),
        (json!({}), format!("{at}.inline")),
        (json!({"inline": {}}), format!("{at}.inline")),
        (json!({"inline": {"keys": {}}}), format!("{at}.inline.keys")),
        (json!({"inline": "{}"}), format!("{at}.inline")),
        (json!({"uri": "https://id.example.com"}), format!("{at}.uri")),
        (json!(null), at.to_owned()),
    ] {
        assert_eq!(wrong(&with("keys[]", json!({"jwks": jwks}))), at, "{jwks}");
    }
    let set = |n: usize| json!({"jwks": remote("path", json!(format!("/{n}")))});
    for (count, at) in [(8, ""), (9, "keys[8].jwks")] {
        let sets: Vec<_> = (0..count).map(set).collect();
        assert_eq!(wrong(&with("keys", json!(sets))), at);
    }
    for (name, value, at) in [
        ("algorithm", json!("RS256"), ""),
        ("algorithm", json!("HS256"), "keys[0].algorithm"),
        ("issuer", json!("https://id.example.com"), ""),
        ("audiences", json!(["app"]), ""),
        ("id", json!("a"), "keys[0].id"),
        ("secret", json!({"env": "SESSION_SECRET"}), "keys[0].secret"),
    ] {
        let mut key = set(1);
        key[name] = value;
        assert_eq!(wrong(&with("keys[]", key.clone())), at, "{key}");
    }
}

#[test]
fn secrets_are_checked() {
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    check(
        "keys[].secret",
        &[
            (json!({"env": "SESSION_SECRET"}), ""),
            (json!({"env": ["ABSENT", "EMPTY", "SESSION_SECRET"]}), ""),
            (json!({"env": "ABSENT"}), "keys[0].secret.env"),
            (json!({"env": "EMPTY"}), "keys[0].secret.env"),
            (json!({"env": []}), "keys[0].secret.env"),
            (json!({"env": "not a name"}), "keys[0].secret.env"),
            (json!({"env": 5}), "keys[0].secret.env"),
            (json!({}), "keys[0].secret"),
            (json!({"env": "SESSION_SECRET", "inline": SECRET}), "keys[0].secret"),
            (json!(SECRET), "keys[0].secret"),
            (json!({"sds": {"name": "session"}}), ""),
            (json!({"sds": {"name": "session", "sds_config": {"ads": {}}}}), ""),
            (json!({"sds": {}}), "keys[0].secret.sds"),
            (json!({"sds": "session"}), "keys[0].secret.sds"),
            (json!({"sds": null}), "keys[0].secret.sds"),
            (json!({"sds": {"name": "a", "sds_config": "a"}}), "keys[0].secret.sds.sds_config"),
            (json!({"sds": {"name": ""}}), "keys[0].secret.sds.name"),
            (json!({"sds": {"name": "session", "path": "/"}}), "keys[0].secret.sds.path"),
            (json!({"sds": {"name": "session"}, "env": "SESSION_SECRET"}), "keys[0].secret"),
            (json!({"inline": "x".repeat(32)}), ""),
            (json!({"inline": "x".repeat(31)}), "keys[0].secret"),
            (json!({"inline": "x".repeat(4097)}), "keys[0].secret"),
            (json!({"inline": ""}), "keys[0].secret"),
            (json!({"inline": base64, "encoding": "base64"}), ""),
            (json!({"inline": format!("{base64}="), "encoding": "base64"}), ""),
            (json!({"inline": format!("{base64}=\n"), "encoding": "base64url"}), ""),
            (json!({"env": "WRAPPED_BASE64", "encoding": "base64"}), ""),
            (json!({"inline": &base64[..40], "encoding": "base64"}), "keys[0].secret"),
            (json!({"inline": format!("{base64}!"), "encoding": "base64"}), "keys[0].secret"),
            (json!({"inline": "0f".repeat(32), "encoding": "hex"}), ""),
            (json!({"inline": "0F".repeat(31), "encoding": "hex"}), "keys[0].secret"),
            (json!({"inline": "0".repeat(65), "encoding": "hex"}), "keys[0].secret"),
            (json!({"inline": "0g".repeat(32), "encoding": "hex"}), "keys[0].secret"),
        ],
    );
}

#[test]
fn weak_secret_accepts_short_but_never_known_secrets() {
    let known = "A-String-Secret-At-Least-256-Bits-Long";
    let hex: String = known.bytes().map(|byte| format!("{byte:02x}")).collect();
    for (secret, accepted) in [
        (json!({"inline": "correct horse"}), ""),
        (json!({"inline": known}), "keys[0].secret"),
        (json!({"inline": hex, "encoding": "hex"}), "keys[0].secret"),
        (json!({"env": "KNOWN"}), "keys[0].secret"),
    ] {
        let key = |weak| json!([{"algorithm": "HS256", "secret": secret, "weak_secret": weak}]);
        assert_eq!(wrong(&with("keys", key("refuse"))), "keys[0].secret", "{secret}");
        assert_eq!(wrong(&with("keys", key("accept"))), accepted, "{secret}");
    }
}

#[test]
fn the_text_of_a_key_is_refused_as_a_secret() {
    let der = RSA_2048.lines().filter(|line| !line.starts_with("---")).collect::<String>();
    let jwk = r#"{"kty": "EC", "crv": "P-256", "x": "0000000000000000000000", "y": "0000000000"}"#;
    let inline = |text: &str| json!({"secret": {"inline": text}, "weak_secret": "accept"});
    let cases = [
        (inline(RSA_2048), "secret"),
        (inline(P_256.trim_start()), "secret"),
        (inline(&format!("  {}", P_256.replace("PUBLIC KEY", "CERTIFICATE"))), "secret"),
        (inline(&der), "secret"),
        (json!({"secret": {"inline": der, "encoding": "base64"}}), "secret"),
        (inline(jwk), "secret"),
        (inline(&format!("{{\"keys\": [{jwk}]}}")), "secret"),
        (inline("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI0000000000000000"), "secret"),
        // Similar texts that are valid secrets.
        (inline(&der[1..]), ""),
        (inline(&format!("0\u{2}{SECRET}")), ""),
        (inline(&format!("{{\"key\": \"{SECRET}\"}}")), ""),
        (inline(&format!("BEGIN {SECRET}")), ""),
    ];
    for (mut key, field) in cases {
        key["algorithm"] = json!("HS256");
        let at = if field.is_empty() { String::new() } else { format!("keys[0].{field}") };
        assert_eq!(wrong(&with("keys", json!([key]))), at, "{key}");
    }
    let oct = json!([{"kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(RSA_2048)}]);
    let key = json!([{"jwks": {"inline": {"keys": oct}}}]);
    assert_eq!(wrong(&with("keys", key)), "keys[0].jwks.inline.keys[0].k");
}

#[test]
fn an_odd_secret_loads_with_a_warning() {
    for (secret, weak, count) in [
        (json!({"env": "SESSION_SECRET"}), "refuse", 0),
        (json!({"env": "WITH_NEWLINE"}), "refuse", 1),
        (json!({"inline": SECRET}), "refuse", 1),
        (json!({"inline": "short"}), "accept", 2),
    ] {
        let key = json!({"algorithm": "HS256", "secret": secret, "weak_secret": weak});
        let config = parse(&with("keys", json!([key])).to_string()).expect("loads");
        assert_eq!(config.warnings.len(), count, "{secret}: {:?}", config.warnings);
    }
}

#[test]
fn an_error_never_repeats_a_secret() {
    let canary = "kA9-canary-secret";
    for (path, value) in [
        ("keys[].secret", json!(canary)),
        ("keys[].secret", json!([canary])),
        ("keys[].secret.inline", json!([canary])),
        ("keys[].secret.inline", json!(canary)),
        ("keys[].secret.inline", json!({"a": canary})),
        ("keys[].secret.env", json!(canary)),
        ("keys[].secret.env", json!(canary.replace('-', "_"))),
        ("keys[].secret", json!({"inline": canary, "encoding": "hex"})),
        ("keys[].secret", json!({"inline": canary, "encoding": canary})),
        ("keys[].weak_secret", json!(canary)),
        ("keys[].algorithm", json!(canary)),
        ("keys[]", json!({"algorithm": "RS256", "public_key_pem": canary})),
        ("keys[].jwks", json!(canary)),
        ("keys[].jwks.inline.keys", json!([canary])),
        ("keys[].jwks.inline.keys", json!([{"kty": "oct", "alg": "HS256", "k": canary}])),
        ("keys[].jwks.inline.keys", json!([{"kty": canary, canary: canary}])),
        ("revocation.upstream.token", json!(canary)),
        ("revocation.upstream.token.inline", json!(format!("{canary} x"))),
        ("claims.clock_skew_seconds", json!(format!("{canary}, expected {canary}"))),
        ("forward.token", json!(canary)),
        ("routes[].access", json!(canary)),
    ] {
        let error = parse(&with(path, value.clone()).to_string()).expect_err("wrong");
        assert!(!format!("{error} {error:?}").contains("canary"), "{path} {value}: {error}");
    }
    let config = parse(EXAMPLE).expect("loads");
    let shown = format!("{config:?}");
    assert!(!shown.contains("a9f3c1") && !shown.contains("api-token"), "{shown}");
}

#[test]
fn claims_are_checked() {
    check(
        "claims",
        &[
            (json!({"user_id": null}), ""),
            (json!({"user_id": ""}), "claims.user_id"),
            (json!({"user_id": ["user", "id"]}), ""),
            (json!({"user_id": vec!["a"; 8]}), ""),
            (json!({"user_id": vec!["a"; 9]}), "claims.user_id"),
            (json!({"user_id": []}), "claims.user_id"),
            (json!({"user_id": ["user", ""]}), "claims.user_id[1]"),
            (json!({"user_id": ["user", 5]}), "claims.user_id[1]"),
            (json!({"session_id": null}), ""),
            (json!({"values": {"token_use": ["access"], "azp": ["a", "b"]}}), ""),
            (json!({"values": [{"claim": ["a", "b"], "values": ["c"]}]}), ""),
            (json!({"values": {"token_use": []}}), "claims.values.token_use"),
            (json!({"values": {"token_use": ["a", "a"]}}), "claims.values.token_use[1]"),
            (json!({"values": {"token_use": "access"}}), "claims.values.token_use"),
            (json!({"values": {"": ["a"]}}), "claims.values"),
            (json!({"values": [["token_use", ["access"]]]}), "claims.values[0]"),
            (json!({"values": 5}), "claims.values"),
            (json!({"bound_tokens": "refuse"}), ""),
            (json!({"bound_tokens": true}), "claims.bound_tokens"),
            (json!({"session_id": ["a", "sid"]}), ""),
            (json!({"session_id": ""}), "claims.session_id"),
            (json!({"required": ["exp", ["realm_access", "roles"]]}), ""),
            (json!({"required": [["a"], "a"]}), "claims.required[1]"),
            (json!({"required": [[]]}), "claims.required[0]"),
            (json!({"user_id": 5}), "claims.user_id"),
            (json!({"required": ["exp", "exp"]}), "claims.required[1]"),
            (json!({"required": null}), ""),
            (json!({"audiences": ["a\nb"]}), "claims.audiences[0]"),
            (json!({"audiences": vec!["a"; 33]}), "claims.audiences"),
            (json!({"issuer": "https://id.example.com"}), ""),
            (json!({"issuer": ["a"]}), "claims.issuer"),
            (json!(null), "claims"),
        ],
    );
}

#[test]
fn token_sources_are_checked() {
    let at = "token_sources[0]";
    let field = |name: &str| format!("{at}.{name}");
    check(
        "token_sources",
        &[
            (json!([]), "token_sources"),
            (json!([{"header": "X-Token"}, {"cookie": "__Host-token"}, {"query": "t"}]), ""),
            (json!([{"header": "authorization"}]), ""),
            (json!([{"header": "cookie"}]), &field("header")),
            (json!([{"header": ":path"}]), &field("header")),
            (json!([{"header": "x y"}]), &field("header")),
            (json!([{"header": "host"}]), &field("header")),
            (json!([{"header": "x-token", "scheme": "a b"}]), &field("scheme")),
            (json!([{"cookie": "a=b"}]), &field("cookie")),
            (json!([{"cookie": "a%62"}]), &field("cookie")),
            (json!([{"query": ""}]), &field("query")),
            (json!([{"cookie": "a", "scheme": "b"}]), &field("scheme")),
            (json!([{"cookie": "a", "query": "b"}]), at),
            (json!([{}]), at),
            (json!([{"cookie": "a"}, {"cookie": "a"}]), "token_sources[1]"),
            (json!([{"cookies": "a"}]), &field("cookies")),
            (json!([{"query": "t", "pass_prefix": "sk-", "routes": [{"path": "/ws"}]}]), ""),
        ],
    );
    let sources: Vec<_> = (0..9).map(|n| json!({"cookie": format!("c{n}")})).collect();
    check("token_sources", &[(json!(sources[..8]), ""), (json!(sources), "token_sources")]);
}

#[test]
fn routes_of_a_source_are_checked() {
    let at = "token_sources[0].routes";
    let field = |name: &str| format!("{at}[0].{name}");
    for (routes, wrong_at) in [
        (json!([{"path": "/ws"}, {"prefix": "/a/"}, {"template": "/b/{id}"}]), ""),
        (json!([{"path": "/ws", "upgrade": true, "methods": ["GET"], "hosts": ["a.example"]}]), ""),
        (json!([]), at),
        (json!(null), at),
        (json!([{}]), &format!("{at}[0]")),
        (json!([{"path": "/a", "prefix": "/b"}]), &format!("{at}[0]")),
        (json!([{"path": "/a//b"}]), &field("path")),
        (json!([{"template": "/{a}x"}]), &field("template")),
        (json!([{"path": "/a", "upgrade": false}]), &field("upgrade")),
        (json!([{"path": "/a", "methods": ["get"]}]), &field("methods[0]")),
        (json!([{"path": "/a", "hosts": []}]), &field("hosts")),
        (json!([{"path": "/a", "access": "public"}]), &field("access")),
        (json!([{"preflight": true}]), &field("preflight")),
    ] {
        let config = with("token_sources", json!([{"query": "t", "routes": routes}]));
        assert_eq!(wrong(&config), wrong_at, "{config}");
    }
    let many = |count| json!(vec![json!({"path": "/a"}); count]);
    let sources = |count| with("token_sources", json!([{"query": "t", "routes": many(count)}]));
    assert_eq!([wrong(&sources(32)), wrong(&sources(33))], ["", at]);
}

#[test]
fn a_prefix_that_a_token_may_begin_with_is_refused() {
    let prefix = |text: &str| json!([{"header": "x-token", "pass_prefix": text}]);
    for text in ["sk-", "sk", "0x", "Bx", "glpat-", &"s".repeat(32)] {
        assert_eq!(wrong(&with("token_sources", prefix(text))), "", "{text}");
    }
    // Base64url of `{`, also after white space, NUL and byte order marks, and characters that
    // lenient decoders skip.
    let first = ["ey", "ew", "eyJ", "IH", "CX", "Cg", "DQ", "AH", "77", "_n", "-e", ".e", "!e"];
    let rest = ["", "s", "s.", "s e", "s=", "s+", "s/", "s,", "s\u{e9}", &"s".repeat(33)];
    for text in first.into_iter().chain(rest) {
        let at = "token_sources[0].pass_prefix";
        assert_eq!(wrong(&with("token_sources", prefix(text))), at, "{text}");
    }
    let base64url = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    for begin in ["{\"", " {", "\t{", "\n{", "\r\n{", "\u{b}{", "\u{c}{", "\0{", "\u{feff}{"] {
        let token = base64::Engine::encode(&base64url, format!("{begin}\"alg\":\"HS256\"}}"));
        let at = "token_sources[0].pass_prefix";
        assert_eq!(wrong(&with("token_sources", prefix(&token[..2]))), at, "{token}");
    }
    for sources in [
        json!([{"header": "x-token", "pass_prefix": null}]),
        json!([{"header": "x-token", "pass_prefix": ["sk-"]}]),
        json!([{"pass_prefix": "sk-"}]),
        json!([{"cookie": "token"}, {"cookie": "token", "pass_prefix": "sk-"}]),
    ] {
        assert_ne!(wrong(&with("token_sources", sources.clone())), "", "{sources}");
    }
}

#[test]
fn headers_to_be_set_are_checked() {
    for name in ["x-user-id", "X-User-Id", "x-forwarded-user", "remote-user", "x_user_id"] {
        assert_eq!(wrong(&with("forward.user_id", json!(name))), "", "{name}");
    }
    for name in [
        ":path",
        "",
        "x y",
        "é",
        "host",
        "Authorization",
        "cookie",
        "set-cookie",
        "connection",
        "te",
        "keep-alive",
        "transfer-encoding",
        "transfer_encoding",
        "trailer",
        "upgrade",
        "proxy-anything",
        "content-length",
        "x-envoy-original-path",
        "x-forwarded-for",
        "X-Forwarded-Client-Cert",
    ] {
        assert_eq!(wrong(&with("forward.user_id", json!(name))), "forward.user_id", "{name}");
    }
    check(
        "forward",
        &[
            (json!({"user_id": null, "claims": {}, "token": "strip"}), ""),
            (json!({"claims": {"a": "x-a", "b": "x-b"}}), ""),
            (json!({"claims": {"a": "x-a", "b": "X_A"}}), "forward.claims.b"),
            (json!({"claims": {"a": "x_user_id"}}), "forward.claims.a"),
            (json!({"claims": {"a": "host"}}), "forward.claims.a"),
            (json!({"claims": {"a": null}}), "forward.claims.a"),
            (json!({"claims": []}), ""),
            (json!({"claims": [{"claim": ["a", "b"], "header": "x-a"}]}), ""),
            (json!({"claims": [{"claim": "a", "header": "x-a"}]}), ""),
            (
                json!({"claims": [{"claim": ["a"], "header": "x-a"}, {"claim": "a", "header": "x-b"}]}),
                "forward.claims",
            ),
            (json!({"claims": [{"claim": [], "header": "x-a"}]}), "forward.claims"),
            (json!({"claims": [{"claim": "a", "header": "host"}]}), "forward.claims.a"),
            (json!({"claims": [["a", "x-a"]]}), "forward.claims[0]"),
            (json!({"claims": [{"claim": "a"}]}), "forward.claims[0]"),
            (json!({"claims": [{"claim": "a", "header": "x-a", "b": 1}]}), "forward.claims[0].b"),
        ],
    );
    let mut shared = with("token_sources", json!([{"header": "x-token"}]));
    shared["forward"] = json!({"user_id": "x_token"});
    assert_eq!(wrong(&shared), "forward.user_id");
}

#[test]
fn rules_are_checked() {
    let at = "routes[0]";
    let field = |name: &str| format!("{at}.{name}");
    let (path, access, methods) = (field("path"), field("access"), field("methods"));
    let (template, user) = (field("template"), field("revoke_user"));
    let both = |a: Value, b: Value| {
        let mut rule = a;
        rule.as_object_mut().unwrap().extend(b.as_object().unwrap().clone());
        rule
    };
    let public = |rule: Value| both(rule, json!({"access": "public"}));
    let protected = |rule: Value| both(rule, json!({"access": "protected"}));
    let id = json!({"template": "/u/{id}"});
    for (rule, at) in [
        (json!({"path": "/a"}), &*access),
        (public(json!({})), at),
        (public(json!({"path": "/a", "prefix": "/a"})), at),
        (public(json!({"path": "a"})), &path),
        (public(json!({"path": "/a?x"})), &path),
        (public(json!({"path": "/a/../b"})), &path),
        (public(json!({"path": "/%61"})), &path),
        (public(json!({"path": "/é"})), &path),
        (public(json!({"path": "/{id}"})), &path),
        (public(json!({"path": "/%C3%A9"})), ""),
        (public(json!({"prefix": "/"})), ""),
        (public(json!({"prefix": "//"})), &field("prefix")),
        (public(json!({"template": "/u/{id}/x"})), ""),
        (public(json!({"template": "/u/{id}/{id}"})), &template),
        (public(json!({"template": "/u/x{id}"})), &template),
        (public(json!({"template": "/u/{}"})), &template),
        (public(json!({"template": "/u//{id}"})), &template),
        (public(json!({"template": "{id}"})), &template),
        (public(json!({"preflight": true})), ""),
        (public(json!({"preflight": false})), &field("preflight")),
        (public(json!({"path": "/a", "upgrade": true})), ""),
        (public(json!({"path": "/a", "upgrade": false})), &field("upgrade")),
        (public(json!({"preflight": true, "methods": ["OPTIONS"]})), &methods),
        (json!({"preflight": true, "access": "signout"}), &access),
        (public(json!({"path": "/a", "methods": ["GET", "POST"]})), ""),
        (public(json!({"path": "/a", "methods": ["get"]})), &field("methods[0]")),
        (public(json!({"path": "/a", "methods": []})), &methods),
        (public(json!({"path": "/a", "hosts": ["a.b", "*.a.b"]})), ""),
        (public(json!({"path": "/a", "hosts": ["A.b"]})), &field("hosts[0]")),
        (public(json!({"path": "/a", "hosts": []})), &field("hosts")),
        (public(json!({"path": "/a", "cross_site": "revoke"})), &field("cross_site")),
        (json!({"path": "/a", "access": "signout", "cross_site": "revoke"}), ""),
        (protected(json!({"path": "/a", "api_keys": "refuse"})), ""),
        (public(json!({"path": "/a", "api_keys": "pass"})), ""),
        (public(json!({"path": "/a", "api_keys": "refuse"})), &field("api_keys")),
        (json!({"path": "/a", "access": "odd"}), &access),
        (protected(json!({"path": "/a", "revoke_user": "token"})), ""),
        (public(json!({"path": "/a", "revoke_user": "token"})), &user),
        (protected(both(id.clone(), json!({"revoke_user": {"segment": "id"}}))), ""),
        (public(both(id.clone(), json!({"revoke_user": {"segment": "id"}}))), ""),
        (
            protected(both(id.clone(), json!({"revoke_user": {"segment": "other"}}))),
            &field("revoke_user.segment"),
        ),
        (
            protected(json!({"path": "/a", "revoke_user": {"segment": "id"}})),
            &field("revoke_user.segment"),
        ),
        (json!({"path": "/a", "access": "signout", "revoke_user": "token"}), &user),
        (protected(json!({"path": "/a", "revoke_user": "path"})), &user),
        (public(json!({"path": "/a", "method": "GET"})), &field("method")),
    ] {
        assert_eq!(wrong(&with("routes", json!([rule]))), at, "{rule}");
    }
    check("default_access", &[(json!("public"), ""), (json!("signout"), "default_access")]);
}

#[test]
fn rules_that_revoke_need_a_service_and_a_user() {
    let mut config = least();
    config.as_object_mut().unwrap().remove("revocation");
    config["routes"] = json!([{"path": "/a", "access": "signout"}]);
    assert_eq!(wrong(&config), "routes[0].access");
    let by_token = json!([{"path": "/a", "access": "protected", "revoke_user": "token"}]);
    config["routes"] = by_token.clone();
    assert_eq!(wrong(&config), "routes[0].revoke_user");
    let mut config = with("routes", by_token);
    assert_eq!(wrong(&config), "");
    config["claims"] = json!({"user_id": null});
    assert_eq!(wrong(&config), "routes[0].revoke_user");
}

#[test]
fn the_service_is_checked() {
    let token = "revocation.upstream.token";
    check(
        "revocation",
        &[
            (json!({"upstream": {"cluster": ""}}), "revocation.upstream.cluster"),
            (json!({"upstream": {"authority": "a b"}}), "revocation.upstream.authority"),
            (json!({"upstream": {"token": {"env": "SPACED"}}}), token),
            (json!({"upstream": {"token": {"inline": ","}}}), token),
            (json!({"upstream": {"token": {"inline": "a, b"}}}), ""),
            (json!({"upstream": {"token": {"env": "ABSENT"}}}), "revocation.upstream.token.env"),
            (json!({"realm": "shop"}), ""),
            (json!({"realm": "a\u{0}b"}), "revocation.realm"),
            (json!({"when_unknown": "use-last"}), "revocation.when_unknown"),
            (json!({"streams": {"end_at_expiry": 1}}), "revocation.streams.end_at_expiry"),
            (json!(5), "revocation"),
        ],
    );
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text: Vec<u8>) {
        let _ = Config::parse(&text, &environment);
    }

    #[test]
    fn a_changed_byte_is_read_or_refused(at: prop::sample::Index, byte: u8) {
        let mut text = EXAMPLE.as_bytes().to_vec();
        let at = at.index(text.len());
        text[at] = byte;
        if let Ok(config) = Config::parse(&text, &environment) {
            let _ = config.routes.find(&Headers::default());
        }
    }
}

#[test]
fn a_list_in_place_of_an_object_is_refused() {
    let jwk = r#"{"jwks": {"inline": [[]]}}"#;
    for (text, path) in [
        (r#"[null, [{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}]]"#, ""),
        (r#"{"keys": [["a", "HS256", {"env": "SESSION_SECRET"}]]}"#, "keys[0]"),
        (r#"{"keys": [{"algorithm": "HS256", "secret": ["SESSION_SECRET"]}]}"#, "keys[0].secret"),
        (&format!(r#"{{"keys": [{jwk}, {jwk}]}}"#), "keys[0].jwks.inline"),
        (r#"{"claims": []}"#, "claims"),
        (r#"{"token_sources": [{"cookie": "a"}, ["x-token"]]}"#, "token_sources[1]"),
        (r#"{"forward": ["x-user-id"]}"#, "forward"),
        (r#"{"answers": []}"#, "answers"),
        (r#"{"routes": [["/"]]}"#, "routes[0]"),
        (r#"{"revocation": [{}]}"#, "revocation"),
        (r#"{"revocation": {"upstream": []}}"#, "revocation.upstream"),
        (r#"{"revocation": {"upstream": {"token": ["T"]}}}"#, "revocation.upstream.token"),
        (r#"{"revocation": {"streams": []}}"#, "revocation.streams"),
        (r#"{"revocation": {"signout": []}}"#, "revocation.signout"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(
            (error.path.as_str(), error.problem.contains("a list")),
            (path, true),
            "{error}"
        );
    }
}

#[test]
fn null_is_refused_where_it_would_open_a_route() {
    let rule = |name: &str| json!({"path": "/a", "access": "public", name: null});
    check("revocation", &[(json!(null), "revocation")]);
    check("token_sources", &[(json!(null), "token_sources")]);
    check(
        "token_sources[]",
        &[(json!({"header": "authorization", "scheme": null}), "token_sources[0].scheme")],
    );
    for name in ["methods", "hosts", "revoke_user"] {
        check("routes[]", &[(rule(name), &format!("routes[0].{name}"))]);
    }
}
