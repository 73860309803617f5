//! The log messages about fetched keys.
//!
//! Each message is written once per change of state. None contains a token. Text from the key set
//! itself is escaped and shortened.

use std::fmt;

use crate::key_sets::document::LeftOut;
use crate::key_sets::response::KeySetRejection;
use crate::severity::Severity;

/// A message about one key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetNotice {
    /// The set's path in the configuration: `keys[1].jwks`.
    pub set: String,
    /// The event.
    pub event: KeySetEvent,
}

/// An event of a key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetEvent {
    /// The keys have changed. Contains the number of keys.
    Loaded(usize),
    /// One of the published keys cannot be used.
    LeftOut(LeftOut),
    /// A response was rejected, and the one before it was not. The flag says whether keys from an
    /// earlier response are in use.
    Rejected(KeySetRejection, bool),
    /// A response was accepted after a rejection.
    Accepted,
    /// The set is served with the content type `text/plain`.
    PlainText,
}

impl KeySetNotice {
    /// Returns the severity of the message.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match &self.event {
            KeySetEvent::Loaded(_) | KeySetEvent::Accepted => Severity::Info,
            KeySetEvent::LeftOut(_) | KeySetEvent::Rejected(_, true) | KeySetEvent::PlainText => {
                Severity::Warning
            }
            KeySetEvent::Rejected(_, false) => Severity::Error,
        }
    }
}

impl fmt::Display for KeySetNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.set)?;
        match &self.event {
            KeySetEvent::Loaded(1) => write!(f, "1 key is in use"),
            KeySetEvent::Loaded(count) => write!(f, "{count} keys are in use"),
            KeySetEvent::LeftOut(key) => write!(f, "left out: {key}"),
            KeySetEvent::Rejected(reason, true) => {
                write!(
                    f,
                    "response rejected ({reason}): {}; the keys stay as they are",
                    reason.meaning()
                )
            }
            KeySetEvent::Rejected(reason, false) => write!(
                f,
                "response rejected ({reason}): {}; there are no keys, so tokens of this issuer get \
                 503 until a response is accepted",
                reason.meaning()
            ),
            KeySetEvent::Accepted => write!(f, "responses are accepted again"),
            KeySetEvent::PlainText => write!(
                f,
                "the set is served as text/plain; it is accepted, but the issuer should send \
                 application/json"
            ),
        }
    }
}
