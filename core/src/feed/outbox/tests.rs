//! Promise: records that the feed has not shown remain, also if others write at the same time.
//! Method: tables, and properties that compare with a map of records.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::feed::state::FeedState;
use crate::revocation::record::strategies::record;
use crate::revocation::record::{NEVER, RecordId};
use crate::shared::{Expect, InMemory};

const NOW: Now = Now { unix_seconds: 2_000, monotonic_milliseconds: 50_000 };

fn outbox() -> Outbox {
    Outbox::new(KeySpace::of_feed("", "signout", "signout"))
}

/// Returns records that are all in the same value of the outbox.
fn of_one_key(count: usize) -> Vec<Record> {
    let ids = (0..count as u128).map(|number| RecordId((number << 8).to_be_bytes()));
    ids.map(|id| Record::token(id, NEVER)).collect()
}

proptest! {
    #[test]
    fn an_entry_is_removed_only_if_it_is_unchanged(
        puts in prop::collection::vec(record(), 0..20),
        acknowledged in prop::collection::vec(record(), 0..20),
    ) {
        let shared = InMemory::default();
        let mut model = BTreeMap::new();
        for &record in &puts {
            outbox().put(&shared, &[record], DueTime::AtOnce).unwrap();
            let entry = model.entry(record.key()).or_insert(record);
            *entry = entry.merge(record);
        }
        let acknowledged = [acknowledged, puts].concat();
        outbox().remove(&shared, &acknowledged).unwrap();
        model.retain(|_, record| !acknowledged.contains(record));
        let mut left = outbox().records(&shared);
        left.sort_unstable();
        prop_assert_eq!(&left, &model.into_values().collect::<Vec<_>>());
        prop_assert_eq!(outbox().len(&shared), left.len());
    }

    #[test]
    fn the_feed_removes_only_entries_that_it_covers(
        puts in prop::collection::vec(record(), 0..20),
        others in prop::collection::vec(record(), 0..20),
    ) {
        let shared = InMemory::default();
        outbox().put(&shared, &puts, DueTime::AtOnce).unwrap();
        let mut expected = outbox().records(&shared);
        let shown = [others, puts[..puts.len() / 2].to_vec()].concat();
        outbox().shown(&shared, &shown).unwrap();
        expected.retain(|record| !shown.iter().any(|shown| shown.covers(record)));
        prop_assert_eq!(outbox().records(&shared), expected);
    }

    #[test]
    fn adding_many_records_equals_adding_each(records in prop::collection::vec(record(), 0..30)) {
        let (at_once, one_by_one) = (InMemory::default(), InMemory::default());
        outbox().put(&at_once, &records, DueTime::AtOnce).unwrap();
        for &record in &records {
            outbox().put(&one_by_one, &[record], DueTime::AtOnce).unwrap();
        }
        prop_assert_eq!(outbox().records(&at_once), outbox().records(&one_by_one));
    }
}

#[test]
fn an_entry_is_due_at_once_or_after_two_seconds() {
    let since = |ago| DueTime::AfterGraceFrom(NOW.monotonic_milliseconds - ago);
    let ahead = DueTime::AfterGraceFrom(NOW.monotonic_milliseconds + 1);
    let cases =
        [(since(0), 0), (since(1_999), 0), (since(2_000), 1), (DueTime::AtOnce, 1), (ahead, 1)];
    for (due, expected) in cases {
        let shared = InMemory::default();
        outbox().put(&shared, &of_one_key(1), due).unwrap();
        assert_eq!(outbox().due(&shared, NOW, 10).len(), expected, "{due:?}");
    }
}

#[test]
fn adding_an_entry_again_does_not_delay_it() {
    let shared = InMemory::default();
    for ago in [2_500, 100] {
        let due = DueTime::AfterGraceFrom(NOW.monotonic_milliseconds - ago);
        outbox().put(&shared, &of_one_key(1), due).unwrap();
    }
    assert_eq!(outbox().due(&shared, NOW, 10).len(), 1);
}

#[test]
fn a_cutoff_that_the_service_would_refuse_waits_for_its_clock() {
    let shared = InMemory::default();
    let cutoff = Record::user(RecordId::FIRST, NOW.unix_seconds + 100, NEVER);
    outbox().put(&shared, &[cutoff], DueTime::AtOnce).unwrap();
    assert!(outbox().due(&shared, NOW, 10).is_empty());
    let later = Now { unix_seconds: NOW.unix_seconds + 40, ..NOW };
    assert_eq!(outbox().due(&shared, later, 10), [cutoff]);
}

#[test]
fn a_full_value_rejects_new_records_and_loses_none() {
    let shared = InMemory::default();
    let mut records = of_one_key(ENTRIES_A_KEY + 1);
    let last = records.pop().unwrap();
    outbox().put(&shared, &records, DueTime::AtOnce).unwrap();
    assert_eq!(outbox().put(&shared, &[last], DueTime::AtOnce), Err(PutError::Full));
    assert_eq!(outbox().put(&shared, &records[..1], DueTime::AtOnce), Ok(()), "it is in already");
    assert_eq!(outbox().records(&shared), records);
    let elsewhere = Record::token(RecordId::LAST, NEVER);
    assert_eq!(outbox().put(&shared, &[elsewhere], DueTime::AtOnce), Ok(()));
    outbox().remove(&shared, &records[..1]).unwrap();
    assert_eq!(outbox().put(&shared, &[last], DueTime::AtOnce), Ok(()));
}

#[test]
fn an_acknowledged_record_remains_until_shown() {
    let shared = InMemory::default();
    let records = of_one_key(2);
    outbox().put(&shared, &records, DueTime::AtOnce).unwrap();
    outbox().acknowledged(&shared, &records[..1], NOW).unwrap();
    let later = Now { monotonic_milliseconds: 1_000_000, ..NOW };
    assert_eq!(outbox().due(&shared, later, 10), records[1..]);
    for (complete_after, missing) in [(0, false), (9_999, false), (10_000, true)] {
        let current_at = NOW.monotonic_milliseconds + complete_after;
        assert_eq!(outbox().is_missing_any(&shared, current_at), missing, "{complete_after}");
    }
    outbox().shown(&shared, &records[..1]).unwrap();
    assert!(!outbox().is_missing_any(&shared, u64::MAX));
    assert_eq!(outbox().records(&shared), records[1..]);
}

#[test]
fn an_acknowledged_record_can_be_added_again() {
    let shared = InMemory::default();
    let records = of_one_key(1);
    for due in [DueTime::AfterGraceFrom(NOW.monotonic_milliseconds), DueTime::AtOnce] {
        outbox().put(&shared, &records, due).unwrap();
        outbox().acknowledged(&shared, &records, NOW).unwrap();
    }
    outbox().put(&shared, &records, DueTime::AtOnce).unwrap();
    assert_eq!(outbox().due(&shared, NOW, 10), records);
    assert!(!outbox().is_missing_any(&shared, u64::MAX));
}

#[test]
fn expired_records_are_not_expected_from_the_feed() {
    let shared = InMemory::default();
    let [past, not_yet] = [1_000, 1_001].map(|exp| Record::token(RecordId::FIRST, exp));
    for (record, left) in [(past, 0), (not_yet, 1)] {
        outbox().put(&shared, &[record], DueTime::AtOnce).unwrap();
        outbox().forget_past(&shared, 1_001 + 24 * 3_600 - 60);
        assert_eq!(outbox().len(&shared), left);
    }
}

#[test]
fn an_entry_keeps_its_account() {
    let record = Record::token(RecordId::FIRST, NEVER);
    let account = |iat| Some(Account { user: RecordId::LAST, iat });
    let outgoing = |account| OutgoingRecord { record, account };
    for (puts, expected) in [
        (vec![None], None),
        (vec![account(None)], account(None)),
        (vec![account(Some(0))], account(Some(0))),
        (vec![account(Some(5)), None], account(Some(5))),
        (vec![None, account(Some(5))], account(Some(5))),
        (vec![account(Some(7)), account(Some(5))], account(Some(7))),
    ] {
        let shared = InMemory::default();
        for &account in &puts {
            outbox().put(&shared, &[outgoing(account)], DueTime::AtOnce).unwrap();
        }
        assert_eq!(outbox().due(&shared, NOW, 9), [outgoing(expected)], "{puts:?}");
        assert_eq!(outbox().owed(&shared, &record), Some(outgoing(expected)), "{puts:?}");
        outbox().acknowledged(&shared, &[record], NOW).unwrap();
        assert_eq!(outbox().owed(&shared, &record), None);
    }
}

#[test]
fn an_empty_outbox_costs_no_copy() {
    let shared = InMemory::default();
    let records = of_one_key(1);
    outbox().put(&shared, &records, DueTime::AtOnce).unwrap();
    outbox().remove(&shared, &records).unwrap();
    assert!(shared.get(&outbox().name(0)).unwrap().value.is_empty());
}

#[test]
fn a_damaged_value_is_replaced_and_the_feed_reloaded() {
    let space = KeySpace::of_feed("", "signout", "signout");
    let shared = InMemory::default();
    outbox().put(&shared, &of_one_key(2), DueTime::AtOnce).unwrap();
    let value = shared.get(&outbox().name(0)).unwrap().value;
    let cut = &value[..value.len() - 1];
    let swapped =
        [MAGIC, &value[MAGIC.len() + ENTRY_BYTES..], &value[MAGIC.len()..][..ENTRY_BYTES]];
    for damaged in [b"?".as_slice(), MAGIC, cut, &swapped.concat()] {
        let loaded = FeedState { current_at: Some(1), ..FeedState::default() };
        assert!(loaded.write(&shared, &space, Expect::Anything));
        assert!(shared.set_if(&outbox().name(0), damaged, Expect::Anything));
        assert!(outbox().due(&shared, NOW, 10).is_empty());
        assert_eq!(FeedState::read(&shared, &space).0, FeedState::default());
        assert_eq!(outbox().len(&shared), 0);
    }
}
