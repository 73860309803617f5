//! Promise: the policy admits no request without a user that the filter would refuse, and admits the
//! requests of each rule that Istio can express.
//!
//! Method: a table of rules and the operations that they become; and the same requests to the filter's
//! own routes and to the operations, read as Istio documents them.

use serde_json::json;
use session_guard_core::config::Config;
use session_guard_core::config::effective::effective;
use session_guard_core::headers::Headers;
use session_guard_core::request::routes::Access;

use super::*;

fn full(config: &Value) -> Value {
    let mut all = json!({
        "keys": [{"algorithm": "HS256", "secret": {"inline": "d0c9a3f1b2e4d5c6a7b8091a2b3c4d5e6f"}}],
        "claims": {"user_id": "sub"},
        "forward": {"user_id": "x-user-id"},
        "revocation": {"upstream": {
            "cluster": "signout", "authority": "signout", "token": {"inline": "0123456789abcdef0123"}
        }},
    });
    for (name, value) in config.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

fn policy_of(config: &Value) -> String {
    let config = effective(full(config).to_string().as_bytes()).unwrap();
    let settings = PolicySettings { name: "application".into(), ..Default::default() };
    authorization_policy(&config, &settings).unwrap()
}

/// The lines of the rule for requests without a user, and the comments on rules that are missing.
fn told(config: &Value) -> Vec<String> {
    let policy = policy_of(config);
    let lines = policy.lines().map(|line| line.trim_start_matches([' ', '-']));
    let is_told = |line: &&str| {
        ["operation", "when: [{ key: \"request.headers[u", "when: [{ key: \"request.headers[o"]
            .iter()
            .any(|start| line.starts_with(start))
            || ["Not admitted", "Narrower"].iter().any(|what| line.contains(what))
    };
    lines.filter(is_told).map(str::to_owned).collect()
}

#[test]
fn each_open_rule_becomes_an_operation() {
    let open = |rule: Value| told(&json!({"routes": [rule]}));
    for (rule, operation) in [
        (json!({"path": "/a", "access": "public"}), "{ paths: [/a] }"),
        (json!({"path": "/a", "access": "optional"}), "{ paths: [/a] }"),
        (json!({"prefix": "/a", "access": "public"}), "{ paths: [/a, /a/*] }"),
        (json!({"prefix": "/a/", "access": "public"}), "{ paths: [/a/*] }"),
        (json!({"prefix": "/", "access": "public"}), "{ paths: [/*] }"),
        (json!({"path": "/a", "access": "signout"}), "{ paths: [/a, /a/], methods: [POST] }"),
        (
            json!({"path": "/a/", "methods": ["GET"], "access": "signout"}),
            "{ paths: [/a/, /a], methods: [GET, HEAD] }",
        ),
        (
            json!({"template": "/a/{id}/b", "methods": ["GET"], "access": "public"}),
            "{ paths: [\"/a/{*}/b\"], methods: [GET] }",
        ),
        (
            json!({"path": "/a", "hosts": ["a.example.com", "*.b.example"], "access": "public"}),
            "{ paths: [/a], hosts: [a.example.com, \"*.b.example\"] }",
        ),
        (json!({"path": "/%C3%A9", "access": "public"}), "{ paths: [\"/%C3%A9\"] }"),
    ] {
        assert_eq!(open(rule.clone()), [format!("operation: {operation}")], "{rule}");
    }
    let rule = json!({"preflight": true, "access": "public"});
    let lines = open(rule);
    assert_eq!(lines[0], "operation: { methods: [OPTIONS] }");
    assert!(lines[1].contains("values: [http*, \"null\"]"), "{lines:?}");
    for nothing in [
        json!({"path": "/a", "access": "protected"}),
        json!({"path": "/.session-guard/ready", "access": "ready"}),
    ] {
        assert_eq!(open(nothing.clone()), [""; 0], "{nothing}");
    }
}

#[test]
fn what_an_earlier_rule_protects_is_left_out() {
    let protected = |rule: Value| {
        let mut rule = rule;
        rule["access"] = json!("protected");
        rule
    };
    let public = |rule: Value| {
        let mut rule = rule;
        rule["access"] = json!("public");
        rule
    };
    for (first, second, expected) in [
        (json!({"path": "/b"}), json!({"path": "/a"}), "{ paths: [/a] }"),
        (
            json!({"path": "/a", "methods": ["POST"]}),
            json!({"path": "/a"}),
            "{ paths: [/a], notMethods: [POST] }",
        ),
        (
            json!({"path": "/A/", "methods": ["GET", "POST"]}),
            json!({"path": "/a", "methods": ["GET", "HEAD", "PUT"]}),
            "{ paths: [/a], methods: [PUT] }",
        ),
        (
            json!({"prefix": "/a/b"}),
            json!({"prefix": "/a"}),
            "{ paths: [/a, /a/*], notPaths: [/a/b*, /a/b] }",
        ),
        (
            json!({"path": "/a/b"}),
            json!({"prefix": "/"}),
            "{ paths: [/*], notPaths: [/a/b, /a/b/] }",
        ),
        (json!({"path": "/"}), json!({"prefix": "/"}), "{ paths: [/*], notPaths: [/] }"),
        (
            json!({"prefix": "/a", "upgrade": true}),
            json!({"path": "/a/b"}),
            "{ paths: [/a/b], notMethods: [CONNECT] }",
        ),
        (
            json!({"path": "/a", "hosts": ["a.example"]}),
            json!({"path": "/a", "hosts": ["b.example"]}),
            "{ paths: [/a], hosts: [b.example] }",
        ),
        (
            json!({"preflight": true}),
            json!({"path": "/a"}),
            "{ paths: [/a], notMethods: [OPTIONS] }",
        ),
    ] {
        let lines = told(&json!({"routes": [protected(first.clone()), public(second.clone())]}));
        assert_eq!(lines[0], format!("operation: {expected}"), "{first} {second}");
    }
    for (first, second) in [
        (json!({"path": "/A"}), json!({"path": "/a"})),
        (json!({"path": "/a/"}), json!({"path": "/a"})),
        (json!({"prefix": "/"}), json!({"path": "/a"})),
        (json!({"prefix": "/st"}), json!({"prefix": "/static"})),
        (json!({"template": "/a/{id}"}), json!({"path": "/a/b"})),
        (json!({"template": "/a/{id}/c"}), json!({"prefix": "/a/"})),
        (json!({"path": "/A/b"}), json!({"prefix": "/a"})),
        (json!({"path": "/a", "methods": ["GET"]}), json!({"path": "/a", "methods": ["HEAD"]})),
        (
            json!({"path": "/a", "hosts": ["*.example"]}),
            json!({"path": "/a", "hosts": ["b.example"]}),
        ),
    ] {
        let lines = told(&json!({"routes": [protected(first.clone()), public(second.clone())]}));
        assert!(
            lines[0].starts_with("# Not admitted without a user: "),
            "{first} {second}: {lines:?}"
        );
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
}

#[test]
fn rules_that_istio_cannot_express_are_named() {
    for rule in [
        json!({"path": "/a", "upgrade": true, "access": "public"}),
        json!({"path": "/a*", "access": "public"}),
        json!({"template": "/a=/{id}", "access": "public"}),
    ] {
        let lines = told(&json!({"routes": [rule]}));
        assert!(lines[0].starts_with("# Not admitted without a user: "), "{lines:?}");
    }
    let narrower = told(&json!({"routes": [
        {"path": "/a/b", "methods": ["POST"], "access": "protected"},
        {"prefix": "/a", "access": "public"},
    ]}));
    assert_eq!(
        narrower[0],
        "# Narrower than the filter: any method /a and /a/…: not on /a/b, /a/b/."
    );
}

#[test]
fn without_a_header_for_the_user_there_is_no_policy() {
    for none in [json!({"claims": {"user_id": null}}), json!({"forward": {"user_id": null}})] {
        let config = effective(full(&none).to_string().as_bytes()).unwrap();
        assert!(authorization_policy(&config, &PolicySettings::default()).is_err(), "{none}");
    }
}

#[test]
fn texts_are_quoted_where_yaml_reads_something_else() {
    for (text, yaml) in [
        ("application", "application"),
        ("cluster.local/ns/a/sa/b", "cluster.local/ns/a/sa/b"),
        ("true", "\"true\""),
        ("No", "\"No\""),
        ("1", "\"1\""),
        ("", "\"\""),
        ("a: b", "\"a: b\""),
        ("*", "\"*\""),
        ("/{*}", "\"/{*}\""),
        ("/a,b", "\"/a,b\""),
        ("a\"\n", "\"a\\\"\\n\""),
    ] {
        assert_eq!(scalar(text), yaml);
    }
}

/// Returns whether an operation, read as Istio documents it, matches.
fn admits(operation: &Operation, method: &str, path: &str, host: &str) -> bool {
    let segments = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    let is = |pattern: &String, text: &str| match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None if pattern.starts_with('*') => text.ends_with(&pattern[1..]),
        None if pattern.contains("{*}") => {
            let (pattern, text) = (segments(pattern), segments(text));
            pattern.len() == text.len()
                && pattern.iter().zip(&text).all(|(a, b)| a == b || a == "{*}" && !b.is_empty())
        }
        None => pattern == text,
    };
    let any = |list: &[String], text: &str| list.iter().any(|pattern| is(pattern, text));
    let Operation { paths, not_paths, methods, not_methods, hosts, headers } = operation;
    // The requests here have none of the headers of a preflight.
    headers.iter().all(|header| header.member == "notValues")
        && (paths.is_empty() || any(paths, path))
        && !any(not_paths, path)
        && (methods.is_empty() || any(methods, method))
        && !any(not_methods, method)
        && (hosts.is_empty() || any(hosts, host))
}

#[test]
fn no_request_is_admitted_that_the_filter_protects() {
    let texts = ["/", "/a", "/a/", "/a/b", "/a/bc", "/a/b/c", "/b"];
    let mut patterns: Vec<_> = texts.iter().map(|text| json!({"path": text})).collect();
    patterns.extend(texts.iter().map(|text| json!({"prefix": text})));
    patterns.extend(["/{x}", "/a/{x}", "/{x}/b", "/a/{x}/c"].map(|text| json!({"template": text})));
    let limits = [
        json!({}),
        json!({"methods": ["GET"]}),
        json!({"methods": ["HEAD", "POST"]}),
        json!({"hosts": ["*.x"]}),
    ];
    let rules: Vec<_> = patterns
        .iter()
        .flat_map(|pattern| {
            limits.iter().map(move |limit| {
                let mut rule = pattern.clone();
                limit
                    .as_object()
                    .unwrap()
                    .iter()
                    .for_each(|(name, value)| rule[name] = value.clone());
                rule
            })
        })
        .collect();
    let (mut admitted, mut open) = (0, 0);
    for first in &rules {
        for second in rules.iter().filter(|rule| rule["hosts"].is_null()) {
            let (mut first, mut second) = (first.clone(), second.clone());
            first["access"] = json!("protected");
            second["access"] = json!("public");
            let config = full(&json!({"routes": [first, second]})).to_string();
            let routes = Config::parse(config.as_bytes(), &|_| None).unwrap().routes;
            let opened = opened(&effective(config.as_bytes()).unwrap());
            for path in texts.iter().chain(&["/a/b/", "/ab", "/b/b", "/c", "/a/c/c"]) {
                for (method, host) in
                    [("GET", "a.x"), ("HEAD", "a.x"), ("POST", "a.x"), ("PUT", "b"), ("GET", "b")]
                {
                    let pseudo = [(":method", method), (":authority", host), (":path", path)];
                    let is_open =
                        routes.find(&Headers::from_pairs(&pseudo)).access != Access::Protected;
                    let operations = opened.iter().filter_map(|one| one.outcome.as_ref().ok());
                    let is_admitted =
                        operations.into_iter().any(|one| admits(one, method, path, host));
                    assert!(is_open || !is_admitted, "{config}: {method} {host}{path}");
                    open += usize::from(is_open);
                    admitted += usize::from(is_admitted);
                }
            }
        }
    }
    assert!(admitted * 10 > open * 8, "{admitted} of {open}");
}
