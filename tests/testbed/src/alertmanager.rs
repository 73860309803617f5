//! Runs a real Alertmanager, which receives the alerts of a [`Prometheus`](crate::Prometheus).

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::ports::free_address;
use crate::process::Process;
use crate::{Connection, Request, artifacts, until};

/// A running Alertmanager. Stops when dropped.
#[derive(Debug)]
pub struct Alertmanager {
    _process: Process,
    address: SocketAddr,
    directory: TempDir,
}

impl Alertmanager {
    /// Starts it with this configuration and waits until it is ready.
    #[must_use]
    #[track_caller]
    pub fn start(configuration: &Value) -> Self {
        let directory = TempDir::with_prefix("session-guard-alertmanager-").expect("a directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("alertmanager.yaml"), configuration.to_string()).expect("written"); // JSON is YAML
        let address = free_address();
        let program = artifacts::alertmanager("alertmanager");
        let mut command = Command::new(&program);
        // The directory that contains the templates: setup/alertmanager.sh.
        command.current_dir(program.parent().expect("a directory"));
        command.arg("--config.file").arg(path("alertmanager.yaml"));
        command.arg("--storage.path").arg(path("data"));
        command.arg("--web.listen-address").arg(address.to_string());
        command.arg("--cluster.listen-address="); // no cluster
        let _process = Process::start("Alertmanager", command, &path("alertmanager.log"));
        let ready = || {
            let mut connection = Connection::try_to(address).ok()?;
            let response = connection.try_send(&Request::get("/-/ready")).ok()?;
            (response.status == 200).then_some(())
        };
        until(WITHIN, ready);
        Self { _process, address, directory }
    }

    /// Returns its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the alerts that it holds and that have not ended, in the form of its API.
    #[must_use]
    #[track_caller]
    pub fn alerts(&self) -> Vec<Value> {
        let response = Connection::to(self.address).send(&Request::get("/api/v2/alerts"));
        response.json().as_array().expect("a list of alerts").clone()
    }

    /// Posts alerts as Prometheus does.
    #[track_caller]
    pub fn post(&self, alerts: &Value) {
        let request = Request::post("/api/v2/alerts").header("content-type", "application/json");
        let response = Connection::to(self.address).send(&request.body(alerts.to_string()));
        assert_eq!(response.status, 200, "{}", response.text());
    }

    /// Returns a command that runs amtool in the repository's root.
    #[must_use]
    pub fn tool(arguments: &[&str]) -> Command {
        let mut command = Command::new(artifacts::alertmanager("amtool"));
        command.args(arguments).current_dir(artifacts::root());
        command
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.directory.disable_cleanup(thread::panicking());
    }
}

const WITHIN: Duration = Duration::from_secs(60);
