//! Changes a shared value without losing a concurrent write of another VM.
//!
//! It uses compare-and-swap: read the value, change it, and write it if its version has not
//! changed. Otherwise it starts again.

use crate::shared::{Expect, SharedData};

/// The number of tries. In a test with three VMs that only swapped one key, the most needed was
/// 497.
const TRIES: usize = 10_000;

/// The error when other VMs kept writing the same value. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contended;

/// Replaces a value by the result of `change`, or leaves it unchanged if that is `None`.
///
/// If another VM writes at the same time, `change` runs again on the new value. The result is that
/// of its last run.
///
/// # Errors
///
/// [`Contended`] after 10,000 tries.
pub fn swap<T>(
    shared: &dyn SharedData,
    key: &str,
    mut change: impl FnMut(Option<&[u8]>) -> (Option<Vec<u8>>, T),
) -> Result<T, Contended> {
    for _ in 0..TRIES {
        let found = shared.get(key);
        let (value, result) = change(found.as_ref().map(|stored| stored.value.as_slice()));
        let expect = found.map_or(Expect::Absent, |stored| Expect::At(stored.version));
        if value.is_none_or(|value| shared.set_if(key, &value, expect)) {
            return Ok(result);
        }
    }
    Err(Contended)
}
