//! Copies revocations from one store to another.
//!
//! Records are merged, so the target keeps its own, and a store may be copied twice or in both
//! directions. The audit is copied, too. At the end the target is read again: the copy succeeds
//! only if the target then holds every record of the source.
//!
//! When the services change to the target, the cursors of their proxies name entries that it does
//! not hold. The proxies therefore receive the whole set, and send back what the target lacks.

use crate::audit::{AUDIT_ENTRIES, AuditKey, AuditRange};
use crate::entry::Position;
use crate::recovery::{missing, read, restore};
use crate::store::{Additions, AppendReason, Obsolete, Store, StoreError};

/// Result of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Number of live revocations in the source.
    pub read: usize,
    /// The number of revocations that were new to the target or changed a record there.
    pub added: usize,
}

/// Adds all live revocations of `from` to `to`. Calls `progress` with the number of records that
/// are stored so far, and the total number.
///
/// # Errors
///
/// A store cannot be used, or the target does not hold everything at the end.
pub fn copy(
    from: &mut dyn Store,
    to: &mut dyn Store,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Copied, StoreError> {
    let (source, _) = read(from)?;
    let (mut target, mut obsolete) = read(to)?;
    let purpose = AppendReason::Acknowledge;
    let added = restore(to, &source, &mut target, &mut obsolete, purpose, progress)?;
    copy_audit(from, to, target.head())?;
    let (target, _) = read(to)?;
    let missing = missing(&source, &target).len();
    if missing > 0 {
        return Err(StoreError::new("the target", format!("{missing} revocations are missing")));
    }
    Ok(Copied { read: source.len(), added })
}

/// Adds the audit of `from` to that of `to`, whose newest log entry is `known`. An audit entry that
/// is already there has the same key, so the copy replaces it by the same content.
fn copy_audit(from: &mut dyn Store, to: &mut dyn Store, known: Position) -> Result<(), StoreError> {
    let mut after = AuditKey::FIRST;
    loop {
        let audit = from.read_audit(AuditRange::After(after), AUDIT_ROWS)?;
        let Some(last) = audit.last() else { return Ok(()) };
        after = last.key;
        let new = Additions { entries: &[], audit: &audit, audit_limit: AUDIT_ENTRIES };
        to.append(known, new, &Obsolete::default(), AppendReason::Acknowledge)?;
    }
}

/// Audit entries that are copied at a time.
const AUDIT_ROWS: usize = 5_000;
