//! Waits for a condition by polling; a fixed sleep is either too short or too long.

use std::thread;
use std::time::{Duration, Instant};

/// Waits until the condition holds; panics at the caller's line after a time-out.
#[track_caller]
pub fn eventually(within: Duration, mut condition: impl FnMut() -> bool) {
    until(within, || condition().then_some(()));
}

/// Waits for a value; panics at the caller's line after a time-out.
#[track_caller]
pub fn until<T>(within: Duration, mut value: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(start.elapsed() < within, "not within {within:?}");
        thread::sleep(POLL_EVERY);
    }
}

const POLL_EVERY: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_checked_until_it_holds() {
        let mut asked = 0;
        eventually(Duration::from_secs(5), || {
            asked += 1;
            asked == 3
        });
        assert_eq!(asked, 3);
    }

    #[test]
    #[should_panic(expected = "not within 10ms")]
    fn a_condition_that_never_holds_fails() {
        eventually(Duration::from_millis(10), || false);
    }
}
