//! `signout serve`: runs the service.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use signout::access::settings::NamedToken;
use signout::access::{ApiTokens, TokenHash, is_short, token_hash};
use signout::http::connections::{
    LONGEST_BODY_SECONDS, LONGEST_REQUEST_SECONDS, Limits, fit_into_open_files,
};
use signout::http::server::HttpServer;
use signout::http::tls::Tls;
use signout::secret::{self, Made};
use signout::service::DEFAULT_CAPACITY;
use signout::store::Installation;
use signout::{Service, ServiceSettings, app};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::CommandError;
use super::guard::GuardOptions;
use super::issuers::IssuerOptions;
use super::store_address::{RedisOptions, StoreAddress};
use super::tokens::TokenOptions;

/// Run the service.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// Address to listen on. Port 0 selects a free port. The address is printed on standard output.
    #[arg(long, default_value = "127.0.0.1:8090", value_parser = super::listen_address)]
    listen: SocketAddr,
    /// The store of the revocations: `redb:PATH`, a file that only this process uses, or a Redis or
    /// Valkey that several services share: `redis://[user:password@]host[:port][/db]`,
    /// `redis+sentinel://host:port,…/primary`, `redis+cluster://host:port,…`; with TLS `rediss…`.
    #[arg(long, env = "SIGNOUT_STORE", hide_env_values = true)]
    store: String,
    #[command(flatten)]
    redis: RedisOptions,
    /// Take over a Redis that another installation has used. Needed for one start after all API
    /// tokens were replaced at once.
    #[arg(long)]
    redis_adopt: bool,
    /// Largest number of revoked tokens at a time. Above it, a new revocation gets 507. Cutoffs
    /// (users, sessions, all) have a reserve of the same size, at least a million.
    #[arg(long, default_value_t = DEFAULT_CAPACITY)]
    capacity: usize,
    #[command(flatten)]
    tls: TlsOptions,
    #[command(flatten)]
    tokens: TokenOptions,
    #[command(flatten)]
    connections: ConnectionOptions,
    #[command(flatten)]
    issuers: IssuerOptions,
    #[command(flatten)]
    guard: GuardOptions,
    /// The form of the log on standard error: `json` writes one object a line.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// HTTPS instead of HTTP.
#[derive(Args)]
pub(super) struct TlsOptions {
    /// Serve HTTPS with this certificate chain (PEM), the service's own certificate first. The
    /// files are read again when they change, so a renewed certificate needs no restart.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key (PEM) of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl TlsOptions {
    pub(super) fn read(&self) -> Result<Option<Tls>, CommandError> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let tls = Tls::read(certificate, key);
        tls.map(Some)
            .map_err(|error| CommandError::Usage(format!("--tls-cert, --tls-key: {error}")))
    }
}

/// Limits for slow, idle and too many clients, so that they cannot keep other clients out.
#[derive(Args)]
struct ConnectionOptions {
    /// The maximum number of connections with a valid API token. A proxy opens one per worker and
    /// one for its poll. Connections without a token get the rest, at least 64; the oldest of them
    /// is closed for a new one. If the system's limit of open files is lower, fewer connections are
    /// allowed.
    #[arg(long, value_name = "NUMBER", default_value_t = 16_384,
        value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// Close a connection without a valid API token on which no request head has arrived for this
    /// long.
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=600))]
    head_timeout: u64,
    /// Close a connection with a valid API token on which no request has begun for this long. Set
    /// it longer than the idle time-out of the proxies' connections to the service. A long poll
    /// lasts at most 60 s.
    #[arg(long, value_name = "SECONDS", default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(LONGEST_REQUEST_SECONDS..=86_400))]
    idle_timeout: u64,
    /// Respond 408 if a request body has not arrived within this time.
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=LONGEST_BODY_SECONDS))]
    body_timeout: u64,
}

impl ConnectionOptions {
    fn limits(&self) -> Limits {
        let wanted = usize::try_from(self.max_connections).unwrap_or(usize::MAX);
        let max_connections = fit_into_open_files(wanted);
        if max_connections < wanted {
            tracing::warn!(
                max_connections,
                "the system's limit of open files (ulimit -n) is too low for --max-connections; \
                 fewer connections are allowed"
            );
        }
        Limits {
            max_connections,
            head_timeout: Duration::from_secs(self.head_timeout),
            idle_timeout: Duration::from_secs(self.idle_timeout),
            body_timeout: Duration::from_secs(self.body_timeout),
        }
    }
}

/// The form of the log.
#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    /// Lines of text, for people.
    Text,
    /// JSON, for programs: `timestamp`, `level`, `target`, `message` and the event's own fields.
    Json,
}

impl Serve {
    /// Runs until SIGTERM or SIGINT.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let level = std::env::var("RUST_LOG").ok().and_then(|level| level.parse().ok());
        let level = level.unwrap_or_else(|| Targets::new().with_default(Level::INFO));
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr);
        let log = tracing_subscriber::registry().with(level);
        match self.log_format {
            LogFormat::Text => log.with(lines).init(),
            LogFormat::Json => {
                log.with(lines.json().flatten_event(true).with_span_list(false)).init();
            }
        }
        tokio::runtime::Runtime::new()
            .map_err(|error| failed("cannot start", &error))?
            .block_on(self.serve())
    }

    async fn serve(self) -> Result<(), CommandError> {
        let place = StoreAddress::of(&self.store)?;
        let guard = self.guard.read(&self.tls)?;
        let own_token = guard.as_ref().map(|guard| guard.api_token.as_str());
        let named = self.tokens.read()?;
        let (access, installation) = access(&place, named, self.redis_adopt, own_token)?;
        let tls = self.tls.read()?;
        let issuers = self.issuers.read()?;
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|error| failed(&format!("cannot listen on {}", self.listen), &error))?;
        let address = listener.local_addr().map_err(|error| failed("cannot listen", &error))?;
        let guard = match guard {
            Some(guard) => Some(guard.listen().await?),
            None => None,
        };
        let limits = self.connections.limits();
        let start = tokio::task::spawn_blocking(move || {
            let store = place.open(&self.redis, Some(installation))?;
            let settings = ServiceSettings { store, access, capacity: self.capacity };
            Service::start(settings).map_err(|error| CommandError::Refused(error.to_string()))
        });
        let service = start.await.map_err(|error| failed("cannot start", &error))??;
        let receivers = issuers.map(|issuers| issuers.start(service.clone())).transpose()?;
        let guard = guard.map(|guard| guard.start(&service)).transpose()?;
        // Signals are handled only from here on. Before this, they end the process at once, which
        // is harmless while the store is read.
        let stop = stop_signal()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        println!("listening on {scheme}://{address}");
        tracing::info!(%address, capacity = self.capacity, "serving");
        let server = HttpServer::new(service.clone(), limits);
        let guarding = async {
            if let Some(guard) = guard {
                guard.serve(&server, &service).await;
            }
        };
        let serving = server.serve(listener, tls, app(service.clone(), receivers), stop);
        tokio::join!(serving, guarding);
        let stopped = tokio::task::spawn_blocking(move || service.stop()).await;
        tracing::info!("stopped");
        stopped.map_err(|error| failed("cannot stop", &error))
    }
}

fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, CommandError> {
    let listen = |kind| signal(kind).map_err(|error| failed("cannot listen for signals", &error));
    let (mut terminate, mut interrupt) =
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {},
            _ = interrupt.recv() => {},
        }
    })
}

/// Returns the API tokens of `SIGNOUT_TOKEN` or `SIGNOUT_TOKEN_FILE`, and the named ones of
/// `--tokens`. If there are none, the API token is in `<store>.token`, which the first start generates.
/// Services that share a store must share the API token, so with Redis none is generated.
/// `own` is the API token of forward auth, which is valid in this process only.
fn access(
    store: &StoreAddress,
    named: Option<Vec<NamedToken>>,
    adopts: bool,
    own: Option<&str>,
) -> Result<(ApiTokens, Installation), CommandError> {
    let has_named = named.is_some();
    let tokens = match (super::client::api_tokens()?, store) {
        (Some(tokens), _) => tokens,
        (None, _) if has_named => vec![],
        (None, StoreAddress::Redis(_)) => {
            let way_out = "no API token: with a store that several services share, set \
                SIGNOUT_TOKEN or SIGNOUT_TOKEN_FILE to the same value for each of them and for the \
                proxies (`signout keygen FILE` generates one), or give each the same --tokens FILE";
            return Err(CommandError::Usage(way_out.to_owned()));
        }
        (None, StoreAddress::Redb(path)) => {
            let mut file = OsString::from(path);
            file.push(".token");
            let file = PathBuf::from(file);
            let name = format!("the API token {}", file.display());
            let made = secret::make_once(&file).map_err(|error| failed(&name, &error))?;
            let (path, new) = (file.display(), made == Made::Now);
            tracing::info!(%path, new, "no SIGNOUT_TOKEN is set; the API token is in this file");
            println!("API token in {path}");
            vec![secret::read(&file).map_err(|error| failed(&name, &error))?]
        }
    };
    let admin = super::client::admin_token();
    if tokens.iter().chain(&admin).any(|token| is_short(token)) {
        tracing::warn!(
            "an API token has fewer than 16 characters, so it may be guessed; `signout keygen FILE` \
             generates a long one"
        );
    }
    let named = named.unwrap_or_default();
    let of_environment: Vec<TokenHash> =
        tokens.iter().chain(&admin).map(|token| token_hash(token)).collect();
    if let Some(twin) = named.iter().find(|token| of_environment.contains(&token.hash)) {
        let problem =
            "is also a token of SIGNOUT_TOKEN or SIGNOUT_ADMIN_TOKEN, which has other rights";
        return Err(CommandError::Usage(format!("--tokens: the token {} {problem}", twin.name)));
    }
    // More tokens would make it likelier that another installation is taken for this one.
    let hashes: Vec<_> = match tokens.is_empty() {
        false => tokens.iter().map(|token| token_hash(token)).collect(),
        true => named.iter().map(|token| token.hash).collect(),
    };
    let installation = Installation::of_tokens(hashes, adopts);
    let tokens = tokens.iter().map(String::as_str).chain(own);
    Ok((ApiTokens::new(tokens, admin.as_deref()).and(named), installation))
}

fn failed(what: &str, why: &dyn std::fmt::Display) -> CommandError {
    CommandError::Refused(format!("{what}: {why}"))
}

const EXAMPLES: &str = "\
Environment:
  SIGNOUT_TOKEN        API tokens, separated by commas. All are valid; the command line uses the
                       first
  SIGNOUT_TOKEN_FILE   a file that contains them, if SIGNOUT_TOKEN is not set
  SIGNOUT_ADMIN_TOKEN  if set, a cutoff for all users needs this token, or one with the right `admin`
  RUST_LOG             log level on standard error (default: info); also TARGET=LEVEL, with commas
  SIGNOUT_STORE        the store, for an address that contains a password
If neither of the first two is set, and there is no --tokens, the first start with a redb store
generates a token in <store>.token and prints the path. With Redis, the start fails.

Examples:
  signout serve --listen 127.0.0.1:8090 --store redb:/var/lib/signout/revocations.redb
  signout serve --listen 0.0.0.0:8443 --tls-cert tls.crt --tls-key tls.key --store redb:/data/redb
  signout serve --listen 127.0.0.1:8090 --store redis://redis.internal:6379
  signout serve --store redb:/var/lib/signout/revocations.redb --issuers issuers.json
  signout serve --store redb:/var/lib/signout/revocations.redb --guard filter.json";
