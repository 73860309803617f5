//! Promise: a wrong configuration never loads, and the log names the wrong field without a secret.
//! Method: a real Envoy reads wrong configurations at start and as updates, and the parser reads
//! every shipped file.

use std::net::SocketAddr;

use serde_json::{Value, json};
use session_guard_core::config::Config;
use testbed::{Build, Configuration, Envoy, EnvoySetup, Request, repository};

#[test]
fn envoy_does_not_start_with_a_wrong_configuration() {
    let log = setup().edit(|it| it.filter["keys"] = json!([])).try_start().expect_err("no start");
    assert!(reason(&log).starts_with("keys: "), "{}", reason(&log));
}

#[test]
fn without_its_environment_envoy_does_not_start() {
    for (variable, field) in [
        ("SESSION_SECRET", "keys[0].secret.env: "),
        ("SIGNOUT_TOKEN", "revocation.upstream.token.env: "),
    ] {
        let log = setup().env(variable, "").try_start().expect_err("no start");
        let reason = reason(&log);
        assert!(reason.starts_with(field) && reason.contains(variable), "{reason}");
    }
}

#[test]
fn a_short_secret_does_not_load_and_is_not_shown() {
    let log = setup().env("SESSION_SECRET", "canary-too-short").try_start().expect_err("no start");
    let reason = reason(&log);
    assert!(reason.starts_with("keys[0].secret: 16 bytes"), "{reason}");
    assert!(!log.contains("canary-too-short"), "{log}");
}

#[test]
fn a_wrong_update_is_rejected_with_its_field() {
    let mut running = Running::start();
    for (place, name, wrong, field) in wrong() {
        let reason = running.refusal(|filter| filter.pointer_mut(place).unwrap()[name] = wrong);
        assert!(reason.starts_with(&format!("{field}: ")), "{field}: {reason}");
    }
    assert_eq!(running.envoy.send(&Request::get("/page")).code(), "missing_token");
}

#[test]
fn a_configuration_that_is_not_an_object_is_refused() {
    let mut running = Running::start();
    for text in ["", "  ", "{\"keys\": [}", "[]", "null", "\u{feff}{}", "{} {}"] {
        assert_ne!(running.refusal(|filter| *filter = json!(text)), "", "{text:?}");
    }
    let empty = running.refusal(|filter| *filter = json!("\n"));
    assert!(empty.contains("google.protobuf.StringValue"), "{empty}");
}

#[test]
fn a_struct_is_refused_with_the_form_that_loads() {
    if Build::Native.skips("it accepts a Struct; see tests/native.rs") {
        return;
    }
    let log = setup().edit(|configuration| {
        let value = configuration.filter.clone();
        let kind = "type.googleapis.com/google.protobuf.Struct";
        configuration.plugin()["configuration"] = json!({"@type": kind, "value": value});
    });
    let log = log.try_start().expect_err("no start");
    assert!(reason(&log).contains("google.protobuf.StringValue"), "{}", reason(&log));
}

#[test]
fn no_configuration_error_repeats_a_secret() {
    let mut running = Running::start();
    let canary = "canary-secret-in-the-wrong-place";
    for place in ["/keys/0/algorithm", "/keys/0/secret", "/keys/0", "/keys", "/claims", "/routes"] {
        let reason = running.refusal(|filter| *filter.pointer_mut(place).unwrap() = json!(canary));
        assert_ne!(reason, "", "{place}");
    }
    let unread = running.refusal(|filter| *filter = json!(format!("{{\"keys\": {canary}")));
    assert_ne!(unread, "");
    assert!(!running.envoy.log().contains(canary), "{}", running.envoy.log());
}

#[test]
fn every_shipped_configuration_loads() {
    let shipped = repository::configurations();
    let names: Vec<_> = shipped.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"envoy/envoy.yaml") && names.contains(&"README.md"), "{names:?}");
    for (name, text) in shipped {
        // Every variable that a file names gets a different value.
        let environment = |name: &str| Some(format!("{name:-<64}"));
        let config = Config::parse(text.as_bytes(), &environment);
        assert_eq!(config.err().map(|error| error.to_string()), None, "{name}:\n{text}");
    }
}

/// Returns the object, the name in it, the wrong value, and the field that the log must name.
fn wrong() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    vec![
        ("", "key", json!([]), "key"),
        ("", "keys", json!(null), "keys"),
        ("", "keys", json!({}), "keys"),
        ("/keys/0", "algorithm", json!("none"), "keys[0].algorithm"),
        ("/keys/0", "algorithm", json!("hs256"), "keys[0].algorithm"),
        ("/keys/0", "secret", json!({"env": "NOT_SET"}), "keys[0].secret.env"),
        ("/keys/0", "secret", json!({"inline": "secret"}), "keys[0].secret"),
        ("/keys/0", "secret", json!({"sds": {"name": "absent"}}), "keys[0].secret.sds"),
        ("/keys/0", "issuer", json!(""), "keys[0].issuer"),
        ("/claims", "clock_skew_seconds", json!(301), "claims.clock_skew_seconds"),
        ("/claims", "clock_skew_seconds", json!("60"), "claims.clock_skew_seconds"),
        ("/claims", "audience", json!("api"), "claims.audience"),
        ("", "token_sources", json!([]), "token_sources"),
        ("", "token_sources", json!(null), "token_sources"),
        ("/token_sources/0", "cookie", json!("token"), "token_sources[0]"),
        ("/forward", "user_id", json!(":path"), "forward.user_id"),
        ("/forward", "user_id", json!("cookie"), "forward.user_id"),
        ("/forward", "user_id", json!("authorization"), "forward.user_id"),
        ("/routes/0", "access", json!("open"), "routes[0].access"),
        ("/routes/0", "prefix", json!("/a"), "routes[0]"),
        ("/routes/0", "path", json!("/a//b"), "routes[0].path"),
        ("/routes/0", "methods", json!([]), "routes[0].methods"),
        ("", "default_access", json!("signout"), "default_access"),
        ("/revocation", "max_staleness_seconds", json!(0), "revocation.max_staleness_seconds"),
        ("/revocation", "when_unknown", json!("allow"), "revocation.when_unknown"),
        ("/revocation/upstream", "cluster", json!(""), "revocation.upstream.cluster"),
    ]
}

/// Returns the shipped configuration without an application or a service.
fn setup() -> EnvoySetup {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    Envoy::setup().application(nobody).service(nobody)
}

/// An Envoy with the shipped configuration.
struct Running {
    envoy: Envoy,
    good: Value,
}

impl Running {
    fn start() -> Self {
        let good = Configuration::shipped().filter;
        Self { envoy: setup().reloadable().workers(1).start(), good }
    }

    /// Returns why Envoy rejects the change.
    #[track_caller]
    fn refusal(&mut self, edit: impl FnOnce(&mut Value)) -> String {
        let before = self.envoy.log().len();
        let taken = self.envoy.reload(|configuration| {
            configuration.filter = self.good.clone();
            edit(&mut configuration.filter);
        });
        assert!(!taken, "Envoy took it");
        reason(&self.envoy.log()[before..])
    }
}

/// Returns the filter's log message, without time and source.
fn reason(log: &str) -> String {
    let line = log.lines().find_map(|line| line.split_once("the configuration does not load: "));
    line.map_or_else(String::new, |(_, reason)| reason.to_owned())
}
