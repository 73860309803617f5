//! An issuer for the tests of the receivers.

use serde_json::{Value, json};

use super::{IssuerSettings, read};

/// Returns the settings of an issuer with an EdDSA key and access tokens that are valid for an hour.
/// `members` are the further members of its entry in the issuers file, or replace these.
pub(crate) fn issuer(members: &Value) -> IssuerSettings {
    let key =
        json!({"kty": "OKP", "crv": "Ed25519", "x": "ZdvwuXpZNKY8Q_pLm6xps12I_H99NbZ8V-7a_WwgNZU"});
    let mut issuer = json!({
        "jwks": {"inline": {"keys": [key]}},
        "algorithms": ["EdDSA"],
        "max_lifetime_seconds": 3_600,
    });
    for (name, value) in members.as_object().unwrap() {
        issuer[name] = value.clone();
    }
    read(json!({"issuers": [issuer]}).to_string().as_bytes(), &|_| None).unwrap().remove(0)
}
