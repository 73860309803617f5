//! Promise: `signout check` names the field, the reason and the remedy of every wrong or doubtful
//! setting, all of them at once.
//! Method: one sound configuration, changed in one place for each row of a table, checked by the real
//! binary.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// A pointer and the value to put there; the field, the problem and the remedy to be reported.
type CheckCase = (&'static str, &'static str, &'static str, &'static str, &'static str);

fn sound() -> Value {
    json!({
        "keys": [{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}],
        "claims": {"max_lifetime_seconds": 3_600},
        "forward": {},
        "routes": [
            {"path": "/.session-guard/ready", "access": "ready"},
            {"path": "/logout", "access": "signout"},
        ],
        "revocation": {"upstream": {}, "streams": {}},
    })
}

/// Returns the exit code and the report of `signout check --json`.
fn check(text: &str) -> (i32, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signout"));
    command.args(["check", "-", "--json"]);
    command.env_remove("SESSION_SECRET").env_remove("SIGNOUT_TOKEN");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes()); // it may not read to the end
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    let mut report: Value = serde_json::from_slice(&stdout).unwrap();
    (status.code().unwrap(), report["configurations"][0].take())
}

/// Puts a value at a JSON pointer; the last step may be new.
fn put(config: &mut Value, pointer: &str, value: Value) {
    let (parent, last) = pointer.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap() {
        Value::Array(items) => {
            let index: usize = last.parse().unwrap();
            if index == items.len() { items.push(value) } else { items[index] = value }
        }
        object => object[last] = value,
    }
}

fn changed(pointer: &str, json: &str) -> Value {
    let mut config = sound();
    put(&mut config, pointer, serde_json::from_str(json).unwrap());
    config
}

/// The fields of a list of errors or warnings.
fn fields(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect()
}

fn assert_reported(list: &Value, row: &CheckCase) {
    let (pointer, json, field, problem, remedy) = row;
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let found = list.as_array().unwrap().iter().any(|one| {
        text(one, "path") == *field
            && text(one, "problem").contains(problem)
            && text(one, "remedy").contains(remedy)
    });
    assert!(found && !remedy.is_empty(), "{pointer} {json}: {list:#}");
}

#[test]
fn the_sound_configuration_has_no_error_and_no_warning() {
    let (code, report) = check(&sound().to_string());
    assert_eq!((code, &report["errors"], &report["warnings"]), (0, &json!([]), &json!([])));
}

#[test]
fn each_wrong_setting_is_the_only_error() {
    for row in ERRORS {
        let (code, report) = check(&changed(row.0, row.1).to_string());
        assert_eq!((code, &report["good"]), (1, &json!(false)), "{} {}", row.0, row.1);
        assert_eq!(fields(&report["errors"]).len(), 1, "{} {}: {report:#}", row.0, row.1);
        assert_reported(&report["errors"], row);
    }
}

#[test]
fn each_doubtful_setting_loads_with_a_warning() {
    for row in DOUBTS {
        let (code, report) = check(&changed(row.0, row.1).to_string());
        assert_eq!((code, &report["errors"]), (0, &json!([])), "{} {}", row.0, row.1);
        assert_reported(&report["warnings"], row);
    }
    let rows = ERRORS.len() + DOUBTS.len();
    assert!(rows >= 60, "{rows}");
}

#[test]
fn neighbours_of_doubtful_settings_have_no_warning() {
    for (pointer, json) in SOUND {
        let (code, report) = check(&changed(pointer, json).to_string());
        assert_eq!((code, &report["warnings"]), (0, &json!([])), "{pointer} {json}");
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let mut config = sound();
    put(&mut config, "/keyz", json!(1));
    put(&mut config, "/keys/0/algorithm", json!("HS265"));
    put(&mut config, "/claims/clock_skew_seconds", json!("60"));
    put(&mut config, "/claims/audience", json!(["a"]));
    put(&mut config, "/routes/0/acess", json!("public"));
    put(&mut config, "/routes/1/methods", json!(["post"]));
    put(&mut config, "/routes/2", json!({"path": "a", "access": "public"}));
    put(&mut config, "/default_access", json!("open"));
    put(&mut config, "/revocation/max_staleness_seconds", json!(0));
    let (code, report) = check(&config.to_string());
    let mut found = fields(&report["errors"]);
    found.sort_unstable();
    let expected = [
        "claims.audience",
        "claims.clock_skew_seconds",
        "default_access",
        "keys[0].algorithm",
        "keyz",
        "revocation.max_staleness_seconds",
        "routes[0].acess",
        "routes[1].methods[0]",
        "routes[2].path",
    ];
    assert_eq!((code, found.as_slice()), (1, expected.as_slice()), "{report:#}");
}

#[test]
fn clusters_under_istio_need_a_name_of_istio_and_a_service_entry() {
    let set = json!({
        "cluster": "outbound|443||id.example.com", "authority": "id.example.com", "path": "/keys",
    });
    let config = json!({
        "keys": [{"jwks": set, "issuer": "https://id.example.com", "audiences": ["a"]}],
        "claims": {"max_lifetime_seconds": 3_600},
        "routes": [{"path": "/logout", "access": "signout"}],
        "revocation": {},
    });
    let variables = json!([{"name": "SIGNOUT_TOKEN", "valueFrom": "HOST"}]);
    let plugin = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": {"name": "session-guard"},
        "spec": {
            "phase": "AUTHN", "failStrategy": "FAIL_RELOAD",
            "selector": {"matchLabels": {"app": "edge"}},
            "vmConfig": {"env": variables}, "pluginConfig": config,
        },
    });
    let entry = json!({"kind": "ServiceEntry", "spec": {"hosts": ["id.example.com"]}});
    let in_mesh = ["cluster outbound|443||id.example.com", "cluster signout"];
    for (text, expected) in [
        (format!("---\n{plugin}\n"), &in_mesh[..]),
        (format!("---\n{plugin}\n---\n{entry}\n"), &in_mesh[1..]),
    ] {
        let (code, report) = check(&text);
        let warnings = fields(&report["warnings"]);
        assert_eq!((code, warnings.as_slice()), (0, expected), "{report:#}");
    }
}

#[test]
fn a_misspelt_cluster_and_the_native_filter_are_checked() {
    let filter = |do_not_close: bool| {
        let value = json!({
            "dynamic_module_config": {"name": "session_guard", "do_not_close": do_not_close},
            "filter_name": "session-guard",
            "filter_config": {
                "@type": "type.googleapis.com/google.protobuf.Struct", "value": sound(),
            },
        });
        json!({"static_resources": {
            "clusters": [{"name": "sign0ut"}], "listeners": [{"name": "edge", "filters": [value]}],
        }})
    };
    let (code, report) = check(&filter(true).to_string());
    assert_eq!((code, fields(&report["warnings"])), (0, vec!["cluster signout"]), "{report:#}");
    assert_eq!(report["warnings"][0]["remedy"], "did you mean `sign0ut`?");
    let (_, report) = check(&filter(false).to_string());
    let closes = "dynamic_module_config.do_not_close";
    assert_eq!(fields(&report["warnings"]), [closes, "cluster signout"], "{report:#}");
}

const ERRORS: &[CheckCase] = &[
    ("/keys", "[]", "keys", "must not be empty", r#"give at least one: {"algorithm":"#),
    ("/keys", "null", "keys", "missing", r#"give at least one: {"algorithm":"#),
    ("/keyz", "1", "keyz", "unknown field `keyz`", "did you mean `keys`?"),
    ("/route", "[]", "route", "unknown field `route`", "did you mean `routes`?"),
    ("/claim", "{}", "claim", "unknown field `claim`", "did you mean `claims`?"),
    (
        "/keys/0/algorithm",
        r#""HS265""#,
        "keys[0].algorithm",
        "not supported by this version",
        "one of HS256, HS384, HS512,",
    ),
    (
        "/keys/0/algoritm",
        r#""HS256""#,
        "keys[0].algoritm",
        "unknown field `algoritm`",
        "did you mean `algorithm`?",
    ),
    ("/keys/0/secret", "{}", "keys[0].secret", "needs exactly one of `env` and", "prefer `env`"),
    (
        "/keys/0/secret/inline",
        r#""x""#,
        "keys[0].secret",
        "needs exactly one of `env` and",
        "prefer `env`",
    ),
    (
        "/keys/0/secret",
        r#"{"inline": "secret"}"#,
        "keys[0].secret",
        "is publicly known",
        "generate one with `openssl rand",
    ),
    (
        "/keys/0/secret",
        r#"{"inline": "0123456789"}"#,
        "keys[0].secret",
        "10 bytes, HS256 needs 32 (RFC",
        "generate one with `openssl rand -hex 32`; if the application cannot change its secret, add `\"weak_secret\"",
    ),
    (
        "/keys/0/secret/encoding",
        r#""base32""#,
        "keys[0].secret.encoding",
        "must be one of `utf8`, `base64`,",
        "this setting: The encoding of the",
    ),
    (
        "/keys/0",
        r#"{"public_key_pem": "x", "algorithm": "RS256"}"#,
        "keys[0].public_key_pem",
        "not one PEM block that begins",
        "this setting: A PEM public key",
    ),
    (
        "/keys/0",
        r#"{"jwks": {}}"#,
        "keys[0].jwks.inline",
        "missing: give a JWK Set",
        "or the `cluster`, `authority` and",
    ),
    (
        "/keys/0",
        r#"{"jwks": {"cluster": "idp"}}"#,
        "keys[0].jwks.authority",
        "missing",
        "the issuer's host",
    ),
    (
        "/keys/0",
        r#"{"jwks": {"cluster": "idp", "authority": "id.example", "path": "/keys"}, "id": "a"}"#,
        "keys[0].id",
        "does not belong here",
        "the keys of a JWK Set contain it",
    ),
    (
        "/keys/0",
        r#"{"jwks": {"cluster": "idp", "authority": "id.example", "path": "keys"}}"#,
        "keys[0].jwks.path",
        "is no path",
        "like /.well-known/jwks.json",
    ),
    (
        "/keys/0",
        r#"{"jwks": {"cluster": "idp", "authority": "a b", "path": "/keys"}}"#,
        "keys[0].jwks.authority",
        "is no host",
        "like id.example.com",
    ),
    (
        "/keys/0",
        r#"{"jwks": {"inline": {"keys": []}}}"#,
        "keys[0].jwks.inline.keys",
        "must not be empty",
        "give the keys that sign tokens",
    ),
    (
        "/claims/clock_skew_seconds",
        "-1",
        "claims.clock_skew_seconds",
        "must be a whole number",
        "this setting: The tolerated",
    ),
    (
        "/claims/clock_skew_seconds",
        r#""60""#,
        "claims.clock_skew_seconds",
        "must be a whole number",
        "this setting: The tolerated",
    ),
    (
        "/claims/required",
        r#""jti""#,
        "claims.required",
        "must be a list",
        "this setting: Claims that a token",
    ),
    (
        "/claims/user_id",
        "7",
        "claims.user_id",
        "must be a name or a list of names",
        "this setting: The claim with the",
    ),
    (
        "/claims/audience",
        r#"["a"]"#,
        "claims.audience",
        "unknown field `audience`",
        "did you mean `audiences`?",
    ),
    (
        "/max_token_bytes",
        "10",
        "max_token_bytes",
        "must be 1024 to 65536",
        "this setting: The longest token;",
    ),
    ("/token_sources", "[]", "token_sources", "must not be empty", "leave it out for Bearer"),
    (
        "/token_sources",
        r#"[{"heder": "a"}]"#,
        "token_sources[0].heder",
        "unknown field `heder`",
        "did you mean `header`?",
    ),
    (
        "/token_sources",
        r#"[{"cookie": "a b"}]"#,
        "token_sources[0].cookie",
        "is no plain name",
        "use letters, digits, `-`, `_`, `.`",
    ),
    (
        "/token_sources",
        r#"[{"header": "a", "cookie": "b"}]"#,
        "token_sources[0]",
        "needs exactly one of header,",
        "see this setting in",
    ),
    (
        "/forward/user_id",
        r#""host""#,
        "forward.user_id",
        "has another meaning in HTTP",
        "name another header",
    ),
    (
        "/forward/token",
        r#""drop""#,
        "forward.token",
        "must be `keep` or `strip`",
        "this setting: Whether the",
    ),
    (
        "/forward/claims",
        r#"["role"]"#,
        "forward.claims[0]",
        "must be an object",
        "see this setting",
    ),
    (
        "/routes/1/access",
        r#""sign-out""#,
        "routes[1].access",
        "must be one of `public`,",
        "this setting: What the filter",
    ),
    (
        "/routes/1/acess",
        r#""public""#,
        "routes[1].acess",
        "unknown field `acess`",
        "did you mean `access`?",
    ),
    (
        "/routes/1/path",
        r#""logout""#,
        "routes[1].path",
        "is not canonical: no request",
        r#"start with `/`; no `//`, `\`,"#,
    ),
    (
        "/routes/1/path",
        r#""/a//b""#,
        "routes[1].path",
        "is not canonical: no request",
        r#"start with `/`; no `//`, `\`,"#,
    ),
    (
        "/routes/1/path",
        r#""/a?b""#,
        "routes[1].path",
        "holds a query",
        "rules match the path alone",
    ),
    (
        "/routes/1/methods",
        r#"["post"]"#,
        "routes[1].methods[0]",
        "is no method",
        "methods are upper case: GET",
    ),
    (
        "/routes/1/hosts",
        r#"["a:80"]"#,
        "routes[1].hosts[0]",
        "is no host",
        "lower case, without port:",
    ),
    (
        "/routes/1/prefix",
        r#""/x""#,
        "routes[1]",
        "needs exactly one of path,",
        "see this setting in",
    ),
    (
        "/routes/1",
        r#"{"access": "public"}"#,
        "routes[1]",
        "needs exactly one of path,",
        "see this setting in",
    ),
    (
        "/routes/1",
        r#"{"path": "/x", "access": "public", "revoke_user": "token"}"#,
        "routes[1].revoke_user",
        "a public route does not read",
        "use protected",
    ),
    (
        "/routes/1",
        r#"{"template": "/u/{id}", "access": "protected", "revoke_user": {"segment": "name"}}"#,
        "routes[1].revoke_user.segment",
        "the rule has no segment of that",
        r#"name one in braces: "template":"#,
    ),
    (
        "/default_access",
        r#""open""#,
        "default_access",
        "must be one of `public`,",
        "this setting: What the filter",
    ),
    ("/enforce", r#""no""#, "enforce", "must be true or false", "this setting: Whether requests"),
    (
        "/revocation/max_staleness_seconds",
        "0",
        "revocation.max_staleness_seconds",
        "must be 3 to 86400",
        "this setting: The age at which",
    ),
    (
        "/revocation/when_unknown",
        r#""allow""#,
        "revocation.when_unknown",
        "must be `refuse` or `use_last`",
        "this setting: What happens while",
    ),
    (
        "/revocation/upstream",
        r#"{"cluster": ""}"#,
        "revocation.upstream.cluster",
        "must not be empty",
        "this setting: Envoy's cluster of",
    ),
    (
        "/revocation/upstream/token",
        r#"{"env": "x", "inline": "y"}"#,
        "revocation.upstream.token",
        "needs exactly one of `env` and",
        "prefer `env`",
    ),
    ("/revocation", "[]", "revocation", "a list where an object belongs", "see this setting in"),
    (
        "/routes/2",
        r#"{"path": "/users/{id}", "access": "public"}"#,
        "routes[2].path",
        "holds a brace",
        r#"use "template", or write %7B and"#,
    ),
];

const DOUBTS: &[CheckCase] = &[
    (
        "/routes/0",
        r#"{"prefix": "/", "access": "public"}"#,
        "routes[0].prefix",
        "public for every path: no later",
        "put it last, or set",
    ),
    (
        "/default_access",
        r#""public""#,
        "default_access",
        "public, and no rule is protected:",
        "add protected rules, or set",
    ),
    (
        "/routes/2",
        r#"{"path": "/logout", "access": "protected", "methods": ["POST"]}"#,
        "routes[2]",
        "never matches: routes[1] matches",
        "put it before that rule, or",
    ),
    (
        "/routes/2",
        r#"{"path": "/static/*", "access": "public"}"#,
        "routes[2].path",
        "`*` is an ordinary character",
        r#"use "prefix": "/static/", or a"#,
    ),
    (
        "/routes/2",
        r#"{"path": "/users/:id", "access": "public"}"#,
        "routes[2].path",
        "a variable part in a path that is",
        r#"use "template": "/users/{id}""#,
    ),
    (
        "/routes/2",
        r#"{"path": "/logout", "access": "public"}"#,
        "routes[1].methods",
        "POST only, and another rule opens",
        "let the application sign out by",
    ),
    (
        "/routes/1",
        r#"{"path": "/logout", "access": "public"}"#,
        "routes[1].access",
        "`/logout` looks like a sign-out,",
        r#"use "access": "signout""#,
    ),
    (
        "/keys/0",
        r#"{"jwks": {"cluster": "idp", "authority": "id.example", "path": "/keys"}}"#,
        "keys[0].audiences",
        "missing beside a JWK Set: tokens",
        "name the audience of this",
    ),
    (
        "/claims/user_id",
        r#""realm.user""#,
        "claims.user_id",
        "`realm.user` is one claim whose",
        "write a list of segments for a",
    ),
    (
        "/forward/claims",
        r#"{"a.b": "x-role"}"#,
        "forward.claims",
        "`a.b` is one claim whose name has",
        "write a list of segments for a",
    ),
    (
        "/token_sources",
        r#"[{"query": "token"}]"#,
        "token_sources[0].query",
        "on every route: tokens in",
        "use a header or a cookie, or",
    ),
    (
        "/token_sources",
        r#"[{"header": "access_token"}]"#,
        "token_sources[0].header",
        "a name with `_`: Envoy rejects",
        "let clients send the header with",
    ),
    (
        "/token_sources",
        r#"[{"header": "x-api-key"}]"#,
        "token_sources[0].pass_prefix",
        "missing on a header for API keys:",
        "set `pass_prefix` to the first",
    ),
    (
        "/claims/required",
        "[]",
        "claims.required",
        "without `exp`: a token without it",
        r#"add "exp", unless the application"#,
    ),
    (
        "/revocation/when_unknown",
        r#""use_last""#,
        "revocation.when_unknown",
        "`use_last`: while the service is",
        "use `refuse`, unless availability",
    ),
    (
        "/revocation/max_staleness_seconds",
        "7200",
        "revocation.max_staleness_seconds",
        "over an hour: a proxy that is cut",
        "use some minutes; the default is",
    ),
    (
        "/revocation/streams/end_on_revocation",
        "false",
        "revocation.streams.end_on_revocation",
        "false: a WebSocket or download",
        "remove it",
    ),
    (
        "/routes/1",
        r#"{"path": "/x", "access": "public"}"#,
        "routes",
        "none signs out; only the",
        "add the application's sign-out:",
    ),
    (
        "/routes/1",
        r#"{"path": "/logout", "methods": ["GET"], "access": "signout", "cross_site": "revoke"}"#,
        "routes[1].cross_site",
        "`revoke` for GET: a link on any",
        "sign out by POST, or remove",
    ),
    (
        "/keys/0/secret",
        r#"{"inline": "a9f3c1e07b52d8460f1e2d3c4b5a69788796a5b4c3d2e1f0"}"#,
        "keys[0].secret",
        "`inline` is visible in Envoy's",
        "use `env`",
    ),
];

/// Changes that resemble a doubtful setting and are sound.
const SOUND: &[(&str, &str)] = &[
    ("/routes/2", r#"{"prefix": "/static/", "access": "public"}"#),
    ("/routes/2", r#"{"prefix": "/", "access": "public", "methods": ["GET"]}"#),
    ("/routes/2", r#"{"path": "/logout", "access": "protected", "methods": ["GET"]}"#),
    ("/routes/2", r#"{"path": "/logouts", "access": "public"}"#),
    ("/routes/2", r#"{"path": "/password", "access": "protected", "revoke_user": "token"}"#),
    ("/claims/user_id", r#""https://a.example/user""#),
    ("/token_sources", r#"[{"header": "x-api-key", "pass_prefix": "sk-"}]"#),
    ("/routes/1/cross_site", r#""revoke""#),
    ("/revocation/max_staleness_seconds", "3600"),
];
