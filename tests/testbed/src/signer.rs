//! Key pairs of an identity provider, and forged tokens that cost as much to check as genuine ones.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::algorithms::{
    ECDSAP256KeyPairLike as _, ECDSAP384KeyPairLike as _, ES256KeyPair, ES384KeyPair,
    Ed25519KeyPair, EdDSAKeyPairLike as _, HS256Key, MACLike as _, PS256KeyPair, RS256KeyPair,
    RSAKeyPairLike as _,
};
use jwt_simple::claims::{Claims, JWTClaims};
use jwt_simple::prelude::Duration;
use serde_json::{Value, json};

use crate::Token;

/// A new key of one algorithm. It signs tokens like those of [`Token::of`].
pub struct TokenSigner {
    key: Value,
    jwk: Value,
    sign: Box<dyn Fn(JWTClaims<Value>) -> Result<String, jwt_simple::Error> + Send + Sync>,
}

impl std::fmt::Debug for TokenSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSigner").field("jwk", &self.jwk).finish_non_exhaustive()
    }
}

impl TokenSigner {
    /// Generates a key of this algorithm.
    ///
    /// # Panics
    /// The algorithm is none of HS256, RS256, PS256, ES256, ES384 and EdDSA.
    #[must_use]
    pub fn new(algorithm: &str) -> Self {
        macro_rules! public_key {
            ($pair:expr $(, $as_text:ident)?) => {{
                let pair = $pair;
                let public = pair.public_key();
                let (pem, jwk) = (public.to_pem()$(.$as_text("PEM"))?, public.to_jwk());
                let key = json!({"algorithm": algorithm, "public_key_pem": pem});
                let jwk = serde_json::from_str(&jwk).expect("a JWK");
                Self { key, jwk, sign: Box::new(move |claims| pair.sign(claims)) }
            }};
        }
        let mut signer = match algorithm {
            "HS256" => Self::with_secret(),
            "RS256" => public_key!(RS256KeyPair::generate(2_048).expect("an RSA key"), expect),
            "PS256" => public_key!(PS256KeyPair::generate(2_048).expect("an RSA key"), expect),
            "ES256" => public_key!(ES256KeyPair::generate(), expect),
            "ES384" => public_key!(ES384KeyPair::generate(), expect),
            "EdDSA" => public_key!(Ed25519KeyPair::generate()),
            other => panic!("no signer for {other}"),
        };
        signer.jwk["alg"] = json!(algorithm);
        signer
    }

    fn with_secret() -> Self {
        let secret = format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
        let key = json!({"algorithm": "HS256", "secret": {"inline": secret}});
        let jwk = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(&secret)});
        let pair = HS256Key::from_bytes(secret.as_bytes());
        Self { key, jwk, sign: Box::new(move |claims| pair.authenticate(claims)) }
    }

    /// Returns the key as the filter's configuration has it, without an id.
    #[must_use]
    pub fn key(&self) -> Value {
        self.key.clone()
    }

    /// Returns the key as a JWK without an id (RFC 7517).
    #[must_use]
    pub fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// Signs a new token of a user: the user as `id`, a new `jti`, issued now, good for an hour.
    ///
    /// # Panics
    /// The key cannot sign.
    #[must_use]
    pub fn token_of(&self, user_id: &str) -> Token {
        self.sign(json!({"id": user_id}))
    }

    /// Signs a token with these claims and a new `jti`, issued now, good for an hour.
    ///
    /// # Panics
    /// The key cannot sign.
    #[must_use]
    pub fn sign(&self, claims: Value) -> Token {
        let claims = Claims::with_custom_claims(claims, Duration::from_hours(1));
        let claims = claims.with_jwt_id(uuid::Uuid::new_v4());
        Token::text(&(self.sign)(claims).expect("a signed token"))
    }

    /// Signs a logout token (OpenID Connect Back-Channel Logout 1.0 §2.4) of a session, issued now.
    ///
    /// # Panics
    /// The key cannot sign.
    #[must_use]
    pub fn logout_token(&self, issuer: &str, audience: &str, sid: &str) -> String {
        let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
        let claims = json!({"sid": sid, "events": events});
        let claims = Claims::with_custom_claims(claims, Duration::from_mins(2));
        let claims = claims.with_issuer(issuer).with_audience(audience);
        (self.sign)(claims.with_jwt_id(uuid::Uuid::new_v4())).expect("a signed token")
    }
}

/// Returns a token with a well-formed but wrong signature. Each `number` gives another token. An
/// empty `kid` is left out.
#[must_use]
pub fn forged(algorithm: &str, kid: &str, number: u32) -> Token {
    let bytes = match algorithm {
        "HS256" => 32,
        "ES256" | "EdDSA" => 64,
        "ES384" => 96,
        _ => 256,
    };
    let header = match kid {
        "" => json!({"alg": algorithm}),
        kid => json!({"alg": algorithm, "kid": kid}),
    };
    let header = URL_SAFE_NO_PAD.encode(header.to_string());
    let payload = URL_SAFE_NO_PAD.encode(json!({"sub": "eve", "jti": "1"}).to_string());
    // The signature must not fail a cheap check. It begins with a point of Ed25519 (RFC 8032 §5.1,
    // the base point), then has a number below the order of each curve, and is as a whole below
    // each modulus.
    let mut signature = vec![0x66; bytes];
    signature[0] = 0x58;
    signature[bytes / 2..][..4].copy_from_slice(&number.to_be_bytes());
    signature[bytes - 1] = 1;
    Token::text(&format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
