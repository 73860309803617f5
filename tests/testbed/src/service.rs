//! Starts, kills and restarts a signout service for a test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::ports::free_address;
use crate::server::{Server, ServerSetup};
use crate::{Connection, HttpResponse, Request, SIGNOUT_TOKEN, Token, command};

/// Builder for a [`SignoutService`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct ServiceSetup {
    store: Option<String>,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    inside: Option<(String, SocketAddr)>,
    preferred: Option<SocketAddr>,
}

impl ServiceSetup {
    /// Sets the store, `redb:PATH` or `redis://…`; the default is an embedded store.
    pub fn store(mut self, store: &str) -> Self {
        self.store = Some(store.to_owned());
        self
    }

    /// Sets an environment variable, `SIGNOUT_TOKEN` for example.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Appends an argument of `signout serve`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Runs the service in a network namespace. It listens on all addresses at the port of `address`,
    /// through which the test reaches it.
    pub fn inside(mut self, namespace: &str, address: SocketAddr) -> Self {
        self.inside = Some((namespace.to_owned(), address));
        self
    }

    /// Sets the address to try first; the default is a free port.
    pub fn prefer(mut self, address: SocketAddr) -> Self {
        self.preferred = Some(address);
        self
    }

    /// Starts the service on a free port and waits until it responds.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> SignoutService {
        let required = self.inside.as_ref().map(|(_, address)| *address);
        let mut preferred = self.preferred;
        SignoutService::launch(self, || {
            required.or_else(|| preferred.take()).unwrap_or_else(free_address)
        })
    }
}

impl ServerSetup for ServiceSetup {
    const NAME: &'static str = "signout";

    fn is_ready(address: SocketAddr) -> bool {
        let ready = || {
            let mut connection = Connection::try_to(address).ok()?;
            connection.try_send(&Request::get("/readyz")).ok()
        };
        ready().is_some_and(|answer| answer.status == 200)
    }

    fn command(&self, directory: &Path, address: SocketAddr) -> Command {
        let embedded = format!("redb:{}", directory.join(STORE_FILE).display());
        let mut command = command("signout");
        let mut listen = address;
        if let Some((namespace, _)) = &self.inside {
            let program = command.get_program().to_owned();
            command = Command::new("ip");
            command.args(["netns", "exec", namespace]).arg(program);
            listen.set_ip(std::net::Ipv4Addr::UNSPECIFIED.into());
        }
        command.args(["serve", "--listen", &listen.to_string()]);
        command.arg("--store").arg(self.store.as_ref().unwrap_or(&embedded));
        command.args(&self.arguments).env("SIGNOUT_TOKEN", SIGNOUT_TOKEN);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running signout service.
pub type SignoutService = Server<ServiceSetup>;

impl SignoutService {
    /// Returns a set-up with an embedded store and the API token [`SIGNOUT_TOKEN`].
    pub fn setup() -> ServiceSetup {
        ServiceSetup::default()
    }

    /// Starts such a service.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::setup().start()
    }

    /// Sends a `GET` with the API token.
    #[track_caller]
    pub fn get(&self, path: &str) -> HttpResponse {
        self.send(&Request::get(path))
    }

    /// Sends `POST /v1/revocations` with the API token: one revocation or a list.
    #[track_caller]
    pub fn post(&self, revocations: &Value) -> HttpResponse {
        let request = Request::post("/v1/revocations").header("content-type", "application/json");
        self.send(&request.body(revocations.to_string()))
    }

    /// Like [`SignoutService::post`], and checks that the service acknowledged them as durable.
    #[track_caller]
    pub fn revoke(&self, revocations: &Value) {
        let answer = self.post(revocations);
        assert!(matches!(answer.status, 200 | 201), "{} {}", answer.status, answer.text());
    }

    /// Returns every revocation of the service, read from its feed.
    #[must_use]
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        let (mut records, mut path) = (Vec::new(), "/v1/revocations".to_owned());
        loop {
            let page = self.get(&path).json();
            records.extend(page["revocations"].as_array().expect("a page of the feed").clone());
            if page["more"] != true {
                return records;
            }
            let cursor = page["cursor"].as_str().expect("a cursor");
            path = format!("/v1/revocations?after={cursor}");
        }
    }

    /// Returns whether the service holds the token's revocation.
    #[must_use]
    #[track_caller]
    pub fn holds(&self, token: &Token) -> bool {
        let id = token.record_id();
        self.records().iter().any(|record| record["kind"] == "token" && record["id"] == id)
    }

    /// Returns a `signout …` command with the service's address and API token in its environment.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command("signout");
        command.args(arguments).env("SIGNOUT_TOKEN", SIGNOUT_TOKEN);
        command.env("SIGNOUT_URL", format!("http://{}", self.address()));
        command
    }

    /// Returns the file of the embedded store, which a test can remove.
    #[must_use]
    pub fn store_file(&self) -> PathBuf {
        self.directory.path().join(STORE_FILE)
    }

    fn send(&self, request: &Request) -> HttpResponse {
        let request = request.clone().header("authorization", format!("Bearer {SIGNOUT_TOKEN}"));
        Connection::to(self.address()).send(&request)
    }
}

const STORE_FILE: &str = "revocations";
