//! Forward auth on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Router;
use clap::Args;
use session_guard_core::hash::hex;
use signout::Service;
use signout::check::find_one;
use signout::forward_auth::{self, settings};
use signout::http::client::HttpClient;
use signout::http::server::HttpServer;
use signout::http::tls::Tls;
use tokio::net::TcpListener;

use super::CommandError;
use super::explain::{CONFIG_BYTES, read};
use super::serve::TlsOptions;

/// Forward auth for NGINX, Caddy, Traefik and Envoy's `ext_authz`.
#[derive(Args)]
pub(super) struct GuardOptions {
    /// Decide about requests for proxies that ask another server, with this configuration of the
    /// filter: its JSON, or YAML or JSON that contains it once. Its secrets come from the
    /// environment of the service. See docs/forward-auth.md.
    #[arg(long, value_name = "FILE")]
    guard: Option<PathBuf>,
    /// Address for the checks of these proxies. Checks need no API token, so only proxies should
    /// reach it.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8091", requires = "guard")]
    #[arg(value_parser = super::listen_address)]
    guard_listen: SocketAddr,
    /// Serve these checks over HTTPS, with the certificate of `--tls-cert`. Without it they come over
    /// HTTP, as from a proxy on the same machine.
    #[arg(long, requires = "guard", requires = "tls_cert")]
    guard_tls: bool,
    /// Where to fetch the key set of a `jwks.cluster` of that configuration:
    /// `idp=https://id.example.com`. May be given several times.
    #[arg(long, value_name = "CLUSTER=URL", requires = "guard", value_parser = origin)]
    guard_issuer: Vec<(String, String)>,
}

/// Reads `CLUSTER=URL`, where the URL has no path.
fn origin(text: &str) -> Result<(String, String), String> {
    let (cluster, url) =
        text.split_once('=').ok_or("it must be like idp=https://id.example.com")?;
    let url = super::url(url)?;
    let origin = url.trim_end_matches('/');
    match origin.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#'])) {
        true => Err("the path belongs into `jwks.path`".to_owned()),
        false => Ok((cluster.to_owned(), origin.to_owned())),
    }
}

/// The configuration for forward auth, and where to listen.
pub(super) struct ReadGuard {
    settings: settings::GuardSettings,
    address: SocketAddr,
    tls: Option<Tls>,
    /// The API token with which forward auth calls the service. It never leaves this process.
    pub(super) api_token: String,
}

/// Forward auth that listens and does not decide yet.
pub(super) struct ListeningGuard {
    settings: settings::GuardSettings,
    listener: TcpListener,
    tls: Option<Tls>,
}

/// Forward auth that can serve checks.
pub(super) struct StartedGuard {
    app: Router,
    listener: TcpListener,
    tls: Option<Tls>,
}

impl GuardOptions {
    /// Reads the configuration.
    pub(super) fn read(&self, tls: &TlsOptions) -> Result<Option<ReadGuard>, CommandError> {
        let Some(file) = &self.guard else { return Ok(None) };
        let wrong = |why: String| CommandError::Usage(format!("--guard {}: {why}", file.display()));
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| CommandError::Refused(error.to_string()))?;
        let api_token = hex(&random);
        let text = find_one(read(file, CONFIG_BYTES)?.as_bytes()).map_err(wrong)?;
        let environment = |name: &str| std::env::var(name).ok();
        let context = settings::GuardContext {
            environment: &environment,
            api_token: &api_token,
            origins: self.guard_issuer.iter().cloned().collect(),
            client: HttpClient::new(None).map_err(wrong)?,
        };
        let settings = settings::read(&text, context).map_err(|error| wrong(error.to_string()))?;
        let tls = if self.guard_tls { tls.read()? } else { None };
        Ok(Some(ReadGuard { settings, address: self.guard_listen, tls, api_token }))
    }
}

impl ReadGuard {
    /// Listens for checks.
    pub(super) async fn listen(self) -> Result<ListeningGuard, CommandError> {
        let listener = TcpListener::bind(self.address).await.map_err(|error| {
            CommandError::Refused(format!("cannot listen on {}: {error}", self.address))
        })?;
        Ok(ListeningGuard { settings: self.settings, listener, tls: self.tls })
    }
}

impl ListeningGuard {
    /// Starts the thread that decides.
    pub(super) fn start(self, service: &Service) -> Result<StartedGuard, CommandError> {
        let failed = |why| CommandError::Refused(format!("cannot start forward auth: {why}"));
        let app = forward_auth::start(self.settings, service.clone()).map_err(failed)?;
        let address = self.listener.local_addr();
        let address = address.map_err(|error| failed(error.to_string()))?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        println!("guarding on {scheme}://{address}");
        tracing::info!(%address, "guarding");
        Ok(StartedGuard { app, listener: self.listener, tls: self.tls })
    }
}

impl StartedGuard {
    /// Serves checks until the service closes.
    pub(super) async fn serve(self, server: &HttpServer, service: &Service) {
        server.serve(self.listener, self.tls, self.app, service.closed()).await;
    }
}
