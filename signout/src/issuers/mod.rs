//! Identity providers whose messages end sessions: their settings and their keys.
//!
//! An operator lists the identity providers in a file (`signout serve --issuers FILE`). Only they
//! can end a session through the [receivers](crate::receivers).

pub mod keys;
pub mod report;
pub mod schema;
pub mod settings;

mod raw;

use std::sync::Arc;

use crate::http::client::HttpClient;
use crate::metrics::ServiceMetrics;
use keys::IssuerKeys;
use settings::IssuerSettings;

/// An issuer with its keys.
pub(crate) struct TrustedIssuer {
    pub(crate) settings: IssuerSettings,
    pub(crate) keys: IssuerKeys,
}

impl TrustedIssuer {
    /// Starts fetching the keys, unless the file contains them.
    ///
    /// # Errors
    ///
    /// The operating system provides no thread or no random numbers.
    pub(crate) fn start(
        mut settings: IssuerSettings,
        client: &HttpClient,
        metrics: &Arc<ServiceMetrics>,
    ) -> std::io::Result<Self> {
        for warning in settings.warnings.drain(..) {
            tracing::warn!(issuer = settings.issuer, "{warning}");
        }
        let keys = IssuerKeys::start(&settings.issuer, &mut settings.keys, client, metrics)?;
        Ok(Self { settings, keys })
    }
}
