//! The cursor of a proxy: its position in the feed, as text.
//!
//! There are four forms, all opaque to proxies:
//!
//! | cursor | meaning |
//! | --- | --- |
//! | `<sequence>.<tag>` | the proxy knows everything up to that entry of the log |
//! | `r<entry>-<entry>.<id>` | in a reset begun at the first entry; `id` is the next record id |
//! | `<entry>-<entry>` | the proxy knows everything up to the first entry, and some later entries |
//! | anything else, or none | the proxy knows nothing |
//!
//! The tag is the random number that was stored with the entry, as 16 hex digits. An entry of
//! another store, or of a restored one, has a different tag. The cursor of a reset contains its
//! whole state, so a reset may continue at another replica and needs no memory in the service.
//!
//! # Why a reset names two entries
//!
//! The pages of a reset are read from the live set, so they may contain records that were added
//! after its beginning. Assume that the store is then restored to a state between the two. The
//! store still holds the entry at which the reset began, so that entry alone would not show that
//! the store has lost records that the proxy already enforces. The cursor therefore also names the
//! newest entry that a page may contain, until the proxy has passed it. A service that does not
//! hold that entry starts the reset again.

use session_guard_core::feed::wire::Cursor;
use session_guard_core::revocation::record::RecordId;

use crate::entry::Position;

/// The position of a proxy in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyPosition {
    /// The proxy knows nothing, or its cursor is not one of this service's forms.
    Start,
    /// The proxy knows everything up to this entry.
    After(Position),
    /// The proxy knows everything up to an entry, and from a reset also some later entries.
    AfterReset {
        /// The proxy knows everything up to this entry.
        after: Position,
        /// The newest entry that the proxy may know; later than `after`.
        seen: Position,
    },
    /// The proxy has received a part of a reset.
    InReset {
        /// The newest entry at the beginning of the reset.
        began: Position,
        /// The newest entry at the time of the last page.
        seen: Position,
        /// The first record id that the proxy has not received.
        next: RecordId,
    },
}

impl ProxyPosition {
    /// Parses a cursor. Any text in another form is [`ProxyPosition::Start`].
    pub(crate) fn parse(text: &str) -> Self {
        let place = match text.strip_prefix('r') {
            None => parse_after(text),
            Some(rest) => parse_reset(rest),
        };
        place.unwrap_or(Self::Start)
    }

    /// Returns the newest entry that the proxy may know.
    pub(crate) fn newest(self) -> Option<Position> {
        match self {
            Self::Start => None,
            Self::After(after) => Some(after),
            Self::AfterReset { seen, .. } | Self::InReset { seen, .. } => Some(seen),
        }
    }

    /// Returns the cursor that [`ProxyPosition::parse`] parses as this position.
    pub(crate) fn cursor(self) -> Cursor {
        let text = match self {
            Self::Start => "0.0".to_owned(),
            Self::After(position) => position.to_string(),
            Self::AfterReset { after, seen } => format!("{after}-{seen}"),
            Self::InReset { began, seen, next } => format!("r{began}-{seen}.{next}"),
        };
        Cursor::new(&text).unwrap_or_else(|| unreachable!("at most 109 printable ASCII characters"))
    }
}

fn parse_after(text: &str) -> Option<ProxyPosition> {
    match text.split_once('-') {
        None => parse_position(text).map(ProxyPosition::After),
        Some(_) => {
            let (after, seen) = parse_two(text)?;
            (after.sequence < seen.sequence).then_some(ProxyPosition::AfterReset { after, seen })
        }
    }
}

fn parse_reset(text: &str) -> Option<ProxyPosition> {
    let (entries, next) = text.rsplit_once('.')?;
    let (began, seen) = parse_two(entries)?;
    Some(ProxyPosition::InReset { began, seen, next: next.parse().ok()? })
}

fn parse_two(text: &str) -> Option<(Position, Position)> {
    let (one, other) = text.split_once('-')?;
    Some((parse_position(one)?, parse_position(other)?))
}

fn parse_position(text: &str) -> Option<Position> {
    let (sequence, tag) = text.split_once('.')?;
    let position =
        Position { sequence: sequence.parse().ok()?, tag: u64::from_str_radix(tag, 16).ok()? };
    // Each entry has exactly one form.
    (position.to_string() == text).then_some(position)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position() -> impl Strategy<Value = Position> {
        (1u64.., any::<u64>()).prop_map(|(sequence, tag)| Position { sequence, tag })
    }

    proptest! {
        #[test]
        fn a_position_is_parsed_back(one in position(), other in position(), next: [u8; 16]) {
            let next = RecordId(next);
            let mut places = vec![
                ProxyPosition::After(one),
                ProxyPosition::InReset { began: one, seen: other, next },
                ProxyPosition::InReset { began: one, seen: one, next },
            ];
            if one.sequence < other.sequence {
                places.push(ProxyPosition::AfterReset { after: one, seen: other });
            }
            for place in places {
                prop_assert_eq!(ProxyPosition::parse(place.cursor().as_str()), place);
            }
        }

        #[test]
        fn any_text_is_a_position(text in "r?[0-9a-f.-]{0,60}|.*") {
            let place = ProxyPosition::parse(&text);
            prop_assert!(place == ProxyPosition::Start || place.cursor().as_str() == text);
        }
    }
}
