//! The pages of the feed.
//!
//! If the log contains the entry that the proxy's cursor names, the page contains the changes after
//! it. Otherwise the proxy gets a *reset*: pages of the live set that cover the record ids from the
//! lowest to the highest without gaps. The cursor of the last page names the entry at which the
//! reset began, so the changes made during the reset follow. A reset begins again if the log no
//! longer contains that entry, or no longer contains the newest entry whose record the pages may
//! contain.

use session_guard_core::feed::wire::{Page, RESET_PAGE_PREFIX_BITS};
use session_guard_core::revocation::record::{Kind, Record, RecordId};

use crate::cursor::ProxyPosition;
use crate::entry::Position;
use crate::log::Log;

/// Returns whether a proxy at this position gets a page of a reset.
pub(crate) fn is_reset(log: &Log, place: ProxyPosition) -> bool {
    match place {
        ProxyPosition::After(after) => !log.holds(after),
        ProxyPosition::AfterReset { after, seen } => !log.holds(after) || !log.holds(seen),
        ProxyPosition::Start | ProxyPosition::InReset { .. } => true,
    }
}

/// Returns the page for a proxy at this position at `now` (seconds since 1970 UTC), with at most
/// `limit` records and no more than a page may have. If nothing has changed, the page is empty, and
/// its cursor is that of the proxy. The caller sets `held_milliseconds`.
pub(crate) fn page(log: &Log, place: ProxyPosition, limit: usize, now: u64) -> Page {
    let changes = match place {
        ProxyPosition::After(after) => changes(log, after, after, limit, now),
        ProxyPosition::AfterReset { after, seen } if log.holds(seen) => {
            changes(log, after, seen, limit, now)
        }
        _ => None,
    };
    changes.unwrap_or_else(|| {
        let (began, next) = match place {
            ProxyPosition::InReset { began, seen, next } if log.holds(began) && log.holds(seen) => {
                (began, next)
            }
            _ => (log.head(), RecordId::FIRST),
        };
        reset(log, began, next, limit, now)
    })
}

fn changes(log: &Log, after: Position, seen: Position, limit: usize, now: u64) -> Option<Page> {
    let mut entries = log.entries_after(after)?;
    let taken: Vec<_> = entries.by_ref().take(limit.clamp(1, CHANGES_RECORDS)).collect();
    Some(Page {
        reset: false,
        more: entries.next().is_some(),
        now,
        held_milliseconds: 0,
        cursor: place_after(taken.last().map_or(after, |entry| entry.position), seen).cursor(),
        head: ProxyPosition::After(log.head()).cursor(),
        range: (RecordId::FIRST, RecordId::LAST),
        records: taken.into_iter().filter_map(|entry| entry.record).collect(),
    })
}

fn reset(log: &Log, began: Position, first: RecordId, limit: usize, now: u64) -> Page {
    let (records, last) = piece(log, first, limit.clamp(Kind::ALL.len(), RESET_RECORDS));
    let seen = log.head();
    let (place, more) = match successor(last) {
        Some(next) => (ProxyPosition::InReset { began, seen, next }, true),
        None => (place_after(began, seen), began != seen),
    };
    Page {
        reset: true,
        more,
        now,
        held_milliseconds: 0,
        cursor: place.cursor(),
        head: ProxyPosition::After(seen).cursor(),
        range: (first, last),
        records,
    }
}

/// Returns the position of a proxy that knows every entry up to `after`, and maybe further entries
/// up to `seen`.
fn place_after(after: Position, seen: Position) -> ProxyPosition {
    if seen.sequence > after.sequence {
        ProxyPosition::AfterReset { after, seen }
    } else {
        ProxyPosition::After(after)
    }
}

/// Returns the live records from `first` on, and the highest id up to which they are complete. The
/// records of one id are never divided between two pages.
fn piece(log: &Log, first: RecordId, most: usize) -> (Vec<Record>, RecordId) {
    let end = end_of_piece(first);
    let mut records: Vec<_> =
        log.live_from(first).take_while(|record| record.id <= end).take(most + 1).collect();
    if records.len() <= most {
        return (records, end);
    }
    let cut = records.pop().map(|record| record.id);
    while records.last().map(|record| record.id) == cut {
        records.pop();
    }
    let last = records.last().map_or(end, |record| record.id);
    (records, last)
}

/// Returns the highest id that a page beginning with `first` may cover: all ids of a page share
/// their leading bits.
fn end_of_piece(first: RecordId) -> RecordId {
    let rest = u128::MAX >> RESET_PAGE_PREFIX_BITS;
    RecordId((u128::from_be_bytes(first.0) | rest).to_be_bytes())
}

fn successor(id: RecordId) -> Option<RecordId> {
    let next = u128::from_be_bytes(id.0).checked_add(1)?;
    Some(RecordId(next.to_be_bytes()))
}

/// The maximum number of records in one page of a reset, far below the limit of proxies. Applying a
/// page occupies one of a proxy's workers for 1 ms, or for 4 ms if the hash table of shared data
/// grows at that time.
const RESET_RECORDS: usize = 2_500;

/// The maximum number of records in one page of changes. Each record may belong to another shard,
/// so with a million records in the set, applying 250 of them also takes 1 ms.
const CHANGES_RECORDS: usize = 250;

#[cfg(test)]
mod tests;
