//! Reloads the revocation set if shared data does not contain what this filter has written.
//!
//! Another plugin may write to the same `vm_id`. If a shard of the set is damaged, the revocations
//! in it are unknown. The set is then treated as not loaded, so protected routes respond 503, until
//! the whole feed has been reloaded.

use crate::feed::state::{FeedState, forget};
use crate::revocation::horizon::Horizon;
use crate::revocation::record::Record;
use crate::revocation::set::{RevocationSet, SetError};
use crate::shared::SharedData;
use crate::shared::swap::Contended;

/// Reports a damaged shard that was left unchanged. Does nothing during a reload: the reload
/// replaces the shard, or the damage is found again afterwards.
pub fn report(shared: &dyn SharedData, set: &RevocationSet) {
    let (state, _) = FeedState::read(shared, set.space());
    if state.current_at.is_some() {
        forget(shared, set.space());
    }
}

/// Changes the set. If a shard is damaged, marks the set as not loaded, and repeats the change
/// without the records of that shard.
///
/// # Errors
///
/// [`Contended`]: some of the records are not in the set.
pub fn change<T>(
    shared: &dyn SharedData,
    set: &RevocationSet,
    change: impl Fn(&RevocationSet) -> Result<T, SetError>,
) -> Result<T, Contended> {
    let changed = match change(set) {
        Err(SetError::Damaged) => {
            forget(shared, set.space());
            change(&set.overwriting_damage())
        }
        changed => changed,
    };
    changed.map_err(|_| Contended)
}

/// Adds records to the set, even if a shard is damaged.
///
/// # Errors
///
/// [`Contended`]: some of the records are not in the set.
pub fn add(
    shared: &dyn SharedData,
    set: &RevocationSet,
    records: &[Record],
    horizon: Horizon,
) -> Result<(), Contended> {
    change(shared, set, |set| set.add(shared, records, horizon))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::name::TokenNames;
    use crate::revocation::record::{NEVER, RecordId};
    use crate::revocation::shard::{Damaged, ShardSlot};
    use crate::shared::names::KeySpace;
    use crate::shared::{Expect, InMemory};

    fn set() -> RevocationSet {
        RevocationSet::new(KeySpace::of_feed("", "signout", "signout"), "")
    }

    /// Returns shared data of a loaded set with one damaged shard.
    fn damaged(record: Record) -> InMemory {
        let shared = InMemory::default();
        let loaded = FeedState { current_at: Some(1), ..FeedState::default() };
        assert!(loaded.write(&shared, set().space(), Expect::Absent));
        let name = ShardSlot::of(record.key()).name(set().space());
        assert!(shared.set_if(&name, b"SGS1 is not enough", Expect::Anything));
        shared
    }

    fn is_loaded(shared: &dyn SharedData) -> bool {
        FeedState::read(shared, set().space()).0.current_at.is_some()
    }

    #[test]
    fn a_damaged_shard_gives_no_verdict() {
        let record = Record::user(RecordId::FIRST, 5, NEVER);
        let shared = damaged(record);
        let token = TokenNames::of(RecordId::of_token("", None, "a")).and_user(record.id);
        assert_eq!(set().is_revoked(&shared, &token, Some(9)), Err(Damaged));
        assert_eq!(set().covers(&shared, &record), Err(Damaged));
        let slot = ShardSlot::of(record.key());
        assert_eq!(set().prune(&shared, slot, Horizon::NONE), Err(Damaged));
    }

    #[test]
    fn reported_damage_restarts_the_load_once() {
        let shared = damaged(Record::token(RecordId::FIRST, NEVER));
        report(&shared, &set());
        assert!(!is_loaded(&shared));
        // Requests find the damage again while the feed is read; that must not restart it.
        let reading = FeedState { next_id: Some(RecordId::LAST), ..FeedState::default() };
        assert!(reading.write(&shared, set().space(), Expect::Anything));
        report(&shared, &set());
        assert_eq!(FeedState::read(&shared, set().space()).0, reading);
    }

    #[test]
    fn only_a_whole_page_replaces_a_damaged_shard() {
        let record = Record::token(RecordId([3; 16]), 100);
        let (first, last) = ShardSlot::of(record.key()).ids();
        let compare = |range| {
            let shared = damaged(record);
            let lacking = change(&shared, &set(), |set| {
                set.compare(&shared, &[record], range, Horizon::NONE)
            });
            assert_eq!(lacking, Ok(Vec::new()));
            assert_eq!(set().covers(&shared, &record), Ok(true));
            is_loaded(&shared)
        };
        assert!(compare((first, last)), "the page holds the whole shard");
        assert!(!compare((first, record.id)), "the page holds a part of it");
    }

    #[test]
    fn adding_to_a_damaged_shard_makes_the_set_unknown() {
        let record = Record::token(RecordId([3; 16]), 100);
        let shared = damaged(record);
        assert_eq!(add(&shared, &set(), &[record], Horizon::NONE), Ok(()));
        assert_eq!(set().covers(&shared, &record), Ok(true));
        assert!(!is_loaded(&shared));
    }
}
