//! Copying of revocations from one store to another.
//!
//! The target keeps what it has, because records are merged. Therefore nothing is lost if a store is
//! copied twice, or in both directions. At the end the target is read again: the copy succeeds only
//! if everything is found there. Proxies of the source's service name entries that the target does
//! not hold. They receive the whole set and send back what it lacks.

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

/// Adds all live revocations of one store to another. `progress` is called with the number of stored
/// records and the number of all.
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
