//! At most one log line a minute for each cause, where anybody can cause lines.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When a line was last logged, for each cause. There must be a bounded number of causes: they are
/// kept for ever.
#[derive(Debug)]
pub(crate) struct LogLimit<Cause> {
    logged_at: Mutex<HashMap<Cause, Instant>>,
}

impl<Cause: Eq + Hash> LogLimit<Cause> {
    /// Creates a limit under which every cause may be logged now.
    pub(crate) fn new() -> Self {
        Self { logged_at: Mutex::default() }
    }

    /// Returns whether a line with this cause may be logged now, and counts it if so.
    pub(crate) fn admits(&self, cause: Cause) -> bool {
        self.admits_at(cause, Instant::now())
    }

    fn admits_at(&self, cause: Cause, now: Instant) -> bool {
        let mut logged_at = self.logged_at.lock().unwrap_or_else(PoisonError::into_inner);
        let last = logged_at.get(&cause);
        let admits = last.is_none_or(|last| now.duration_since(*last) >= INTERVAL);
        if admits {
            logged_at.insert(cause, now);
        }
        admits
    }
}

/// Time between two log lines with the same cause.
const INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_logged_once_a_minute() {
        let (limit, start) = (LogLimit::new(), Instant::now());
        for (cause, seconds, admitted) in
            [("a", 0, true), ("a", 59, false), ("b", 59, true), ("a", 60, true), ("a", 61, false)]
        {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(limit.admits_at(cause, now), admitted, "{cause} {seconds}");
        }
    }
}
