//! Reads one key of a JWK Set (RFC 7517).
//!
//! The key is bound to one algorithm by its `alg` or by its curve (RFC 7518 §6, RFC 8037 §2). Unknown
//! members are ignored (RFC 7517 §4), and certificates are not read. A private key is refused, so that
//! the operator notices that it was published.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::{Object, Value};
use crate::keys::public::{PublicKey, PublicKeyForm};
use crate::keys::{Algorithm, Key, KeyError, PublicAlgorithm};

/// A key that verifies signatures.
pub(crate) struct Jwk {
    id: Option<String>,
    material: Material,
}

#[expect(clippy::large_enum_variant, reason = "it becomes a key at once")]
enum Material {
    Secret(Algorithm, Vec<u8>),
    Public(PublicKey),
}

/// The reason why a JWK cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JwkError {
    /// The JWK is too long, not a JSON object, or has a duplicate name.
    NotAnObject,
    /// This member is absent or malformed.
    Member(&'static str),
    /// This member is base64url with padding (RFC 7515 §2).
    Padded(&'static str),
    /// The JWK contains a private key.
    Private,
    /// The algorithm of the JWK is not supported, or not for this kind of key.
    Algorithm,
    /// The JWK is an RSA key or a secret without `alg`.
    NoAlgorithm,
    /// The JWK is a public key that its algorithm cannot use.
    Key(KeyError),
}

impl JwkError {
    /// Returns the problem and the remedy, for the operator. They contain nothing of the key.
    pub(crate) fn told(self) -> (String, &'static str) {
        let problem = match self {
            Self::NotAnObject => "not a JSON object, or repeats a name, or is too long".to_owned(),
            Self::Member(name) => {
                format!("`{name}` is missing or violates RFC 7517 or RFC 7518")
            }
            Self::Padded(name) => {
                format!("`{name}` is padded with `=`, which RFC 7515 §2 does not allow")
            }
            Self::Private => "contains a private key".to_owned(),
            Self::Algorithm => "`alg` or `crv` is not supported, or not for this `kty`".to_owned(),
            Self::NoAlgorithm => "names no `alg`".to_owned(),
            Self::Key(error) => error.to_string(),
        };
        let remedy = match self {
            Self::Private => {
                "use only the public members, and replace the key, because it was exposed"
            }
            Self::NoAlgorithm => {
                "add `alg` to it, or, for RSA keys, `\"algorithm\": \"RS256\"` next to `jwks`"
            }
            Self::Padded(_) => "remove the `=` from it, or ask the issuer to",
            Self::NotAnObject => {
                "publish one JSON object of at most 16 KiB for each key (RFC 7517 §4)"
            }
            Self::Member(_) => {
                "correct the member, or publish the key without it if it is optional"
            }
            Self::Algorithm => {
                "sign with one of RS256 to RS512, PS256 to PS512, ES256, ES384, EdDSA"
            }
            Self::Key(_) => "replace the key by one that its algorithm may use (RFC 7518 §3)",
        };
        (problem, remedy)
    }
}

impl Jwk {
    /// Reads one key. `rsa` is the algorithm of RSA keys without `alg`. Returns `None` if the key
    /// has another purpose (`use`, `key_ops`).
    pub(crate) fn read(
        json: &[u8],
        rsa: Option<PublicAlgorithm>,
    ) -> Result<Option<Self>, JwkError> {
        let whole = json.len() <= JWK_BYTES_LIMIT;
        let jwk = whole.then(|| Object::parse(json)).flatten().ok_or(JwkError::NotAnObject)?;
        if !is_for_verifying(&jwk)? {
            return Ok(None);
        }
        let id = optional(&jwk, "kid")?.map(Cow::into_owned);
        if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > ID_BYTES_LIMIT) {
            return Err(JwkError::Member("kid"));
        }
        let algorithm = optional(&jwk, "alg")?;
        let material = match &*text(&jwk, "kty")? {
            "oct" => secret(&jwk, algorithm.as_deref())?,
            kind => public(&jwk, kind, algorithm.as_deref(), rsa)?,
        };
        Ok(Some(Self { id, material }))
    }

    /// Returns the secret, if the key is one. The configuration checks its strength.
    pub(crate) fn secret(&self) -> Option<(Algorithm, &[u8])> {
        match &self.material {
            Material::Secret(algorithm, bytes) => Some((*algorithm, bytes)),
            Material::Public(_) => None,
        }
    }

    /// Returns the key, ready to verify.
    pub(crate) fn into_key(self, issuer: Option<String>, audiences: Vec<String>) -> Key {
        match self.material {
            Material::Secret(algorithm, bytes) => {
                Key::hmac(algorithm, &bytes, self.id, issuer, audiences)
            }
            Material::Public(key) => Key::of(key, self.id, issuer, audiences),
        }
    }
}

/// Returns whether `use` and `key_ops` allow verification. Absent members allow everything (RFC
/// 7517 §4.2, §4.3).
fn is_for_verifying(jwk: &Object<'_>) -> Result<bool, JwkError> {
    if optional(jwk, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Ok(false);
    }
    let operations = match jwk.find("key_ops") {
        None => return Ok(true),
        Some(Value::List(list)) => list.elements(),
        Some(_) => None,
    };
    let operations = operations.ok_or(JwkError::Member("key_ops"))?;
    Ok(operations
        .iter()
        .any(|operation| matches!(operation, Value::Text(text) if text == "verify")))
}

/// Reads a secret (RFC 7518 §6.4).
fn secret(jwk: &Object<'_>, algorithm: Option<&str>) -> Result<Material, JwkError> {
    let algorithm = algorithm.ok_or(JwkError::NoAlgorithm)?;
    let algorithm = Algorithm::from_name(algorithm).ok_or(JwkError::Algorithm)?;
    Ok(Material::Secret(algorithm, bytes(jwk, "k")?))
}

fn public(
    jwk: &Object<'_>,
    kind: &str,
    algorithm: Option<&str>,
    rsa: Option<PublicAlgorithm>,
) -> Result<Material, JwkError> {
    use PublicAlgorithm::{EdDsa, Es256, Es384};
    if PRIVATE.iter().any(|name| jwk.find(name).is_some()) {
        return Err(JwkError::Private);
    }
    let named = algorithm.map(|name| PublicAlgorithm::from_name(name).ok_or(JwkError::Algorithm));
    let named = named.transpose()?;
    let (algorithm, key) = match kind {
        "RSA" => {
            let algorithm = named.or(rsa).ok_or(JwkError::NoAlgorithm)?;
            let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
            (algorithm, PublicKey::read(algorithm, &PublicKeyForm::Rsa { n: &n, e: &e }))
        }
        "EC" => {
            let algorithm = of_curve(jwk, &[("P-256", Es256), ("P-384", Es384)])?;
            let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
            (algorithm, PublicKey::read(algorithm, &PublicKeyForm::Point { x: &x, y: &y }))
        }
        "OKP" => {
            let algorithm = of_curve(jwk, &[("Ed25519", EdDsa)])?;
            (algorithm, PublicKey::read(algorithm, &PublicKeyForm::Ed25519(&bytes(jwk, "x")?)))
        }
        _ => return Err(JwkError::Member("kty")),
    };
    if named.is_some_and(|named| named != algorithm) {
        return Err(JwkError::Algorithm);
    }
    key.map(Material::Public).map_err(JwkError::Key)
}

fn of_curve(
    jwk: &Object<'_>,
    curves: &[(&str, PublicAlgorithm)],
) -> Result<PublicAlgorithm, JwkError> {
    let curve = text(jwk, "crv")?;
    let known = curves.iter().find(|(name, _)| *name == curve);
    known.map(|(_, algorithm)| *algorithm).ok_or(JwkError::Algorithm)
}

fn bytes(jwk: &Object<'_>, name: &'static str) -> Result<Vec<u8>, JwkError> {
    let text = text(jwk, name)?;
    let reason = if text.ends_with('=') { JwkError::Padded(name) } else { JwkError::Member(name) };
    URL_SAFE_NO_PAD.decode(&*text).map_err(|_| reason)
}

fn text<'a>(jwk: &Object<'a>, name: &'static str) -> Result<Cow<'a, str>, JwkError> {
    optional(jwk, name)?.ok_or(JwkError::Member(name))
}

fn optional<'a>(jwk: &Object<'a>, name: &'static str) -> Result<Option<Cow<'a, str>>, JwkError> {
    match jwk.find(name) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(JwkError::Member(name)),
    }
}

/// The members of private keys (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// The longest JWK. Some issuers include a chain of certificates.
const JWK_BYTES_LIMIT: usize = 16 * 1024;

/// The longest `kid`, as in tokens.
const ID_BYTES_LIMIT: usize = 256;

#[cfg(test)]
mod tests;
