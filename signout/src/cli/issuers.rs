//! The identity providers on the command line.

use std::path::PathBuf;

use clap::Args;
use signout::Service;
use signout::http::client::HttpClient;
use signout::issuers::settings::{self, IssuerSettings};
use signout::receivers::Receivers;

use super::CommandError;

/// Identity providers that may end sessions.
#[derive(Args)]
pub(super) struct IssuerOptions {
    /// Identity providers whose messages end sessions (JSON): back-channel logout, Shared Signals,
    /// Global Token Revocation. See docs/sessions.md.
    #[arg(long, value_name = "FILE")]
    issuers: Option<PathBuf>,
    /// Certificates (PEM) to verify identity providers with, instead of the system's.
    #[arg(long, value_name = "FILE", requires = "issuers")]
    ca: Option<PathBuf>,
}

/// Issuers that have been read, and the client that fetches their keys.
pub(super) struct ReadIssuers {
    issuers: Vec<IssuerSettings>,
    client: HttpClient,
}

impl IssuerOptions {
    /// Reads the files.
    pub(super) fn read(&self) -> Result<Option<ReadIssuers>, CommandError> {
        let Some(file) = &self.issuers else { return Ok(None) };
        let wrong =
            |why: String| CommandError::Usage(format!("--issuers {}: {why}", file.display()));
        let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        let environment = |name: &str| std::env::var(name).ok();
        let issuers =
            settings::read(&text, &environment).map_err(|error| wrong(error.to_string()))?;
        let client = HttpClient::new(self.ca.as_deref())
            .map_err(|why| CommandError::Usage(format!("--ca: {why}")))?;
        Ok(Some(ReadIssuers { issuers, client }))
    }
}

impl ReadIssuers {
    /// Starts receiving their messages.
    pub(super) fn start(self, service: Service) -> Result<Receivers, CommandError> {
        Receivers::start(service, self.issuers, &self.client)
            .map_err(|error| CommandError::Refused(format!("cannot start the receivers: {error}")))
    }
}
