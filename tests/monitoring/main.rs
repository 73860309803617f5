//! Promise: operators are alerted in time. Every rule of `monitoring/rules.yaml` fires when it should
//! and not before, and every query of `monitoring/dashboard.json` returns data.
//! Method: promtool evaluates the rules over series of samples. A real Prometheus scrapes a real Envoy
//! and a real service while faults happen; its rules are the shipped ones with `for: 0s`.
//!
//! The tests need Prometheus and Alertmanager. `make monitoring` installs both and runs them.

mod paging;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::{
    Configuration, Connection, Envoy, EnvoySetup, Fault, Prometheus, Request, SignoutService,
    Testbed, Token, eventually, repository,
};

#[test]
#[ignore = "needs Prometheus: make monitoring"]
fn every_rule_is_valid_and_fires_in_time() {
    for arguments in [["check", "rules", RULES], ["test", "rules", "tests/monitoring.yaml"]] {
        let output = Prometheus::tool(&arguments).output().expect("promtool runs");
        let told =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{}", told.concat());
    }
    let tests = repository::documents("tests/monitoring.yaml").remove(0);
    let tests: Vec<_> = tests["tests"].as_array().unwrap().iter().collect();
    let cases = || tests.iter().filter_map(|test| test["alert_rule_test"].as_array()).flatten();
    let named = |case: &Value| case["alertname"].as_str().unwrap().to_owned();
    let fires = |case: &&Value| case["exp_alerts"].as_array().is_some_and(|all| !all.is_empty());
    let (loud, quiet): (Vec<_>, Vec<_>) = cases().partition(fires);
    for cases in [loud, quiet] {
        assert_eq!(cases.into_iter().map(named).collect::<BTreeSet<_>>(), rule_names());
    }
}

#[test]
#[ignore = "needs Prometheus: make monitoring"]
fn no_alert_fires_and_every_dashboard_query_returns_data() {
    let bed = Testbed::from(scraped, Fault::None);
    bed.envoy.await_guarding();
    let prometheus = watch(&bed);
    story(&bed);
    let mut asked = 0;
    for query in queries() {
        eventually(SOON, || {
            let data = prometheus.query(&query);
            !data.is_empty() && data.iter().all(|(_, number)| number.is_finite())
        });
        asked += 1;
    }
    assert!(asked > 25, "{asked}");
    assert_eq!(prometheus.firing(), BTreeSet::new());
    for (expression, number) in [
        ("session_guard_refused{code=\"revoked\"}", 1.0),
        ("count(session_guard_revocations{kind=~\"token|user|all\"})", 3.0),
        ("signout_revocations{kind=\"token\"}", 1.0),
        ("session_guard_build_info{version=\"0.1.0\"}", 1.0),
        ("signout_build_info{version=\"0.1.0\"}", 1.0),
        ("sum(session_guard_refresh_rejected{reason!=\"\"})", 0.0),
        ("session_guard_streams_ended{code=\"revoked\"}", 0.0),
        ("envoy_wasm_vm_reload_success{plugin=\"session-guard\"}", 0.0),
    ] {
        assert_eq!(prometheus.number(expression), Some(number), "{expression}");
    }
}

#[test]
#[ignore = "needs Prometheus: make monitoring"]
fn a_crashed_vm_and_a_wrong_api_token_are_alerted() {
    let wrong = |setup: EnvoySetup| scraped(setup).drill().env("SIGNOUT_TOKEN", "another");
    let bed = Testbed::from(wrong, Fault::None);
    let prometheus = watch(&bed);
    let panic = Request::get("/page").header("x-panic-drill", "request");
    let intrusion = Request::get("/v1/status").header("authorization", "Bearer another");
    eventually(SOON, || {
        bed.envoy.send(&panic);
        assert_eq!(Connection::to(bed.service.address()).send(&intrusion).status, 401);
        let firing = prometheus.firing();
        firing.contains("SessionGuardVmReloaded") && firing.contains("SignoutUnauthorizedCalls")
    });
    await_firing(&prometheus, &["SessionGuardFeedStale"]);
}

#[test]
#[ignore = "needs Prometheus: make monitoring"]
fn a_full_service_and_a_rejected_revocation_are_alerted() {
    let service = SignoutService::setup().argument("--capacity").argument("5").start();
    let bed = Testbed::of(service, scraped, Fault::None);
    bed.envoy.await_guarding();
    let prometheus = watch(&bed);
    let revocation = |number| json!({"jti": format!("token {number}")});
    bed.service.revoke(&(0..5).map(revocation).collect());
    await_firing(&prometheus, &["SignoutNearlyFull"]);
    bed.envoy.send(&Request::post("/sign-out").bearer(&Token::of("ada")));
    await_firing(&prometheus, &["SessionGuardOutboxNotEmpty"]);
}

#[test]
fn the_metrics_listener_serves_nothing_but_metrics() {
    let bed = Testbed::from(scraped, Fault::None);
    let metrics = bed.envoy.address_of("metrics");
    let get = |path: &str| Connection::to(metrics).send(&Request::get(path));
    assert!(get("/stats/prometheus").text().contains("session_guard_allowed"));
    for path in
        ["/", "/config_dump", "/stats", "/stats/prometheus/../../config_dump", "/quitquitquit"]
    {
        assert_eq!(get(path).status, 404, "{path}");
    }
    let quit = Request::post("/quitquitquit");
    assert_eq!(Connection::to(metrics).send(&quit).status, 404);
}

/// Adds the metrics listener, and makes the feed stale after six seconds.
fn scraped(setup: EnvoySetup) -> EnvoySetup {
    setup.edit(|configuration: &mut Configuration| {
        configuration.scraped = true;
        configuration.filter["revocation"]["max_staleness_seconds"] = json!(6);
    })
}

fn watch(bed: &Testbed) -> Prometheus {
    let envoy: &Envoy = &bed.envoy;
    let targets = [
        ("envoy", vec![envoy.address_of("metrics")], "/stats/prometheus"),
        ("signout", vec![bed.service.address()], "/metrics"),
    ];
    Prometheus::start(&targets, &impatient_rules())
}

/// Sends a request, a sign-out and a replayed token.
fn story(bed: &Testbed) {
    let token = Token::of("ada");
    assert_eq!(bed.envoy.get("/page", &token).status, 200);
    assert_eq!(bed.envoy.send(&Request::post("/sign-out").bearer(&token)).status, 200);
    assert_eq!(bed.envoy.get("/page", &token).code(), "revoked");
}

#[track_caller]
fn await_firing(prometheus: &Prometheus, alerts: &[&str]) {
    eventually(SOON, || {
        let firing = prometheus.firing();
        alerts.iter().all(|alert| firing.contains(*alert))
    });
}

/// The shipped rules with `for: 0s`, without `keep_firing_for`, and with a limit of 10 s for a stale feed.
fn impatient_rules() -> Value {
    let mut rules = rules();
    let groups = rules["groups"].as_array_mut().unwrap().iter_mut();
    for rule in groups.flat_map(|group| group["rules"].as_array_mut().unwrap()) {
        rule["for"] = json!("0s");
        rule.as_object_mut().unwrap().remove("keep_firing_for");
        if rule["alert"] == "SessionGuardFeedStale" {
            let shipped = rule["expr"].as_str().unwrap();
            assert!(shipped.contains("> 90"), "{shipped}");
            rule["expr"] = json!(shipped.replacen("> 90", "> 10", 1));
        }
    }
    rules
}

fn rule_names() -> BTreeSet<String> {
    let rules = rules();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules.map(|rule| rule["alert"].as_str().unwrap().to_owned()).collect()
}

fn rules() -> Value {
    repository::documents(RULES).remove(0)
}

/// The dashboard's queries as Grafana sends them, for all proxies.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&repository::read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.map(|target| target["expr"].as_str().unwrap());
    queries.map(|text| text.replace("$__rate_interval", "1m").replace("$instance", ".*")).collect()
}

const RULES: &str = "monitoring/rules.yaml";
const DASHBOARD: &str = "monitoring/dashboard.json";
const SOON: Duration = Duration::from_secs(60);
