//! Plans a commit: the entries that its batches add to the log.
//!
//! Each record is merged with the known record of its key. A record that changes nothing gets no
//! entry.
//!
//! # Capacity
//!
//! Records of single tokens and cutoffs have separate limits, so a set full of tokens leaves room
//! for cutoffs: a user can always be signed out everywhere. A batch is stored up to the first
//! record that does not fit. Its cutoffs are stored first.
//!
//! No account can fill the set. When half of a limit is used, further records of an account that
//! has more than a hundredth of the limit are replaced by one record: a cutoff of the account's
//! user. A record that names its account and does not fit is replaced in the same way. The cutoff
//! also revokes the token of the replaced record, so the sign-out is effective; but it ends the
//! account's other sessions, too.

use std::collections::HashMap;

use session_guard_core::revocation::record::{Kind, Record, RecordId};
use session_guard_core::trace_context::TraceId;

use crate::accounts::Accounts;
use crate::audit::{AuditEntry, AuditKey, AuditNote, AuditOrigin, AuditSubject, AuditedRevocation};
use crate::capacity::{Capacity, used};
use crate::entry::{Entry, Position};
use crate::log::Log;
use crate::random::random_numbers;

/// A commit takes no further batch once it has this many records. Later batches go into the next
/// commit. Restoring a store uses commits of this size.
pub(crate) const COMMIT_RECORDS: usize = 20_000;

/// The revocations of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Submission {
    /// The records to store.
    pub(crate) records: Vec<PlannedRecord>,
    /// The caller.
    pub(crate) origin: AuditOrigin,
    /// The trace to which the call belongs, if the caller has named one.
    pub(crate) trace_id: Option<TraceId>,
    /// The realms and reasons of the records.
    pub(crate) notes: Vec<AuditNote>,
}

/// A record to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlannedRecord {
    pub(crate) record: Record,
    /// The cutoff of the record's user, if the proxy has named the account. It revokes everything
    /// that the record revokes, and may replace it.
    pub(crate) of_account: Option<Record>,
    /// The subject that the record revokes, for the audit.
    pub(crate) subject: AuditSubject,
    /// Index of its realm and reason in the [`Submission`].
    pub(crate) note: u16,
}

impl From<Record> for PlannedRecord {
    fn from(record: Record) -> Self {
        Self { record, of_account: None, subject: record.kind.into(), note: 0 }
    }
}

impl PlannedRecord {
    /// Returns the audit of this record, if `stored` is what was stored for it: the record itself,
    /// or the cutoff of its account.
    fn audited(&self, stored: Record) -> AuditedRevocation {
        let is_own = stored.key() == self.record.key();
        let subject = if is_own { self.subject } else { stored.kind.into() };
        let user = self.of_account.map(|cutoff| cutoff.id).filter(|user| *user != stored.id);
        AuditedRevocation { subject, id: stored.id, user }
    }
}

/// Outcome of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BatchOutcome {
    /// Position of the newest entry after the batch.
    pub(crate) position: Position,
    /// Whether the batch added an entry.
    pub(crate) is_new: bool,
    /// Number of records of the batch that are durable: those before the first that did not fit.
    pub(crate) stored: usize,
    /// The audit of the added entries.
    pub(crate) audit: Vec<AuditEntry>,
}

/// The entries that the batches of one commit add.
pub(crate) struct Plan<'a> {
    log: &'a Log,
    capacity: Capacity,
    added: HashMap<(RecordId, Kind), Record>,
    new_tokens: usize,
    new_cutoffs: usize,
    head: Position,
    entries: Vec<Entry>,
    cut_off: u64,
}

impl<'a> Plan<'a> {
    /// Returns an empty plan.
    pub(crate) fn new(log: &'a Log, capacity: Capacity) -> Self {
        Self {
            log,
            capacity,
            added: HashMap::new(),
            new_tokens: 0,
            new_cutoffs: 0,
            head: log.head(),
            entries: Vec::new(),
            cut_off: 0,
        }
    }

    /// Adds the entries of a batch, in order, up to the first record that does not fit. `now` is the
    /// time of its audit, in milliseconds since 1970 UTC.
    ///
    /// # Errors
    ///
    /// The operating system provides no random numbers. Then the plan is unchanged.
    pub(crate) fn add(
        &mut self,
        batch: &Submission,
        accounts: &mut Accounts,
        now: u64,
    ) -> Result<BatchOutcome, getrandom::Error> {
        let mut stored = 0;
        let mut audit = HashMap::<u16, AuditEntry>::new();
        for (revocation, tag) in batch.records.iter().zip(random_numbers(batch.records.len())?) {
            let Some(record) = self.fitting(revocation, accounts) else { break };
            stored += 1;
            let Some(merged) = self.merge(record, tag) else { continue };
            let entry = audit.entry(revocation.note).or_insert_with(|| AuditEntry {
                key: AuditKey::new(now, tag),
                origin: batch.origin.clone(),
                trace_id: batch.trace_id,
                note: batch.notes.get(usize::from(revocation.note)).cloned().unwrap_or_default(),
                exp: 0,
                revocations: Vec::new(),
            });
            entry.exp = entry.exp.max(merged.exp);
            entry.revocations.push(revocation.audited(record));
        }
        let audit: Vec<_> = audit.into_values().collect();
        Ok(BatchOutcome { position: self.head, is_new: !audit.is_empty(), stored, audit })
    }

    /// Returns the entries that were added.
    pub(crate) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// Returns the number of records that were replaced by a cutoff of their account.
    pub(crate) fn cut_off(&self) -> u64 {
        self.cut_off
    }

    /// Returns the record to store: the given one, or the cutoff of its account. Returns `None` if
    /// neither fits.
    fn fitting(&mut self, revocation: &PlannedRecord, accounts: &mut Accounts) -> Option<Record> {
        let PlannedRecord { record, of_account, .. } = *revocation;
        if self.find(record.key()).is_some() {
            return Some(record);
        }
        let (used, limit) = self.room(record.kind);
        let has_room = used < limit;
        let Some(cutoff) = of_account.filter(|cutoff| cutoff.key() != record.key()) else {
            return has_room.then_some(record);
        };
        let share = accounts.count(cutoff.id);
        let is_large = share > u64::try_from(limit / ACCOUNT_SHARE).unwrap_or(u64::MAX);
        if has_room && !(is_large && used >= limit / 2) {
            return Some(record);
        }
        let (used, limit) = self.room(cutoff.kind);
        let fits = used < limit || self.find(cutoff.key()).is_some();
        self.cut_off += u64::from(fits);
        fits.then_some(cutoff)
    }

    /// Returns the number of records that share a limit with this kind, and that limit.
    fn room(&self, kind: Kind) -> (usize, usize) {
        let new = match kind {
            Kind::Token => self.new_tokens,
            Kind::User | Kind::All => self.new_cutoffs,
        };
        (used(self.log, kind) + new, self.capacity.limit(kind))
    }

    /// Adds the entry of a record. Returns the record after the merge with the known one, or `None`
    /// if it changes nothing.
    fn merge(&mut self, record: Record, tag: u64) -> Option<Record> {
        let known = self.find(record.key());
        if known.is_some_and(|known| known.covers(&record)) {
            return None;
        }
        let merged = known.map_or(record, |known| known.merge(record));
        match (known, record.kind) {
            (Some(_), _) => {}
            (None, Kind::Token) => self.new_tokens += 1,
            (None, Kind::User | Kind::All) => self.new_cutoffs += 1,
        }
        self.head = Position { sequence: self.head.sequence + 1, tag };
        self.added.insert(merged.key(), merged);
        self.entries.push(Entry { position: self.head, record: Some(merged) });
        Some(merged)
    }

    fn find(&self, key: (RecordId, Kind)) -> Option<Record> {
        self.added.get(&key).copied().or_else(|| self.log.find(key))
    }
}

/// When half of a limit is used, an account may have this fraction of it: one hundredth.
const ACCOUNT_SHARE: usize = 100;

#[cfg(test)]
mod tests;
