//! How is a shared value changed without losing what another VM writes at the same time?
//!
//! By compare-and-swap: read the value, change it, and write it on condition that nobody wrote in
//! between. If somebody did, start again.

use crate::shared::{Expect, SharedData};

/// Tries before giving up. In a test with three VMs that only swapped one key, 497 was the most.
const TRIES: usize = 10_000;

/// Other VMs kept writing the same value: nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contended;

/// Replaces a value by what `change` makes of it; `None` leaves the value as it is.
///
/// If another VM was faster, `change` runs again on the value found then. The result is that of its
/// last run.
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
