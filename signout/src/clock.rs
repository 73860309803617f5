//! The wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns whole seconds since 1970 UTC, or 0 if the machine's clock shows an earlier time.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_secs())
}

/// Returns milliseconds since 1970 UTC, or 0 if the machine's clock shows an earlier time.
#[must_use]
pub fn unix_milliseconds() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

/// Delays a response until `second` has begun, but at most [`WAIT_TIMEOUT`]. A cutoff also revokes
/// tokens of the second in which it was made. The response to it therefore waits for the next
/// second, so that a new sign-in gets a token that is not revoked. This takes less than a second,
/// unless this machine's clock is set back, or the clock of an identity provider is ahead of it.
pub(crate) async fn wait_until(second: u64) {
    let began = Instant::now();
    while unix_seconds() < second && began.elapsed() < WAIT_TIMEOUT {
        tokio::time::sleep(CLOCK_INTERVAL).await;
    }
}

/// Returns this time (seconds since 1970 UTC) as RFC 3339 in UTC: `2026-11-29T12:00:00Z`.
#[must_use]
pub fn rfc_3339(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    // Days since 1 March of the year 0, so that a leap day is the last day of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns this time (milliseconds since 1970 UTC) as RFC 3339 in UTC: `2026-11-29T12:00:00.123Z`.
#[must_use]
pub fn rfc_3339_milliseconds(unix_milliseconds: u64) -> String {
    let seconds = rfc_3339(unix_milliseconds / 1_000);
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), unix_milliseconds % 1_000)
}

/// Returns the time from `now` to `at` in words, such as "in 2 min" or "2 h ago".
#[must_use]
pub fn distance(at: u64, now: u64) -> String {
    let seconds = at.abs_diff(now);
    let (count, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7_200 => (seconds / 60, "min"),
        7_200..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "days"),
    };
    if at > now { format!("in {count} {unit}") } else { format!("{count} {unit} ago") }
}

/// The maximum time for which [`wait_until`] delays a response. After that, the response is sent
/// although the second has not begun.
const WAIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the clock is read while a response waits for the next second.
const CLOCK_INTERVAL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (time, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_795_332_120, "2026-11-22T07:22:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1 << 40, "36812-02-20T00:36:16Z"),
        ] {
            assert_eq!(rfc_3339(time), expected);
        }
        assert_eq!(rfc_3339_milliseconds(1_795_332_120_007), "2026-11-22T07:22:00.007Z");
    }

    #[test]
    fn distances_have_a_fitting_unit() {
        for (at, expected) in [
            (1_000_000, "0 s ago"),
            (1_000_119, "in 119 s"),
            (1_000_120, "in 2 min"),
            (992_800, "2 h ago"),
            (827_200, "2 days ago"),
        ] {
            assert_eq!(distance(at, 1_000_000), expected);
        }
    }
}
