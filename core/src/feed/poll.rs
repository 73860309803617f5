//! When is the feed asked, how, and does the response count?
//!
//! One poll is under way at a time. An response counts if it is exactly the service's: status 200, the
//! feed's content type, a page that decodes whole. Everything else changes nothing, is counted by
//! reason, and is followed by a [wait](backoff).

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::call::backoff;
use crate::call::{Call, Response};
use crate::feed::wire::{CONTENT_TYPE, Cursor, Page, PageKey, WireError};
use crate::revocation::record::RecordId;

/// Longest time for which the service may leave a poll without an response.
const LONGEST_WAIT_SECONDS: u64 = 30;

/// How much later than that the response may be.
const GRACE_SECONDS: u64 = 5;

/// Shortest time between two answered polls, unless the first one said that there is more.
pub const PAUSE_MILLISECONDS: u64 = 20;

/// Two resets within this time are one too many.
const RESETS_APART_MILLISECONDS: u64 = 60_000;

/// Why an response does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PollRejection {
    /// The call failed: no headers.
    NoResponse,
    /// 401 or 403: the API token is not the service's.
    Unauthorized,
    /// 503: from the service, or from Envoy that cannot reach it.
    Unavailable,
    /// 504: from Envoy.
    TimedOut,
    /// Any other status but 200.
    Status,
    /// Not the feed's content type, or several.
    ContentType,
    /// It does not begin like a page.
    NotAFeed,
    /// A page that was cut or changed on its way.
    Damaged,
    /// A whole page that says what no service may say.
    Unsound,
    /// Another VM has gone on meanwhile, or the set turned out to be damaged.
    Superseded,
    /// Other VMs kept writing the same shard.
    Contended,
    /// The outbox has no room for what the service has lost; it is emptied first.
    NoRoom,
}

impl PollRejection {
    /// The word in `refresh_rejected.<reason>`.
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

/// The page that an response brings, if it counts.
///
/// # Errors
///
/// Why it does not.
pub fn judge(response: Option<&Response>, key: &PageKey) -> Result<Page, PollRejection> {
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

/// The poll that is under way, or when the next one may leave. Times are monotonic milliseconds.
#[derive(Clone, Debug)]
pub struct Poll {
    wait_seconds: u64,
    under_way: Option<SentPoll>,
    not_before: u64,
    failures: u32,
    /// When the feed was last read from its beginning, and how often at short intervals.
    reset_at: Option<u64>,
    resets: u32,
}

/// A poll that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPoll {
    /// It asks for everything after this cursor; without one, for everything.
    pub cursor: Option<Cursor>,
    /// When it was sent.
    pub at_milliseconds: u64,
}

impl SentPoll {
    /// Returns the time at which the page in the response was surely complete: when the poll was
    /// sent, plus the time for which the service held it. The time on the way is unknown, so both
    /// directions are taken to belong to the way back. A service cannot have held a poll for longer
    /// than until its response arrived, `now`.
    #[must_use]
    pub fn complete_at(&self, page: &Page, now: u64) -> u64 {
        self.at_milliseconds.saturating_add(u64::from(page.held_milliseconds)).min(now)
    }
}

impl Poll {
    /// No poll is under way, the first may leave at once.
    #[must_use]
    pub fn new(max_staleness_seconds: u64) -> Self {
        Self {
            wait_seconds: (max_staleness_seconds / 3).clamp(1, LONGEST_WAIT_SECONDS),
            under_way: None,
            not_before: 0,
            failures: 0,
            reset_at: None,
            resets: 0,
        }
    }

    /// Whether an response is awaited.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// How long until the next poll may leave.
    #[must_use]
    pub fn wait_milliseconds(&self, now: u64) -> u64 {
        self.not_before.saturating_sub(now)
    }

    /// The call that asks for what comes after that cursor; from then on it is under way.
    pub fn ask(&mut self, cursor: Option<Cursor>, now: u64) -> Call {
        let mut path = format!("/v1/revocations?wait={}", self.wait_seconds);
        if let Some(cursor) = &cursor {
            path.push_str("&after=");
            path.extend(utf8_percent_encode(cursor.as_str(), QUERY));
        }
        self.under_way = Some(SentPoll { cursor, at_milliseconds: now });
        Call {
            method: "GET",
            path,
            headers: &[("accept", CONTENT_TYPE)],
            body: Vec::new(),
            timeout_milliseconds: (self.wait_seconds + GRACE_SECONDS) * 1_000,
        }
    }

    /// Ends the poll that was under way and returns it.
    pub fn end(&mut self) -> Option<SentPoll> {
        self.under_way.take()
    }

    /// The page was taken over.
    pub fn accepted(&mut self, page: &Page, now: u64, random: u32) {
        self.failures = 0;
        let mut pause = if page.more { 0 } else { PAUSE_MILLISECONDS };
        if begins_reset(page) {
            let again = self.reset_at.is_some_and(|at| now < at + RESETS_APART_MILLISECONDS);
            self.resets = if again { self.resets.saturating_add(1) } else { 0 };
            self.reset_at = Some(now);
            if again {
                let longest = self.wait_seconds * 1_000; // the set must not grow too old for that
                pause = backoff::wait_milliseconds(self.resets, random).min(longest);
            }
        }
        self.not_before = now.saturating_add(pause);
    }

    /// The response did not count; the service may have said when to come back.
    pub fn rejected(&mut self, retry_after_seconds: Option<u64>, now: u64, random: u32) {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff::wait_as_asked(self.failures, random, retry_after_seconds);
        self.not_before = now.saturating_add(wait);
    }

    /// The page waits until there is room for what it gives back; the service is not at fault.
    pub fn postponed(&mut self, now: u64) {
        self.not_before = now.saturating_add(PAUSE_MILLISECONDS);
    }

    /// How many responses in a row did not count.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// Whether the page is the first of a reset.
#[must_use]
pub fn begins_reset(page: &Page) -> bool {
    page.reset && page.range.0 == RecordId::FIRST
}

const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_resets_come_the_next_poll_leaves_before_the_set_is_too_old() {
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
