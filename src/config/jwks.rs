//! Which keys of a JWK Set can verify tokens?
//!
//! Each key is judged alone: one that is bad, or for an algorithm that we do not know, is left out
//! and named in the operator's log; an issuer's next key must not stop the present one. Keys that
//! say themselves that they are for something else are left out in silence.

use crate::config::error::{At, ConfigError};
use crate::config::secret::Weak;
use crate::config::{keys, limits, raw, secret, settings};
use crate::keys::jwk::Jwk;
use crate::keys::{Key, PublicAlgorithm};

/// Adds the keys of the set that `written` holds.
pub(super) fn check(
    at: &At,
    written: &raw::Key,
    jwks: &raw::Jwks,
    found: &mut Vec<Key>,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    let remedy = "each key of a JWK Set says it itself";
    keys::refuse(at, "id", written.id.is_some(), remedy)?;
    keys::refuse(at, "secret", written.secret.is_some(), remedy)?;
    keys::refuse(at, "weak_secret", written.weak_secret.is_some(), remedy)?;
    keys::refuse(at, "public_key_pem", written.public_key_pem.is_some(), remedy)?;
    let (issuer, audiences) = keys::issuer_and_audiences(at, written)?;
    let rsa = rsa_algorithm(&at.field("algorithm"), written.algorithm.as_deref())?;
    let at = at.field("jwks");
    let set = inline(&at, jwks)?;
    let at = at.field("inline").field("keys");
    limits::some(&at, set.keys.len(), settings::KEYS, "give the keys that sign tokens")?;
    let (before, mut first_problem) = (found.len(), None);
    for (index, json) in set.keys.iter().enumerate() {
        let at = at.item(index);
        let key = read(json.get(), rsa, &at, warnings)
            .map(|jwk| jwk.map(|jwk| jwk.into_key(issuer.clone(), audiences.clone())));
        let problem = match key {
            Ok(None) => continue,
            Ok(Some(key)) if keys::comes_twice(found, &key) => {
                at.error("its `kid` comes twice", "keep one of the two")
            }
            Ok(Some(key)) => {
                found.push(key);
                continue;
            }
            Err(problem) => problem,
        };
        warnings.push(format!("left out: {problem}"));
        first_problem.get_or_insert(problem);
    }
    if found.len() > before {
        return Ok(());
    }
    Err(first_problem
        .unwrap_or_else(|| at.error("none is for verifying", "see their `use` and `key_ops`")))
}

/// One key; `None`: it is for something else.
fn read(
    json: &str,
    rsa: Option<PublicAlgorithm>,
    at: &At,
    warnings: &mut Vec<String>,
) -> Result<Option<Jwk>, ConfigError> {
    let jwk = Jwk::read(json.as_bytes(), rsa).map_err(|error| {
        let (problem, remedy) = error.told();
        at.error(problem, remedy)
    })?;
    if let Some((algorithm, bytes)) = jwk.as_ref().and_then(Jwk::secret) {
        let at = at.field("k");
        match secret::strength(bytes, algorithm) {
            Ok(()) => {}
            Err(Weak::Known) => return Err(at.error(secret::KNOWN, secret::GENERATE)),
            Err(Weak::Short(problem)) => return Err(at.error(problem, secret::GENERATE)),
        }
        warnings.push(format!("{at}: shows in Envoy's config_dump; use `secret` with `env`"));
    }
    Ok(jwk)
}

fn inline<'a>(at: &At, jwks: &'a raw::Jwks) -> Result<&'a raw::JwkSet, ConfigError> {
    let remote = [
        ("cluster", jwks.cluster.is_some()),
        ("authority", jwks.authority.is_some()),
        ("path", jwks.path.is_some()),
        ("refresh_seconds", jwks.refresh_seconds.is_some()),
    ];
    if let Some((name, _)) = remote.iter().find(|(_, written)| *written) {
        let remedy = "give the keys themselves: {\"jwks\": {\"inline\": {\"keys\": […]}}}";
        return Err(at.field(name).error("not supported by this version", remedy));
    }
    jwks.inline.as_ref().ok_or_else(|| at.field("inline").error("missing", "give a JWK Set"))
}

/// What RSA keys without `alg` are for. Other keys say it by `alg` or curve.
fn rsa_algorithm(at: &At, written: Option<&str>) -> Result<Option<PublicAlgorithm>, ConfigError> {
    let Some(name) = written else { return Ok(None) };
    let algorithm = PublicAlgorithm::from_name(name).filter(|algorithm| algorithm.is_rsa());
    let remedy = "name one of RS256 to RS512 and PS256 to PS512, or leave it out";
    algorithm.map(Some).ok_or_else(|| at.error("is for the set's RSA keys without `alg`", remedy))
}
