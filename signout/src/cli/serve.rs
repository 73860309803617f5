//! How does the service start and stop?

use std::ffi::OsString;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use axum::serve::ListenerExt;
use clap::Args;
use signout::access::Access;
use signout::secret::{self, Made};
use signout::service::DEFAULT_CAPACITY;
use signout::{Service, Settings, app};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::place::{Place, RedisOptions};

/// Run the service.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// Address to listen on; port 0 takes a free one. The address is printed on standard output.
    #[arg(long, default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Where revocations are kept: `redb:PATH`, a file that this process has to itself, or a Redis
    /// or Valkey that several services share: `redis://[user:password@]host[:port][/db]`,
    /// `redis+sentinel://host:port,…/primary`, `redis+cluster://host:port,…`; with TLS `rediss…`.
    #[arg(long, env = "SIGNOUT_STORE", hide_env_values = true)]
    store: String,
    #[command(flatten)]
    redis: RedisOptions,
    /// Most revocations at a time; beyond it new ones are answered 507.
    #[arg(long, default_value_t = DEFAULT_CAPACITY)]
    capacity: usize,
}

impl Serve {
    /// Runs until SIGTERM or SIGINT.
    pub(super) fn run(self) -> Result<(), Failure> {
        let level = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
        tracing_subscriber::fmt()
            .with_env_filter(level)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .init();
        tokio::runtime::Runtime::new()
            .map_err(|error| failed("cannot start", &error))?
            .block_on(self.serve())
    }

    async fn serve(self) -> Result<(), Failure> {
        let place = Place::of(&self.store)?;
        let access = access(&place)?;
        let listener = TcpListener::bind(self.listen)
            .await
            .map_err(|error| failed(&format!("cannot listen on {}", self.listen), &error))?;
        let address = listener.local_addr().map_err(|error| failed("cannot listen", &error))?;
        let start = tokio::task::spawn_blocking(move || {
            let store = place.open(&self.redis)?;
            let settings = Settings { store, access, capacity: self.capacity };
            Service::start(settings).map_err(|error| Failure::Refused(error.to_string()))
        });
        let service = start.await.map_err(|error| failed("cannot start", &error))??;
        // Not before: a signal while the store is read ends the process, and harms nothing.
        let stop = stop_signal()?;
        println!("listening on http://{address}");
        tracing::info!(%address, capacity = self.capacity, "serving");
        answer_until(stop, listener, service.clone()).await;
        let stopped = tokio::task::spawn_blocking(move || service.stop()).await;
        tracing::info!("stopped");
        stopped.map_err(|error| failed("cannot stop", &error))
    }
}

/// Answers until the signal comes; then waiting polls are answered at once, and every other call
/// may end within [`STOP_TIMEOUT`].
async fn answer_until(
    stop: impl Future<Output = ()> + Send + 'static,
    listener: TcpListener,
    service: Service,
) {
    let listener = listener.tap_io(|connection| {
        // A page of the feed is worth sending at once.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
    });
    let closing = service.clone();
    let server = axum::serve(listener, app(service.clone())).with_graceful_shutdown(async move {
        stop.await;
        tracing::info!("stopping");
        closing.close();
    });
    let too_late = async {
        service.closed().await;
        tokio::time::sleep(STOP_TIMEOUT).await;
    };
    tokio::select! {
        served = server => if let Err(error) = served {
            tracing::error!(%error, "serving ended");
        },
        () = too_late => tracing::warn!("some calls did not end in time"),
    }
}

fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
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

/// The API tokens: `SIGNOUT_TOKEN` or `SIGNOUT_TOKEN_FILE`, else the one in `<store>.token`, which
/// the first start makes. Services that share a store must share the token, so it cannot be made.
fn access(store: &Place) -> Result<Access, Failure> {
    let tokens = match (super::client::api_tokens()?, store) {
        (Some(tokens), _) => tokens,
        (None, Place::Redis(_)) => {
            let way_out = "no API token: with a store that several services share, set \
                SIGNOUT_TOKEN or SIGNOUT_TOKEN_FILE, the same for each of them and for the proxies \
                (`signout keygen FILE` makes one)";
            return Err(Failure::Usage(way_out.to_owned()));
        }
        (None, Place::Redb(path)) => {
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
    if tokens.iter().chain(&admin).any(|token| token.len() < SHORT_TOKEN_BYTES) {
        tracing::warn!(
            "an API token is so short that it may be guessed; `signout keygen` makes one"
        );
    }
    Ok(Access::new(tokens.iter().map(String::as_str), admin.as_deref()))
}

fn failed(what: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::Refused(format!("{what}: {why}"))
}

/// Tokens below this are worth a warning: 16 random characters are out of reach for guessing.
const SHORT_TOKEN_BYTES: usize = 16;

/// Kubernetes kills after 30 s.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Environment:
  SIGNOUT_TOKEN        API tokens, separated by commas: all are valid, the first is the command
                       line's
  SIGNOUT_TOKEN_FILE   a file that holds them
  SIGNOUT_ADMIN_TOKEN  where set, the cutoff for all needs this token
  RUST_LOG             what is logged on standard error (default: info)
  SIGNOUT_STORE        the store, where its address holds a password
With neither of the first two, the first start makes a token in <store>.token and says so; with
Redis, start fails.

Examples:
  signout serve --listen 127.0.0.1:8090 --store redb:/var/lib/signout/revocations.redb
  signout serve --listen 127.0.0.1:8090 --store redis://redis.internal:6379";
