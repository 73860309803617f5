//! Finds the accounts that create most of the records, so that no account can fill the set.
//!
//! A proxy may name the account that a record belongs to, by the record id of its user. The
//! [Misra–Gries] algorithm finds the accounts with a large share of the records in constant memory:
//! an account's counter is never too high, and too low by at most the number of records ÷
//! [`ACCOUNTS`].
//!
//! [Misra–Gries]: https://en.wikipedia.org/wiki/Misra%E2%80%93Gries_heavy_hitters_algorithm

use std::collections::HashMap;

use session_guard_core::revocation::record::RecordId;

/// Counters of the accounts with the most records.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    counters: HashMap<RecordId, u64>,
}

impl Accounts {
    /// Counts a new record of an account. Returns a lower bound of the account's number of records.
    pub(crate) fn count(&mut self, user: RecordId) -> u64 {
        if let Some(counter) = self.counters.get_mut(&user) {
            *counter += 1;
            return *counter;
        }
        if self.counters.len() < ACCOUNTS {
            self.counters.insert(user, 1);
            return 1;
        }
        self.counters.retain(|_, counter| {
            *counter -= 1;
            *counter > 0
        });
        0
    }
}

/// The number of counters. An account with more than a thousandth of all records has one.
const ACCOUNTS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_with_many_records_is_found_among_others() {
        let (mut accounts, mut counted) = (Accounts::default(), 0);
        let id = |number: u64| RecordId(u128::from(number).to_be_bytes());
        for number in 0..100_000 {
            accounts.count(id(number + 1));
            if number % 50 == 0 {
                counted = accounts.count(id(0));
            }
        }
        assert!((1_800..=2_000).contains(&counted), "{counted} of 2,000");
        assert!(accounts.counters.len() <= ACCOUNTS);
    }
}
