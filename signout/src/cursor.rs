//! Where in the feed is a proxy?
//!
//! Three spellings, all opaque to proxies:
//!
//! | cursor | what it says |
//! | --- | --- |
//! | `<sequence>.<tag>` | everything up to that entry of the log is known |
//! | `r<sequence>.<tag>.<id>` | a reset that began at that entry goes on with that record id |
//! | anything else, or none | nothing is known |
//!
//! The tag is the random number that was stored with the entry, as 16 hex digits: an entry of
//! another store, or of a restored one, has another. All that a reset needs to know is in its
//! cursor, so it may go on at any replica and costs the service no memory.

use std::fmt;

use session_guard::feed::wire::Cursor;
use session_guard::revocation::record::RecordId;

/// An entry of the log, by its place and its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Place in the log: contiguous, the first is 1.
    pub sequence: u64,
    /// The random number stored with the entry.
    pub tag: u64,
}

/// What a proxy has said about where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It knows nothing, or nothing that we can make sense of.
    Start,
    /// It knows everything up to that entry.
    After(Position),
    /// It is in the middle of a reset.
    InReset {
        /// The newest entry when the reset began.
        began: Position,
        /// The first record id that it has not got yet.
        next: RecordId,
    },
}

impl Place {
    /// Reads a cursor; what is not one of ours is [`Place::Start`].
    pub(crate) fn parse(text: &str) -> Self {
        let place = match text.strip_prefix('r') {
            None => parse_position(text).map(Self::After),
            Some(rest) => parse_reset(rest),
        };
        place.unwrap_or(Self::Start)
    }

    /// The cursor that [`Place::parse`] reads as this place.
    pub(crate) fn cursor(self) -> Cursor {
        let text = match self {
            Self::Start => "0.0".to_owned(),
            Self::After(position) => position.to_string(),
            Self::InReset { began, next } => format!("r{began}.{next}"),
        };
        Cursor::new(&text).unwrap_or_else(|| unreachable!("at most 71 printable ASCII characters"))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.sequence, self.tag)
    }
}

fn parse_reset(text: &str) -> Option<Place> {
    let (began, next) = text.rsplit_once('.')?;
    Some(Place::InReset { began: parse_position(began)?, next: next.parse().ok()? })
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

    proptest! {
        #[test]
        fn a_place_is_read_back(sequence in 1u64.., tag: u64, next: [u8; 16]) {
            let began = Position { sequence, tag };
            for place in [Place::After(began), Place::InReset { began, next: RecordId(next) }] {
                prop_assert_eq!(Place::parse(place.cursor().as_str()), place);
            }
        }

        #[test]
        fn any_text_is_a_place(text in "r?[0-9a-f.+]{0,60}|.*") {
            let place = Place::parse(&text);
            prop_assert!(place == Place::Start || place.cursor().as_str() == text);
        }
    }
}
