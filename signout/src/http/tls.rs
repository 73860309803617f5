//! TLS for the listener: a certificate and its key from two files, which are read again when they
//! change.
//!
//! Tools that renew certificates (certbot, cert-manager, a mounted Secret) replace the files. The
//! service reads them every [`CHECK_INTERVAL`]. New connections use the new certificate. Open
//! connections keep the old one. While the two files do not belong together, because only one of
//! them has been replaced so far, the service keeps its present certificate.
//!
//! The program has one TLS implementation: rustls with *ring*, which the Redis client and the
//! command line use as well. Envoy's upstream connections use TLS 1.2 by default, so the service
//! offers 1.2 and 1.3.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// The listener's certificate and key.
pub struct Tls {
    files: Files,
    /// Content of the files when they were last read.
    seen: Contents,
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

/// Accepts TLS connections with the current certificate.
#[derive(Clone)]
pub(crate) struct Acceptor(Arc<RwLock<Arc<ServerConfig>>>);

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Why a certificate and a key cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// A file is not PEM, or contains no such item.
    #[error("{}: no {wanted} in PEM: {error}", file.display())]
    NotPem {
        /// The file.
        file: PathBuf,
        /// The item that it should contain.
        wanted: &'static str,
        /// The parser's error.
        error: pem::Error,
    },
    /// The key does not belong to the certificate, or rustls does not support them.
    #[error("{} and {} cannot be used together: {error}", certificate.display(), key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The error of rustls.
        error: rustls::Error,
    },
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is not PEM, or the key does not belong to the certificate.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        let seen = files.read()?;
        let config = files.config(&seen)?;
        Ok(Self { files, seen, current: Arc::new(RwLock::new(Arc::new(config))) })
    }

    pub(crate) fn acceptor(&self) -> Acceptor {
        Acceptor(Arc::clone(&self.current))
    }

    /// Reads the files every [`CHECK_INTERVAL`], and uses a new certificate. Never returns.
    pub(crate) async fn follow_files(mut self) {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            // Two small files: reading them takes microseconds.
            match self.check_files() {
                Ok(false) => {}
                Ok(true) => tracing::info!("the TLS certificate was renewed"),
                Err(error) => tracing::error!(
                    %error,
                    "the changed TLS certificate cannot be used; the previous one stays in use \
                     until it expires"
                ),
            }
        }
    }

    /// Reads the files. Returns whether there was a new certificate.
    ///
    /// # Errors
    ///
    /// The changed files cannot be used. The error is returned once per change of the files.
    fn check_files(&mut self) -> Result<bool, TlsError> {
        // A file that is missing for a moment is being replaced.
        let Ok(now) = self.files.read() else { return Ok(false) };
        if now == self.seen {
            return Ok(false);
        }
        self.seen = now;
        let config = self.files.config(&self.seen)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(true)
    }
}

impl Acceptor {
    pub(crate) fn current(&self) -> TlsAcceptor {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Files {
    fn read(&self) -> Result<Contents, TlsError> {
        let read = |file: &PathBuf| {
            fs::read(file).map_err(|error| TlsError::Unreadable { file: file.clone(), error })
        };
        Ok(Contents { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }

    fn config(&self, contents: &Contents) -> Result<ServerConfig, TlsError> {
        let not_pem =
            |file: &PathBuf, wanted, error| TlsError::NotPem { file: file.clone(), wanted, error };
        let chain = CertificateDer::pem_slice_iter(&contents.certificate)
            .collect::<Result<Vec<_>, _>>()
            .and_then(
                |chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) },
            )
            .map_err(|error| not_pem(&self.certificate, "certificate", error))?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|error| not_pem(&self.key, "private key", error))?;
        let unusable = |error| TlsError::Unusable {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            error,
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Time between two reads of the files.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
