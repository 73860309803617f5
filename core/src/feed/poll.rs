//! Polls the service, and decides which responses are accepted.
//!
//! One poll is pending at a time. A response is accepted if its status is 200, its content type is
//! that of the feed, and its page is complete and intact. Any other response is rejected: it
//! changes nothing, is counted by reason, and is followed by a [wait](backoff).

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::call::poller::Poller;
use crate::call::{Call, Response, backoff};
use crate::feed::state::begins_reset;
use crate::feed::wire::{CONTENT_TYPE, Cursor, Page, PageKey, WireError};

/// The longest time for which the service may hold a poll.
const LONGEST_WAIT_SECONDS: u64 = 30;

/// How much later than the longest hold the response may arrive.
const GRACE_SECONDS: u64 = 5;

/// The shortest time between two polls, unless the last page said that the service has more
/// records.
pub const PAUSE_MILLISECONDS: u64 = 20;

/// If two resets begin within this time, the proxy waits before it polls again.
const RESETS_APART_MILLISECONDS: u64 = 60_000;

/// Why a response was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PollRejection {
    /// The call failed: there are no headers.
    NoResponse,
    /// 401 or 403: the service rejects the API token.
    Unauthorized,
    /// 503: from the service, or from Envoy if it cannot reach the service.
    Unavailable,
    /// 504: from Envoy, if the service does not respond in time.
    TimedOut,
    /// The status is neither 200 nor one of the above.
    Status,
    /// The content type is not that of the feed, or there are several.
    ContentType,
    /// The body does not begin like a page.
    NotAFeed,
    /// The page was truncated or changed in transit.
    Damaged,
    /// The page is intact, but its content is invalid.
    Unsound,
    /// Another VM has moved the cursor since the poll was sent, or the set was found to be damaged.
    Superseded,
    /// Other VMs kept writing the same shard.
    Contended,
    /// The outbox has no room for the records that the service has lost. It must be delivered
    /// first.
    NoRoom,
}

impl PollRejection {
    /// Returns the word in `refresh_rejected.<reason>`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoResponse => "no_answer",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Status => "status",
            Self::ContentType => "content_type",
            Self::NotAFeed => "not_a_feed",
            Self::Damaged => "damaged",
            Self::Unsound => "unsound",
            Self::Superseded => "superseded",
            Self::Contended => "contended",
            Self::NoRoom => "no_room",
        }
    }

    /// Every reason.
    pub const ALL: [Self; 12] = [
        Self::NoResponse,
        Self::Unauthorized,
        Self::Unavailable,
        Self::TimedOut,
        Self::Status,
        Self::ContentType,
        Self::NotAFeed,
        Self::Damaged,
        Self::Unsound,
        Self::Superseded,
        Self::Contended,
        Self::NoRoom,
    ];
}

impl fmt::Display for PollRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the page of a response.
///
/// # Errors
///
/// The reason why the response is rejected.
pub fn read_page(response: Option<&Response>, key: &PageKey) -> Result<Page, PollRejection> {
    let response = response.ok_or(PollRejection::NoResponse)?;
    match response.status() {
        Some(200) => {}
        Some(401 | 403) => return Err(PollRejection::Unauthorized),
        Some(503) => return Err(PollRejection::Unavailable),
        Some(504) => return Err(PollRejection::TimedOut),
        _ => return Err(PollRejection::Status),
    }
    if !response.is_of_type(CONTENT_TYPE) {
        return Err(PollRejection::ContentType);
    }
    Page::decode(&response.body, key).map_err(|error| match error {
        WireError::NotAFeed => PollRejection::NotAFeed,
        WireError::Damaged => PollRejection::Damaged,
        WireError::Unsound => PollRejection::Unsound,
    })
}

/// The polls of the feed, one at a time. Times are monotonic milliseconds.
#[derive(Clone, Debug)]
pub struct Poll {
    wait_seconds: u64,
    poller: Poller<SentPoll>,
    /// When the last reset began, in monotonic milliseconds.
    reset_at: Option<u64>,
    /// The number of resets in a row, each of which began within a minute of the previous one.
    resets: u32,
}

/// A poll that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPoll {
    /// The poll requests everything after this cursor, or the whole set if there is none.
    pub cursor: Option<Cursor>,
    /// The time when the poll was sent.
    pub at_milliseconds: u64,
}

impl SentPoll {
    /// Returns a time at which the page was complete: the time when the poll was sent, plus the
    /// time for which the service held it. The network delay on each way is unknown, so all of it
    /// is attributed to the way back. The hold cannot have lasted beyond `now`, when the response
    /// arrived.
    #[must_use]
    pub fn complete_at(&self, page: &Page, now: u64) -> u64 {
        self.at_milliseconds.saturating_add(u64::from(page.held_milliseconds)).min(now)
    }
}

impl Poll {
    /// Creates the state before the first poll, which may be sent at once.
    #[must_use]
    pub fn new(max_staleness_seconds: u64) -> Self {
        Self {
            wait_seconds: (max_staleness_seconds / 3).clamp(1, LONGEST_WAIT_SECONDS),
            poller: Poller::default(),
            reset_at: None,
            resets: 0,
        }
    }

    /// Returns whether a poll is pending.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.poller.is_pending()
    }

    /// Returns the time until the next poll may be sent.
    #[must_use]
    pub fn wait_milliseconds(&self, now: u64) -> u64 {
        self.poller.wait_milliseconds(now)
    }

    /// Shortens the wait for the next poll to at most this many milliseconds.
    pub fn call_within(&mut self, now: u64, milliseconds: u64) {
        self.poller.call_within(now, milliseconds);
    }

    /// Returns the number of rejected responses in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.poller.failures()
    }

    /// Returns the call that requests everything after this cursor. The service holds the poll
    /// until there is something new. If the set is not current, the service must respond at once,
    /// because any complete response makes the set current again.
    pub fn ask(&mut self, cursor: Option<Cursor>, is_current: bool, now: u64) -> Call {
        let wait_seconds = if is_current { self.wait_seconds } else { 0 };
        let mut path = format!("/v1/revocations?wait={wait_seconds}");
        if let Some(cursor) = &cursor {
            path.push_str("&after=");
            path.extend(utf8_percent_encode(cursor.as_str(), QUERY));
        }
        self.poller.begin(SentPoll { cursor, at_milliseconds: now });
        Call {
            method: "GET",
            path,
            headers: vec![("accept", CONTENT_TYPE.into())],
            body: Vec::new(),
            timeout_milliseconds: (self.wait_seconds + GRACE_SECONDS) * 1_000,
        }
    }

    /// Ends the pending poll and returns it.
    pub fn end(&mut self) -> Option<SentPoll> {
        self.poller.end()
    }

    /// Records that the page was applied.
    pub fn accepted(&mut self, page: &Page, now: u64, random: u32) {
        self.poller.succeeded();
        let mut pause = if page.more { 0 } else { PAUSE_MILLISECONDS };
        if begins_reset(page) {
            let again = self.reset_at.is_some_and(|at| now < at + RESETS_APART_MILLISECONDS);
            self.resets = if again { self.resets.saturating_add(1) } else { 0 };
            self.reset_at = Some(now);
            if again {
                let longest = self.wait_seconds * 1_000; // the set must not become stale meanwhile
                pause = backoff::wait_milliseconds(self.resets, random).min(longest);
            }
        }
        self.poller.pause(now, pause);
    }

    /// Records that the response was rejected.
    pub fn rejected(&mut self, response: Option<&Response>, now: u64, random: u32) {
        self.poller.failed(response, now, random);
    }

    /// Records that the page could not be applied, because the outbox has no room for the records
    /// that it lacks. This is not a failure of the service.
    pub fn postponed(&mut self, now: u64) {
        self.poller.pause(now, PAUSE_MILLISECONDS);
    }
}

const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::record::RecordId;

    #[test]
    fn repeated_resets_do_not_make_the_set_stale() {
        let cursor = Cursor::new("1.a").expect("a cursor");
        let range = (RecordId::FIRST, RecordId::LAST);
        let head = cursor.clone();
        let page = Page {
            reset: true,
            more: false,
            now: 0,
            held_milliseconds: 0,
            cursor,
            head,
            range,
            records: Vec::new(),
        };
        for (max_staleness_seconds, longest) in [(3, 1_000), (9, 3_000), (300, 30_000)] {
            let mut poll = Poll::new(max_staleness_seconds);
            for _ in 0..9 {
                poll.accepted(&page, 0, u32::MAX);
            }
            assert_eq!(poll.wait_milliseconds(0), longest);
        }
    }
}
