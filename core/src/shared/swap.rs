//! How is a shared value changed without losing what another VM writes at the same time?
//!
//! By compare-and-swap: read, change, write on condition that nobody wrote in between, else again.

use crate::shared::{Expect, SharedData};

/// Tries before giving up. Three VMs that did nothing but swap one key needed 497 at worst.
const TRIES: usize = 10_000;

/// Others kept writing the same key: nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contended;

/// Replaces the value below a key by what `change` makes of it; `None` leaves it as it is.
///
/// `change` runs again whenever another VM was faster, each time on the value found then; the
/// result is that of its last run.
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
