//! The position of this process in the feed.
//!
//! The state is one value in shared data. A page writes it last, so if it contains a cursor,
//! everything up to the cursor is in the set. A VM that finds the set damaged empties the value
//! ([`forget`]). The set is then treated as not loaded until the whole feed has been reloaded.

use crate::feed::wire::{Cursor, Page};
use crate::revocation::horizon::{Horizon, LARGEST_SKEW_SECONDS};
use crate::revocation::record::RecordId;
use crate::shared::names::{KeySpace, SharedName};
use crate::shared::{Expect, SharedData};

/// The position of this process in the feed. The default is the state before the first page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedState {
    /// The cursor of the last page. If there is none, the next poll requests everything.
    pub cursor: Option<Cursor>,
    /// During a reset, the id with which its next page must begin.
    pub next_id: Option<RecordId>,
    /// The time when the set was last known to be complete, in monotonic milliseconds. `None` if
    /// the set is not loaded.
    pub current_at: Option<u64>,
    /// The head that a response named, and a time at which it was the head. When the cursor has
    /// passed this head, the set is known to be complete as of that time.
    pub target: Option<(Cursor, u64)>,
    /// The service's clock in its last response, seconds since 1970 UTC.
    pub service_now: u64,
    /// The latest cutoff that was moved back because it was too far ahead, in seconds since 1970
    /// UTC.
    pub clamped: Option<u64>,
}

impl FeedState {
    /// Reads the state, and the condition for writing it. A damaged value is treated as absent.
    #[must_use]
    pub fn read(shared: &dyn SharedData, space: &KeySpace) -> (Self, Expect) {
        match shared.get(&name(space)) {
            Some(found) => {
                (Self::from_bytes(&found.value).unwrap_or_default(), Expect::At(found.version))
            }
            None => (Self::default(), Expect::Absent),
        }
    }

    /// Writes the state unless another VM has written it since it was read. Returns whether it was
    /// written.
    #[must_use]
    pub fn write(&self, shared: &dyn SharedData, space: &KeySpace, expect: Expect) -> bool {
        shared.set_if(&name(space), &self.to_bytes(), expect)
    }

    /// Returns the horizon: records that it has passed may be removed from the set now.
    #[must_use]
    pub fn horizon(&self, proxy_unix_seconds: u64) -> Horizon {
        Horizon::of(proxy_unix_seconds, self.service_now)
    }

    /// Returns whether the page may follow. The pages of a reset must cover the ids from the lowest
    /// to the highest without a gap, and changes may follow only a complete reset. Otherwise
    /// records would be missing.
    #[must_use]
    pub fn is_followed_by(&self, page: &Page) -> bool {
        match page.reset {
            true => begins_reset(page) || self.next_id == Some(page.range.0),
            false => self.cursor.is_some() && self.next_id.is_none(),
        }
    }

    /// Returns the state after a page that may follow. `complete_at` (monotonic milliseconds) is a
    /// time at which the page was complete: [`SentPoll::complete_at`], never the time of arrival.
    ///
    /// [`SentPoll::complete_at`]: crate::feed::poll::SentPoll::complete_at
    #[must_use]
    pub fn after(&self, page: &Page, complete_at: u64) -> Self {
        let mut next = self.clone();
        next.cursor = Some(page.cursor.clone());
        next.next_id = if page.reset { successor(page.range.1) } else { None };
        next.service_now = page.now;
        if !page.more && next.next_id.is_none() {
            next.current_at = next.current_at.max(Some(complete_at));
            next.target = None;
            return next;
        }
        let passed = |head: &Cursor| next.next_id.is_none() && passes(page, head);
        if let Some((_, named_at)) = next.target.take_if(|(head, _)| passed(head)) {
            next.current_at = next.current_at.max(Some(named_at));
        }
        let is_lower = |head: &Cursor| sequence(&page.head) < sequence(head);
        if next.target.as_ref().is_none_or(|(head, _)| begins_reset(page) || is_lower(head)) {
            next.target = Some((page.head.clone(), complete_at));
        }
        next
    }

    /// Returns whether the whole feed is being reloaded, or will be with the next poll.
    #[must_use]
    pub fn is_in_reset(&self) -> bool {
        self.cursor.is_none() || self.next_id.is_some()
    }

    /// Returns whether a cutoff that was moved back is no longer too far ahead, so that the feed
    /// must be reloaded.
    #[must_use]
    pub fn wants_clamped(&self, unix_seconds: u64) -> bool {
        let latest = unix_seconds.saturating_add(LARGEST_SKEW_SECONDS);
        self.clamped.is_some_and(|furthest| furthest <= latest)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.service_now.to_be_bytes());
        bytes.extend_from_slice(&self.current_at.unwrap_or(NONE).to_be_bytes());
        let named_at = self.target.as_ref().map_or(NONE, |target| target.1);
        bytes.extend_from_slice(&named_at.to_be_bytes());
        bytes.extend_from_slice(&self.clamped.unwrap_or(NONE).to_be_bytes());
        // The lowest id stands for no next id. That is possible because a page with the lowest id
        // begins a reset.
        bytes.extend_from_slice(&self.next_id.unwrap_or(RecordId::FIRST).0);
        for cursor in [self.cursor.as_ref(), self.target.as_ref().map(|target| &target.0)] {
            let text = cursor.map_or("", Cursor::as_str);
            bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let service_now = u64::from_be_bytes(take(&mut rest)?);
        let current_at = Some(u64::from_be_bytes(take(&mut rest)?)).filter(|&at| at != NONE);
        let named_at = u64::from_be_bytes(take(&mut rest)?);
        let clamped = Some(u64::from_be_bytes(take(&mut rest)?)).filter(|&cutoff| cutoff != NONE);
        let next_id = RecordId(take(&mut rest)?);
        let next_id = Some(next_id).filter(|&id| id != RecordId::FIRST);
        let cursor = take_cursor(&mut rest)?;
        let target = take_cursor(&mut rest)?;
        let whole = rest.is_empty() && target.is_some() == (named_at != NONE);
        let target = target.map(|target| (target, named_at));
        whole.then_some(Self { cursor, next_id, current_at, target, service_now, clamped })
    }
}

/// Marks the set as not loaded, so that the whole feed is reloaded.
pub fn forget(shared: &dyn SharedData, space: &KeySpace) {
    let _always = shared.set_if(&name(space), &[], Expect::Anything);
}

/// Returns whether the page is the first of a reset.
#[must_use]
pub fn begins_reset(page: &Page) -> bool {
    page.reset && page.range.0 == RecordId::FIRST
}

/// Returns whether, with this page, the feed has been read up to this head. Sequence numbers
/// determine the order of two cursors. Cursors without one can only be compared for equality.
fn passes(page: &Page, head: &Cursor) -> bool {
    match (sequence(&page.cursor), sequence(head)) {
        (Some(reached), Some(head)) => reached >= head,
        _ => page.cursor == *head,
    }
}

fn sequence(cursor: &Cursor) -> Option<u64> {
    cursor.as_str().split_once('.')?.0.parse().ok()
}

fn name(space: &KeySpace) -> SharedName {
    space.name("feed", None)
}

/// Returns the next id, or `None` after the highest id.
fn successor(id: RecordId) -> Option<RecordId> {
    u128::from_be_bytes(id.0).checked_add(1).map(|next| RecordId(next.to_be_bytes()))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (&taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(taken)
}

/// Parses a cursor. Returns `None` if it is not well-formed, and `Some(None)` if it is empty.
#[expect(clippy::option_option, reason = "absent and malformed are different things here")]
fn take_cursor(rest: &mut &[u8]) -> Option<Option<Cursor>> {
    let (&length, left) = rest.split_first()?;
    let (text, left) = left.split_at_checked(usize::from(length))?;
    *rest = left;
    match text {
        [] => Some(None),
        text => Some(Some(Cursor::new(std::str::from_utf8(text).ok()?)?)),
    }
}

const MAGIC: &[u8] = b"SGC1";

/// The encoding of an absent time.
const NONE: u64 = u64::MAX;
