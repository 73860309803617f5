//! The ids under which a token, a user or a session may be revoked.
//!
//! A record identifies what it revokes by a hash, so that neither shared data nor the feed nor the
//! service's store contains a jti, a user id or an API key. The hash depends on
//!
//! - the *kind* of the value: `token` (a `jti`), `input` (the signing input of a token without `jti`),
//!   `user`, `session` (a `sid`), `credential` (an API key) or `all`;
//! - the *realm*, which separates applications that use one service;
//! - the *value*;
//! - the *issuer*, because `jti`, `sub` and `sid` are unique only within one (RFC 7519 §4.1.2, §4.1.7).
//!
//! ```text
//! h                  = SHA-256("session-guard/2" 0x00 kind 0x00 realm 0x00 value)
//! id with issuer     = first 2 bytes of h, then first 14 bytes of SHA-256(h 0x00 issuer)
//! id without issuer  = first 16 bytes of h
//! ```
//!
//! `h` has a fixed length and is always followed by a zero byte, so no issuer, not even an empty
//! one, gives the id without issuer. Kinds and realms contain no zero byte, so different parts
//! never give the same text.
//!
//! # Why there are two ids
//!
//! An operator or an application's API often knows a user id but not the issuer. A revocation
//! without an issuer applies to every issuer. A token is therefore looked up under both ids
//! ([`NamePair`]). Both begin with the same two bytes, which choose the
//! [shard](crate::revocation::shard) and the stripe of the
//! [generation](crate::revocation::generation). One read therefore finds both.

use std::fmt;
use std::str::FromStr;

use crate::hash::{SHA256_BYTES, from_hex, hex_digits, sha256};

/// The id of a record: a hash that names the token, user, session, API key or realm that it
/// revokes. In the constructors, `issuer` is the `iss` of the tokens. Without it, the id is that of
/// a revocation that applies to every issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub [u8; 16]);

impl RecordId {
    /// The lowest id.
    pub const FIRST: Self = Self([0x00; 16]);
    /// The highest id.
    pub const LAST: Self = Self([0xff; 16]);

    /// Returns the id under which the token with this `jti` is revoked.
    #[must_use]
    pub fn of_token(realm: &str, issuer: Option<&str>, jti: &str) -> Self {
        NameHash::of_token(realm, jti).under(issuer)
    }

    /// Returns the id of a token without `jti`, by its signing input. That is the header and the
    /// payload as sent. The signature is left out, because it has many spellings.
    #[must_use]
    pub fn of_input(realm: &str, issuer: Option<&str>, signing_input: &[u8]) -> Self {
        NameHash::of_input(realm, signing_input).under(issuer)
    }

    /// Returns the id under which all tokens of a user are revoked.
    #[must_use]
    pub fn of_user(realm: &str, issuer: Option<&str>, user_id: &str) -> Self {
        NameHash::of_user(realm, user_id).under(issuer)
    }

    /// Returns the id under which all tokens of the session `sid` are revoked.
    #[must_use]
    pub fn of_session(realm: &str, issuer: Option<&str>, sid: &str) -> Self {
        NameHash::of_session(realm, sid).under(issuer)
    }

    /// Returns the id of an API key or another bearer value that is not a token. It depends on no
    /// issuer.
    #[must_use]
    pub fn of_credential(realm: &str, credential: &[u8]) -> Self {
        NameHash::of("credential", realm, credential).under(None)
    }

    /// Returns the id under which the tokens of every user of a realm are revoked.
    #[must_use]
    pub fn of_all(realm: &str) -> Self {
        NameHash::of("all", realm, b"").under(None)
    }

    /// Returns the first two bytes, which choose shard and stripe.
    #[must_use]
    pub fn leading_bits(self) -> u16 {
        let [high, low, ..] = self.0;
        u16::from_be_bytes([high, low])
    }
}

impl fmt::Display for RecordId {
    /// Formats the id as 32 lower-case hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex_digits(&self.0).try_for_each(|digit| fmt::Write::write_char(f, digit.into()))
    }
}

/// The error for a text that is not 32 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARecordId;

impl FromStr for RecordId {
    type Err = NotARecordId;

    fn from_str(text: &str) -> Result<Self, NotARecordId> {
        let is_lower_case = !text.bytes().any(|digit| digit.is_ascii_uppercase());
        let id = from_hex(text.as_bytes()).filter(|_| is_lower_case);
        id.and_then(|id| id.try_into().ok()).map(Self).ok_or(NotARecordId)
    }
}

/// The two ids of one value of a token: under the token's own issuer, and under every issuer. They
/// are equal if the token names no issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamePair {
    own: RecordId,
    under_every_issuer: RecordId,
}

impl NamePair {
    /// Returns the two ids under which the token with this `jti` may be revoked.
    #[must_use]
    pub fn of_token(realm: &str, issuer: Option<&str>, jti: &str) -> Self {
        NameHash::of_token(realm, jti).pair(issuer)
    }

    /// Returns the two ids under which a token without `jti` may be revoked.
    #[must_use]
    pub fn of_input(realm: &str, issuer: Option<&str>, signing_input: &[u8]) -> Self {
        NameHash::of_input(realm, signing_input).pair(issuer)
    }

    /// Returns the two ids under which all tokens of a user may be revoked.
    #[must_use]
    pub fn of_user(realm: &str, issuer: Option<&str>, user_id: &str) -> Self {
        NameHash::of_user(realm, user_id).pair(issuer)
    }

    /// Returns the two ids under which all tokens of a session may be revoked.
    #[must_use]
    pub fn of_session(realm: &str, issuer: Option<&str>, sid: &str) -> Self {
        NameHash::of_session(realm, sid).pair(issuer)
    }

    /// Returns the id under the token's own issuer, which a sign-out writes.
    #[must_use]
    pub fn own(self) -> RecordId {
        self.own
    }

    /// Returns both ids, the lower one first.
    #[must_use]
    pub fn in_order(self) -> (RecordId, RecordId) {
        (self.own.min(self.under_every_issuer), self.own.max(self.under_every_issuer))
    }
}

impl From<RecordId> for NamePair {
    /// Creates the pair for a value that has only one id.
    fn from(id: RecordId) -> Self {
        Self { own: id, under_every_issuer: id }
    }
}

/// The ids under which a token may be revoked, besides the cutoff for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenNames {
    /// The ids of the token itself.
    pub token: NamePair,
    /// The ids of its session, if the token names one.
    pub session: Option<NamePair>,
    /// The ids of its user, if the configuration requires one.
    pub user: Option<NamePair>,
}

impl TokenNames {
    /// Returns the ids of a token without a session and a user.
    #[must_use]
    pub fn of(token: impl Into<NamePair>) -> Self {
        Self { token: token.into(), session: None, user: None }
    }

    /// Adds the ids of the token's session.
    #[must_use]
    pub fn and_session(self, session: impl Into<NamePair>) -> Self {
        Self { session: Some(session.into()), ..self }
    }

    /// Adds the ids of the token's user.
    #[must_use]
    pub fn and_user(self, user: impl Into<NamePair>) -> Self {
        Self { user: Some(user.into()), ..self }
    }
}

/// The hash `h` of kind, realm and value, as defined above.
struct NameHash([u8; SHA256_BYTES]);

impl NameHash {
    fn of_token(realm: &str, jti: &str) -> Self {
        Self::of("token", realm, jti.as_bytes())
    }

    fn of_input(realm: &str, signing_input: &[u8]) -> Self {
        Self::of("input", realm, signing_input)
    }

    fn of_user(realm: &str, user_id: &str) -> Self {
        Self::of("user", realm, user_id.as_bytes())
    }

    fn of_session(realm: &str, sid: &str) -> Self {
        Self::of("session", realm, sid.as_bytes())
    }

    fn of(kind: &str, realm: &str, value: &[u8]) -> Self {
        let (kind, realm) = (kind.as_bytes(), realm.as_bytes());
        Self(sha256([b"session-guard/2\0", kind, b"\0", realm, b"\0", value]))
    }

    fn under(&self, issuer: Option<&str>) -> RecordId {
        let mut id = [0; 16];
        id.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        if let (Some(issuer), [_, _, rest @ ..]) = (issuer, &mut id) {
            *rest = sha256([&self.0[..], b"\0", issuer.as_bytes()]);
        }
        RecordId(id)
    }

    fn pair(&self, issuer: Option<&str>) -> NamePair {
        NamePair { own: self.under(issuer), under_every_issuer: self.under(None) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::revocation::record::Kind;
    use crate::revocation::shard::ShardSlot;

    /// The names of all kinds for one value.
    fn pairs(realm: &str, issuer: Option<&str>, value: &str) -> [NamePair; 4] {
        [
            NamePair::of_token(realm, issuer, value),
            NamePair::of_input(realm, issuer, value.as_bytes()),
            NamePair::of_user(realm, issuer, value),
            NamePair::of_session(realm, issuer, value),
        ]
    }

    #[test]
    fn an_id_is_the_documented_hash() {
        // printf 'session-guard/2\0token\0\0004f1c' | sha256sum
        let hash = "a8c20cbee7d416a78068c95ddb1fc892";
        let id = RecordId::of_token("", None, "4f1c").to_string();
        assert_eq!(id, hash);
        // The first digits of it, then (printf …| xxd -r -p; printf '\0https://id.example.com') |
        // sha256sum
        let id = RecordId::of_token("", Some("https://id.example.com"), "4f1c").to_string();
        assert_eq!(id, format!("{}6d021072da746cd0bac62b44a90f", &hash[..4]));
    }

    #[test]
    fn only_32_lower_case_hex_digits_are_an_id() {
        let id = RecordId::of_token("", None, "a");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "00", &"0".repeat(33), &"0".repeat(34), &"A".repeat(32), &"g".repeat(32)] {
            assert_eq!(text.parse::<RecordId>(), Err(NotARecordId), "{text}");
        }
    }

    #[test]
    fn no_issuer_and_an_empty_issuer_are_different() {
        for (none, empty) in pairs("", None, "a").into_iter().zip(pairs("", Some(""), "a")) {
            assert_ne!(none.own, empty.own);
            assert_eq!(none.under_every_issuer, empty.under_every_issuer);
            assert_eq!(none.own, none.under_every_issuer);
        }
    }

    proptest! {
        #[test]
        fn names_with_and_without_issuer_share_shard_and_stripe(
            realm in "[a-z]{0,8}", issuer: Option<String>, value: String,
        ) {
            for names in pairs(&realm, issuer.as_deref(), &value) {
                let (low, high) = names.in_order();
                prop_assert_eq!(low.leading_bits(), high.leading_bits());
                for kind in Kind::ALL {
                    prop_assert_eq!(ShardSlot::of((low, kind)), ShardSlot::of((high, kind)));
                }
                prop_assert_eq!(names.own == names.under_every_issuer, issuer.is_none());
            }
        }

        #[test]
        fn another_kind_realm_issuer_or_value_is_another_name(
            names in prop::collection::hash_set(
                ("[a-z]{0,3}", prop::option::of("[a-z]{0,3}"), "[a-z]{0,3}"), 1..20,
            ),
        ) {
            let mut ids = HashSet::new();
            for (realm, issuer, value) in &names {
                for pair in pairs(realm, issuer.as_deref(), value) {
                    prop_assert!(ids.insert(pair.own), "{realm} {issuer:?} {value}");
                }
            }
        }
    }
}
