//! Applies a page of the feed.
//!
//! A page is applied completely within one callback: first the records, then the generation, then
//! the feed state. The state is written by compare-and-swap with the version that was read first.
//! If anything fails before that, the cursor is unchanged and the page is requested again. Applying
//! a page twice has no further effect.

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

/// The maximum number of records that are re-sent to the service because of one page. The others
/// follow when these have been delivered.
pub const RESENT_RECORDS: usize = 4_096;

/// The parts of shared data that a page changes.
#[derive(Clone, Copy)]
pub struct PageTarget<'a> {
    /// Shared data.
    pub shared: &'a dyn SharedData,
    /// The key space of the feed.
    pub space: &'a KeySpace,
    /// The set.
    pub set: &'a RevocationSet,
    /// The outbox.
    pub outbox: &'a Outbox,
    /// The other feeds of the realm.
    pub realm_feeds: &'a RealmFeeds,
}

/// Applies the response to the poll `sent`. Returns the number of records that are re-sent to the
/// service.
///
/// # Errors
///
/// The reason why the page was not applied. Some of its records may be in the set. The cursor is
/// unchanged.
pub fn apply(
    target: PageTarget<'_>,
    mut page: Page,
    sent: &SentPoll,
    now: Now,
) -> Result<usize, PollRejection> {
    let PageTarget { shared, space, set, outbox, realm_feeds } = target;
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
    let resent = if page.reset {
        let lacking = repair::change(shared, set, |set| {
            set.compare(shared, &page.records, page.range, horizon)
        });
        set.generations().renew(shared);
        let mut lacking = lacking.map_err(|_| PollRejection::Contended)?;
        // The service does not store expired records any more; this proxy keeps them for longer.
        lacking.retain(|record| !is_past_for_service(record, page.now));
        resend(target, &lacking)?
    } else {
        repair::add(shared, set, &page.records, horizon).map_err(|_| PollRejection::Contended)?;
        0
    };
    if state.current_at.is_none() && next.current_at.is_some() {
        // A damaged shard may have lost records that are only in this process's outbox.
        let own = outbox.records(shared);
        repair::add(shared, set, &own, Horizon::NONE).map_err(|_| PollRejection::Contended)?;
        // Another configuration of this realm may have left revocations that no service has.
        let others = realm_feeds.records_of_others(shared);
        realm::adopt(shared, set, outbox, others, horizon).map_err(|_| PollRejection::NoRoom)?;
    }
    match next.write(shared, space, expect) {
        true => Ok(resent),
        false => Err(PollRejection::Superseded),
    }
}

fn resend(target: PageTarget<'_>, lacking: &[Record]) -> Result<usize, PollRejection> {
    let now = lacking.get(..RESENT_RECORDS).unwrap_or(lacking);
    let put = target.outbox.put(target.shared, now, DueTime::AtOnce);
    if put.is_ok() && now.len() == lacking.len() {
        Ok(lacking.len())
    } else {
        Err(PollRejection::NoRoom)
    }
}

/// Moves back cutoffs that are further ahead than any clock skew explains, and returns the latest
/// of them. If the service's clock is wrong, such a cutoff would lock out everybody who signs in
/// again. If the proxy's clock was wrong, the feed is reloaded as soon as the corrected clock makes
/// that cutoff plausible.
fn clamp(records: &mut [Record], unix_seconds: u64) -> Option<u64> {
    let latest = unix_seconds.saturating_add(LARGEST_SKEW_SECONDS);
    let mut furthest = None;
    for record in records.iter_mut().filter(|record| record.issued_before > latest) {
        furthest = furthest.max(Some(record.issued_before));
        record.issued_before = latest;
    }
    furthest
}
