//! Parses a published JWK Set.
//!
//! Each key is parsed separately (RFC 7517 §5). A key that is invalid or of an unknown kind is left
//! out and reported with the reason, so that it does not affect the other keys. A secret (`oct`) is
//! left out as well, because anybody who can fetch the set could sign with it.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Object, Value, object_text};
use crate::key_sets::response::KeySetRejection;
use crate::keys::jwk::{Jwk, JwkError};
use crate::keys::{Key, PublicAlgorithm};

/// The configuration for the keys of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySetRules {
    /// The algorithm of RSA keys without `alg`.
    pub rsa: Option<PublicAlgorithm>,
    /// The `iss` that tokens signed with these keys must have.
    pub issuer: Option<String>,
    /// The audiences of which `aud` of these tokens must contain one. If the list is empty, any
    /// `aud` is accepted.
    pub audiences: Vec<String>,
}

/// The result of parsing a set.
#[derive(Debug)]
pub struct KeySetDocument {
    /// The keys that can verify tokens. May be empty.
    pub keys: Vec<Key>,
    /// The keys that were left out, except those whose `use` or `key_ops` is not for verifying.
    pub left_out: Vec<LeftOut>,
}

/// A key that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    index: usize,
    id: Option<String>,
    problem: String,
    remedy: &'static str,
}

/// Parses a set.
///
/// # Errors
///
/// The reason why the response is rejected.
pub fn read(json: &[u8], rules: &KeySetRules) -> Result<KeySetDocument, KeySetRejection> {
    if json.len() > SET_BYTES_LIMIT {
        return Err(KeySetRejection::TooLong);
    }
    let set =
        object_text(json).and_then(|text| serde_json::from_str::<PublishedSet<'_>>(text).ok());
    let set = set.ok_or(KeySetRejection::NotASet)?;
    if set.keys.len() > SET_KEYS_LIMIT {
        return Err(KeySetRejection::TooManyKeys);
    }
    let mut document = KeySetDocument { keys: vec![], left_out: vec![] };
    for (index, json) in set.keys.into_iter().enumerate() {
        let json = json.get().as_bytes();
        match one(json, rules, &document.keys) {
            Ok(None) => {}
            Ok(Some(key)) => document.keys.push(key),
            Err((problem, remedy)) => {
                document.left_out.push(LeftOut { index, id: shown_id(json), problem, remedy });
            }
        }
    }
    Ok(document)
}

/// Parses one key. Returns `None` if the key is not for verifying.
fn one(
    json: &[u8],
    rules: &KeySetRules,
    others: &[Key],
) -> Result<Option<Key>, (String, &'static str)> {
    let Some(jwk) = Jwk::read(json, rules.rsa).map_err(JwkError::told)? else {
        return Ok(None);
    };
    if jwk.secret().is_some() {
        let problem = "a secret must not be in a published set".to_owned();
        return Err((problem, "the issuer must replace it, because everybody can read it"));
    }
    let key = jwk.into_key(rules.issuer.clone(), rules.audiences.clone());
    if others.iter().any(|other| other.name().is_namesake_of(&key.name())) {
        return Err(("its `kid` comes twice".to_owned(), "the first key of that `kid` is used"));
    }
    Ok(Some(key))
}

/// Returns the key's `kid`, shortened for the log.
fn shown_id(json: &[u8]) -> Option<String> {
    match Object::parse(json)?.find("kid")? {
        Value::Text(id) => Some(id.chars().take(SHOWN_ID_CHARACTERS).collect()),
        _ => None,
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys[{}]", self.index)?;
        if let Some(id) = &self.id {
            write!(f, " (kid {id:?})")?;
        }
        write!(f, ": {}", self.problem)?;
        match self.remedy {
            "" => Ok(()),
            remedy => write!(f, "; {remedy}"),
        }
    }
}

/// The members of a set. Unknown members are ignored (RFC 7517 §5).
#[derive(Deserialize)]
struct PublishedSet<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The maximum number of bytes of a set. Public sets have up to about 20 KB, including
/// certificates. Every VM parses the set, and Envoy's shared data keeps a copy.
pub const SET_BYTES_LIMIT: usize = 128 * 1024;

/// The maximum number of keys of a set, including those that are not for verifying.
pub const SET_KEYS_LIMIT: usize = 64;

/// Longest part of a `kid` that is shown in the log.
const SHOWN_ID_CHARACTERS: usize = 64;
