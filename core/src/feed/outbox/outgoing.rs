//! The form in which a proxy delivers a revocation to the service.
//!
//! A delivery contains the record and the account to which it belongs. All users share the capacity
//! of the service, and no account may fill it: if one account has very many records, the service
//! stores one cutoff of the account's user instead. For this it needs the id of the user's cutoff,
//! and the token's `iat`, which the cutoff must cover. The record itself contains neither of them.

use crate::revocation::record::{Record, RecordId};

/// A record to be delivered to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// The record.
    pub record: Record,
    /// The account to which the record belongs, if the token names its user.
    pub account: Option<Account>,
}

/// The account to which a revoked token or session belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The id of the user's cutoff.
    pub user: RecordId,
    /// The `iat` of the token. `None` for a session, whose cutoff has its own time.
    pub iat: Option<u64>,
}

impl OutgoingRecord {
    /// Merges two records of one key. Both belong to the same account, which one of them may not
    /// name.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let account = match (self.account, other.account) {
            (Some(a), Some(b)) => Some(Account { iat: a.iat.max(b.iat), ..a }),
            (a, b) => a.or(b),
        };
        Self { record: self.record.merge(other.record), account }
    }
}

impl From<Record> for OutgoingRecord {
    /// Creates a delivery of a record whose account is not known.
    fn from(record: Record) -> Self {
        Self { record, account: None }
    }
}

impl PartialEq<Record> for OutgoingRecord {
    fn eq(&self, other: &Record) -> bool {
        *self == Self::from(*other)
    }
}
