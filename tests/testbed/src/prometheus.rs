//! Runs a real Prometheus on the metrics of a test.
//!
//! It scrapes the processes of the test every second and evaluates the
//! given rules.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ports::free_address;
use crate::process::Process;
use crate::{Alertmanager, Connection, HttpResponse, Request, artifacts, until};

/// A running Prometheus. Stops when dropped.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    address: SocketAddr,
    directory: TempDir,
}

impl Prometheus {
    /// Scrapes the targets (job, addresses, path) and evaluates the rules every second. Waits
    /// until it has done both once.
    #[must_use]
    #[track_caller]
    pub fn start(targets: &[(&str, Vec<SocketAddr>, &str)], rules: &Value) -> Self {
        Self::launch(targets, rules, None)
    }

    /// Like the above, and sends the alerts to an Alertmanager.
    #[must_use]
    #[track_caller]
    pub fn alerting(
        targets: &[(&str, Vec<SocketAddr>, &str)],
        rules: &Value,
        alertmanager: &Alertmanager,
    ) -> Self {
        Self::launch(targets, rules, Some(alertmanager))
    }

    #[track_caller]
    fn launch(
        targets: &[(&str, Vec<SocketAddr>, &str)],
        rules: &Value,
        alertmanager: Option<&Alertmanager>,
    ) -> Self {
        let directory = TempDir::with_prefix("session-guard-prometheus-").expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let jobs = targets.iter().map(|(job, addresses, path)| {
            let targets = json!([{"targets": addresses}]);
            json!({"job_name": job, "metrics_path": path, "static_configs": targets})
        });
        let receivers =
            alertmanager.map(|it| json!({"static_configs": [{"targets": [it.address()]}]}));
        let every = "1s";
        let configuration = json!({
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": [path("rules.yaml")],
            "scrape_configs": jobs.collect::<Vec<_>>(),
            "alerting": {"alertmanagers": receivers.as_slice()},
        });
        fs::write(path("rules.yaml"), rules.to_string()).expect("written"); // JSON is YAML
        fs::write(path("prometheus.yaml"), configuration.to_string()).expect("written");
        let address = free_address();
        let mut command = Command::new(artifacts::prometheus("prometheus"));
        command.arg("--config.file").arg(path("prometheus.yaml"));
        command.arg("--storage.tsdb.path").arg(path("data"));
        command.arg("--web.listen-address").arg(address.to_string());
        let _process = Process::start("Prometheus", command, &path("prometheus.log"));
        let prometheus = Self { _process, address, directory };
        let count: usize = targets.iter().map(|(_, addresses, _)| addresses.len()).sum();
        until(WITHIN, || (prometheus.query("up").len() == count).then_some(()));
        until(WITHIN, || prometheus.has_evaluated().then_some(()));
        prometheus
    }

    /// Evaluates an expression: labels and value of each series.
    #[must_use]
    #[track_caller]
    pub fn query(&self, expression: &str) -> Vec<(Value, f64)> {
        let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let Some(answer) = self.get(&format!("/api/v1/query?query={query}")) else {
            return Vec::new(); // still starting
        };
        let answer = answer.json();
        assert_ne!(answer["status"], "error", "{expression}: {}", answer["error"]);
        let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        let number = |series: &Value| series["value"][1].as_str()?.parse().ok();
        series.iter().filter_map(|one| Some((one["metric"].clone(), number(one)?))).collect()
    }

    /// Evaluates an expression with exactly one series.
    #[must_use]
    pub fn number(&self, expression: &str) -> Option<f64> {
        match self.query(expression).as_slice() {
            [(_, number)] => Some(*number),
            _ => None,
        }
    }

    /// Returns the names of the firing alerts.
    #[must_use]
    pub fn firing(&self) -> BTreeSet<String> {
        let alerts = self.get("/api/v1/alerts").map(|answer| answer.json()).unwrap_or_default();
        let alerts = alerts["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.filter_map(|alert| Some(alert["labels"]["alertname"].as_str()?.to_owned())).collect()
    }

    /// Returns whether every rule was evaluated without an error.
    fn has_evaluated(&self) -> bool {
        let rules = self.get("/api/v1/rules").map(|answer| answer.json()).unwrap_or_default();
        let groups = rules["data"]["groups"].as_array().cloned().unwrap_or_default();
        let rules = || groups.iter().filter_map(|group| group["rules"].as_array()).flatten();
        let problem = rules().find(|rule| rule["health"] == "err");
        assert!(problem.is_none(), "{problem:?}");
        rules().count() > 0 && rules().all(|rule| rule["health"] == "ok")
    }

    fn get(&self, path: &str) -> Option<HttpResponse> {
        Connection::try_to(self.address).ok()?.try_send(&Request::get(path)).ok()
    }

    /// Returns a command that runs promtool in the repository's root.
    #[must_use]
    pub fn tool(arguments: &[&str]) -> Command {
        let mut command = Command::new(artifacts::prometheus("promtool"));
        command.args(arguments).current_dir(artifacts::root());
        command
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.directory.disable_cleanup(thread::panicking());
    }
}

const WITHIN: Duration = Duration::from_secs(60);
