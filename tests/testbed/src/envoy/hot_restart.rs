//! Envoy's hot restart: a new process takes over the sockets of a running one.
//!
//! Both processes share memory that is named by a base id. The new process asks the old
//! one for its listening sockets once it is ready, lets it drain its connections, and stops it.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::{Envoy, EnvoySetup};
use crate::ports::free_address;

impl EnvoySetup {
    /// Allows a [`successor`](Envoy::successor) to take over.
    pub fn hot_restartable(mut self) -> Self {
        self.hot_restart = Some("base-id".into());
        self
    }

    /// Sockets are transferred by address, so the listener needs a fixed port.
    pub(super) fn make_hot(&mut self, directory: &TempDir) {
        let Some(name) = &self.hot_restart else { return };
        let file = directory.path().join(name);
        self.arguments.extend(["--use-dynamic-base-id", "--base-id-path"].map(str::to_owned));
        self.arguments.push(file.display().to_string());
        self.hot_restart = Some(file);
        let port = free_address().port();
        self.configuration.listener()["address"]["socket_address"]["port_value"] = json!(port);
    }
}

impl Envoy {
    /// Starts a process that takes over from this one; `epoch` is 1 for the first successor. This
    /// process drains its connections for `drain_seconds` and exits two seconds later. The successor
    /// uses its directory, so keep it.
    #[must_use]
    #[track_caller]
    pub fn successor(&self, epoch: usize, drain_seconds: u32) -> Self {
        let directory = TempDir::with_prefix("session-guard-envoy-").expect("a directory");
        let mut setup = self.setup.clone();
        let file = setup.hot_restart.as_ref().expect("start it with `hot_restartable()`");
        let base_id = fs::read_to_string(file).expect("a base id");
        setup.arguments = vec!["--base-id".to_owned(), base_id.trim().to_owned()];
        let more = [
            ("--restart-epoch", epoch.to_string()),
            ("--drain-time-s", drain_seconds.to_string()),
            ("--parent-shutdown-time-s", (drain_seconds + 2).to_string()),
        ];
        setup.arguments.extend(more.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        let process = setup.spawn(&directory);
        let (admin, address) = (self.admin, self.address);
        let mut envoy = Self { process, admin, address, directory, setup };
        envoy.await_listening().unwrap_or_else(|log| panic!("no successor starts:\n{log}"));
        envoy
    }

    /// Returns whether the process has exited.
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }
}
