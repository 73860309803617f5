//! Starts a proxy that asks the service about each request: NGINX, Caddy, or Envoy with `ext_authz`.
//!
//! NGINX and Caddy run with the files of `examples/`, Envoy with the shipped configuration and the
//! filter of `docs/forward-auth.md` in place of the wasm filter. Only addresses are replaced.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::ports::free_address;
use crate::process::Process;
use crate::{
    Application, Connection, Envoy, HttpResponse, Request, SESSION_SECRET, ServiceSetup,
    SignoutService, Token, artifacts, repository, until,
};

/// A proxy that asks another server about each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskingProxy {
    /// NGINX with `auth_request`.
    Nginx,
    /// Caddy with `forward_auth`.
    Caddy,
    /// Envoy with `ext_authz` over HTTP.
    Envoy,
}

impl AskingProxy {
    /// Every such proxy.
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Caddy, Self::Envoy];
}

/// A proxy, the service that it asks, and an application behind it.
#[derive(Debug)]
pub struct AskingBed {
    /// The service.
    pub service: SignoutService,
    /// The upstream; it responds with the request that it received.
    pub application: Application,
    /// The address where the service decides about requests.
    pub guard: SocketAddr,
    kind: AskingProxy,
    address: SocketAddr,
    proxy: RunningProxy,
    directory: TempDir,
}

#[derive(Debug)]
enum RunningProxy {
    Process(Process),
    Envoy(Box<Envoy>),
}

impl AskingBed {
    /// Starts all of them and waits until requests are decided. `edit` changes the filter's
    /// configuration, which is that of the examples.
    #[must_use]
    #[track_caller]
    pub fn start(kind: AskingProxy, edit: impl FnOnce(&mut Value)) -> Self {
        Self::with(kind, SignoutService::setup(), edit, |text| text)
    }

    /// Like the above, with a set-up of the service and an edited configuration of the proxy. For
    /// Envoy that is the YAML of the filter.
    #[must_use]
    #[track_caller]
    pub fn with(
        kind: AskingProxy,
        service: ServiceSetup,
        edit: impl FnOnce(&mut Value),
        edit_proxy: impl FnOnce(String) -> String,
    ) -> Self {
        let application = Application::start();
        let address = application.address();
        let mut bed = Self::before(kind, service, address, edit, edit_proxy);
        bed.application = application;
        bed
    }

    /// Like the above, in front of another application.
    #[must_use]
    #[track_caller]
    pub fn before(
        kind: AskingProxy,
        service: ServiceSetup,
        upstream: SocketAddr,
        edit: impl FnOnce(&mut Value),
        edit_proxy: impl FnOnce(String) -> String,
    ) -> Self {
        let directory = TempDir::with_prefix("session-guard-asking-").expect("a directory");
        let text = repository::read("examples/nginx/filter.json");
        let mut filter: Value = serde_json::from_str(&text).expect("JSON");
        edit(&mut filter);
        // A table of the tests of the filter may have this route, which does not load here.
        let routes = filter["routes"].as_array_mut().expect("a list of routes");
        routes.retain(|route| route["access"] != "ready");
        let file = directory.path().join("filter.json");
        fs::write(&file, filter.to_string()).expect("a file in the directory");
        let guard = free_address();
        let service = service
            .env("SESSION_SECRET", SESSION_SECRET)
            .argument("--guard")
            .argument(&file.display().to_string())
            .argument("--guard-listen")
            .argument(&guard.to_string())
            .start();
        let ready = || Connection::try_to(guard).ok()?.try_send(&Request::get("/readyz")).ok();
        until(WITHIN, || ready().filter(|response| response.status == 200));
        let addresses = ProxyAddresses { guard, application: upstream };
        let (proxy, address) = match kind {
            AskingProxy::Nginx => nginx(addresses, directory.path(), edit_proxy),
            AskingProxy::Caddy => caddy(addresses, directory.path(), edit_proxy),
            AskingProxy::Envoy => envoy(addresses, edit_proxy),
        };
        until(WITHIN, || Connection::try_to(address).ok().map(drop));
        let application = Application::start();
        Self { service, application, guard, kind, address, proxy, directory }
    }

    /// Returns which proxy it is.
    #[must_use]
    pub fn kind(&self) -> AskingProxy {
        self.kind
    }

    /// Returns the address of the proxy.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens a connection to the proxy.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::to(self.address)
    }

    /// Sends one request to the proxy on a new connection.
    #[track_caller]
    pub fn send(&self, request: &Request) -> HttpResponse {
        self.connect().send(request)
    }

    /// Sends a `GET` with a bearer token to the proxy.
    #[track_caller]
    pub fn get(&self, path: &str, token: &Token) -> HttpResponse {
        self.send(&Request::get(path).bearer(token))
    }

    /// Sends a request to the service's listener for checks.
    #[track_caller]
    pub fn ask(&self, request: &Request) -> HttpResponse {
        Connection::to(self.guard).send(request)
    }

    /// Returns a metric of the service by its full name with labels; 0 if it does not exist.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.service.get("/metrics").text();
        let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        lines
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, value)| value.parse().unwrap_or_else(|_| panic!("{name} is {value}")))
    }

    /// Returns the log of the proxy.
    #[must_use]
    pub fn proxy_log(&self) -> String {
        match &self.proxy {
            RunningProxy::Process(process) => process.log(),
            RunningProxy::Envoy(envoy) => envoy.log(),
        }
    }

    /// Returns the id of the proxy's (main) process.
    #[must_use]
    pub fn proxy_id(&self) -> u32 {
        match &self.proxy {
            RunningProxy::Process(process) => process.id(),
            RunningProxy::Envoy(envoy) => envoy.process_id(),
        }
    }
}

impl Drop for AskingBed {
    fn drop(&mut self) {
        self.directory.disable_cleanup(thread::panicking());
    }
}

struct ProxyAddresses {
    guard: SocketAddr,
    application: SocketAddr,
}

impl ProxyAddresses {
    /// Replaces the addresses of an example; returns the text and the address of its listener.
    fn replace_in(&self, text: &str) -> (String, SocketAddr) {
        let listener = free_address();
        let mut text = text.to_owned();
        for (example, address) in [
            (":8080", listener), // Caddy's site has no address, because that would be a host
            (":8091", self.guard),
            (":9000", self.application),
        ] {
            assert!(text.contains(example), "{example} in the example");
            text = text.replace(example, &format!(":{}", address.port()));
        }
        (text, listener)
    }
}

fn nginx(
    addresses: ProxyAddresses,
    directory: &Path,
    edit: impl FnOnce(String) -> String,
) -> (RunningProxy, SocketAddr) {
    let (text, address) = addresses.replace_in(&repository::read("examples/nginx/nginx.conf"));
    let file = directory.join("nginx.conf");
    fs::write(&file, edit(text)).expect("a file in the directory");
    let mut command = Command::new(artifacts::nginx());
    command.arg("-p").arg(directory).arg("-c").arg(file).args(["-e", "stderr"]);
    command.args(["-g", "daemon off;"]);
    let process = Process::start("nginx", command, &directory.join("nginx.log"));
    (RunningProxy::Process(process), address)
}

fn caddy(
    addresses: ProxyAddresses,
    directory: &Path,
    edit: impl FnOnce(String) -> String,
) -> (RunningProxy, SocketAddr) {
    let (text, address) = addresses.replace_in(&repository::read("examples/caddy/Caddyfile"));
    let file = directory.join("Caddyfile");
    fs::write(&file, edit(text)).expect("a file in the directory");
    let mut command = Command::new(artifacts::caddy());
    command.arg("run").args(["--adapter", "caddyfile"]).arg("--config").arg(file);
    command.env("HOME", directory).env("XDG_CONFIG_HOME", directory);
    command.env("XDG_DATA_HOME", directory);
    let process = Process::start("caddy", command, &directory.join("caddy.log"));
    (RunningProxy::Process(process), address)
}

fn envoy(
    addresses: ProxyAddresses,
    edit: impl FnOnce(String) -> String,
) -> (RunningProxy, SocketAddr) {
    let document = repository::read("docs/forward-auth.md");
    let text = document.split("```yaml\nhttp_filters:").nth(1).expect("the filters");
    let text = text.split("```").next().expect("the end of the filters");
    let filters = repository::yaml(&edit(format!("http_filters:{text}")));
    let setup = Envoy::setup().workers(1).application(addresses.application);
    let setup = setup.edit(|configuration| {
        configuration.add_cluster("session-guard", addresses.guard);
        let manager = configuration.connection_manager();
        let router = manager["http_filters"].as_array().expect("a list").last().cloned();
        let filters = filters["http_filters"].as_array().into_iter().flatten().cloned();
        configuration.filters = Some(filters.chain(router).collect());
    });
    let envoy = Box::new(setup.start());
    let address = envoy.address();
    (RunningProxy::Envoy(envoy), address)
}

const WITHIN: Duration = Duration::from_secs(60);
