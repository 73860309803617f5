//! Where in the feed is a proxy?
//!
//! Four spellings, all opaque to proxies:
//!
//! | cursor | what it says |
//! | --- | --- |
//! | `<sequence>.<tag>` | everything up to that entry of the log is known |
//! | `r<entry>-<entry>.<id>` | a reset that began at the first entry goes on with that record id |
//! | `<entry>-<entry>` | everything up to the first entry is known, and some of what came later |
//! | anything else, or none | nothing is known |
//!
//! The tag is the random number that was stored with the entry, as 16 hex digits: an entry of
//! another store, or of a restored one, has another. All that a reset needs to know is in its
//! cursor, so it may go on at any replica and costs the service no memory.
//!
//! # Why a reset names two entries
//!
//! Its pages are read from the live set, so they may hold what came after its beginning. A service
//! that falls back to somewhere in between would still know the first entry, and nobody would see
//! that it has lost what the proxy already enforces. So the newest entry that a page may show goes
//! along until it is passed: who does not hold it begins the reset again.

use session_guard_core::feed::wire::Cursor;
use session_guard_core::revocation::record::RecordId;

use crate::entry::Position;

/// What a proxy has said about where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It knows nothing, or nothing that we can make sense of.
    Start,
    /// It knows everything up to that entry.
    After(Position),
    /// It knows everything up to that entry, and from a reset some of what came later.
    AfterReset {
        /// The entry.
        after: Position,
        /// The newest entry that it may know of; later than the other one.
        seen: Position,
    },
    /// It is in the middle of a reset.
    InReset {
        /// The newest entry when the reset began.
        began: Position,
        /// The newest entry when the last page was made.
        seen: Position,
        /// The first record id that it has not got yet.
        next: RecordId,
    },
}

impl Place {
    /// Reads a cursor; what is not one of ours is [`Place::Start`].
    pub(crate) fn parse(text: &str) -> Self {
        let place = match text.strip_prefix('r') {
            None => parse_after(text),
            Some(rest) => parse_reset(rest),
        };
        place.unwrap_or(Self::Start)
    }

    /// The newest entry that it knows of.
    pub(crate) fn newest(self) -> Option<Position> {
        match self {
            Self::Start => None,
            Self::After(after) => Some(after),
            Self::AfterReset { seen, .. } | Self::InReset { seen, .. } => Some(seen),
        }
    }

    /// The cursor that [`Place::parse`] reads as this place.
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

fn parse_after(text: &str) -> Option<Place> {
    match text.split_once('-') {
        None => parse_position(text).map(Place::After),
        Some(_) => {
            let (after, seen) = parse_two(text)?;
            (after.sequence < seen.sequence).then_some(Place::AfterReset { after, seen })
        }
    }
}

fn parse_reset(text: &str) -> Option<Place> {
    let (entries, next) = text.rsplit_once('.')?;
    let (began, seen) = parse_two(entries)?;
    Some(Place::InReset { began, seen, next: next.parse().ok()? })
}

fn parse_two(text: &str) -> Option<(Position, Position)> {
    let (one, other) = text.split_once('-')?;
    Some((parse_position(one)?, parse_position(other)?))
}

fn parse_position(text: &str) -> Option<Position> {
    let (sequence, tag) = text.split_once('.')?;
    let position =
        Position { sequence: sequence.parse().ok()?, tag: u64::from_str_radix(tag, 16).ok()? };
    // One entry, one spelling.
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
        fn a_place_is_read_back(one in position(), other in position(), next: [u8; 16]) {
            let next = RecordId(next);
            let mut places = vec![
                Place::After(one),
                Place::InReset { began: one, seen: other, next },
                Place::InReset { began: one, seen: one, next },
            ];
            if one.sequence < other.sequence {
                places.push(Place::AfterReset { after: one, seen: other });
            }
            for place in places {
                prop_assert_eq!(Place::parse(place.cursor().as_str()), place);
            }
        }

        #[test]
        fn any_text_is_a_place(text in "r?[0-9a-f.-]{0,60}|.*") {
            let place = Place::parse(&text);
            prop_assert!(place == Place::Start || place.cursor().as_str() == text);
        }
    }
}
