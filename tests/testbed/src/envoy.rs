//! Starts Envoy for a test, and reads its statistics, logs and admin interface.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::Process;
use crate::vitals::{MEMORY_MIB, peak_mib};
use crate::{Build, Configuration, Connection, Http2, HttpResponse, Request, Token, until};
use crate::{SESSION_SECRET, SIGNOUT_TOKEN, artifacts};

mod histogram;
mod hot_restart;

/// Builder for an [`Envoy`].
#[derive(Clone, Debug)]
#[must_use]
pub struct EnvoySetup {
    configuration: Configuration,
    filter: &'static str,
    build: Build,
    workers: usize,
    environment: Vec<(String, String)>,
    log_levels: &'static str,
    arguments: Vec<String>,
    reloadable: bool,
    memory_mib: u64,
    hot_restart: Option<PathBuf>,
    address: Option<SocketAddr>,
}

impl EnvoySetup {
    /// Sets the address of the application.
    pub fn application(mut self, address: SocketAddr) -> Self {
        self.configuration.set_address("application", address);
        self
    }

    /// Sets the address of the signout service.
    pub fn service(mut self, address: SocketAddr) -> Self {
        self.configuration.set_address("signout", address);
        self
    }

    /// Sets the listener's address; the default is a free port.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Edits the configuration.
    pub fn edit(mut self, edit: impl FnOnce(&mut Configuration)) -> Self {
        edit(&mut self.configuration);
        self
    }

    /// Sets the number of workers (default: two).
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Sets an environment variable, `SESSION_SECRET` for example.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets log levels of components (`wasm:trace`); all others log at level info.
    pub fn log_levels(mut self, levels: &'static str) -> Self {
        self.log_levels = levels;
        self
    }

    /// Appends a command-line argument.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Uses the dynamic module, whatever `SESSION_GUARD_BUILD` says.
    pub fn native(mut self) -> Self {
        self.build = Build::Native;
        self
    }

    /// Uses the filter that panics on request (`make wasm-drill`).
    pub fn drill(mut self) -> Self {
        self.filter = DRILL;
        self
    }

    /// Serves the listener by LDS, so that [`Envoy::reload`] can change it.
    pub fn reloadable(mut self) -> Self {
        self.reloadable = true;
        self
    }

    /// Sets the memory limit that is checked at the end; the default suits a small set.
    pub fn memory_mib(mut self, memory_mib: u64) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Starts Envoy and waits until it listens.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Envoy {
        self.try_start().unwrap_or_else(|log| panic!("Envoy does not start:\n{log}"))
    }

    /// Like [`EnvoySetup::start`], but Envoy may reject its configuration.
    ///
    /// # Errors
    /// Returns Envoy's log if it exited or rejected the listener.
    pub fn try_start(self) -> Result<Envoy, String> {
        let filter = match &self.configuration.filters {
            None => artifacts::filter(self.filter, self.build),
            Some(_) => PathBuf::new(), // the filter is not used
        };
        let directory = TempDir::with_prefix("session-guard-envoy-").expect("a directory");
        let mut setup = self;
        setup.configuration.prepare(&filter, &directory.path().join("access.log"));
        if let Some(address) = setup.address {
            setup.configuration.listen_at(address);
        }
        setup.make_hot(&directory);
        let process = setup.spawn(&directory);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut envoy = Envoy { process, admin: nowhere, address: nowhere, directory, setup };
        envoy.await_listening()?;
        Ok(envoy)
    }

    fn spawn(&self, directory: &TempDir) -> Process {
        let path = |name: &str| directory.path().join(name);
        let bootstrap = if self.reloadable {
            write_whole(directory, LISTENER_FILE, &self.configuration.listener_resource());
            self.configuration.without_listener(directory.path(), &path(LISTENER_FILE))
        } else {
            self.configuration.whole()
        };
        write_whole(directory, "envoy.json", &bootstrap);
        let mut command = Command::new(artifacts::envoy());
        command.arg("--config-path").arg(path("envoy.json"));
        command.arg("--admin-address-path").arg(path(ADMIN_FILE));
        command.arg("--concurrency").arg(self.workers.to_string());
        if self.hot_restart.is_none() {
            command.arg("--disable-hot-restart");
        }
        command.args(["--file-flush-interval-msec", "20"]);
        let component = self.build.log_component();
        let log_levels = self.log_levels.replace("wasm", component);
        command.args(["--log-level", "info", "--component-log-level", &log_levels]);
        command.args(&self.arguments);
        command.env("SESSION_SECRET", SESSION_SECRET).env("SIGNOUT_TOKEN", SIGNOUT_TOKEN);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Process::start("Envoy", command, &path("envoy.log"))
    }
}

/// A running Envoy on free ports. Stops when dropped.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
    address: SocketAddr,
    directory: TempDir,
    setup: EnvoySetup,
}

impl Envoy {
    /// Returns a set-up with the shipped configuration and two workers.
    pub fn setup() -> EnvoySetup {
        EnvoySetup {
            configuration: Configuration::shipped(),
            filter: "session_guard",
            build: Build::chosen(),
            workers: 2,
            environment: Vec::new(),
            log_levels: "main:warning,wasm:debug",
            arguments: Vec::new(),
            reloadable: false,
            memory_mib: MEMORY_MIB,
            hot_restart: None,
            address: None,
        }
    }

    /// Returns a command that runs Envoy in the repository's root, `--mode validate` for example.
    #[must_use]
    pub fn tool(arguments: &[&str]) -> Command {
        let mut command = Command::new(artifacts::envoy());
        command.args(arguments).current_dir(artifacts::root());
        command.env("SESSION_SECRET", SESSION_SECRET).env("SIGNOUT_TOKEN", SIGNOUT_TOKEN);
        command
    }

    /// Returns the listener's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of one of [`Configuration::more_listeners`].
    #[must_use]
    #[track_caller]
    pub fn address_of(&self, listener: &str) -> SocketAddr {
        self.find_listener(listener).expect("a listener of that name")
    }

    /// Returns the address of the admin interface.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Opens an HTTP/1.1 connection; any worker may accept it.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    /// Opens an HTTP/2 connection.
    #[must_use]
    #[track_caller]
    pub fn connect_http2(&self) -> Http2 {
        Http2::to(self.address)
    }

    /// Sends one request on a new connection.
    #[track_caller]
    pub fn send(&self, request: &Request) -> HttpResponse {
        self.connect().send(request)
    }

    /// Sends a `GET` with a bearer token on a new connection.
    #[track_caller]
    pub fn get(&self, path: &str, token: &Token) -> HttpResponse {
        self.send(&Request::get(path).bearer(token))
    }

    /// Opens one connection to each worker, in the order of the workers. The counter of accepted
    /// connections identifies the worker, so no other client may connect at the same time.
    #[must_use]
    #[track_caller]
    pub fn connection_per_worker(&self) -> Vec<Connection> {
        let mut found: Vec<_> = (0..self.setup.workers).map(|_| None).collect();
        let mut spare = Vec::new(); // kept open: Envoy balances by the number of connections
        while found.iter().any(Option::is_none) {
            let before = self.accepted_by_worker();
            let connection = self.connect();
            let worker = until(WITHIN, || {
                let after = self.accepted_by_worker();
                (0..after.len()).find(|worker| after[*worker] > before[*worker])
            });
            match &mut found[worker] {
                Some(_) => spare.push(connection),
                place => *place = Some(connection),
            }
        }
        found.into_iter().flatten().collect()
    }

    /// Waits until the readiness route of each worker responds 200.
    #[track_caller]
    pub fn await_guarding(&self) {
        for mut connection in self.connection_per_worker() {
            until(WITHIN, || (connection.send(&Request::get(READY)).status == 200).then_some(()));
        }
    }

    /// Returns a counter or gauge by its full name; 0 if it does not exist yet.
    #[must_use]
    pub fn stat(&self, name: &str) -> u64 {
        let stats = self.stats(name);
        stats.into_iter().find(|(known, _)| known == name).map_or(0, |(_, value)| value)
    }

    /// Returns a metric of the filter: `allowed`, `refused.revoked`, `revocations.token`, …
    #[must_use]
    pub fn metric(&self, name: &str) -> u64 {
        self.stat(&format!("wasmcustom.session_guard.{name}"))
    }

    /// Returns all counters and gauges whose names contain the text.
    #[must_use]
    pub fn stats(&self, containing: &str) -> Vec<(String, u64)> {
        let pattern = containing.replace('.', "\\.");
        let text = self.admin(&Request::get(&format!("/stats?filter={pattern}"))).text();
        let stat = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        text.lines().filter_map(stat).collect()
    }

    /// Sends one request to the admin interface.
    #[track_caller]
    pub fn admin(&self, request: &Request) -> HttpResponse {
        Connection::to(self.admin).send(request)
    }

    /// Returns the log of Envoy and the filter (level debug and above).
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Returns the access log; a line appears about 20 ms after its request.
    #[must_use]
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default()
    }

    /// Returns the process id, for memory and CPU time.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Edits the configuration of the running Envoy ([`EnvoySetup::reloadable`]). Returns whether
    /// Envoy accepted the new listener; if not, the old one stays.
    #[track_caller]
    pub fn reload(&mut self, edit: impl FnOnce(&mut Configuration)) -> bool {
        assert!(self.setup.reloadable, "start it with `reloadable()`");
        let outcome = |envoy: &Self| {
            let count = |name: &str| envoy.stat(&format!("listener_manager.lds.{name}"));
            (count("update_success"), count("update_rejected"))
        };
        let before = outcome(self);
        let in_force = self.setup.configuration.clone();
        edit(&mut self.setup.configuration);
        let listener = self.setup.configuration.listener_resource();
        write_whole(&self.directory, LISTENER_FILE, &listener);
        let after = until(WITHIN, || Some(outcome(self)).filter(|after| *after != before));
        let taken = after.0 > before.0;
        if !taken {
            self.setup.configuration = in_force;
        }
        taken
    }

    /// Sends SIGKILL, then starts a new process with the same configuration on other ports.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.kill();
        let _ = fs::remove_file(self.directory.path().join(ADMIN_FILE));
        self.process = self.setup.spawn(&self.directory);
        self.await_listening().unwrap_or_else(|log| panic!("Envoy does not start again:\n{log}"));
    }

    fn await_listening(&mut self) -> Result<(), String> {
        let start = Instant::now();
        while start.elapsed() < WITHIN {
            if self.process.has_ended() || self.refused_its_listener() {
                return Err(self.log());
            }
            if let Some(admin) = self.admin_file() {
                self.admin = admin;
                if let Some(address) = self.listening_at() {
                    self.address = address;
                    return Ok(());
                }
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(format!("not within {WITHIN:?}:\n{}", self.log()))
    }

    fn admin_file(&self) -> Option<SocketAddr> {
        fs::read_to_string(self.directory.path().join(ADMIN_FILE)).ok()?.trim().parse().ok()
    }

    fn listening_at(&self) -> Option<SocketAddr> {
        let ready = self.ask("/ready")?.status == 200;
        self.find_listener("edge").filter(|_| ready)
    }

    fn find_listener(&self, name: &str) -> Option<SocketAddr> {
        let listeners = self.ask("/listeners?format=json")?.json();
        let listeners = listeners["listener_statuses"].as_array()?;
        let listener = listeners.iter().find(|listener| listener["name"] == name)?;
        let port = listener["local_address"]["socket_address"]["port_value"].as_u64()?;
        Some(SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).ok()?)))
    }

    fn refused_its_listener(&self) -> bool {
        let count = self.ask("/stats?filter=lds.update_rejected").map(|answer| answer.text());
        count.is_some_and(|count| count.contains(": ") && !count.contains(": 0"))
    }

    /// Sends a request to the admin interface of an Envoy that may be about to exit.
    fn ask(&self, path: &str) -> Option<HttpResponse> {
        Connection::try_to(self.admin).ok()?.try_send(&Request::get(path)).ok()
    }

    fn accepted_by_worker(&self) -> Vec<u64> {
        let stats = self.stats(".downstream_cx_total");
        let of = |worker| format!("listener.edge.worker_{worker}.downstream_cx_total");
        let count = |name: String| {
            let stat = stats.iter().find(|(known, _)| *known == name);
            stat.map_or(0, |(_, count)| *count)
        };
        (0..self.setup.workers).map(|worker| count(of(worker))).collect()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        self.directory.disable_cleanup(thread::panicking());
        if !thread::panicking() {
            self.check_vitals();
        }
    }
}

impl Envoy {
    /// Checks that no VM has died (unless the test provokes it) and that memory is bounded.
    fn check_vitals(&self) {
        if let Some(peak) = peak_mib(self.process_id()) {
            let most = self.setup.memory_mib;
            assert!(peak <= most, "Envoy has needed {peak} MiB, and {most} are enough");
        }
        if self.setup.filter == DRILL {
            return;
        }
        let reloads = self.ask("/stats?filter=vm_reload").map(|answer| answer.text());
        let reloads = reloads.unwrap_or_default(); // the process may have been killed
        assert!(reloads.lines().all(|line| line.ends_with(": 0")), "{reloads}");
        assert!(!self.log().contains("panicked"), "{}", self.log());
    }
}

/// Writes a file by renaming: Envoy watches the directory and never sees an incomplete file.
fn write_whole(directory: &TempDir, name: &str, content: &Value) {
    let draft = directory.path().join(format!("{name}.draft"));
    fs::write(&draft, content.to_string()).expect("a file in the directory");
    fs::rename(draft, directory.path().join(name)).expect("a file in the directory");
}

/// Each Envoy compiles the module at start, which takes long on a busy machine.
const WITHIN: Duration = Duration::from_secs(180);
const DRILL: &str = "session_guard_drill";
const READY: &str = "/.session-guard/ready";
const ADMIN_FILE: &str = "admin-address";
const LISTENER_FILE: &str = "listener.json";
