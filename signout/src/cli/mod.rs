//! The command line and its exit codes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use thiserror::Error;

mod audit;
mod authorization_policy;
mod check;
mod client;
mod copy;
mod explain;
mod guard;
mod issuers;
mod list;
mod lookup;
mod revoke;
mod serve;
mod status;
mod store_address;
mod stream;
mod subject;
mod tokens;

/// Runs the command that the arguments name, and returns its exit code.
pub(crate) fn run() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Copy(copy) => copy.run(),
        Command::Keygen { file } => keygen(&file),
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Schema { issuers, tokens } => schema(issuers, tokens),
        Command::Revoke(revoke) => revoke.run(),
        Command::List(list) => list.run(),
        Command::Lookup(lookup) => lookup.run(),
        Command::Audit(audit) => audit.run(),
        Command::Status(status) => status.run(),
        Command::Stream(stream) => stream.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("signout: {failure}");
            failure.exit_code()
        }
    }
}

/// The signout service: accepts revocations, stores them durably, and sends them to every proxy.
#[derive(Parser)]
#[command(name = "signout", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service.
    Serve(serve::Serve),
    /// Copy all revocations from one store to another.
    Copy(copy::Copy),
    /// Generate a secret into a file. An existing file is kept.
    #[command(after_help = "Example:\n  signout keygen session.secret\n  \
        SESSION_SECRET=$(cat session.secret) envoy -c envoy.yaml")]
    Keygen {
        /// The file for the secret. Only its owner can read it.
        file: PathBuf,
    },
    /// Revoke a token, all of a user's tokens, or all tokens.
    Revoke(revoke::Revoke),
    /// List all revocations.
    List(list::ListCommand),
    /// Look up whether a token, session, user or API key is revoked, by whom and why.
    Lookup(lookup::LookupCommand),
    /// Show who revoked what, when, from where and why.
    Audit(audit::AuditCommand),
    /// Show the state of the service.
    Status(status::StatusCommand),
    /// Manage the stream of events of an identity provider.
    Stream(stream::Stream),
    /// Check a configuration of the filter, an issuers file or a tokens file, and explain what it
    /// means.
    Check(check::CheckCommand),
    /// Explain why the filter accepts or refuses a token or a request.
    Explain(explain::ExplainCommand),
    /// Print the JSON Schema of the filter's configuration, for editors.
    #[command(after_help = "Examples:\n  signout schema > configuration.schema.json\n  \
        signout schema --issuers > issuers.schema.json\n  \
        signout schema --tokens > tokens.schema.json")]
    Schema {
        /// Print the schema of the issuers file instead.
        #[arg(long)]
        issuers: bool,
        /// Print the schema of the tokens file instead.
        #[arg(long, conflicts_with = "issuers")]
        tokens: bool,
    },
}

/// The service that a command calls.
#[derive(Args)]
struct Target {
    /// Address of the service.
    #[arg(long, env = "SIGNOUT_URL", default_value = "http://127.0.0.1:8090", value_parser = url)]
    url: String,
    /// Certificates (PEM) to verify an https service with, instead of Mozilla's list.
    #[arg(long, env = "SIGNOUT_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Prints on standard output. If its reader has closed it (`signout check … | head`), the process
/// ends without an error, like other command-line tools.
fn print(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    match std::io::stdout().write_fmt(text) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => eprintln!("signout: cannot write: {error}"),
        Ok(()) => {}
    }
}

/// Parses an address to listen on.
fn listen_address(text: &str) -> Result<std::net::SocketAddr, String> {
    text.parse().map_err(|_| {
        "it must be an IP address with a port, not a name: 127.0.0.1:8090, 0.0.0.0:8090, or, for \
         IPv6 with brackets, [::1]:8090"
            .to_owned()
    })
}

/// Checks that the text is an http or https address.
fn url(text: &str) -> Result<String, String> {
    let url: ureq::http::Uri = text.parse().map_err(|error| {
        let colons = text.split_once("://").map_or(text, |(_, rest)| rest).matches(':').count();
        match colons > 1 {
            true => format!("{error}; an IPv6 address needs brackets: http://[::1]:8090"),
            false => format!("{error}"),
        }
    })?;
    match (url.scheme_str(), url.host()) {
        (Some("http" | "https"), Some(_)) => Ok(text.to_owned()),
        _ => Err("it must begin with http:// or https:// and a host".to_owned()),
    }
}

/// Why a command failed.
#[derive(Debug, Error)]
enum CommandError {
    /// The service rejected the request or is not ready, or an operation on this machine failed.
    #[error("{0}")]
    Refused(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The service cannot be reached.
    #[error("{0}")]
    Unreachable(String),
}

impl CommandError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Unreachable(_) => ExitCode::from(3),
        }
    }
}

fn keygen(file: &std::path::Path) -> Result<(), CommandError> {
    let made = signout::secret::make_once(file).map_err(|error| {
        CommandError::Refused(format!("cannot create a secret in {}: {error}", file.display()))
    })?;
    match made {
        signout::secret::Made::Now => println!("made {}", file.display()),
        signout::secret::Made::Before => println!("kept {}", file.display()),
    }
    Ok(())
}

fn schema(issuers: bool, tokens: bool) -> Result<(), CommandError> {
    let schema = match (issuers, tokens) {
        (true, _) => signout::issuers::schema::schema(),
        (_, true) => signout::access::schema::schema(),
        _ => session_guard_core::config::schema::schema(),
    };
    print(format_args!("{schema:#}\n"));
    Ok(())
}

const EXIT_CODES: &str = "Exit codes: 0 success; 1 refused, failed or not ready; 2 wrong usage; \
    3 the service cannot be reached.";
