//! Times in the two forms in which people and programs write them.
//!
//! They are seconds since 1970 UTC, as in a token, or RFC 3339 (`2026-11-29T12:00:00Z`), as in the
//! output of `date --iso-8601=seconds`, and in most logs and databases.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time, rounded up to whole seconds since 1970 UTC. It is rounded up because a later `exp` or
/// cutoff revokes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrittenTime(u64);

impl WrittenTime {
    /// Returns the seconds since 1970 UTC.
    pub(crate) fn rounded_up(self) -> u64 {
        self.0
    }

    /// Reads the time in a query: seconds or RFC 3339.
    pub(crate) fn of_query(text: &str) -> Option<Self> {
        text.parse().map(Self).ok().or_else(|| Self::of_text(text))
    }

    fn of_text(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let seconds = u64::try_from(time.unix_timestamp()).ok()?;
        Some(Self(seconds + u64::from(time.nanosecond() > 0)))
    }
}

impl<'de> Deserialize<'de> for WrittenTime {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct SecondsOrText;
        impl Visitor<'_> for SecondsOrText {
            type Value = WrittenTime;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("whole seconds since 1970 UTC, or a time like 2026-11-29T12:00:00Z")
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<WrittenTime, E> {
                Ok(WrittenTime(seconds))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<WrittenTime, E> {
                let other =
                    || E::invalid_value(serde::de::Unexpected::Other("another text"), &self);
                WrittenTime::of_text(text).ok_or_else(other)
            }
        }
        from.deserialize_any(SecondsOrText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_seconds_or_rfc_3339() {
        for (json, expected) in [
            ("1795332120", Some(1_795_332_120)),
            ("0", Some(0)),
            ("\"2026-11-22T07:22:00Z\"", Some(1_795_332_120)),
            ("\"2026-11-22T07:22:00.001Z\"", Some(1_795_332_121)),
            ("\"2026-11-22T08:22:00+01:00\"", Some(1_795_332_120)),
            ("\"1969-12-31T23:59:59Z\"", None),
            ("\"2026-11-22T07:22:00\"", None),
            ("\"2026-11-22\"", None),
            ("\"2026-13-22T07:22:00Z\"", None),
            ("\"1795332120\"", None),
            ("-1", None),
            ("1795332120.5", None),
            ("true", None),
            ("{}", None),
        ] {
            let read: Option<WrittenTime> = serde_json::from_str(json).ok();
            assert_eq!(read.map(WrittenTime::rounded_up), expected, "{json}");
        }
    }
}
