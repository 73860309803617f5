//! The period of the host's tick.

/// The period of the tick, which is the shortest that any part of the filter needs.
#[derive(Debug)]
pub(crate) struct TickPeriod {
    milliseconds: u64,
    /// The longest period that fetching keys allows, if it needs one.
    for_keys: Option<u64>,
    has_changed: bool,
}

impl TickPeriod {
    pub(crate) fn starting_in(milliseconds: u64) -> Self {
        Self { milliseconds, for_keys: None, has_changed: true }
    }

    /// Sets the period, or the one that fetching keys needs if that is shorter.
    pub(crate) fn set(&mut self, milliseconds: u64) {
        let milliseconds = milliseconds.min(self.for_keys.unwrap_or(milliseconds));
        let milliseconds = milliseconds.max(1); // a period of 0 means no tick at all
        self.has_changed |= self.milliseconds != milliseconds;
        self.milliseconds = milliseconds;
    }

    /// Sets the longest period that fetching keys allows.
    pub(crate) fn set_for_keys(&mut self, milliseconds: Option<u64>) {
        self.for_keys = milliseconds;
        if let Some(milliseconds) = milliseconds {
            self.shorten(milliseconds);
        }
    }

    /// Shortens the period to this value. Returns whether the period was longer.
    pub(crate) fn shorten(&mut self, milliseconds: u64) -> bool {
        let is_shorter = milliseconds < self.milliseconds;
        if is_shorter {
            self.set(milliseconds);
        }
        is_shorter
    }

    /// Returns the period if it has changed since the last call.
    pub(crate) fn take_change(&mut self) -> Option<u64> {
        std::mem::take(&mut self.has_changed).then_some(self.milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_reported_once_after_each_change() {
        let mut period = TickPeriod::starting_in(5);
        assert_eq!([period.take_change(), period.take_change()], [Some(5), None]);
        period.set(1_000);
        period.set(1_000);
        assert_eq!([period.take_change(), period.take_change()], [Some(1_000), None]);
        period.set(0);
        assert_eq!(period.take_change(), Some(1));
    }

    #[test]
    fn shortening_never_makes_a_period_longer() {
        let mut period = TickPeriod::starting_in(1_000);
        assert!(period.shorten(250));
        assert!(!period.shorten(500));
        assert_eq!(period.take_change(), Some(250));
    }

    #[test]
    fn fetching_keys_bounds_the_period() {
        let mut period = TickPeriod::starting_in(1_000);
        period.set_for_keys(Some(20));
        period.set(1_000);
        assert_eq!(period.take_change(), Some(20));
        period.set_for_keys(None);
        period.set(1_000);
        assert_eq!(period.take_change(), Some(1_000));
    }
}
