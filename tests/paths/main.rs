//! Promise: no spelling of a path reaches a protected page without a token, whatever Envoy's
//! settings are and however leniently the application reads paths.
//! Method: the tests send some two thousand targets as raw bytes, with the shipped settings of
//! Envoy and with its defaults, with rules that open and rules that close. They then read every
//! target that reached the application in all lenient ways.

mod targets;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use targets::{OVERRIDES, Rules, closed_rules, is_below, open_rules, readings, target_of, targets};
use testbed::{BareApplication, Configuration, Connection, Testbed, Token, repository};

#[test]
fn no_spelling_leaves_an_open_prefix_behind_the_shipped_envoy() {
    confuse(&open_rules(), |_| {}, |reading| !is_below(reading, b"/public"));
}

#[test]
fn no_spelling_leaves_an_open_prefix_behind_a_bare_envoy() {
    confuse(&open_rules(), no_normalising, |reading| !is_below(reading, b"/public"));
}

#[test]
fn no_spelling_reaches_a_closed_prefix_behind_the_shipped_envoy() {
    confuse(&closed_rules(), |_| {}, |reading| is_below(reading, b"/private"));
}

#[test]
fn no_spelling_reaches_a_closed_prefix_behind_a_bare_envoy() {
    confuse(&closed_rules(), no_normalising, |reading| is_below(reading, b"/private"));
}

#[test]
fn no_header_speaks_for_the_path() {
    let bed = Testbed::with(|configuration| configuration.filter["routes"] = open_rules().0);
    for name in ["x-envoy-original-path", "x-forwarded-uri", "x-original-url", "x-rewrite-url"] {
        let ask = |path, claimed| {
            bed.envoy.send(&testbed::Request::get(path).header(name, claimed)).status
        };
        assert_eq!((ask("/private", "/public"), ask("/public", "/public")), (401, 200), "{name}");
    }
}

#[test]
fn no_header_that_overrides_path_or_method_is_forwarded() {
    let bed = Testbed::with(|_| {});
    for name in OVERRIDES {
        for path in ["/", "/page"] {
            let request = testbed::Request::get(path).bearer(&Token::of("ada"));
            let seen = bed.envoy.send(&request.header(name, "/private")).seen();
            assert_eq!((seen.path.as_str(), seen.header(name)), (path, None), "{name} {path}");
        }
    }
}

#[test]
fn every_shipped_proxy_removes_the_same_headers() {
    let mut proxies = 0;
    for name in repository::files("yaml") {
        if !["envoy/", "examples/"].iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        for removed in removed_headers(&repository::documents(&name)) {
            let removed: BTreeSet<_> = removed.into_iter().collect();
            let expected = OVERRIDES.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(removed, expected, "{name}");
            proxies += 1;
        }
    }
    assert!(proxies >= 5, "{proxies}");
}

#[test]
fn every_variant_removes_them() {
    for name in repository::files("yaml") {
        let Some(folder) = name.strip_suffix("kustomization.yaml") else { continue };
        let selects_filter = |it: &Value| it["target"]["kind"] == "WasmPlugin";
        let has_filter = |it: &Value| {
            list(&it["patches"]).any(selects_filter)
                || list(&it["resources"]).any(|resource| *resource == "filter.yaml")
        };
        let is_variant = |it: &Value| it["kind"] == "Kustomization" && has_filter(it);
        if !repository::documents(&name).iter().any(is_variant) {
            continue;
        }
        let files = repository::files("yaml").into_iter().filter(|file| file.starts_with(folder));
        let removing = files.flat_map(|file| removed_headers(&repository::documents(&file)));
        assert_ne!(removing.count(), 0, "{folder} removes no header");
    }
}

#[test]
fn a_proxy_that_forgets_them_is_found() {
    let route = json!({"routes": [{"match": {"prefix": "/"}}]});
    for (document, found) in [
        (json!({"route_config": {"virtual_hosts": [route]}}), 1),
        (json!({"route_config": {"virtual_hosts": [{"routes": [{"match": {"path": "/a"}}]}]}}), 0),
        (json!({"kind": "VirtualService", "spec": {"http": [{"route": []}, {"route": []}]}}), 2),
        (json!({"kind": "VirtualService", "spec": {"http": [{"fault": {"abort": {}}}]}}), 0),
        (json!({"kind": "HTTPRoute", "spec": {"rules": [{"filters": []}, {}]}}), 2),
        (
            json!({"data": {"envoy.yaml": json!({"route_config": {"virtual_hosts": [route]}}).to_string()}}),
            1,
        ),
    ] {
        let removed = removed_headers(std::slice::from_ref(&document));
        assert_eq!(removed, vec![Vec::<String>::new(); found], "{document}");
    }
}

/// The headers that each place of a manifest removes from requests to any path: Envoy's route
/// configurations, and the routes of Istio.
fn removed_headers(documents: &[Value]) -> Vec<Vec<String>> {
    let names = |value: &Value| -> Vec<String> {
        list(value).filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut rest: Vec<Value> = documents.to_vec();
    while let Some(value) = rest.pop() {
        let hosts = list(&value["route_config"]["virtual_hosts"]);
        let matches_all = |route: &Value| route["match"]["prefix"] == "/";
        if hosts.flat_map(|host| list(&host["routes"])).any(matches_all) {
            found.push(names(&value["route_config"]["request_headers_to_remove"]));
        }
        if value["kind"] == "VirtualService" {
            let forwards = |route: &&Value| route["fault"]["abort"].is_null();
            let routes = list(&value["spec"]["http"]).filter(forwards);
            found.extend(routes.map(|route| names(&route["headers"]["request"]["remove"])));
        }
        if value["kind"] == "HTTPRoute" {
            let filters = list(&value["spec"]["rules"]).map(|rule| list(&rule["filters"]));
            let removals = filters.map(|filters| {
                filters.flat_map(|it| names(&it["requestHeaderModifier"]["remove"])).collect()
            });
            found.extend(removals);
        }
        if value["applyTo"] == "ROUTE_CONFIGURATION" {
            found.push(names(&value["patch"]["value"]["request_headers_to_remove"]));
        }
        match value {
            Value::Object(members) => rest.extend(members.into_iter().map(|(_, value)| value)),
            Value::Array(items) => rest.extend(items),
            // A configuration inside another manifest.
            Value::String(text) if text.contains("route_config") => {
                rest.extend(repository::parse(&text));
            }
            _ => {}
        }
    }
    found
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[test]
fn a_host_is_the_same_in_every_case() {
    let bed = Testbed::with(|configuration| {
        configuration.filter["default_access"] = json!("public");
        configuration.filter["routes"] = json!([
            {"path": "/.session-guard/ready", "access": "ready"},
            {"prefix": "/", "access": "protected", "hosts": ["closed.example.com", "*.shut.example.com"]},
        ]);
    });
    let status = |host: &str| bed.envoy.send(&testbed::Request::get("/").host(host)).status;
    for host in CLOSED_HOSTS {
        assert_eq!(status(host), 401, "{host}");
    }
    for host in ["open.example.com", "closed.example.com.evil.example", "xclosed.example.com"] {
        assert_eq!(status(host), 200, "{host}");
    }
}

#[test]
fn a_host_in_the_request_line_is_the_one_that_counts() {
    let bed = Testbed::with(|configuration| {
        configuration.filter["routes"] = json!([
            {"path": "/.session-guard/ready", "access": "ready"},
            {"prefix": "/", "access": "public", "hosts": ["open.example.com"]},
        ]);
    });
    let status = |line: &str, host: &str| {
        let mut connection = bed.envoy.connect();
        connection.send_bytes(format!("{line}\r\nhost: {host}\r\n\r\n").as_bytes());
        connection.read_answer().status
    };
    assert_eq!(status("GET / HTTP/1.1", "open.example.com"), 200);
    assert_eq!(status("GET / HTTP/1.1", "other.example.com"), 401);
    assert_eq!(status("GET http://other.example.com/ HTTP/1.1", "open.example.com"), 401);
    assert_eq!(status("GET http://open.example.com/ HTTP/1.1", "other.example.com"), 200);
}

const CLOSED_HOSTS: &[&str] = &[
    "closed.example.com",
    "Closed.Example.COM",
    "closed.example.com.",
    "closed.example.com:8080",
    "CLOSED.example.com.:80",
    "a.shut.example.com",
    "A.SHUT.example.com",
    "a.b.shut.example.com",
];

fn no_normalising(configuration: &mut Configuration) {
    let manager = configuration.connection_manager().as_object_mut().expect("an object");
    for setting in ["normalize_path", "merge_slashes", "path_with_escaped_slashes_action"] {
        manager.remove(setting).expect("a shipped setting");
    }
}

/// Sends every target without a token and then with one. Checks the targets that reached the
/// application.
fn confuse(
    (routes, default_access): &Rules,
    edit: impl FnOnce(&mut Configuration),
    is_protected: impl Fn(&[u8]) -> bool,
) {
    let application = BareApplication::start();
    let bed = Testbed::with(|configuration| {
        configuration.filter["routes"] = routes.clone();
        configuration.filter["default_access"] = json!(default_access);
        configuration.set_address("application", application.address());
        edit(configuration);
    });
    let token = format!("authorization: Bearer {}\r\n", Token::of("ada"));
    let [without, with] = ["", &*token].map(|line| {
        for target in targets() {
            send(bed.envoy.connect(), &target, line);
        }
        application.take_request_lines()
    });
    let leaks = |lines: &[Vec<u8>]| {
        let lines =
            lines.iter().filter(|line| readings(target_of(line)).iter().any(|r| is_protected(r)));
        lines.map(|line| line.escape_ascii().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(leaks(&without), [""; 0]);
    // The check itself works: with a token, the same targets reach the protected pages.
    let reached = leaks(&with);
    assert!(reached.iter().any(|line| line == "GET /private HTTP/1.1"), "{reached:?}");
    assert!(reached.len() > 50 && !without.is_empty(), "{} {}", reached.len(), without.len());
    assert_eq!(bed.envoy.stats("vm_reload").iter().map(|(_, count)| count).sum::<u64>(), 0);
}

/// Sends a request and reads the response, whatever it is.
fn send(mut connection: Connection, target: &[u8], token: &str) {
    let method = if target.contains(&b':') && !target.contains(&b'/') { "CONNECT" } else { "GET" };
    let rest = format!("HTTP/1.1\r\nhost: app.example.com\r\n{token}\r\n");
    connection.send_bytes(&[method.as_bytes(), b" ", target, b" ", rest.as_bytes()].concat());
    connection.read_answer();
}
