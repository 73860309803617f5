//! Copies revocations from one store to another.
//!
//! Records are merged, so the target keeps its own, and a store may be copied twice or in both
//! directions. At the end the target is read again: the copy succeeds only if the target then holds
//! every record of the source.
//!
//! When the services change to the target, the cursors of their proxies name entries that it does
//! not hold. The proxies therefore receive the whole set, and send back what the target lacks.

use crate::recovery::{missing, read, restore};
use crate::store::{AppendReason, Store, StoreError};

/// Result of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Number of live revocations in the source.
    pub read: usize,
    /// Number of those that were new to the target or changed a record there.
    pub added: usize,
}

/// Adds all live revocations of `from` to `to`. Calls `progress` with the number of records that
/// are stored so far, and the number of all.
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
    let (target, _) = read(to)?;
    let missing = missing(&source, &target).len();
    if missing > 0 {
        return Err(StoreError::new("the target", format!("{missing} revocations are missing")));
    }
    Ok(Copied { read: source.len(), added })
}
