//! Promise: `signout check` finds configurations in all kinds of files, reports what the filter
//! does with them, and never prints a secret.
//! Method: the real binary.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use testbed::repository;

/// Result of a run.
struct Came {
    code: i32,
    out: String,
    err: String,
}

/// Runs `signout check` on a text, with only these of our environment variables set.
fn check(text: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Came {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signout"));
    command.args(["check", "-"]).args(arguments);
    command.env_remove("SESSION_SECRET").env_remove("SIGNOUT_TOKEN");
    command.envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes()); // it may not read to the end
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Came { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

fn reports(text: &str, variables: &[(&str, &str)]) -> (i32, Value) {
    let came = check(text, &["--json"], variables);
    let json: Value = serde_json::from_str(&came.out).unwrap_or_else(|_| panic!("{}", came.err));
    assert_eq!(json["good"], came.code == 0, "{json:#}");
    (came.code, json["configurations"].clone())
}

/// Returns the errors of a file that must have some.
fn errors_of(came: &Came) -> Vec<Value> {
    let report: Value = serde_json::from_str(&came.out).unwrap();
    assert_eq!((came.code, &report["good"]), (1, &json!(false)), "{}", came.err);
    report["errors"].as_array().unwrap().clone()
}

/// Returns the paths of errors in alphabetical order.
fn paths_of(errors: &[Value]) -> Vec<&str> {
    let mut paths: Vec<_> = errors.iter().map(|error| error["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    paths
}

/// Returns a configuration of the filter whose first route has that access.
fn filter(access: &str) -> Value {
    json!({
        "keys": [{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}],
        "routes": [{"path": "/", "access": access}, {"path": "/out", "access": "signout"}],
        "revocation": {},
    })
}

/// Returns a Wasm filter in Envoy's form.
fn wasm(name: &str, configuration: Value) -> Value {
    json!({
        "name": "wasm",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": name,
                "failure_policy": "FAIL_RELOAD",
                "vm_config": {
                    "environment_variables": {"host_env_keys": ["SESSION_SECRET", "SIGNOUT_TOKEN"]},
                },
                "configuration": configuration,
            },
        },
    })
}

fn string_value(config: &Value) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()})
}

#[test]
fn everything_that_ships_loads_and_is_explained() {
    let mut checked = 0;
    for name in repository::files("yaml") {
        let text = repository::read(&name);
        let came = check(&text, &[], &[]);
        let words =
            ["pluginConfig:\n", "StringValue", "\nkind: EnvoyExtensionPolicy", "filter_config:\n"];
        let holds_one = words.iter().any(|word| text.contains(word));
        assert_eq!(came.code, if holds_one { 0 } else { 2 }, "{name}: {}{}", came.out, came.err);
        checked += usize::from(holds_one);
    }
    assert!(checked >= 2, "{checked}");
    let envoy = check(&repository::read("envoy/envoy.yaml"), &[], &[]).out;
    for line in [
        "accepted: HS256; nothing else",
        "the header authorization, after Bearer",
        "signout   POST /sign-out: revokes the tokens of the request",
        "protected everything else: needs a valid token",
        "a set that was last updated 300 s ago is stale",
        "while the set is stale: 503 on protected routes",
        "SESSION_SECRET: NOT SET HERE",
    ] {
        assert!(envoy.contains(line), "{line}\n{envoy}");
    }
}

#[test]
fn every_filter_in_a_file_is_reported_and_one_that_is_wrong_fails_it() {
    let filters = json!([
        wasm("session-guard", string_value(&filter("public"))),
        wasm(
            "of another",
            json!({"@type": "…/google.protobuf.StringValue", "value": "{\"a\": 1}"})
        ),
        wasm("session_guard_inner", string_value(&filter("open"))),
        wasm("unnamed", string_value(&filter("optional"))),
    ]);
    let listener =
        json!({"resources": [{"name": "edge", "filter_chains": [{"filters": filters}]}]});
    let (code, reports) = reports(&listener.to_string(), &[]);
    assert_eq!((code, reports.as_array().unwrap().len()), (1, 3), "{reports:#}");
    assert_eq!(reports[0]["place"], "edge > wasm > session-guard");
    let good: Vec<_> = reports.as_array().unwrap().iter().map(|it| &it["good"]).collect();
    assert_eq!(good, [true, false, true]);
    assert_eq!(reports[1]["errors"][0]["path"], "routes[0].access");
    let came = check(&listener.to_string(), &[], &[]);
    assert!(came.out.contains("session_guard_inner: DOES NOT LOAD"), "{}", came.out);
    assert!(came.err.contains("1 of 3 does not load"), "{}", came.err);
}

#[test]
fn istio_and_config_maps_are_read() {
    let plugin = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": {"name": "guard"},
        "spec": {
            "url": "oci://example.com/filter:1", "phase": "AUTHN", "failStrategy": "FAIL_OPEN",
            "vmConfig": {"env": [{"name": "SESSION_SECRET", "valueFrom": "HOST"}]},
            "pluginConfig": filter("public"),
        },
    });
    let (code, of_istio) = reports(&format!("---\n{plugin}\n"), &[]);
    assert_eq!(code, 1);
    assert_eq!(of_istio[0]["errors"][0]["path"], "revocation.upstream.token.env", "{of_istio:#}");
    assert_eq!(of_istio[0]["variables"][1]["state"], "not_passed_on");
    let warnings = of_istio[0]["warnings"].to_string();
    assert!(warnings.contains("FAIL_OPEN lets everybody in"), "{warnings}");

    let inner = json!({"static_resources": {"clusters": [{"name": "application"}],
        "listeners": [wasm("session-guard", string_value(&filter("public")))]}});
    let map = json!({"kind": "ConfigMap", "metadata": {"name": "edge"},
        "data": {"envoy.yaml": inner.to_string(), "other.txt": ": no YAML ["}});
    let (code, of_map) = reports(&format!("{map}\n---\n{plugin}"), &[]);
    assert_eq!((code, of_map.as_array().unwrap().len()), (1, 2), "{of_map:#}");
    assert_eq!(of_map[0]["place"], "ConfigMap edge > envoy.yaml > wasm > session-guard");
    assert!(
        of_map[0]["warnings"].to_string().contains("not among the clusters here"),
        "{of_map:#}"
    );
}

#[test]
fn traffic_extensions_and_extension_policies_are_read() {
    let mut in_mesh = filter("public");
    let cluster = "outbound|8090||signout.signout.svc.cluster.local";
    in_mesh["revocation"]["upstream"] = json!({"cluster": cluster});
    let extension = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "TrafficExtension",
        "metadata": {"name": "guard"},
        "spec": {"phase": "AUTHN", "selector": {"matchLabels": {"app": "edge"}}, "wasm": {
            "url": "oci://example.com/filter:1", "failStrategy": "FAIL_RELOAD",
            "vmConfig": {"env": [{"name": "SESSION_SECRET", "valueFrom": "HOST"},
                {"name": "SIGNOUT_TOKEN", "valueFrom": "HOST"}]},
            "pluginConfig": in_mesh,
        }},
    });
    let policy = |kind: &str, open: bool, keys: &[&str]| {
        json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyExtensionPolicy",
            "metadata": {"name": "guard"},
            "spec": {"targetRefs": [{"kind": kind, "name": "edge"}], "wasm": [
                {"config": filter("public"), "failOpen": open, "env": {"hostKeys": keys}},
            ]},
        })
    };
    let both = ["SESSION_SECRET", "SIGNOUT_TOKEN"];
    for good in [&extension, &policy("Gateway", false, &both)] {
        let (code, reports) = reports(&good.to_string(), &[]);
        assert_eq!((code, &reports[0]["warnings"]), (0, &json!([])), "{reports:#}");
    }
    let (code, reports) = reports(&policy("HTTPRoute", true, &both[..1]).to_string(), &[]);
    assert_eq!((code, &reports[0]["variables"][1]["state"]), (1, &json!("not_passed_on")));
    let warnings = reports[0]["warnings"].to_string();
    assert!(warnings.contains("not a Gateway") && warnings.contains("failOpen"), "{warnings}");
}

#[test]
fn dynamic_modules_of_envoy_gateway_are_read() {
    let policy = |kind: &str, access: &str| {
        json!({
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "EnvoyExtensionPolicy",
            "metadata": {"name": "edge"},
            "spec": {"targetRefs": [{"kind": kind, "name": "edge"}], "dynamicModule": [
                {"name": "guard", "filterName": "session-guard", "config": filter(access)},
            ]},
        })
    };
    let proxy = |entry: Value| {
        json!({"kind": "EnvoyProxy", "metadata": {"name": "edge"},
            "spec": {"dynamicModules": [{"name": "other"}, entry]}})
    };
    let stays = proxy(json!({"name": "guard", "doNotClose": true}));
    let closes = proxy(json!({"name": "guard"}));
    for (kind, access, proxy, code, paths) in [
        ("Gateway", "public", &Value::Null, 0, &[][..]),
        ("Gateway", "public", &stays, 0, &[]),
        ("Gateway", "public", &closes, 0, &["EnvoyProxy/edge.spec.dynamicModules[1].doNotClose"]),
        ("HTTPRoute", "public", &stays, 0, &["targetRefs"]),
        ("Gateway", "open", &stays, 1, &[]),
    ] {
        for text in [
            format!("---\n{}\n---\n{proxy}\n", policy(kind, access)),
            json!({"kind": "List", "items": [proxy, policy(kind, access)]}).to_string(),
        ] {
            let (came, reports) = reports(&text, &[]);
            let warnings = reports[0]["warnings"].as_array().unwrap();
            let found: Vec<_> = warnings.iter().map(|it| it["path"].as_str().unwrap()).collect();
            assert_eq!((came, found.as_slice()), (code, paths), "{reports:#}");
            assert!(reports[0]["place"].as_str().unwrap().ends_with("EnvoyExtensionPolicy edge"));
            assert_ne!(reports[0]["variables"][0]["state"], "not_passed_on", "{reports:#}");
        }
    }
}

#[test]
fn clusters_of_an_envoy_filter_are_checked_as_istios() {
    let wrong = "cluster signout";
    let good = "outbound|8090||signout.signout.svc.cluster.local";
    for (cluster, paths) in [(good, &[][..]), ("signout", &[wrong])] {
        let mut config = filter("public");
        config["revocation"]["upstream"] = json!({"cluster": cluster});
        let configuration =
            json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": config});
        let inserted = json!({"name": "session-guard", "typed_config": {
            "dynamic_module_config": {"do_not_close": true}, "filter_name": "session-guard",
            "filter_config": configuration,
        }});
        let object = json!({"kind": "EnvoyFilter", "metadata": {"name": "guard"},
            "spec": {"configPatches": [{"patch": {"value": inserted}}]}});
        let (code, reports) = reports(&object.to_string(), &[]);
        let warnings = reports[0]["warnings"].as_array().unwrap();
        let found: Vec<_> = warnings.iter().map(|it| it["path"].as_str().unwrap()).collect();
        assert_eq!((code, found.as_slice()), (0, paths), "{reports:#}");
    }
}

#[test]
fn a_lua_script_of_istio_is_no_filter() {
    let script = json!({"kind": "TrafficExtension", "metadata": {"name": "session-guard"},
        "spec": {"lua": {"inlineCode": "-"}}});
    assert_eq!(check(&script.to_string(), &[], &[]).code, 2);
}

#[test]
fn the_forms_that_envoy_cannot_hand_over_are_refused_with_the_one_that_loads() {
    let a_struct =
        json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": filter("public")});
    let no_text = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": filter("public")});
    for (configuration, said) in [
        (a_struct, "google.protobuf.StringValue"),
        (no_text, "write the JSON as text"),
        (Value::Null, "google.protobuf.StringValue"),
    ] {
        let (code, reports) = reports(&wasm("session-guard", configuration).to_string(), &[]);
        let error = reports[0]["errors"].to_string();
        assert!(code == 1 && error.contains(said), "{error}");
    }
}

#[test]
fn what_holds_no_configuration_is_wrong_use() {
    let other = wasm("of another", json!({"value": "{}"})).to_string();
    for text in ["a: [", "- just\n- a list\n", "kind: Service\n", "\u{0}", "# nothing\n", &other] {
        let came = check(text, &[], &[]);
        assert!(
            came.code == 2 && came.out.is_empty() && !came.err.is_empty(),
            "{text}: {}",
            came.err
        );
    }
    let gone = Command::new(env!("CARGO_BIN_EXE_signout")).args(["check", "no/such/file"]).output();
    assert_eq!(gone.unwrap().status.code(), Some(2));
    for text in ["", " ", "{", "{}", "{\"keys\": [], \"keys\": []}", "{\"key\": 1}"] {
        assert_eq!(check(text, &[], &[]).code, 1, "{text}: the filter gets this, and refuses it");
    }
}

#[test]
fn a_secret_is_checked_where_it_is_set_and_named_where_it_is_not() {
    let text = filter("public").to_string();
    let state = |reports: &Value| reports[0]["variables"][0]["state"].clone();
    let good = "a-secret-of-more-than-thirty-two-bytes";
    let (code, set) = reports(&text, &[("SESSION_SECRET", good), ("SIGNOUT_TOKEN", "t")]);
    assert_eq!((code, state(&set)), (0, json!("set")));
    let (code, unset) = reports(&text, &[("SESSION_SECRET", "")]);
    assert_eq!((code, state(&unset)), (0, json!("not_set_here")));
    let (code, weak) = reports(&text, &[("SESSION_SECRET", "short")]);
    assert_eq!((code, &weak[0]["errors"][0]["path"]), (1, &json!("keys[0].secret")));
    let required = check(&text, &["--require-env"], &[("SIGNOUT_TOKEN", "t")]);
    assert!(required.code == 1 && required.out.contains("keys[0].secret.env"), "{}", required.out);
    for encoding in ["utf8", "base64", "base64url", "hex"] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let secret = json!({"env": ["A_SECRET", "B_SECRET"], "encoding": encoding});
            let config = json!({"keys": [{"algorithm": algorithm, "secret": secret}]});
            assert_eq!(check(&config.to_string(), &[], &[]).code, 0, "{algorithm} {encoding}");
            let second = check(&config.to_string(), &[], &[("B_SECRET", "short")]);
            assert_eq!(second.code, 1, "the second is set, so it is the one");
        }
    }
}

#[test]
fn a_secret_that_envoy_discovers_is_named() {
    let secret = json!({"sds": {"name": "session", "sds_config": {"ads": {}}}});
    let config = json!({"keys": [{"algorithm": "HS384", "secret": secret}]}).to_string();
    let came = check(&config, &[], &[]);
    assert_eq!(came.code, 0, "{}", came.out);
    let told = "HS384 with the secret session that Envoy discovers; dynamic module only";
    assert!(came.out.contains(told) && came.out.contains("accepted: HS384;"), "{}", came.out);
}

#[test]
fn no_secret_is_printed() {
    let canary = "CANARY15CANARY15CANARY15CANARY15CANARY15CANARY15CANARY15CANARY15";
    let set = [("SESSION_SECRET", canary), ("SIGNOUT_TOKEN", canary)];
    let mut texts = vec![filter("public").to_string()];
    for pointer in
        ["/keys/0/secret/env", "/keys/0/secret", "/keys/0", "/keys", "/claims", "/routes/0"]
    {
        let mut config = filter("public");
        config["claims"] = json!({});
        *config.pointer_mut(pointer).unwrap() = json!(canary);
        texts.push(config.to_string());
        texts.push(serde_json::to_string(&wasm("session-guard", string_value(&config))).unwrap());
    }
    let mut config = filter("public");
    config["keys"][0]["secret"] = json!({"inline": canary});
    config["revocation"] = json!({"upstream": {"token": {"inline": canary}}});
    texts.extend([
        config.to_string(),
        format!("{{\"keys\": {canary}"),
        format!("a: [{canary}\nb: }}"),
    ]);
    let jwk = json!({"kty": "oct", "k": canary, "alg": "HS256", "kid": "a"});
    texts.push(json!({"keys": [{"jwks": {"inline": {"keys": [jwk, canary]}}}]}).to_string());
    for text in texts {
        for arguments in [&[][..], &["--json"], &["--require-env"]] {
            let Came { out, err, .. } = check(&text, arguments, &set);
            assert!(!format!("{out}{err}").contains(canary), "{text}\n{out}{err}");
        }
    }
}

#[test]
fn every_error_of_an_issuers_file_is_reported_at_once() {
    let issuer = |name: &str| json!({"issuer": name, "jwks": {"url": "https://a.example/jwks"}});
    let mut file = json!({"issuers": [issuer("https://a.example"), issuer("https://b.example")]});
    file["issuers"][0]["backchannel_logut"] = json!({"audiences": ["app"]});
    file["issuers"][0]["jwks"]["url"] = json!("http://a.example/jwks");
    file["issuers"][0]["max_lifetime_seconds"] = json!(5);
    file["issuers"][1]["algorithms"] = json!(["HS256"]);
    file["issuers"][1]["events"] = json!({"audiences": [], "transmitter": {"poll": "ftp://b"}});
    let came = check(&file.to_string(), &["--json"], &[]);
    let errors = errors_of(&came);
    assert_eq!(
        paths_of(&errors),
        [
            "issuers[0].backchannel_logut",
            "issuers[0].jwks.url",
            "issuers[0].max_lifetime_seconds",
            "issuers[1].algorithms[0]",
            "issuers[1].events.audiences",
            "issuers[1].events.transmitter.poll",
        ]
    );
    for error in &errors {
        let [problem, remedy] = ["problem", "remedy"].map(|name| error[name].as_str().unwrap());
        assert!(!problem.is_empty() && !remedy.is_empty(), "{error}");
    }
    assert_eq!(errors[0]["remedy"], "did you mean `backchannel_logout`?");
}

#[test]
fn an_issuers_file_is_explained() {
    let transmitter = json!({"token": {"env": "SSF_TOKEN"}, "poll": "https://id.example.com/poll"});
    let file = json!({"issuers": [{
        "issuer": "https://id.example.com", "realm": "shop",
        "jwks": {"url": "https://id.example.com/jwks"}, "backchannel_logout": {"audiences": ["app"]},
        "events": {"audiences": ["https://signout.example.com"], "transmitter": transmitter},
    }]});
    let file = file.to_string();
    let came = check(&file, &[], &[]);
    assert_eq!(came.code, 0, "{}", came.err);
    for line in [
        "is accepted",
        "back-channel logout: POST /v1/realms/shop/backchannel-logout, for app",
        "events: polled from https://id.example.com/poll, for https://signout.example.com",
        "SSF_TOKEN: NOT SET HERE",
    ] {
        assert!(came.out.contains(line), "{line}:\n{}", came.out);
    }
    assert_eq!(check(&file, &["--require-env"], &[]).code, 1);
    let came = check(&file, &["--require-env"], &[("SSF_TOKEN", "a-secret")]);
    assert!(came.code == 0 && !came.out.contains("a-secret"), "{}", came.out);
    assert_eq!(check(&file, &["--request", "/page"], &[]).code, 2, "it has no routes");
}

#[test]
fn a_tokens_file_is_checked_and_explained() {
    let secret = "a-token-that-no-report-may-contain";
    let token = |name: &str| json!({"name": name, "token": secret, "rights": ["revoke", "read"]});
    let mut file = json!({"tokens": [token("proxies")]});
    file["tokens"][0]["realms"] = json!(["shop", ""]);
    let came = check(&file.to_string(), &[], &[]);
    let line = "proxies: revoke, read in realm shop, the default realm";
    assert!(came.code == 0 && came.out.contains(line), "{}", came.out);
    assert_eq!(check(&file.to_string(), &["--request", "/page"], &[]).code, 2, "it has no routes");
    file["tokens"] = json!([token("7"), {"name": "a", "rigths": ["read"]}, token("proxies")]);
    let came = check(&file.to_string(), &["--json"], &[]);
    let errors = errors_of(&came);
    assert_eq!(paths_of(&errors), ["tokens[0].name", "tokens[1].rigths"], "{}", came.out);
    for Came { out, err, .. } in [came, check(&file.to_string(), &[], &[])] {
        assert!(!format!("{out}{err}").contains(secret), "{out}{err}");
    }
}

#[test]
fn the_route_of_a_request_is_told() {
    let text = filter("public").to_string();
    let arguments = [
        "--json",
        "--request",
        "/",
        "--request",
        "POST https://a.example/out",
        "--request",
        "GET /out",
        "--request",
        "//",
    ];
    let came = check(&text, &arguments, &[]);
    let json: Value = serde_json::from_str(&came.out).unwrap();
    let answers = json["configurations"][0]["requests"].as_array().unwrap().iter();
    let answers: Vec<_> =
        answers.map(|it| (it["access"].as_str().unwrap(), &it["revokes"])).collect();
    let (no, yes) = (&json!(false), &json!(true));
    assert_eq!(answers, [("public", no), ("signout", yes), ("protected", no), ("protected", no)]);
    assert!(check(&text, &["--request", "//"], &[]).out.contains("the path is not canonical"));
    for (request, expected) in [
        ("POST /out", "POST /out: signout by routes["),
        ("GET /out", "GET /out: protected by default, needs a valid token; POST signs out here"),
        ("/page", "GET /page: protected by default, needs a valid token\n"),
    ] {
        let came = check(&text, &["--request", request], &[]);
        assert!(came.out.contains(expected), "{}", came.out);
    }
    assert_eq!(check(&text, &["--request", "get page"], &[]).code, 2);
}

#[test]
fn a_rule_behind_a_wider_one_is_named() {
    let public = |place: &str, text: &str| json!({place: text, "access": "public"});
    let protected = |place: &str, text: &str| json!({place: text, "access": "protected"});
    let reading = json!({"prefix": "/api", "methods": ["GET"], "access": "public"});
    let never = "routes[1]: never matches: routes[0] matches all its requests";
    let partly = "routes[1]: does not match GET: routes[0] opens it before";
    for (earlier, later, expected) in [
        (public("template", "/api/{a}/{b}"), protected("path", "/api/admin/x"), never),
        (public("template", "/api/{a}"), protected("template", "/api/{name}"), never),
        (public("template", "/api/{a}"), protected("path", "/api/a/b"), ""),
        (public("template", "/api/{a}/x"), protected("template", "/api/a/{b}"), ""),
        (public("template", "/api/{a}"), protected("prefix", "/api/a"), ""),
        (reading.clone(), protected("prefix", "/api/admin"), partly),
        (reading.clone(), public("prefix", "/api/admin"), ""),
        (reading, protected("prefix", "/other"), ""),
        (public("path", "/api/admin/x"), protected("prefix", "/api/admin"), ""),
    ] {
        let mut config = filter("public");
        config["routes"] = json!([earlier, later, {"path": "/out", "access": "signout"}]);
        let out = check(&config.to_string(), &[], &[]).out;
        let found: Vec<_> = out.lines().filter(|line| line.contains("routes[1]:")).collect();
        match expected {
            "" => assert!(found.is_empty(), "{earlier} {later}: {out}"),
            expected => assert!(found.len() == 1 && found[0].contains(expected), "{out}"),
        }
    }
}

#[test]
fn an_ipv6_address_in_brackets_is_a_mistake() {
    let shipped = repository::read("envoy/envoy.yaml");
    for (address, is_wrong) in [("\"[::1]\"", true), ("\"::1\"", false), ("localhost", false)] {
        let text = shipped.replace("address: signout,", &format!("address: {address},"));
        let out = check(&text, &[], &[]).out;
        assert_eq!(out.contains("write `::1`, without brackets"), is_wrong, "{out}");
    }
}

#[test]
fn a_reader_that_ends_early_causes_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signout"));
    command.args(["check", concat!(env!("CARGO_MANIFEST_DIR"), "/../envoy/envoy.yaml")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
