//! How many slow signatures does a VM verify in a second?
//!
//! A signature that nobody has seen before costs its verification, whoever sent it. Most algorithms
//! take some microseconds; a few, in WebAssembly, take so long that a stream of forged tokens would
//! leave a worker without time for anything else. Beyond the budget nothing is verified until the
//! next second; tokens that were verified before do not notice.
//!
//! # Why the wall clock
//!
//! It is the time that a request has at hand. Were it set back, a second would count twice.

use std::cell::Cell;

/// So many a second.
pub(crate) struct Budget {
    per_second: u64,
    second: Cell<u64>,
    spent: Cell<u64>,
}

impl Budget {
    pub(crate) fn new(per_second: u64) -> Self {
        Self { per_second, second: Cell::new(0), spent: Cell::new(0) }
    }

    /// Takes one of that second's; whether there was one left.
    pub(super) fn take(&self, unix_seconds: u64) -> bool {
        if self.second.replace(unix_seconds) != unix_seconds {
            self.spent.set(0);
        }
        let spent = self.spent.get();
        self.spent.set(spent.saturating_add(1));
        spent < self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own() {
        let budget = Budget::new(2);
        let taken = [7, 7, 7, 8, 8, 8, 8, 7, 9].map(|second| budget.take(second));
        assert_eq!(taken, [true, true, false, true, true, false, false, true, true]);
    }
}
