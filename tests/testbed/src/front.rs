//! Starts a proxy in front of several guarded Envoys, as the compose example does.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ports::free_address;
use crate::process::Process;
use crate::{Connection, HttpResponse, Request, artifacts, repository, until};

/// An Envoy that runs `examples/compose/front.yaml`. Stops when dropped.
#[derive(Debug)]
pub struct Front {
    _process: Process,
    address: SocketAddr,
    admin: SocketAddr,
    directory: TempDir,
}

impl Front {
    /// Starts it in front of these Envoys and waits until it accepts connections.
    #[must_use]
    #[track_caller]
    pub fn before(edges: &[SocketAddr]) -> Self {
        let directory = TempDir::with_prefix("session-guard-front-").expect("a directory");
        let path = |name: &str| directory.path().join(name);
        let (address, admin) = (free_address(), free_address());
        let mut bootstrap = repository::documents("examples/compose/front.yaml").remove(0);
        bootstrap["admin"]["address"] = socket_address(admin);
        bootstrap["static_resources"]["listeners"][0]["address"] = socket_address(address);
        let endpoints = &mut bootstrap["static_resources"]["clusters"][0]["load_assignment"];
        let endpoints = endpoints["endpoints"][0]["lb_endpoints"].as_array_mut();
        for (endpoint, edge) in endpoints.expect("a list of endpoints").iter_mut().zip(edges) {
            endpoint["endpoint"]["address"] = socket_address(*edge);
        }
        fs::write(path("front.json"), bootstrap.to_string()).expect("a file in the directory");
        let mut command = Command::new(artifacts::envoy());
        command.arg("--config-path").arg(path("front.json"));
        command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"]);
        let process = Process::start("front", command, &path("front.log"));
        let front = Self { _process: process, address, admin, directory };
        until(WITHIN, || Connection::try_to(front.address).ok().map(drop));
        front
    }

    /// Sends one request on a new connection.
    #[track_caller]
    pub fn send(&self, request: &Request) -> HttpResponse {
        Connection::to(self.address).send(request)
    }

    /// Returns a counter or gauge of the front by its full name; zero before it exists.
    #[must_use]
    #[track_caller]
    pub fn stat(&self, name: &str) -> u64 {
        let path = format!("/stats?filter=^{}$", name.replace('.', "\\."));
        let text = Connection::to(self.admin).send(&Request::get(&path)).text();
        text.trim().rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.directory.disable_cleanup(std::thread::panicking());
    }
}

fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip(), "port_value": address.port()}})
}

const WITHIN: Duration = Duration::from_secs(60);
