//! Promise: one cause pages once, whatever the number of proxies, and no alert fires after the recovery.
//! Method: a real Alertmanager with the shipped routes and inhibitions receives the alerts of a real
//! Prometheus with the shipped rules, and posts its notifications to the test. All durations are a tenth
//! of the shipped ones.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::{
    Alertmanager, Application, Envoy, Fault, Prometheus, Request, Testbed, Token, eventually,
    repository,
};

use super::{SOON, rules, scraped};

#[test]
#[ignore = "needs Alertmanager: make monitoring"]
fn a_service_that_is_down_pages_once_for_all_proxies() {
    let mut pager = Pager::start();
    pager.bed.service.kill();
    for envoy in pager.envoys() {
        assert_eq!(envoy.send(&Request::post("/sign-out").bearer(&Token::of("ada"))).status, 200);
    }
    for symptom in ["SessionGuardFeedStale", "SessionGuardOutboxNotEmpty"] {
        pager.await_firing(symptom, PROXIES);
    }
    eventually(SOON, || pager.notifications() == [notification("firing", "SignoutDown")]);
    assert_eq!(pager.held_back(), 2 * PROXIES, "the symptoms");
    pager.bed.service.restart();
    pager.await_silence();
    let expected = ["firing", "resolved"].map(|status| notification(status, "SignoutDown"));
    assert_eq!(pager.notifications(), expected);
}

#[test]
#[ignore = "needs Alertmanager: make monitoring"]
fn a_network_that_is_down_pages_once_for_all_proxies() {
    let pager = Pager::start();
    pager.bed.network.set(Fault::Refuse);
    eventually(SOON, || pager.bed.envoy.get("/page", &Token::of("ada")).status == 503);
    pager.await_firing("SessionGuardFeedStale", PROXIES);
    eventually(SOON, || !pager.notifications().is_empty());
    pager.bed.network.set(Fault::None);
    pager.await_silence();
    let expected =
        ["firing", "resolved"].map(|status| notification(status, "SessionGuardFeedStale"));
    assert_eq!(pager.notifications(), expected);
}

#[test]
#[ignore = "needs Alertmanager: make monitoring"]
fn each_cause_holds_back_exactly_its_symptoms() {
    let outage = BTreeSet::from([
        "SessionGuardFeedStale",
        "SessionGuardUnavailable",
        "SessionGuardOutboxNotEmpty",
        "SignoutCommitsSlow",
    ]);
    let full = ["SessionGuardOutboxNotEmpty", "SessionGuardSignOutsRejected", "SignoutNearlyFull"];
    let everywhere = ["edge-1", "edge-2"];
    for (cause, symptoms, instances) in [
        ("SignoutDown", outage.clone(), &everywhere[..]),
        ("SignoutStoreFails", outage, &everywhere),
        ("SignoutFull", BTreeSet::from(full), &everywhere),
        ("SessionGuardVmDown", BTreeSet::from(["SessionGuardVmReloaded"]), &everywhere[..1]),
    ] {
        let pairs = |name| instances.iter().map(move |instance| format!("{name} of {instance}"));
        let expected: BTreeSet<_> = symptoms.into_iter().flat_map(pairs).collect();
        assert_eq!(held_back_by(cause), expected, "{cause}");
    }
}

#[test]
fn only_alertmanager_holds_back_symptoms() {
    let inhibitions = configuration()["inhibit_rules"].to_string();
    for rule in all_rules(&rules()) {
        let name = rule["alert"].as_str().expect("a name");
        assert!(!rule["expr"].to_string().contains("unless on()"), "{name}: a second mechanism");
        let outlasts = rule.get("keep_firing_for").is_some();
        assert_eq!(outlasts, CAUSES.contains(&name), "{name}: keep_firing_for");
        assert!(!outlasts || inhibitions.contains(name), "{name}: no inhibition");
    }
}

#[test]
#[ignore = "needs Alertmanager: make monitoring"]
fn the_configuration_is_valid_and_routes_by_severity() {
    let file = ["--config.file", FILE];
    let route = |severity| [&["config", "routes", "test"][..], &file, &[severity]].concat();
    for (arguments, expected) in [
        (vec!["check-config", FILE], "SUCCESS"),
        (route("severity=page"), "page"),
        (route("severity=ticket"), "ticket"),
    ] {
        let output = Alertmanager::tool(&arguments).output().expect("amtool runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(expected), "{arguments:?}: {output:?}");
    }
}

/// Proxies and a service that Prometheus scrapes, and the receiver of the notifications.
struct Pager {
    prometheus: Prometheus,
    alertmanager: Alertmanager,
    receiver: Application,
    others: Vec<Envoy>,
    bed: Testbed,
}

impl Pager {
    #[track_caller]
    fn start() -> Self {
        let bed = Testbed::from(scraped, Fault::None);
        let another = || {
            let setup = Envoy::setup().application(bed.application.address());
            scraped(setup.service(bed.network.address())).start()
        };
        let others: Vec<_> = (1..PROXIES).map(|_| another()).collect();
        let receiver = Application::start();
        let address = receiver.address().to_string();
        let shipped = configuration().to_string();
        assert!(shipped.contains(SHIPPED_RECEIVER), "{shipped}");
        let here = shipped.replace(SHIPPED_RECEIVER, &address);
        let alertmanager = Alertmanager::start(&hastened(serde_json::from_str(&here).unwrap()));
        let envoys = [&bed.envoy].into_iter().chain(&others);
        let proxies = envoys.inspect(|envoy| envoy.await_guarding());
        let targets = [
            (
                "envoy",
                proxies.map(|envoy| envoy.address_of("metrics")).collect(),
                "/stats/prometheus",
            ),
            ("signout", vec![bed.service.address()], "/metrics"),
        ];
        let prometheus = Prometheus::alerting(&targets, &hastened(rules()), &alertmanager);
        Self { prometheus, alertmanager, receiver, others, bed }
    }

    fn envoys(&self) -> impl Iterator<Item = &Envoy> {
        [&self.bed.envoy].into_iter().chain(&self.others)
    }

    /// Waits until that many proxies have the alert.
    #[track_caller]
    fn await_firing(&self, alert: &str, proxies: usize) {
        let alerts = format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}");
        eventually(SOON, || self.prometheus.query(&alerts).len() == proxies);
    }

    /// Waits until no alert fires and everybody who was notified knows it. Then no further
    /// notification can follow.
    #[track_caller]
    fn await_silence(&self) {
        eventually(2 * SOON, || {
            let fires =
                !self.prometheus.firing().is_empty() || !self.alertmanager.alerts().is_empty();
            let last = self.notifications().pop();
            !fires && last.is_some_and(|(_, status, _)| status == "resolved")
        });
    }

    /// Returns the number of alerts that Alertmanager sends to nobody.
    fn held_back(&self) -> usize {
        self.alertmanager.alerts().iter().filter(is_held_back).count()
    }

    /// Returns receiver, status and name of the alert for each notification. Another one about the
    /// same group, because a further proxy has the alert, is left out: a pager adds it to the same
    /// incident.
    fn notifications(&self) -> Vec<Notification> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mut found: Vec<_> = Vec::new();
        for seen in self.receiver.seen() {
            let body: Value = serde_json::from_str(&seen.body).expect("a notification");
            let name = text(&body["groupLabels"]["alertname"]);
            assert_eq!(seen.path, format!("/{}", text(&body["receiver"])));
            let notification = (text(&body["receiver"]), text(&body["status"]), name);
            found.push((text(&body["groupKey"]), notification));
        }
        found.dedup();
        found.into_iter().map(|(_, notification)| notification).collect()
    }
}

type Notification = (String, String, String);

fn notification(status: &str, alert: &str) -> Notification {
    ("page".to_owned(), status.to_owned(), alert.to_owned())
}

/// Returns the alerts that Alertmanager holds back while the cause fires on `edge-1`, and all other
/// alerts that are not causes fire on `edge-1` and `edge-2`.
fn held_back_by(cause: &str) -> BTreeSet<String> {
    let alertmanager = Alertmanager::start(&configuration());
    let alert = |name: &str, instance: &str| json!({"labels": {"alertname": name, "instance": instance, "plugin": "session-guard"}});
    let mut alerts = vec![alert(cause, "edge-1")];
    for rule in all_rules(&rules()) {
        let name = rule["alert"].as_str().expect("a name");
        if !CAUSES.contains(&name) {
            alerts.extend(["edge-1", "edge-2"].map(|instance| alert(name, instance)));
        }
    }
    alertmanager.post(&json!(alerts));
    eventually(SOON, || alertmanager.alerts().len() == alerts.len());
    let name = |alert: &Value| {
        let label = |name: &str| alert["labels"][name].as_str().expect("a label").to_owned();
        format!("{} of {}", label("alertname"), label("instance"))
    };
    alertmanager.alerts().iter().filter(is_held_back).map(name).collect()
}

fn is_held_back(alert: &&Value) -> bool {
    alert["status"]["state"] == "suppressed"
}

/// Divides every duration of the document by ten: `30s`, the ranges of queries (`[10m]`), and the age
/// of a stale feed (`> 90`).
fn hastened(document: Value) -> Value {
    let each = |(name, value): (String, Value)| {
        let value = match value {
            Value::String(text) if name == "expr" => json!(hastened_query(&text)),
            Value::String(text) => json!(tenth(&text).unwrap_or(text)),
            other => hastened(other),
        };
        (name, value)
    };
    match document {
        Value::Object(fields) => fields.into_iter().map(each).collect(),
        Value::Array(items) => items.into_iter().map(hastened).collect(),
        other => other,
    }
}

fn hastened_query(query: &str) -> String {
    let mut parts = query.split('[');
    let mut hastened = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (range, rest) = part.split_once(']').expect("a range");
        hastened += &format!("[{}]{rest}", tenth(range).expect("a duration"));
    }
    hastened.replace("timestamp_seconds > 90", "timestamp_seconds > 9")
}

/// Returns a tenth of a duration such as `30s`, or nothing for another text.
fn tenth(text: &str) -> Option<String> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    let number: u64 = number.parse().ok()?;
    Some(format!("{}ms", number * seconds * 100))
}

fn all_rules(rules: &Value) -> Vec<Value> {
    let groups = rules["groups"].as_array().expect("groups").iter();
    groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn configuration() -> Value {
    repository::documents(FILE).remove(0)
}

const FILE: &str = "monitoring/alertmanager.yaml";
const SHIPPED_RECEIVER: &str = "pager.example.com";
const PROXIES: usize = 3;
const CAUSES: [&str; 4] = ["SignoutDown", "SignoutStoreFails", "SignoutFull", "SessionGuardVmDown"];
