//! What does a proxy tell the service about a revocation?
//!
//! The record, and whose it is. The service keeps the records of everybody, and no account may fill
//! its store: once one account has made very many records, the service stores one cutoff of its
//! user instead. For that it needs the id of the user's cutoff, and the token's `iat`, which the
//! cutoff has to cover. The record itself tells neither.

use crate::revocation::record::{Record, RecordId};

/// A record on its way to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// The record.
    pub record: Record,
    /// The account that it belongs to, if the token names its user.
    pub account: Option<Account>,
}

/// The account that a revoked token or session belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The id of the user's cutoff.
    pub user: RecordId,
    /// The `iat` of the token; `None` for a session, whose cutoff has a time of its own.
    pub iat: Option<u64>,
}

impl OutgoingRecord {
    /// The join of two records of one key. Both belong to one account, of which one may not know.
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
    /// A record whose account is not known.
    fn from(record: Record) -> Self {
        Self { record, account: None }
    }
}

impl PartialEq<Record> for OutgoingRecord {
    fn eq(&self, other: &Record) -> bool {
        *self == Self::from(*other)
    }
}
