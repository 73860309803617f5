//! KeySetEvent is an operator told about keys that are fetched?
//!
//! Each once per change of state. None holds a token; what a set says about itself is shown escaped
//! and cut.

use std::fmt;

use crate::key_sets::document::LeftOut;
use crate::key_sets::response::KeySetRejection;
use crate::severity::Severity;

/// Something about the set that the configuration names so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetNotice {
    /// Where the configuration names it: `keys[1].jwks`.
    pub set: String,
    /// KeySetEvent.
    pub what: KeySetEvent,
}

/// KeySetEvent there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetEvent {
    /// Other keys than before, that many.
    Loaded(usize),
    /// One of its keys is left out.
    LeftOut(LeftOut),
    /// The first response that does not count, and whether there are keys from before.
    Rejected(KeySetRejection, bool),
    /// An response counts again.
    Accepted,
}

impl KeySetNotice {
    /// How much an operator should care.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match &self.what {
            KeySetEvent::Loaded(_) | KeySetEvent::Accepted => Severity::Info,
            KeySetEvent::LeftOut(_) | KeySetEvent::Rejected(_, true) => Severity::Warning,
            KeySetEvent::Rejected(_, false) => Severity::Error,
        }
    }
}

impl fmt::Display for KeySetNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.set)?;
        match &self.what {
            KeySetEvent::Loaded(count) => write!(f, "{count} keys are in use"),
            KeySetEvent::LeftOut(key) => write!(f, "left out: {key}"),
            KeySetEvent::Rejected(reason, true) => {
                write!(f, "an response does not count ({reason}); the keys stay as they are")
            }
            KeySetEvent::Rejected(reason, false) => write!(
                f,
                "an response does not count ({reason}); tokens of its keys are answered 503 until \
                 one does"
            ),
            KeySetEvent::Accepted => write!(f, "responses count again"),
        }
    }
}
