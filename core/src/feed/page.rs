//! How is a page of the feed taken over?
//!
//! As a whole, within the callback that brings it: records, then the generation, then the state with
//! the compare-and-swap that it was read with. Whatever goes wrong before leaves the cursor where it
//! was, so that the page is asked for again; taking one over twice changes nothing.

use crate::clock::Now;
use crate::feed::outbox::{DueTime, Outbox};
use crate::feed::poll::{PollRejection, SentPoll};
use crate::feed::realm::{self, RealmFeeds};
use crate::feed::repair;
use crate::feed::state::FeedState;
use crate::feed::wire::Page;
use crate::revocation::horizon::{Horizon, LARGEST_SKEW_SECONDS, is_past_for_service};
use crate::revocation::record::Record;
use crate::revocation::set::RevocationSet;
use crate::shared::SharedData;
use crate::shared::names::KeySpace;

/// Most records that one page gives back: the rest follows when these are delivered.
pub const GIVEN_BACK_RECORDS: usize = 4_096;

/// What a page changes.
#[derive(Clone, Copy)]
pub struct PageTarget<'a> {
    /// Shared data.
    pub shared: &'a dyn SharedData,
    /// The names in it.
    pub space: &'a KeySpace,
    /// The set.
    pub set: &'a RevocationSet,
    /// The outbox.
    pub outbox: &'a Outbox,
    /// The other feeds of the realm.
    pub realm_feeds: &'a RealmFeeds,
}

/// Applies the page that responds to the poll `sent`; returns how many records the service gets
/// back.
///
/// # Errors
///
/// Why the page does not count. Its records may be in the set, the feed is where it was.
pub fn take_over(
    ground: PageTarget<'_>,
    mut page: Page,
    sent: &SentPoll,
    now: Now,
) -> Result<usize, PollRejection> {
    let PageTarget { shared, space, set, outbox, realm_feeds } = ground;
    let (state, expect) = FeedState::read(shared, space);
    if state.cursor != sent.cursor {
        return Err(PollRejection::Superseded);
    }
    if !state.is_followed_by(&page) {
        return Err(PollRejection::Unsound);
    }
    let complete_at = sent.complete_at(&page, now.monotonic_milliseconds);
    let mut next = state.after(&page, complete_at);
    next.clamped = next.clamped.max(clamp(&mut page.records, now.unix_seconds));
    let horizon = next.horizon(now.unix_seconds);
    let given_back = if page.reset {
        let lacking = repair::change(shared, set, |set| {
            set.compare(shared, &page.records, page.range, horizon)
        });
        set.generations().renew(shared);
        {
            let mut lacking = lacking.map_err(|_| PollRejection::Contended)?;
            // The service does not store these any more; this proxy keeps them for longer.
            lacking.retain(|record| !is_past_for_service(record, page.now));
            give_back(ground, &lacking)?
        }
    } else {
        repair::add(shared, set, &page.records, horizon).map_err(|_| PollRejection::Contended)?;
        0
    };
    if state.current_at.is_none() && next.current_at.is_some() {
        // A shard that was damaged may have lost what only this process knows.
        let own = outbox.records(shared);
        repair::add(shared, set, &own, Horizon::NONE).map_err(|_| PollRejection::Contended)?;
        // Another configuration of this realm may have left revocations that no service has.
        let others = realm_feeds.records_of_others(shared);
        realm::adopt(shared, set, outbox, others, horizon).map_err(|_| PollRejection::NoRoom)?;
    }
    match next.write(shared, space, expect) {
        true => Ok(given_back),
        false => Err(PollRejection::Superseded),
    }
}

fn give_back(ground: PageTarget<'_>, lacking: &[Record]) -> Result<usize, PollRejection> {
    let now = lacking.get(..GIVEN_BACK_RECORDS).unwrap_or(lacking);
    let put = ground.outbox.put(ground.shared, now, DueTime::AtOnce);
    if put.is_ok() && now.len() == lacking.len() {
        Ok(lacking.len())
    } else {
        Err(PollRejection::NoRoom)
    }
}

/// Keeps cutoffs from lying further ahead than any clock skew explains: a service whose clock is
/// wrong would lock out everybody who signs in again. Says where the furthest of them lay: if it is
/// our clock that was wrong, the feed is read again once that has become plausible.
fn clamp(records: &mut [Record], unix_seconds: u64) -> Option<u64> {
    let latest = unix_seconds.saturating_add(LARGEST_SKEW_SECONDS);
    let mut furthest = None;
    for record in records.iter_mut().filter(|record| record.issued_before > latest) {
        furthest = furthest.max(Some(record.issued_before));
        record.issued_before = latest;
    }
    furthest
}
