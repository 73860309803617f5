//! Checks the JWK Sets of the configuration, and reads their keys.
//!
//! A set is either part of the configuration or is fetched later. Each key is checked separately. A
//! key that is invalid or has an unknown algorithm is left out and reported in the log: an issuer
//! may publish a new kind of key, and that must not disable its present keys. A key that names
//! another purpose (`use`, `key_ops`) is left out without a message.

use crate::config::error::{At, ConfigError};
use crate::config::key_entry::{FoundKeys, issuer_and_audiences, refuse};
use crate::config::{limits, raw, secret, settings};
use crate::key_sets;
use crate::key_sets::document::KeySetRules;
use crate::keys::jwk::Jwk;
use crate::keys::{Key, PublicAlgorithm};

/// Adds the keys of an inline set to `found`, or the settings of a set to fetch.
pub(super) fn check(
    at: &At,
    written: &raw::RawKey,
    jwks: &raw::RawJwks,
    found: &mut FoundKeys,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    let remedy = "the keys of a JWK Set contain it themselves";
    refuse(at, "id", written.id.is_some(), remedy)?;
    refuse(at, "secret", written.secret.is_some(), remedy)?;
    refuse(at, "weak_secret", written.weak_secret.is_some(), remedy)?;
    refuse(at, "public_key_pem", written.public_key_pem.is_some(), remedy)?;
    let (issuer, audiences) = issuer_and_audiences(at, written)?;
    let rsa = rsa_algorithm(&at.field("algorithm"), written.algorithm.as_deref())?;
    let rules = KeySetRules { rsa, issuer, audiences };
    let at = at.field("jwks");
    match &jwks.inline {
        Some(set) => inline(&at, jwks, set, &rules, &mut found.keys, warnings),
        None => {
            let set = remote(&at, jwks, rules)?;
            if found.sets.len() == settings::KEY_SETS {
                let problem = format!("more than {} sets to fetch", settings::KEY_SETS);
                return Err(at.error(problem, ""));
            }
            found.sets.push(set);
            Ok(())
        }
    }
}

fn remote(
    at: &At,
    jwks: &raw::RawJwks,
    rules: KeySetRules,
) -> Result<key_sets::KeySetSettings, ConfigError> {
    let text = |name: &str, text: &Option<String>, most: usize, remedy: &str| {
        let at = at.field(name);
        let text = text.as_ref().ok_or_else(|| at.error("missing", remedy))?;
        limits::text(&at, text, most)
    };
    let name = settings::NAME_BYTES;
    if [&jwks.cluster, &jwks.authority, &jwks.path].into_iter().all(Option::is_none) {
        let remedy = "or the `cluster`, `authority` and `path` that publish it";
        return Err(at.field("inline").error("missing: give a JWK Set", remedy));
    }
    let cluster = text("cluster", &jwks.cluster, name, "Envoy's name of a cluster")?;
    let authority = text("authority", &jwks.authority, name, "the issuer's host")?;
    if !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(at.field("authority").error("is no host", "like id.example.com"));
    }
    let path = text("path", &jwks.path, settings::TEXT_BYTES, "like /.well-known/jwks.json")?;
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !path.starts_with('/') || !is_plain {
        return Err(at.field("path").error("is no path", "like /.well-known/jwks.json"));
    }
    let refresh_seconds = limits::number(
        &at.field("refresh_seconds"),
        jwks.refresh_seconds,
        settings::REFRESH_SECONDS,
    )?;
    Ok(key_sets::KeySetSettings {
        name: at.to_string(),
        cluster,
        authority,
        path,
        refresh_seconds: refresh_seconds.unwrap_or_default(),
        rules,
    })
}

fn inline(
    at: &At,
    jwks: &raw::RawJwks,
    set: &raw::JwkSet,
    rules: &KeySetRules,
    found: &mut Vec<Key>,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    let remedy = "an inline set is not fetched";
    refuse(at, "cluster", jwks.cluster.is_some(), remedy)?;
    refuse(at, "authority", jwks.authority.is_some(), remedy)?;
    refuse(at, "path", jwks.path.is_some(), remedy)?;
    refuse(at, "refresh_seconds", jwks.refresh_seconds.is_some(), remedy)?;
    let at = at.field("inline").field("keys");
    limits::some(&at, set.keys.len(), settings::KEYS, "give the keys that sign tokens")?;
    let (before, mut first_problem) = (found.len(), None);
    for (index, json) in set.keys.iter().enumerate() {
        let at = at.item(index);
        let key = read(json.get(), rules.rsa, &at, warnings)
            .map(|jwk| jwk.map(|jwk| jwk.into_key(rules.issuer.clone(), rules.audiences.clone())));
        let problem = match key {
            Ok(None) => continue,
            Ok(Some(key)) if found.iter().any(|other| other.name().is_namesake_of(&key.name())) => {
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

/// Reads one key. Returns `None` if the key has another purpose than verifying.
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
        secret::strength(bytes, algorithm).map_err(|weak| at.error(weak.problem, weak.remedy))?;
        warnings.push(format!("{at}: is visible in Envoy's config_dump; use `secret` with `env`"));
    }
    Ok(jwk)
}

/// Returns the algorithm for RSA keys without `alg`. Other keys name their algorithm by `alg` or
/// curve.
fn rsa_algorithm(at: &At, written: Option<&str>) -> Result<Option<PublicAlgorithm>, ConfigError> {
    let Some(name) = written else { return Ok(None) };
    let algorithm = PublicAlgorithm::from_name(name).filter(|algorithm| algorithm.is_rsa());
    let remedy = "name one of RS256 to RS512 and PS256 to PS512, or leave it out";
    algorithm.map(Some).ok_or_else(|| at.error("is for the set's RSA keys without `alg`", remedy))
}
