//! Stores, which keep revocations beyond the life of the process.
//!
//! A store appends a batch durably and reads everything back. A shared store also sends each
//! service the entries that the others have appended. The embedded store belongs to one process.
//!
//! Everything else is the same for every store: the live set, the pages of the feed, and the
//! decision about which rows may be deleted.

use std::time::Duration;

use session_guard_core::revocation::record::Record;

mod embedded;
mod redis;

pub use crate::audit::{AUDIT_ENTRIES, AuditKey, AuditRange, AuditRow};
pub use crate::entry::{Entry, Position};
pub use embedded::Embedded;
pub use redis::{Installation, Link, Options, RedisStore, Wait, WhenNotDurable};

/// Keeps entries and records durably.
pub trait Store: Send {
    /// Creates the first entry, with this tag and without a record, if the store has no entry.
    ///
    /// # Errors
    ///
    /// The store cannot be used.
    fn begin(&mut self, tag: u64) -> Result<(), StoreError>;

    /// Calls `each` with every row in the store: at least one entry, the entries in order of
    /// sequence, and all records whose entry was deleted. The first row is an entry.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or holds data that this version does not understand.
    fn read_all(&mut self, each: &mut dyn FnMut(Row)) -> Result<(), StoreError>;

    /// Adds the `new` entries, whose sequence numbers follow `known`, and their audit, and deletes
    /// the `obsolete` rows. All of this is one transaction. Returns when it is durable. If several
    /// services write, the new entries may get other sequence numbers than given.
    ///
    /// # Errors
    ///
    /// On an error the caller must not acknowledge anything. A later call may succeed, for example
    /// when a full disk has room again. If the store has [lost](StoreError::is_lost) the entry
    /// `known`, it must be read again. A store whose [`Durability`] refuses writes returns an error
    /// for [`AppendReason::Acknowledge`].
    fn append(
        &mut self,
        known: Position,
        new: Additions<'_>,
        obsolete: &Obsolete,
        purpose: AppendReason,
    ) -> Result<Appended, StoreError>;

    /// Returns at most `limit` rows of the audit. Returns none only if no rows are left in the
    /// range. The default implementation is for a store without audit.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    fn read_audit(&mut self, range: AuditRange, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let _ = (range, limit);
        Ok(Vec::new())
    }

    /// Returns the result of the last check whether the store keeps what it acknowledges.
    fn durability(&self) -> Durability {
        Durability::Durable
    }

    /// Checks whether the store keeps what it acknowledges. If the store cannot be reached, the
    /// previous result stays.
    fn check(&mut self) {}

    /// Takes or renews the lease with this name for an owner, and returns whether the owner has it
    /// now. A store that belongs to one process always grants it.
    ///
    /// # Errors
    ///
    /// The store cannot be reached.
    fn lease(&mut self, name: &str, owner: u64, duration: Duration) -> Result<bool, StoreError> {
        let _ = (name, owner, duration);
        Ok(true)
    }

    /// Returns a subscription to the entries that other services append; `None` if the store
    /// belongs to this process.
    fn subscribe(&self) -> Option<Box<dyn Subscription>> {
        None
    }
}

/// A subscription to the entries that services append to a shared store.
pub trait Subscription: Send {
    /// Returns the entries after `known`. If there are none, waits for them for a short time.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or has [lost](StoreError::is_lost) the entry `known`.
    fn next(&mut self, known: Position) -> Result<NextEntries, StoreError>;
}

/// Why a batch is appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendReason {
    /// A caller waits for the acknowledgement that the batch is durable.
    Acknowledge,
    /// Nobody waits: the batch restores records that were acknowledged before, or deletes rows.
    Maintain,
}

/// Whether a store keeps what it acknowledges, as far as its settings show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The store keeps what it acknowledges.
    Durable,
    /// A crash may lose acknowledged revocations.
    AtRisk {
        /// The problem and its remedy, for the operator.
        problem: String,
        /// Whether the store refuses to acknowledge anything because of the problem.
        refuses: bool,
    },
}

impl Durability {
    /// Returns the problem, if there is one.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Durable => None,
            Self::AtRisk { problem, .. } => Some(problem),
        }
    }

    /// Returns the problem, if the store acknowledges nothing because of it.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::AtRisk { problem, refuses: true } => Some(problem),
            Self::Durable | Self::AtRisk { .. } => None,
        }
    }
}

/// One item of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// An entry of the log.
    Entry(Entry),
    /// A record whose entry was deleted.
    Record(Record),
}

/// The entries and audit rows that an append adds.
#[derive(Clone, Copy, Debug)]
pub struct Additions<'a> {
    /// The entries of the log.
    pub entries: &'a [Entry],
    /// The audit of the entries.
    pub audit: &'a [AuditRow],
    /// The number of audit rows that the store keeps. If there are more, it deletes the oldest.
    pub audit_limit: usize,
}

impl<'a> From<&'a [Entry]> for Additions<'a> {
    /// Returns additions without audit.
    fn from(entries: &'a [Entry]) -> Self {
        Self { entries, audit: &[], audit_limit: AUDIT_ENTRIES }
    }
}

/// Result of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The entries were appended as given.
    AsGiven,
    /// Other services have appended entries, too. Contains all entries after the known one.
    Instead(Vec<Entry>),
}

/// The entries after a known one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextEntries {
    /// The entries, oldest first.
    pub entries: Vec<Entry>,
    /// Whether the store had no more entries at that time.
    pub is_all: bool,
}

/// Rows and records that may be deleted from the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Obsolete {
    /// Sequence numbers of entries that are not in the log and do not contain a record of the set.
    pub rows: Vec<u64>,
    /// Records that no proxy needs any more.
    pub records: Vec<Record>,
    /// Rows of the audit whose records no proxy needs any more.
    pub audit: Vec<AuditKey>,
}

impl Obsolete {
    /// Returns the length of the longest list.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len().max(self.records.len()).max(self.audit.len())
    }

    /// Returns whether all lists are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes and returns at most `most` items of each list.
    #[must_use]
    pub fn take(&mut self, most: usize) -> Self {
        fn last<T>(list: &mut Vec<T>, most: usize) -> Vec<T> {
            list.split_off(list.len().saturating_sub(most))
        }
        Self {
            rows: last(&mut self.rows, most),
            records: last(&mut self.records, most),
            audit: last(&mut self.audit, most),
        }
    }

    /// Adds the items of `other`.
    pub fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.records.extend(other.records);
        self.audit.extend(other.audit);
    }
}

/// The reason why a store cannot be used, for the operator.
#[derive(Debug, thiserror::Error)]
#[error("{store}: {reason}")]
pub struct StoreError {
    store: String,
    reason: String,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Unusable,
    Lost,
    NotDurable,
}

impl StoreError {
    /// Returns the error that the store cannot be used for this reason.
    #[must_use]
    pub fn new(store: impl ToString, reason: impl ToString) -> Self {
        Self { store: store.to_string(), reason: reason.to_string(), cause: Cause::Unusable }
    }

    /// Returns the error that the store has lost entries.
    #[must_use]
    pub fn lost(store: impl ToString, reason: impl ToString) -> Self {
        Self { cause: Cause::Lost, ..Self::new(store, reason) }
    }

    /// Returns the error that the store refuses writes, because it may lose what it acknowledges.
    #[must_use]
    pub fn not_durable(store: impl ToString, problem: impl ToString) -> Self {
        Self { cause: Cause::NotDurable, ..Self::new(store, problem) }
    }

    /// Returns the problem, if the store refuses writes because it may lose what it acknowledges.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        (self.cause == Cause::NotDurable).then_some(&self.reason)
    }

    /// Returns whether the store has lost entries: it was emptied, restored or replaced.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.cause == Cause::Lost
    }
}

#[cfg(test)]
mod audit_tests {
    //! The tests of the audit that every store must pass, and a measurement.
    use session_guard_core::revocation::record::RecordId;
    use session_guard_core::trace_context::TraceId;

    use super::*;
    use crate::audit::{
        AUDIT_ENTRIES, AuditEntry, AuditNote, AuditOrigin, AuditSubject, AuditedRevocation,
    };

    fn row(number: u64) -> AuditRow {
        AuditRow { key: AuditKey::new(number, u64::MAX - number), content: vec![1, 0xff, 0] }
    }

    fn numbers(store: &mut dyn Store, range: AuditRange, limit: usize) -> Vec<u64> {
        let rows = store.read_audit(range, limit).unwrap();
        assert!(rows.iter().all(|it| *it == row(it.key.unix_milliseconds())), "{rows:?}");
        rows.iter().map(|row| row.key.unix_milliseconds()).collect()
    }

    fn append(store: &mut dyn Store, audit: &[u64], obsolete: &[u64], audit_limit: usize) {
        let audit: Vec<_> = audit.iter().copied().map(row).collect();
        let keys = obsolete.iter().map(|number| row(*number).key).collect();
        append_rows(store, &audit, keys, audit_limit);
    }

    fn append_rows(
        store: &mut dyn Store,
        audit: &[AuditRow],
        obsolete: Vec<AuditKey>,
        audit_limit: usize,
    ) {
        let mut known = None;
        store
            .read_all(&mut |found| {
                if let Row::Entry(entry) = found {
                    known = Some(entry.position);
                }
            })
            .unwrap();
        let new = Additions { entries: &[], audit, audit_limit };
        let obsolete = Obsolete { audit: obsolete, ..Obsolete::default() };
        store.append(known.unwrap(), new, &obsolete, AppendReason::Acknowledge).unwrap();
    }

    /// Appends the entries of sign-outs at a proxy, and returns their number.
    pub(super) fn append_sign_outs(store: &mut dyn Store) -> u64 {
        for commit in 0..COMMITS {
            let numbers = commit * ROWS_PER_COMMIT..(commit + 1) * ROWS_PER_COMMIT;
            let rows: Vec<_> = numbers.map(|number| sign_out(number).row()).collect();
            append_rows(store, &rows, vec![], AUDIT_ENTRIES);
        }
        COMMITS * ROWS_PER_COMMIT
    }

    /// The entry of a sign-out at a proxy, which ends a token and its session.
    fn sign_out(number: u64) -> AuditEntry {
        let id = |kind: u64| RecordId(u128::from(number << 8 | kind).to_le_bytes());
        let revocation =
            |subject, kind| AuditedRevocation { subject, id: id(kind), user: Some(id(3)) };
        let [via, name, api_token] = ["proxy", "0123456789abcdef", "1"].map(str::to_owned);
        AuditEntry {
            key: AuditKey::new(1_795_332_120_000 + number, number << 32),
            origin: AuditOrigin { via, name, api_token },
            trace_id: Some(TraceId([7; 16])),
            note: AuditNote::default(),
            exp: 1_795_332_120,
            revocations: vec![
                revocation(AuditSubject::Token, 1),
                revocation(AuditSubject::Session, 2),
            ],
        }
    }

    const COMMITS: u64 = 100;
    const ROWS_PER_COMMIT: u64 = 1_000;

    /// Leaves two rows.
    pub(super) fn rows_are_kept_in_order(store: &mut dyn Store) {
        store.begin(7).unwrap();
        let (all, newest) =
            (AuditRange::After(AuditKey::FIRST), AuditRange::Before(AuditKey::LAST));
        assert_eq!(numbers(store, all, 9), [0; 0]);
        assert_eq!(numbers(store, newest, 9), [0; 0]);
        append(store, &[5, 300, 7], &[], 9);
        append(store, &[6, 7], &[], 9);
        assert_eq!(numbers(store, all, 9), [5, 6, 7, 300]);
        assert_eq!(numbers(store, newest, 2), [300, 7]);
        assert_eq!(numbers(store, AuditRange::Before(row(7).key), 9), [6, 5]);
        assert_eq!(numbers(store, AuditRange::After(row(6).key), 1), [7]);
        append(store, &[8], &[6, 99], 3);
        assert_eq!(numbers(store, all, 9), [7, 8, 300], "6 is obsolete, 5 is the oldest");
        append(store, &[], &[7], 3);
        assert_eq!(numbers(store, all, 9), [8, 300]);
    }
}
