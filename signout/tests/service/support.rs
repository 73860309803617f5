//! Starts the service in-process or as the real binary, and calls it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use session_guard_core::feed::wire::{CONTENT_TYPE, Page, PageKey};
use signout::access::ApiTokens;
use signout::receivers::Receivers;
use signout::store::{Embedded, Store};
use signout::{Service, ServiceSettings, app};
use tempfile::TempDir;
use tower::ServiceExt;

/// The API token of every service in these tests.
pub(crate) const TOKEN: &str = "a-token-that-no-log-may-hold";
/// The admin token of a service that has one.
pub(crate) const ADMIN: &str = "an-admin-token-that-no-log-may-hold";

/// A service inside the test process.
pub(crate) struct InProcess {
    pub(crate) service: Service,
    pub(crate) app: Router,
    _folder: TempDir,
}

/// A response of the service.
#[derive(Debug)]
pub(crate) struct ServiceResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl InProcess {
    pub(crate) fn new() -> Self {
        Self::with(ApiTokens::new([TOKEN], None), 1_000)
    }

    pub(crate) fn with(access: ApiTokens, capacity: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Box::new(Embedded::open(&folder.path().join("db")).unwrap());
        Self::over(store, access, capacity, folder)
    }

    pub(crate) fn over(
        store: Box<dyn Store>,
        access: ApiTokens,
        capacity: usize,
        folder: TempDir,
    ) -> Self {
        let service = Service::start(ServiceSettings { store, access, capacity }).unwrap();
        Self { app: app(service.clone(), None), service, _folder: folder }
    }

    /// A service that receives messages of identity providers.
    pub(crate) fn receiving(start: impl FnOnce(Service) -> Receivers) -> Self {
        let inside = Self::new();
        let receivers = start(inside.service.clone());
        Self { app: app(inside.service.clone(), Some(receivers)), ..inside }
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> ServiceResponse {
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.into_body().collect().await.unwrap().to_bytes().to_vec();
        ServiceResponse { status, headers, body }
    }

    pub(crate) async fn post(&self, body: impl Into<Body>) -> ServiceResponse {
        self.call(request("POST", "/v1/revocations", TOKEN).body(body.into()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> ServiceResponse {
        self.call(request("GET", path, TOKEN).body(Body::empty()).unwrap()).await
    }

    /// Polls in the binary form, as a proxy does.
    pub(crate) async fn poll(&self, query: &str) -> Page {
        let request = request("GET", &format!("/v1/revocations?{query}"), TOKEN);
        let answer =
            self.call(request.header("accept", CONTENT_TYPE).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.headers[header::CONTENT_TYPE], CONTENT_TYPE);
        Page::decode(&answer.body, &PageKey::new(TOKEN.as_bytes())).unwrap()
    }

    /// Stores a new revocation, and returns the cursor.
    pub(crate) async fn revoke(&self, body: &str) -> String {
        let answer = self.post(body.to_owned()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["cursor"].as_str().unwrap().to_owned()
    }
}

impl ServiceResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

pub(crate) fn request(method: &str, path: &str, token: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"))
}

/// A running service, as the real binary.
pub(crate) struct ServiceProcess {
    pub(crate) child: Child,
    pub(crate) url: String,
    /// Standard output up to the address.
    pub(crate) said: String,
    log: PathBuf,
}

impl ServiceProcess {
    pub(crate) fn serve(folder: &Path) -> Self {
        Self::serve_with(folder, &[("SIGNOUT_TOKEN", TOKEN)])
    }

    pub(crate) fn serve_with(folder: &Path, environment: &[(&str, &str)]) -> Self {
        Self::spawn(folder, environment, &[], "trace")
    }

    /// Starts a service with these arguments, at log level info, because many connections would
    /// make a long log.
    pub(crate) fn serve_with_options(folder: &Path, options: &[&str]) -> Self {
        Self::spawn(folder, &[("SIGNOUT_TOKEN", TOKEN)], options, "info")
    }

    /// With these variables and arguments.
    pub(crate) fn receiving(folder: &Path, environment: &[(&str, &str)], options: &[&str]) -> Self {
        Self::spawn(folder, environment, options, "info")
    }

    fn spawn(
        folder: &Path,
        environment: &[(&str, &str)],
        options: &[&str],
        log_level: &str,
    ) -> Self {
        let store = format!("redb:{}", folder.join("db").display());
        Self::spawn_over(&store, folder, environment, options, log_level)
    }

    /// Over a shared store.
    pub(crate) fn over(
        store: &str,
        folder: &Path,
        environment: &[(&str, &str)],
        options: &[&str],
    ) -> Self {
        Self::spawn_over(store, folder, environment, options, "info")
    }

    fn spawn_over(
        store: &str,
        folder: &Path,
        environment: &[(&str, &str)],
        options: &[&str],
        log_level: &str,
    ) -> Self {
        let log = folder.join("log");
        let errors = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut child = signout()
            .args(["serve", "--listen", "127.0.0.1:0", "--store"])
            .arg(store)
            .args(options)
            .envs(environment.iter().copied())
            .env("RUST_LOG", log_level)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        let url = lines.by_ref().map_while(Result::ok).find_map(|line| {
            said += &line;
            line.strip_prefix("listening on ").map(str::to_owned)
        });
        let url = url.unwrap_or_else(|| panic!("{}", std::fs::read_to_string(&log).unwrap()));
        Self { child, url, said, log }
    }

    /// Sends a POST with the API token. Returns status and body, or `None` without a response.
    pub(crate) fn post(&self, body: &str) -> Option<(u16, Value)> {
        self.post_with(&[], body)
    }

    /// Like [`ServiceProcess::post`], with further headers.
    pub(crate) fn post_with(&self, headers: &[(&str, String)], body: &str) -> Option<(u16, Value)> {
        let request = agent().post(format!("{}/v1/revocations", self.url));
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        read(headers.iter().fold(request, |it, (name, value)| it.header(*name, value)).send(body))
    }

    pub(crate) fn get(&self, path: &str) -> Option<(u16, Value)> {
        let request = agent().get(format!("{}{path}", self.url));
        read(request.header("authorization", format!("Bearer {TOKEN}")).call())
    }

    /// Sends a GET without a token. Returns the body.
    pub(crate) fn text(&self, path: &str) -> String {
        let mut came = agent().get(format!("{}{path}", self.url)).call().unwrap();
        came.body_mut().read_to_string().unwrap()
    }

    /// Returns the ids of all live revocations.
    pub(crate) fn live_ids(&self) -> Vec<String> {
        let (mut ids, mut path) = (Vec::new(), "/v1/revocations".to_owned());
        loop {
            let (status, page) = self.get(&path).expect("an answer");
            assert_eq!(status, 200);
            let records = page["revocations"].as_array().unwrap();
            ids.extend(records.iter().map(|record| record["id"].as_str().unwrap().to_owned()));
            if page["more"] == false {
                return ids;
            }
            path = format!("/v1/revocations?after={}", page["cursor"].as_str().unwrap());
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let killed =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(killed.unwrap().success());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for ServiceProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a command for `signout` without the variables of this environment.
pub(crate) fn signout() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signout"));
    for name in ["TOKEN", "TOKEN_FILE", "ADMIN_TOKEN", "URL"] {
        command.env_remove(format!("SIGNOUT_{name}"));
    }
    command
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).build().into()
}

fn read(came: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<(u16, Value)> {
    let mut came = came.ok()?;
    let body = came.body_mut().read_to_string().ok()?;
    Some((came.status().as_u16(), serde_json::from_str(&body).ok()?))
}
