//! Makes valid and invalid tokens.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::SESSION_SECRET;

/// A JWT in compact form, valid or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Makes a token that the shipped configuration accepts: HS256, the user as `id`, a
    /// new `jti`, issued now, good for an hour.
    #[must_use]
    pub fn of(user_id: &str) -> Self {
        Self::with(&Self::claims_of(user_id))
    }

    /// Returns the claims of [`Token::of`], for editing.
    #[must_use]
    pub fn claims_of(user_id: &str) -> Value {
        let now = unix_seconds();
        let jti = uuid::Uuid::new_v4().to_string();
        json!({"id": user_id, "jti": jti, "iat": now, "exp": now + 3600})
    }

    /// Makes a token with the given claims, signed like [`Token::of`].
    #[must_use]
    pub fn with(claims: &Value) -> Self {
        Self::signed(r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string(), SESSION_SECRET)
    }

    /// Makes a token from header and payload texts, signed with HMAC-SHA-256.
    #[must_use]
    pub fn signed(header: &str, payload: &str, secret: &str) -> Self {
        let input = format!("{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()));
        let signature = hmac_sha256::HMAC::mac(input.as_bytes(), secret.as_bytes());
        Self(format!("{input}.{}", encode(&signature)))
    }

    /// Uses any text in place of a token.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Returns a token with the same claims, signed with an unknown secret.
    #[must_use]
    pub fn forged(&self) -> Self {
        let input = self.0.rsplit_once('.').map_or("", |(input, _)| input);
        let secret = b"a secret of somebody else, of any length";
        Self(format!("{input}.{}", encode(&hmac_sha256::HMAC::mac(input.as_bytes(), secret))))
    }

    /// Returns the `jti`; empty if there is none.
    #[must_use]
    pub fn jti(&self) -> String {
        self.claim("jti")
    }

    /// Returns the user id; empty if there is none.
    #[must_use]
    pub fn user(&self) -> String {
        self.claim("id")
    }

    fn claim(&self, name: &str) -> String {
        let payload = self.0.split('.').nth(1).unwrap_or_default();
        let payload = URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
        let claims: Value = serde_json::from_slice(&payload).unwrap_or_default();
        claims[name].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the record id of its revocation in the empty realm: from its `jti`
    /// (and `iss`) or, if there is none, from the signing input.
    #[must_use]
    pub fn record_id(&self) -> String {
        let (jti, issuer) = (self.jti(), self.claim("iss"));
        let issuer = Some(issuer.as_str()).filter(|issuer| !issuer.is_empty());
        if jti.is_empty() {
            let input = self.0.rsplit_once('.').map_or("", |(input, _)| input);
            return record_id("input", input, issuer);
        }
        record_id("token", &jti, issuer)
    }

    /// Returns the token's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Computes the id as documented, deliberately without the code under test.
fn record_id(kind: &str, value: &str, issuer: Option<&str>) -> String {
    let hash = hmac_sha256::Hash::hash(format!("session-guard/2\0{kind}\0\0{value}").as_bytes());
    let mut id = hash[..16].to_vec();
    if let Some(issuer) = issuer {
        let hash = hmac_sha256::Hash::hash(&[&hash[..], b"\0", issuer.as_bytes()].concat());
        id[2..].copy_from_slice(&hash[..14]);
    }
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns this machine's time, which Envoy, service and application share.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_a_standard_signature() {
        let payload = r#"{"sub":"1234567890","name":"John Doe","iat":1516239022}"#;
        let header = r#"{"alg":"HS256","typ":"JWT"}"#;
        let token = Token::signed(header, payload, "your-256-bit-secret");
        let signature = "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"; // the example of jwt.io
        assert_eq!(token.as_str().rsplit_once('.').unwrap().1, signature);
    }

    #[test]
    fn a_forged_token_differs_only_in_its_signature() {
        let genuine = Token::of("ada");
        let forged = genuine.forged();
        let input = |token: &Token| token.as_str().rsplit_once('.').unwrap().0.to_owned();
        assert_eq!(input(&genuine), input(&forged));
        assert_ne!(genuine, forged);
    }
}
