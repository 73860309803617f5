//! An identity provider for tests. It signs with another implementation than the one under test,
//! and publishes its keys over HTTP or HTTPS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio_rustls::rustls;

/// A key of an identity provider, for ES256.
pub(crate) struct SigningKey {
    kid: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    pub(crate) fn new(kid: &str) -> Self {
        let (random, algorithm) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        Self { kid: kid.to_owned(), pair }
    }

    /// Returns the public key as a JWK.
    pub(crate) fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": x, "y": y})
    }

    /// Returns the bytes of the public key.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    /// Returns a JWT of this type.
    pub(crate) fn sign(&self, typ: Option<&str>, claims: &Value) -> String {
        let mut header = json!({"alg": "ES256", "kid": self.kid});
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        self.sign_with(&header, claims)
    }

    /// Returns a JWT with this header.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let input = signing_input(header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Returns the encoded header and payload of a JWT.
pub(crate) fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// Returns the present time in seconds since 1970 UTC.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A server that publishes a JWK Set.
pub(crate) struct KeyServer {
    pub(crate) address: SocketAddr,
    shared: Arc<PublishedKeys>,
}

#[derive(Default)]
struct PublishedKeys {
    body: Mutex<Option<String>>,
    requests: AtomicUsize,
}

impl KeyServer {
    /// Publishes over HTTP.
    pub(crate) fn start(keys: &[&SigningKey]) -> Self {
        Self::serve(keys, None)
    }

    /// Publishes over HTTPS, with a certificate for 127.0.0.1.
    pub(crate) fn start_tls(keys: &[&SigningKey], certificate: &str, key: &str) -> Self {
        use rustls::pki_types::pem::PemObject as _;
        let chain = rustls::pki_types::CertificateDer::from_pem_slice(certificate.as_bytes());
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![chain.unwrap()], key)
            .unwrap();
        Self::serve(keys, Some(Arc::new(config)))
    }

    fn serve(keys: &[&SigningKey], tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(PublishedKeys::default());
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                match &tls {
                    None => served.respond(stream),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
                        served.respond(rustls::StreamOwned::new(connection, stream));
                    }
                }
            }
        });
        let server = Self { address, shared };
        server.publish(keys);
        server
    }

    /// Replaces the published keys.
    pub(crate) fn publish(&self, keys: &[&SigningKey]) {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        *self.shared.body.lock().unwrap() = Some(json!({"keys": keys}).to_string());
    }

    /// Responds 500 from now on.
    pub(crate) fn fail(&self) {
        *self.shared.body.lock().unwrap() = None;
    }

    /// Returns how often the set was fetched.
    pub(crate) fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

impl PublishedKeys {
    /// Serves one request, and closes the connection.
    fn respond(&self, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
            line.clear();
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let (status, body) = match self.body.lock().unwrap().clone() {
            Some(body) => ("200 OK", body),
            None => ("500 Internal Server Error", String::new()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n",
            body.len()
        );
        let stream = stream.get_mut();
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(body.as_bytes());
        let _ = stream.flush();
    }
}
