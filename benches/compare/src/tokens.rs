//! The tokens of the requests.
//!
//! They have the claims of a typical session: about 330 characters with HS256, about 630 with
//! RS256.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac_sha256::HMAC;
use jwt_simple::algorithms::{RS256KeyPair, RSAKeyPairLike as _};
use jwt_simple::claims::{Claims, NoCustomClaims};
use jwt_simple::prelude::Duration;
use testbed::{SESSION_SECRET, unix_seconds};

/// The issuer of the tokens.
pub(crate) const ISSUER: &str = "https://id.example.com/";

/// The audience of the tokens.
pub(crate) const AUDIENCE: &str = "https://app.example.com";

/// Prefix of the revoked `jti`s: `revoked-0` up to the number of live revocations.
pub(crate) const REVOKED_JTI: &str = "revoked";

/// Lifetime of all tokens and revocations: longer than any run.
pub(crate) const LIFETIME_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Returns a new HS256 token with a unique `jti`.
pub(crate) fn hs256() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    hs256_with(&format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// Returns an HS256 token with that `jti`.
pub(crate) fn hs256_with(jti: &str) -> String {
    let now = unix_seconds();
    let exp = now + LIFETIME_SECONDS;
    let user = user_of(jti);
    let payload = format!(
        r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"{user}","jti":"{jti}","iat":{now},"exp":{exp}}}"#
    );
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let input =
        format!("{}.{}", encode(br#"{"alg":"HS256","typ":"JWT"}"#), encode(payload.as_bytes()));
    let signature = HMAC::mac(input.as_bytes(), SESSION_SECRET.as_bytes());
    format!("{input}.{}", encode(&signature))
}

/// The issuer's RSA key of 2,048 bits.
pub(crate) struct Rsa(RS256KeyPair);

impl Rsa {
    /// Generates a new key.
    pub(crate) fn generate() -> Self {
        Self(RS256KeyPair::generate(2048).expect("an RSA key"))
    }

    /// Returns its public key.
    pub(crate) fn public_key_pem(&self) -> String {
        self.0.public_key().to_pem().expect("a public key as PEM")
    }

    /// Returns its public key as a JWK Set.
    pub(crate) fn jwks(&self) -> String {
        let components = self.0.public_key().to_components();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (n, e) = (encode(&components.n), encode(&components.e));
        format!(r#"{{"keys":[{{"kty":"RSA","alg":"RS256","n":"{n}","e":"{e}"}}]}}"#)
    }

    /// Returns new tokens, signed on all processors in parallel.
    pub(crate) fn tokens(&self, count: usize) -> Vec<String> {
        let numbers: Vec<_> = (0..count).collect();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let sign = |numbers: &[usize]| numbers.iter().map(|n| self.rs256(*n)).collect::<Vec<_>>();
        std::thread::scope(|scope| {
            let pieces = numbers.chunks(count.div_ceil(threads).max(1));
            let threads: Vec<_> = pieces.map(|piece| scope.spawn(move || sign(piece))).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("signed tokens")).collect()
        })
    }

    fn rs256(&self, number: usize) -> String {
        let jti = format!("{number:032x}");
        let claims = Claims::create(Duration::from_secs(LIFETIME_SECONDS));
        let claims = claims.with_issuer(ISSUER).with_audience(AUDIENCE);
        let claims = claims.with_subject(user_of(&jti)).with_jwt_id(&jti);
        self.0.sign::<NoCustomClaims>(claims).expect("a signed token")
    }
}

fn user_of(jti: &str) -> String {
    let hash = hmac_sha256::Hash::hash(jti.as_bytes());
    let hex: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("user-{hex}")
}
