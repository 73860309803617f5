//! Which keys does a published JWK Set hold?
//!
//! Each key is judged alone (RFC 7517 §5): one that is bad, or of a kind that we do not know, is left
//! out and named, for an issuer's next key must not stop the present one. A secret is left out too:
//! whoever can fetch the set could sign with it.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Object, Value, object_text};
use crate::key_sets::response::KeySetRejection;
use crate::keys::jwk::{Jwk, JwkError};
use crate::keys::{Key, PublicAlgorithm};

/// KeySetEvent the configuration says about the keys of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySetRules {
    /// KeySetEvent RSA keys without `alg` are for.
    pub rsa: Option<PublicAlgorithm>,
    /// KeySetEvent `iss` of their tokens must be.
    pub issuer: Option<String>,
    /// `aud` of their tokens must name one of these, if there are any.
    pub audiences: Vec<String>,
}

/// A set that was read.
#[derive(Debug)]
pub struct KeySetDocument {
    /// The keys, at least one.
    pub keys: Vec<Key>,
    /// The others, except those that are for something else.
    pub left_out: Vec<LeftOut>,
}

/// A key that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    index: usize,
    id: Option<String>,
    problem: String,
}

/// Reads a set.
///
/// # Errors
///
/// Why it does not count.
pub fn read(json: &[u8], rules: &KeySetRules) -> Result<KeySetDocument, KeySetRejection> {
    if json.len() > SET_BYTES_LIMIT {
        return Err(KeySetRejection::TooLong);
    }
    let set = object_text(json).and_then(|text| serde_json::from_str::<Set<'_>>(text).ok());
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
            Err(problem) => {
                document.left_out.push(LeftOut { index, id: name_of(json), problem });
            }
        }
    }
    if document.keys.is_empty() { Err(KeySetRejection::NoKeys) } else { Ok(document) }
}

fn one(json: &[u8], rules: &KeySetRules, others: &[Key]) -> Result<Option<Key>, String> {
    let Some(jwk) = Jwk::read(json, rules.rsa).map_err(|error: JwkError| error.told().0)? else {
        return Ok(None);
    };
    if jwk.secret().is_some() {
        return Err("a secret has no names in a set that is published".to_owned());
    }
    let key = jwk.into_key(rules.issuer.clone(), rules.audiences.clone());
    if others.iter().any(|other| other.is_namesake_of(&key)) {
        return Err("its `kid` comes twice".to_owned());
    }
    Ok(Some(key))
}

/// Its `kid`, as far as a log can show it.
fn name_of(json: &[u8]) -> Option<String> {
    match Object::parse(json)?.find("kid")? {
        Value::Text(id) => Some(id.chars().take(SHOWN_ID_SIGNS).collect()),
        _ => None,
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys[{}]", self.index)?;
        if let Some(id) = &self.id {
            write!(f, " (kid {id:?})")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Members that we do not know are to be ignored (RFC 7517 §5).
#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// The longest set: public ones have up to some 20 KB, certificates included. All VMs read it, and
/// Envoy's shared data keeps it.
pub const SET_BYTES_LIMIT: usize = 128 * 1024;

/// Most keys of a set, those for something else among them.
pub const SET_KEYS_LIMIT: usize = 64;

/// As much of a `kid` as is worth a line.
const SHOWN_ID_SIGNS: usize = 64;
