//! Checks the configured keys.

use crate::config::discovered::DiscoveredSecret;
use crate::config::error::{At, ConfigError};
use crate::config::key_entry::{FoundKeys, issuer_and_audiences, optional, refuse};
use crate::config::secret::{self, Environment};
use crate::config::{jwks, limits, raw, settings};
use crate::keys::{Algorithm, Key, KeyName, PublicAlgorithm};

/// Returns the keys of the configuration, those that lack their secret, and the key sets to fetch.
pub(super) fn check(
    written: Option<&[raw::RawKey]>,
    environment: Environment<'_>,
    warnings: &mut Vec<String>,
) -> Result<FoundKeys, ConfigError> {
    let at = At::root().field("keys");
    let remedy = "give at least one: {\"algorithm\": \"HS256\", \"secret\": {\"env\": \"…\"}}";
    let written = written.ok_or_else(|| at.error("missing", remedy))?;
    limits::some(&at, written.len(), settings::KEYS, remedy)?;
    let mut found = FoundKeys::default();
    for (index, key) in written.iter().enumerate() {
        let at = at.item(index);
        match &key.jwks {
            Some(set) => jwks::check(&at, key, set, &mut found, warnings)?,
            None => one(&at, key, environment, &mut found, warnings)?,
        }
        check_number(&at, &found, warnings)?;
    }
    Ok(found)
}

/// Returns an error if another key has the same name.
fn check_name(at: &At, found: &FoundKeys, name: &KeyName<'_>) -> Result<(), ConfigError> {
    if found.names().any(|other| other.is_namesake_of(name)) {
        return Err(at.field("id").error("comes twice", "give each key a different id"));
    }
    Ok(())
}

/// Adds a key that is not part of a set.
fn one(
    at: &At,
    key: &raw::RawKey,
    environment: Environment<'_>,
    found: &mut FoundKeys,
    warnings: &mut Vec<String>,
) -> Result<(), ConfigError> {
    let id = optional(&at.field("id"), key.id.as_deref(), settings::NAME_BYTES)?;
    let (issuer, audiences) = issuer_and_audiences(at, key)?;
    let name_at = at.field("algorithm");
    let known = || format!("one of {}", settings::ALGORITHMS.join(", "));
    let name = key.algorithm.as_deref().ok_or_else(|| name_at.error("missing", known()))?;
    if let Some(algorithm) = Algorithm::from_name(name) {
        let remedy = format!("{name} needs only a `secret`");
        refuse(at, "public_key_pem", key.public_key_pem.is_some(), &remedy)?;
        let missing = || at.field("secret").error("missing", "give one");
        let secret = key.secret.as_ref().ok_or_else(missing)?;
        if let raw::RawKeySecret { env: None, inline: None, sds: Some(sds), .. } = secret {
            let discovered = DiscoveredSecret::check(at, key, algorithm, secret, sds)?;
            check_name(at, found, &discovered.key_name())?;
            found.discovered.push(discovered);
            return Ok(());
        }
        let secret_at = at.field("secret");
        let weak = key.weak_secret.unwrap_or(raw::WeakSecret::Refuse);
        let secret = secret::of_key(&secret_at, secret, algorithm, weak, environment, warnings)?;
        let key = Key::hmac(algorithm, secret.expose(), id, issuer, audiences);
        return add(at, found, key);
    }
    let algorithm = PublicAlgorithm::from_name(name)
        .ok_or_else(|| name_at.error("not supported by this version", known()))?;
    let remedy = format!("{name} needs only a `public_key_pem`");
    refuse(at, "secret", key.secret.is_some(), &remedy)?;
    refuse(at, "weak_secret", key.weak_secret.is_some(), &remedy)?;
    let pem_at = at.field("public_key_pem");
    let pem = key.public_key_pem.as_deref().ok_or_else(|| pem_at.error("missing", "give one"))?;
    if pem.len() > settings::TEXT_BYTES {
        return Err(pem_at.error(format!("longer than {} bytes", settings::TEXT_BYTES), ""));
    }
    let key = Key::public(algorithm, pem, id, issuer, audiences)
        .map_err(|error| pem_at.error(error.to_string(), ""))?;
    add(at, found, key)
}

fn add(at: &At, found: &mut FoundKeys, key: Key) -> Result<(), ConfigError> {
    check_name(at, found, &key.name())?;
    found.keys.push(key);
    Ok(())
}

/// Checks the number of keys: the total, and the keys without id of each algorithm, because all of
/// those are tried on one token.
fn check_number(at: &At, found: &FoundKeys, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    let remedy = "remove keys that no longer sign";
    if found.names().count() > settings::KEYS {
        return Err(at.error(format!("more than {} keys in all", settings::KEYS), remedy));
    }
    let most = settings::KEYS_TRIED;
    for name in settings::ALGORITHMS {
        let of_name = || found.names().filter(|key| key.algorithm == *name);
        if of_name().filter(|key| key.id.is_none()).count() > most {
            return Err(at.error(format!("more than {most} keys of {name} without id"), remedy));
        }
        if of_name().count() > most {
            let warning = format!(
                "keys: more than {most} of {name}; a token without `kid` is tried with the first \
                 {most} only"
            );
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    Ok(())
}
