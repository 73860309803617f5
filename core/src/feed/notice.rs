//! The log messages about the feed.
//!
//! The host writes these messages to its log. Each is written once per change of state, regardless
//! of how often the event repeats. Counters show how often. No message contains a token or a
//! secret.

use std::fmt;

use crate::feed::poll::PollRejection;
use crate::feed::staleness::Knowledge;
use crate::revocation::record::Kind;
use crate::severity::Severity;

/// The difference between the clocks above which a message is logged.
pub const CLOCKS_APART_SECONDS: u64 = 5;

/// A message about the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedNotice {
    /// This VM has become the leader.
    Leads,
    /// The state of the revocation set has changed.
    Knows(Knowledge),
    /// A response was rejected, and the one before it was not.
    Rejected(PollRejection),
    /// A response was accepted after a rejection.
    Accepted,
    /// The service has begun to send the whole set: this proxy has no position in the feed yet, or
    /// the service cannot continue from it.
    Reset,
    /// The service has lost revocations, and this proxy sends them again.
    Resends,
    /// Shared data did not contain what this filter had written.
    Damaged,
    /// The clocks differ. Contains the service's clock minus the proxy's, in seconds.
    ClocksDiffer(i64),
    /// The clocks agree again.
    ClocksAgree,
    /// A delivery failed, and the one before it did not.
    NotDelivered,
    /// A delivery succeeded after a failure.
    Delivered,
    /// The service rejected a revocation of this kind permanently.
    Dropped(Kind),
    /// This many undelivered revocations were adopted from another feed of this realm.
    Adopted(usize),
}

impl FeedNotice {
    /// Returns the severity of the message.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self {
            Self::Leads | Self::Accepted | Self::Reset | Self::ClocksAgree | Self::Delivered => {
                Severity::Info
            }
            Self::Knows(Knowledge::Current) | Self::Adopted(_) => Severity::Info,
            Self::Rejected(PollRejection::Unauthorized) | Self::Damaged | Self::Dropped(_) => {
                Severity::Error
            }
            Self::Knows(_) => Severity::Error,
            Self::Rejected(_) | Self::Resends | Self::ClocksDiffer(_) | Self::NotDelivered => {
                Severity::Warning
            }
        }
    }
}

impl fmt::Display for FeedNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leads => write!(f, "feed: this VM is the leader and polls the service"),
            Self::Knows(Knowledge::Never) => {
                write!(f, "feed not loaded: protected routes respond 503 until it is")
            }
            Self::Knows(Knowledge::Current) => write!(f, "feed: the revocation set is up to date"),
            Self::Knows(Knowledge::Stale) => write!(
                f,
                "feed stale: no complete update for longer than max_staleness_seconds; protected \
                 routes respond 503, or use the last set if when_unknown is use_last"
            ),
            Self::Rejected(PollRejection::Unauthorized) => write!(
                f,
                "feed: the service rejects our API token; compare revocation.upstream.token with \
                 the service's SIGNOUT_TOKEN"
            ),
            Self::Rejected(
                reason @ (PollRejection::NoResponse
                | PollRejection::Unavailable
                | PollRejection::TimedOut),
            ) => write!(
                f,
                "feed: signout service unreachable ({reason}); protected routes respond 503 if the \
                 revocations were never loaded or are older than max_staleness_seconds; check that \
                 the service runs and that the cluster of revocation.upstream has its address"
            ),
            Self::Rejected(reason) => {
                write!(
                    f,
                    "feed: response rejected ({reason}); the set stays in force, and polling goes on"
                )
            }
            Self::Accepted => write!(f, "feed: responses are accepted again"),
            Self::Reset => write!(
                f,
                "feed: loading the whole revocation set, as after a start or a long disconnection"
            ),
            Self::Resends => {
                write!(f, "feed: the service has lost revocations; this proxy sends them again")
            }
            Self::Damaged => write!(
                f,
                "revocation set: shared data was damaged; protected routes respond 503 until the \
                 feed is loaded again; check whether another plugin uses this vm_id"
            ),
            Self::ClocksDiffer(seconds) => {
                let direction = if *seconds > 0 { "ahead of" } else { "behind" };
                write!(
                    f,
                    "feed: the service's clock is {} s {direction} the proxy's; check NTP on both: \
                     sign-outs may refuse new tokens, or accept old ones",
                    seconds.unsigned_abs()
                )
            }
            Self::ClocksAgree => write!(f, "feed: the clocks of service and proxy agree again"),
            Self::NotDelivered => write!(
                f,
                "outbox: revocations cannot be delivered to the service; this proxy enforces them \
                 and tries again"
            ),
            Self::Delivered => write!(f, "outbox: revocations are delivered again"),
            Self::Dropped(kind) => write!(
                f,
                "outbox: the service does not accept a revocation ({}); only this proxy enforces it",
                kind.name()
            ),
            Self::Adopted(count) => write!(
                f,
                "outbox: took over {count} undelivered revocations of this realm from another \
                 configuration"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_which_clock_is_ahead() {
        for (seconds, expected) in [(600, "600 s ahead of the proxy's"), (-7, "7 s behind the")] {
            let line = FeedNotice::ClocksDiffer(seconds).to_string();
            assert!(line.contains(expected), "{line}");
        }
    }

    #[test]
    fn an_unreachable_service_is_explained_before_and_after_the_first_load() {
        let line = FeedNotice::Rejected(PollRejection::Unavailable).to_string();
        for part in ["never loaded", "older than max_staleness_seconds", "has its address"] {
            assert!(line.contains(part), "{line}");
        }
    }
}
