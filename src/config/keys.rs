//! Which keys did the operator give, and are they sound?

use crate::config::error::{At, ConfigError};
use crate::config::secret::{self, Environment};
use crate::config::{limits, raw, settings};
use crate::keys::{Algorithm, Key, KeyRing};

/// The keys, ready to verify.
pub(super) fn check(
    written: Option<&[raw::Key]>,
    environment: Environment<'_>,
    warnings: &mut Vec<String>,
) -> Result<KeyRing, ConfigError> {
    let at = At::root().field("keys");
    let remedy = "give at least one: {\"algorithm\": \"HS256\", \"secret\": {\"env\": \"…\"}}";
    let written = written.ok_or_else(|| at.error("missing", remedy))?;
    limits::some(&at, written.len(), settings::KEYS, remedy)?;
    let mut keys = vec![];
    let mut names: Vec<(Algorithm, Option<String>)> = vec![];
    for (index, key) in written.iter().enumerate() {
        let at = at.item(index);
        let algorithm = algorithm(&at, key)?;
        let name = (algorithm, optional(&at.field("id"), key.id.as_deref(), settings::NAME_BYTES)?);
        if name.1.is_some() && names.contains(&name) {
            return Err(at.field("id").error("comes twice", "give each key an id of its own"));
        }
        if names.iter().filter(|(known, _)| *known == algorithm).count() == settings::KEYS_TRIED {
            let most = settings::KEYS_TRIED;
            let problem = format!("more than {most} keys of {}", algorithm.name());
            return Err(at.error(problem, "remove those that sign no more"));
        }
        keys.push(one(&at, key, &name, environment, warnings)?);
        names.push(name);
    }
    Ok(KeyRing::new(keys))
}

fn one(
    at: &At,
    key: &raw::Key,
    (algorithm, id): &(Algorithm, Option<String>),
    environment: Environment<'_>,
    warnings: &mut Vec<String>,
) -> Result<Key, ConfigError> {
    let secret_at = at.field("secret");
    let secret = key.secret.as_ref().ok_or_else(|| secret_at.error("missing", "give one"))?;
    let weak = key.weak_secret.unwrap_or(raw::WeakSecret::Refuse);
    let secret = secret::of_key(&secret_at, secret, *algorithm, weak, environment, warnings)?;
    let issuer = optional(&at.field("issuer"), key.issuer.as_deref(), settings::TEXT_BYTES)?;
    let audiences = limits::texts(
        &at.field("audiences"),
        &key.audiences,
        settings::LIST_ITEMS,
        settings::TEXT_BYTES,
    )?;
    Ok(Key::hmac(*algorithm, secret.expose(), id.clone(), issuer, audiences))
}

fn algorithm(at: &At, key: &raw::Key) -> Result<Algorithm, ConfigError> {
    for (name, written) in
        [("public_key_pem", key.public_key_pem.is_some()), ("jwks", key.jwks.is_some())]
    {
        if written {
            let remedy = "use a shared secret: {\"algorithm\": \"HS256\", \"secret\": …}";
            return Err(at.field(name).error("not supported by this version", remedy));
        }
    }
    let at = at.field("algorithm");
    let known = Algorithm::ALL.map(Algorithm::name).join(", ");
    let name = key.algorithm.as_deref();
    let name = name.ok_or_else(|| at.error("missing", format!("one of {known}")))?;
    Algorithm::from_name(name)
        .ok_or_else(|| at.error("not supported by this version", format!("one of {known}")))
}

fn optional(at: &At, text: Option<&str>, most: usize) -> Result<Option<String>, ConfigError> {
    text.map(|text| limits::text(at, text, most)).transpose()
}
