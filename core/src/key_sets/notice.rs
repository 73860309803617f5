//! What is an operator told about keys that are fetched?
//!
//! Each once per change of state. None holds a token; what a set says about itself is shown escaped
//! and cut.

use std::fmt;

use crate::feed::notice::Level;
use crate::key_sets::answer::Rejection;
use crate::key_sets::document::LeftOut;

/// Something about the set that the configuration names so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where the configuration names it: `keys[1].jwks`.
    pub set: String,
    /// What.
    pub what: What,
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Other keys than before, that many.
    Loaded(usize),
    /// One of its keys is left out.
    LeftOut(LeftOut),
    /// The first answer that does not count, and whether there are keys from before.
    Rejected(Rejection, bool),
    /// An answer counts again.
    Accepted,
}

impl Notice {
    /// How much an operator should care.
    #[must_use]
    pub fn level(&self) -> Level {
        match &self.what {
            What::Loaded(_) | What::Accepted => Level::Info,
            What::LeftOut(_) | What::Rejected(_, true) => Level::Warning,
            What::Rejected(_, false) => Level::Error,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.set)?;
        match &self.what {
            What::Loaded(count) => write!(f, "{count} keys are in use"),
            What::LeftOut(key) => write!(f, "left out: {key}"),
            What::Rejected(reason, true) => {
                write!(f, "an answer does not count ({reason}); the keys stay as they are")
            }
            What::Rejected(reason, false) => write!(
                f,
                "an answer does not count ({reason}); tokens of its keys are answered 503 until \
                 one does"
            ),
            What::Accepted => write!(f, "answers count again"),
        }
    }
}
