//! Audit: who revoked what, when, from where and why.
//!
//! Each call that changes the revocation set adds one entry for each of its realms and reasons, in
//! the same commit as its records. A call that changes nothing adds none. An entry names tokens,
//! sessions and users by their record ids, never by their values, and contains neither a token nor
//! a secret.
//!
//! The store keeps the entries in the order of their [keys](AuditKey), and this service holds none
//! of them in memory: a query reads them page by page. An entry is deleted when the last record of
//! its call is. If there are more than [`AUDIT_ENTRIES`], the oldest are deleted first.
//!
//! # What an entry proves
//!
//! The API token of a caller was checked. Everything else about a caller is what the caller says:
//! any caller with the API token can claim to be a proxy.

mod stored;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use session_guard_core::revocation::record::{Kind, NEVER, RecordId};
use session_guard_core::trace_context::TraceId;

/// The maximum number of entries that a store keeps: 180 MB with redb, 250 MB with Redis (`make
/// audit-bytes` measures an entry).
pub const AUDIT_ENTRIES: usize = 1_000_000;

/// The position of an entry: its time and a random number. Entries sort by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditKey(pub u128);

impl AuditKey {
    /// A key below all others.
    pub const FIRST: Self = Self(0);
    /// A key above all others.
    pub const LAST: Self = Self(u128::MAX);

    /// Returns the key of an entry of that time (milliseconds since 1970 UTC).
    #[must_use]
    pub fn new(unix_milliseconds: u64, random: u64) -> Self {
        Self(u128::from(unix_milliseconds) << 64 | u128::from(random))
    }

    /// Returns the time in milliseconds since 1970 UTC.
    #[must_use]
    pub fn unix_milliseconds(self) -> u64 {
        u64::try_from(self.0 >> 64).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for AuditKey {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// An entry as a store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// The position of the entry.
    pub key: AuditKey,
    /// The content of the entry, see [`AuditEntry::row`].
    pub content: Vec<u8>,
}

/// The part of the audit that a query reads next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditRange {
    /// The entries before this key, newest first.
    Before(AuditKey),
    /// The entries after this key, oldest first.
    After(AuditKey),
}

/// One audit entry: the changes that one call has made in one realm for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditEntry {
    pub(crate) key: AuditKey,
    pub(crate) origin: AuditOrigin,
    /// The trace to which the call belongs, if the caller has named one.
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) note: AuditNote,
    /// When the last of the records may be deleted, in seconds since 1970 UTC, or [`NEVER`].
    pub(crate) exp: u64,
    pub(crate) revocations: Vec<AuditedRevocation>,
}

/// The caller that caused the changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuditOrigin {
    /// `proxy`, `command_line`, `api`, or the protocol of an identity provider.
    pub(crate) via: String,
    /// The name of the proxy, the program or the issuer.
    pub(crate) name: String,
    /// The label of the API token that the caller has presented, for example `1`; empty for an
    /// identity provider.
    pub(crate) api_token: String,
}

/// The parts of a revocation that only the audit keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct AuditNote {
    pub(crate) realm: String,
    /// Empty if the caller gave none.
    pub(crate) reason: String,
}

/// One changed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AuditedRevocation {
    pub(crate) subject: AuditSubject,
    pub(crate) id: RecordId,
    /// The record id of the user to whom the token or session belongs, if the proxy has named it.
    pub(crate) user: Option<RecordId>,
}

/// What a revocation record revokes. This is more precise than [`Kind`], which does not tell a
/// session from a user, or an API key from a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuditSubject {
    /// One token.
    Token,
    /// An API key, or another opaque bearer value.
    Credential,
    /// All tokens of a session.
    Session,
    /// All tokens of a user.
    User,
    /// The tokens of all users.
    All,
}

impl AuditSubject {
    /// Returns its name in JSON and in the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Credential => "credential",
            Self::Session => "session",
            Self::User => "user",
            Self::All => "all",
        }
    }
}

impl From<Kind> for AuditSubject {
    /// Returns the subject of a record of which only the kind is known.
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Token => Self::Token,
            Kind::User => Self::User,
            Kind::All => Self::All,
        }
    }
}

impl AuditEntry {
    /// Returns the entry as a store keeps it.
    pub(crate) fn row(&self) -> AuditRow {
        AuditRow { key: self.key, content: stored::encode(self) }
    }

    /// Returns the entry of a row. Returns `None` if the row is damaged or was written by a later
    /// version.
    pub(crate) fn of_row(row: &AuditRow) -> Option<Self> {
        stored::decode(row)
    }

    /// Returns whether one of these ids is in the entry: as the id of a changed record, or as the
    /// id of the user to whom its token or session belongs.
    pub(crate) fn concerns(&self, ids: &[RecordId]) -> bool {
        let mut revocations = self.revocations.iter();
        revocations
            .any(|it| ids.contains(&it.id) || it.user.is_some_and(|user| ids.contains(&user)))
    }

    /// Writes one line to the log.
    pub(crate) fn log(&self) {
        let AuditOrigin { via, name, api_token } = &self.origin;
        let AuditNote { realm, reason } = &self.note;
        let count = self.revocations.len();
        let exp = (self.exp != NEVER).then_some(self.exp);
        let trace_id = self.trace_id.map(tracing::field::display);
        if let [AuditedRevocation { subject, id, user }] = self.revocations.as_slice() {
            let (kind, user) = (subject.name(), user.map(tracing::field::display));
            tracing::info!(
                audit = %self.key, via, name, api_token, realm, reason, kind, %id, user, exp,
                trace_id, "revoked"
            );
        } else {
            tracing::info!(
                audit = %self.key, via, name, api_token, realm, reason, count, exp, trace_id,
                "revoked"
            );
        }
    }
}

#[cfg(test)]
mod tests;
