//! HTTP client: fetches the keys of identity providers, and calls their endpoints.
//!
//! Its calls block, so they must run on their own threads. It follows no redirect, because a
//! redirect could lead to another host than the operator has configured. Time and size of every
//! response are limited.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use session_guard_core::call::{Call, Response};
use session_guard_core::headers::Headers;
use session_guard_core::key_sets::document::SET_BYTES_LIMIT;
use ureq::http::{Method, Request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// An HTTP client with the certificates that it trusts.
#[derive(Clone)]
pub struct HttpClient {
    agent: ureq::Agent,
}

/// One request.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// An `http` or `https` address.
    pub url: String,
    /// Name and value of each header.
    pub headers: Vec<(&'static str, String)>,
    /// The body; may be empty.
    pub body: Vec<u8>,
    /// How long to wait for the whole response.
    pub timeout: Duration,
    /// Longest body of the response, in bytes.
    pub longest_body: u64,
}

impl HttpClient {
    /// Returns a client that verifies `https` servers with the certificates in the PEM file `ca`,
    /// or with the system's.
    ///
    /// # Errors
    ///
    /// The file cannot be read or contains no certificate.
    pub fn new(ca: Option<&Path>) -> Result<Self, String> {
        let roots = match ca {
            Some(file) => certificates(file)?,
            None => system_roots(),
        };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("session-guard-signout/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).build());
        Ok(Self { agent: config.build().into() })
    }

    /// Sends the core's call for a key set to an issuer, and returns the whole response. `origin` is
    /// the issuer's address without a path.
    ///
    /// # Errors
    ///
    /// As [`HttpClient::send`].
    pub fn fetch_keys(&self, origin: &str, call: Call) -> Result<Response, NoResponse> {
        let headers = call.headers.into_iter().map(|(name, value)| (name, value.into_owned()));
        self.send(HttpRequest {
            method: Method::GET,
            url: format!("{origin}{}", call.path),
            headers: headers.collect(),
            body: call.body,
            timeout: Duration::from_millis(call.timeout_milliseconds),
            longest_body: u64::try_from(SET_BYTES_LIMIT).unwrap_or(u64::MAX).saturating_add(1),
        })
    }

    /// Sends a request and returns the whole response.
    ///
    /// # Errors
    ///
    /// The server is unreachable or too slow, the response is too long, or the certificate is not
    /// trusted.
    pub fn send(&self, request: HttpRequest) -> Result<Response, NoResponse> {
        let HttpRequest { method, url, headers, body, timeout, longest_body } = request;
        let mut builder = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let request = builder.body(body).map_err(|error| NoResponse::Failed(error.to_string()))?;
        let request = self.agent.configure_request(request).timeout_global(Some(timeout)).build();
        let mut response = self.agent.run(request)?;
        let status = response.status().as_str().to_owned();
        let body = response.body_mut().with_config().limit(longest_body).read_to_vec()?;
        let status = (b":status".as_slice(), status.as_bytes());
        let lines = response.headers().iter();
        let lines = lines.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        let lines: Vec<_> = std::iter::once(status).chain(lines).collect();
        Ok(Response { headers: Headers::from_pairs(&lines), body })
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoResponse {
    /// The response took longer than the request allows.
    TimedOut,
    /// The server is unreachable or its certificate is not trusted, or the response is too long or
    /// incomplete.
    Failed(String),
}

impl From<ureq::Error> for NoResponse {
    fn from(error: ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::TimedOut,
            error => Self::Failed(error.to_string()),
        }
    }
}

impl fmt::Display for NoResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("no response in time"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

/// Reads the certificates in a PEM file.
///
/// # Errors
///
/// The file cannot be read, or contains no certificate.
pub fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let pem = std::fs::read(file).map_err(|error| error.to_string())?;
    let items: Result<Vec<_>, _> = parse_pem(&pem).collect();
    let certificates: Vec<_> = items
        .map_err(|error| error.to_string())?
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err("no certificate in PEM".to_owned());
    }
    Ok(certificates)
}

/// Returns the certificates that this machine trusts (`SSL_CERT_FILE`, or the system's). Logs a
/// warning if there are none, because then every `https` request fails.
fn system_roots() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<_> =
        found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if roots.is_empty() {
        tracing::warn!(
            errors = ?found.errors,
            "this machine trusts no certificate authority, so no https issuer can be reached; \
             install the system's certificates (Debian: ca-certificates), or name a file with --ca"
        );
    }
    roots
}
