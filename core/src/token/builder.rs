//! Tokens for tests: a sound one, to be bent one member at a time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{HS256Key, HS384Key, HS512Key, MACLike};

use crate::keys::{Algorithm, Key, KeyRing};

/// The moment that tests are about.
pub(crate) const NOW: u64 = 1_795_332_120;

/// A secret long enough for every algorithm.
pub(crate) const SECRET: &[u8; 64] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

/// A ring of one key: [`SECRET`], HS256, no id.
pub(crate) fn ring() -> KeyRing {
    KeyRing::new(vec![Key::hmac(Algorithm::Hs256, SECRET, None, None, Vec::new())])
}

/// Writes a token; member values are JSON text.
#[derive(Clone)]
pub(crate) struct TokenBuilder {
    header: Vec<(String, String)>,
    claims: Vec<(String, String)>,
    payload: Option<Vec<u8>>,
}

impl TokenBuilder {
    /// HS256, `sub` `user-1`, `jti` `token-1`, issued a minute before [`NOW`], valid for an hour.
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

    /// Takes this payload instead of claims.
    pub(crate) fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = Some(payload.as_ref().to_vec());
        self
    }

    /// What the signature is to cover.
    pub(crate) fn signing_input(&self) -> String {
        let payload = self.payload.clone().unwrap_or_else(|| object(&self.claims).into_bytes());
        let header = URL_SAFE_NO_PAD.encode(object(&self.header));
        format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload))
    }

    /// The token, signed with [`SECRET`] as its `alg` says, as by HS256 if that is no HMAC.
    pub(crate) fn sign(&self) -> String {
        self.sign_with(SECRET)
    }

    /// The token, signed with that secret.
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

/// A token of that signing input, whatever that is, with a signature made over it.
pub(crate) fn signed(signing_input: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signature = URL_SAFE_NO_PAD.encode(sign(signing_input.as_bytes()));
    format!("{signing_input}.{signature}")
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
