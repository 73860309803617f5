//! What is an operator told about the feed?
//!
//! Values, which the host writes into the log. Each comes once per change of state, however often
//! the same thing happens again; how often is what counters are for. None holds a token or a secret.

use std::fmt;

use crate::feed::poll::PollRejection;
use crate::feed::staleness::Knowledge;
use crate::revocation::record::Kind;
use crate::severity::Severity;

/// Clocks further apart than this are worth a warning.
pub const CLOCKS_APART_SECONDS: u64 = 5;

/// Something that an operator may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedNotice {
    /// This VM reads the feed from now on.
    Reads,
    /// What is known about revocations has changed.
    Knows(Knowledge),
    /// The first response that does not count.
    Rejected(PollRejection),
    /// An response counts again.
    Accepted,
    /// The feed is read from its beginning.
    Reset,
    /// The service has lost revocations and gets them back.
    GivesBack,
    /// Shared data did not hold what was written there.
    Damaged,
    /// The service's clock minus ours, in seconds.
    ClocksDiffer(i64),
    /// The clocks agree again.
    ClocksAgree,
    /// The first delivery that failed.
    NotDelivered,
    /// Deliveries succeed again.
    Delivered,
    /// The service does not take a revocation of that kind.
    Dropped(Kind),
}

impl FeedNotice {
    /// How much an operator should care.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::Reads | Self::Accepted | Self::Reset | Self::ClocksAgree | Self::Delivered => {
                Severity::Info
            }
            Self::Knows(Knowledge::Current) => Severity::Info,
            Self::Rejected(PollRejection::Unauthorized) | Self::Damaged | Self::Dropped(_) => {
                Severity::Error
            }
            Self::Knows(_) => Severity::Error,
            Self::Rejected(_) | Self::GivesBack | Self::ClocksDiffer(_) | Self::NotDelivered => {
                Severity::Warning
            }
        }
    }
}

impl fmt::Display for FeedNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reads => write!(f, "feed: this VM reads it for the whole process"),
            Self::Knows(Knowledge::Never) => {
                write!(f, "feed: not loaded; protected routes response 503 until it is")
            }
            Self::Knows(Knowledge::Current) => write!(f, "feed: the revocation set is current"),
            Self::Knows(Knowledge::Stale) => {
                write!(f, "feed: no proof for too long that the revocation set is complete")
            }
            Self::Rejected(PollRejection::Unauthorized) => write!(
                f,
                "feed: the service refuses our API token; compare revocation.upstream.token with \
                 the service's SIGNOUT_TOKEN"
            ),
            Self::Rejected(reason) => {
                write!(f, "feed: an response does not count ({reason}); the set stays as it is")
            }
            Self::Accepted => write!(f, "feed: responses count again"),
            Self::Reset => write!(f, "feed: the service sends the whole set"),
            Self::GivesBack => {
                write!(f, "feed: the service has lost revocations, they are given back")
            }
            Self::Damaged => write!(
                f,
                "set: shared data was damaged, everything is read again; does another plugin \
                 write to this vm_id?"
            ),
            Self::ClocksDiffer(seconds) => {
                write!(f, "feed: the service's clock is {seconds} s ahead of ours; check NTP")
            }
            Self::ClocksAgree => write!(f, "feed: the service's clock agrees with ours again"),
            Self::NotDelivered => {
                write!(f, "outbox: the service cannot be told of revocations; they wait here")
            }
            Self::Delivered => write!(f, "outbox: the service takes revocations again"),
            Self::Dropped(kind) => write!(
                f,
                "outbox: the service refuses a revocation ({}); it holds on this proxy only",
                kind.name()
            ),
        }
    }
}
