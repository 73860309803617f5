//! The wait of a caller after a failure.
//!
//! Exponential backoff with full jitter: the wait is random, between one second and a ceiling that
//! doubles with each failure in a row, up to a minute. The jitter keeps proxies that failed at the
//! same time from retrying at the same time.

use std::ops::RangeInclusive;

/// Shortest and longest wait.
pub const WAIT_MILLISECONDS: RangeInclusive<u64> = 1_000..=60_000;

/// Returns the wait after this number of consecutive failures. `random` may be any number.
#[must_use]
pub fn wait_milliseconds(failures: u32, random: u32) -> u64 {
    let (shortest, longest) = (*WAIT_MILLISECONDS.start(), *WAIT_MILLISECONDS.end());
    let ceiling = shortest.saturating_mul(1 << failures.min(6)).min(longest);
    shortest + (ceiling - shortest) * u64::from(random) / u64::from(u32::MAX)
}

/// Returns the wait after a failure. If the response had a `Retry-After`, the wait is at least that
/// long, but at most a minute.
#[must_use]
pub fn wait_after(failures: u32, random: u32, retry_after_seconds: Option<u64>) -> u64 {
    let retry_after = retry_after_seconds.unwrap_or(0).saturating_mul(1_000);
    wait_milliseconds(failures, random).max(retry_after.min(*WAIT_MILLISECONDS.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_followed_up_to_a_minute() {
        assert_eq!(wait_after(1, 0, Some(7)), 7_000);
        assert_eq!(wait_after(1, 0, Some(0)), 1_000);
        assert_eq!(wait_after(1, 0, Some(u64::MAX)), 60_000);
    }

    #[test]
    fn ceiling_doubles_up_to_a_minute() {
        let longest = [1, 2, 3, 4, 5, 6, 7, 1_000].map(|n| wait_milliseconds(n, u32::MAX));
        assert_eq!(longest, [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!([0, 1, 9].map(|n| wait_milliseconds(n, 0)), [1_000; 3]);
        assert_eq!(wait_milliseconds(1, u32::MAX / 2), 1_499);
    }
}
