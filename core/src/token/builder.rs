//! Builds tokens for tests: a valid one, changed one member at a time.

use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{HS256Key, HS384Key, HS512Key, MACLike};

use crate::keys::fixtures::TOKENS;
use crate::keys::host::{SignatureCheck, SignatureHost};
use crate::keys::{Algorithm, Key, KeyRing, PublicAlgorithm};

/// The time at which tests take place.
pub(crate) const NOW: u64 = 1_795_332_120;

/// A secret that is long enough for every algorithm.
pub(crate) const SECRET: &[u8; 64] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

/// Returns a ring with one key: [`SECRET`] for HS256, without id.
pub(crate) fn ring() -> KeyRing {
    KeyRing::new(vec![Key::hmac(Algorithm::Hs256, SECRET, None, None, Vec::new())])
}

/// Builds a token. Values of members are JSON text.
#[derive(Clone)]
pub(crate) struct TokenBuilder {
    header: Vec<(String, String)>,
    claims: Vec<(String, String)>,
    payload: Option<Vec<u8>>,
}

impl TokenBuilder {
    /// Creates a token for HS256 with `sub` `user-1` and `jti` `token-1`, issued a minute before
    /// [`NOW`] and valid for an hour.
    pub(crate) fn new() -> Self {
        let builder = Self { header: Vec::new(), claims: Vec::new(), payload: None };
        builder
            .header("alg", "\"HS256\"")
            .header("typ", "\"JWT\"")
            .claim("sub", "\"user-1\"")
            .claim("jti", "\"token-1\"")
            .claim("iat", NOW - 60)
            .claim("exp", NOW + 3_600)
    }

    /// Sets a member of the header.
    pub(crate) fn header(mut self, name: &str, json: impl ToString) -> Self {
        set(&mut self.header, name, json.to_string());
        self
    }

    /// Sets a claim.
    pub(crate) fn claim(mut self, name: &str, json: impl ToString) -> Self {
        set(&mut self.claims, name, json.to_string());
        self
    }

    /// Removes a member of the header.
    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.header.retain(|(known, _)| known != name);
        self
    }

    /// Removes a claim.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.claims.retain(|(known, _)| known != name);
        self
    }

    /// Uses this payload instead of claims.
    pub(crate) fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = Some(payload.as_ref().to_vec());
        self
    }

    /// Returns the text that the signature covers.
    pub(crate) fn signing_input(&self) -> String {
        let payload = self.payload.clone().unwrap_or_else(|| object(&self.claims).into_bytes());
        let header = URL_SAFE_NO_PAD.encode(object(&self.header));
        format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload))
    }

    /// Returns the token, signed with [`SECRET`] by its `alg`, or by HS256 if that is not an HMAC.
    pub(crate) fn sign(&self) -> String {
        self.sign_with(SECRET)
    }

    /// Returns the token, signed with this secret.
    pub(crate) fn sign_with(&self, secret: &[u8]) -> String {
        signed(&self.signing_input(), |input| {
            match self.header.iter().find(|(name, _)| name == "alg").map(|(_, alg)| alg.as_str()) {
                Some("\"HS384\"") => HS384Key::from_bytes(secret).authentication_tag(input),
                Some("\"HS512\"") => HS512Key::from_bytes(secret).authentication_tag(input),
                _ => HS256Key::from_bytes(secret).authentication_tag(input),
            }
        })
    }
}

/// Returns the token with this signing input and its signature.
pub(crate) fn signed(signing_input: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signature = URL_SAFE_NO_PAD.encode(sign(signing_input.as_bytes()));
    format!("{signing_input}.{signature}")
}

/// A host that counts its calls. It accepts a P-256 signature of 64 bytes 0x01, and no other.
#[derive(Default)]
pub(crate) struct CountingHost(pub(crate) Cell<usize>);

impl CountingHost {
    pub(crate) fn leaked() -> &'static Self {
        Box::leak(Box::default())
    }
}

impl SignatureHost for CountingHost {
    fn verify(&self, check: &SignatureCheck<'_>) -> Option<bool> {
        self.0.set(self.0.get() + 1);
        Some(check.signature.len() == GOOD_DER_BYTES)
    }
}

/// The length of the DER of two 32-byte numbers whose first bit is 0.
const GOOD_DER_BYTES: usize = 2 + 2 * (2 + 32);

/// Returns a key of this algorithm from the fixtures.
pub(crate) fn public_key(algorithm: &str, id: Option<&str>) -> Key {
    let (_, pem, _) = TOKENS.into_iter().find(|known| known.0 == algorithm).expect("known");
    let algorithm = PublicAlgorithm::from_name(algorithm).expect("known");
    Key::public(algorithm, pem, id.map(str::to_owned), None, vec![]).expect("a key")
}

/// Returns a ring with this number of equal keys.
pub(crate) fn public_ring(algorithm: &str, count: usize) -> KeyRing {
    KeyRing::new((0..count).map(|_| public_key(algorithm, None)).collect())
}

/// Returns a token of this algorithm and `jti` with this signature.
pub(crate) fn with_signature(algorithm: &str, jti: usize, signature: &[u8]) -> String {
    let token = TokenBuilder::new()
        .header("alg", format!("\"{algorithm}\""))
        .claim("jti", format!("\"{jti}\""));
    format!("{}.{}", token.signing_input(), URL_SAFE_NO_PAD.encode(signature))
}

/// Returns a forged token: its signature has the right form and a wrong value.
pub(crate) fn forged(algorithm: &str, jti: usize) -> String {
    let mut signature = match algorithm {
        "ES256" => vec![1; 64],
        "ES384" => vec![1; 96],
        "EdDSA" => vec![1; 64],
        _ => vec![1; 256],
    };
    signature[0] = 0x80; // not what CountingHost finds valid
    with_signature(algorithm, jti, &signature)
}

/// Returns a token that [`CountingHost`] accepts.
pub(crate) fn genuine_es256(jti: usize) -> String {
    let mut signature = [1; 64];
    let end = signature.last_chunk_mut::<8>().expect("64 bytes");
    *end = (jti as u64).to_be_bytes(); // genuine tokens have different signatures
    with_signature("ES256", jti, &signature)
}

fn set(members: &mut Vec<(String, String)>, name: &str, json: String) {
    match members.iter_mut().find(|(known, _)| known == name) {
        Some((_, value)) => *value = json,
        None => members.push((name.to_owned(), json)),
    }
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<_> = members.iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
    format!("{{{}}}", members.join(","))
}
