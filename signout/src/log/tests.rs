//! Promise: the log is the join of its entries, and reports each obsolete row once.
//! Method: property tests that compare it with a plain fold, and tests of its limit.

use proptest::prelude::*;

use super::*;

fn id(byte: u8) -> RecordId {
    RecordId([byte; 16])
}

fn entry(sequence: u64, record: Option<Record>) -> Entry {
    Entry { position: Position { sequence, tag: sequence * 7 }, record }
}

/// Returns a log of these records, one entry each after the first entry.
fn log_of(records: impl IntoIterator<Item = Record>) -> (Log, Obsolete) {
    let (mut log, mut obsolete) = (Log::new(entry(1, None)), Obsolete::default());
    for (sequence, record) in (2..).zip(records) {
        log.append(entry(sequence, Some(record)), &mut obsolete);
    }
    (log, obsolete)
}

fn all(log: &Log) -> Vec<Record> {
    log.live_from(RecordId::FIRST).collect()
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = (0u8..6, 0..3usize, 1u64..100, prop_oneof![1u64..300_000, Just(NEVER)]).prop_map(
        |(byte, kind, issued_before, exp)| {
            let kind = Kind::ALL[kind];
            let issued_before = if kind == Kind::Token { 0 } else { issued_before };
            Record { id: id(byte), kind, issued_before, exp }
        },
    );
    prop::collection::vec(record, 0..60)
}

proptest! {
    #[test]
    fn the_set_is_the_join_of_all_entries(records in records()) {
        let mut join = BTreeMap::new();
        for record in &records {
            let joined = join.get(&record.key()).map_or(*record, |old: &Record| old.merge(*record));
            join.insert(record.key(), joined);
        }
        let (log, _) = log_of(records);
        prop_assert_eq!(all(&log), join.into_values().collect::<Vec<_>>());
        let by_kind: u64 = Kind::ALL.iter().map(|kind| log.count_of(*kind)).sum();
        prop_assert_eq!(by_kind as usize, log.len());
    }

    #[test]
    fn a_sweep_in_steps_drops_exactly_what_is_obsolete(records in records(), now in 0u64..400_000) {
        let (mut log, mut obsolete) = log_of(records);
        let mut kept = all(&log);
        kept.retain(|record| !is_obsolete(record.exp, now));
        let mut from = log.sweep(RecordId::FIRST, 4, now, &mut obsolete);
        while from != RecordId::FIRST {
            from = log.sweep(from, 4, now, &mut obsolete);
        }
        prop_assert_eq!(all(&log), kept);
    }

    #[test]
    fn entries_after_a_position_are_the_later_ones(
        records in records(),
        at: prop::sample::Index,
    ) {
        let (log, _) = log_of(records.clone());
        let known = at.index(records.len() + 1);
        let position = entry(known as u64 + 1, None).position;
        let after = log.entries_after(position).unwrap().filter_map(|entry| entry.record);
        prop_assert_eq!(after.collect::<Vec<_>>(), &records[known..]);
        let other = Position { tag: position.tag + 1, ..position };
        prop_assert!(log.entries_after(other).is_none());
    }
}

#[test]
fn the_log_keeps_its_newest_entries_and_releases_other_rows() {
    let token = |number: u64| Record::token(RecordId(u128::from(number).to_be_bytes()), NEVER);
    let most = LOG_ENTRIES as u64;
    // A cutoff that is replaced later, a token that is not, then as many entries as the log holds.
    let user = |cutoff| Record::user(id(0xff), cutoff, NEVER);
    let first = [user(1), token(1), user(2)];
    let (mut log, mut obsolete) = log_of(first.into_iter().chain((2..=most).map(token)));
    assert_eq!((log.entry_count(), log.index_of(4)), (LOG_ENTRIES, Some(0)));
    assert_eq!(obsolete.rows, [1, 2], "the first entry and the replaced cutoff");
    assert!(log.entries_after(entry(3, None).position).is_none());
    assert!(log.entries_after(entry(4, None).position).is_some());

    obsolete.rows.clear();
    log.append(entry(most + 4, Some(user(3))), &mut obsolete);
    assert_eq!(obsolete.rows, [4], "the replaced cutoff has just left the log");
    log.append(entry(most + 5, Some(token(1).merge(Record::token(token(1).id, 5)))), &mut obsolete);
    assert_eq!(
        obsolete.rows,
        [4, 3],
        "its row was older than the log, and a newer row replaces it"
    );
}

#[test]
fn rows_before_a_gap_stay_only_for_the_set() {
    let (mut log, mut obsolete) = log_of([Record::token(id(1), NEVER)]);
    log.append(entry(7, Some(Record::token(id(2), NEVER))), &mut obsolete);
    assert_eq!(obsolete.rows, [1]);
    assert_eq!((log.len(), log.entry_count()), (2, 1));
    assert!(log.entries_after(entry(2, None).position).is_none());
    log.append(entry(8, Some(Record::token(id(1), NEVER))), &mut obsolete);
    assert_eq!(obsolete.rows, [1, 2]);
}

#[test]
fn a_record_is_kept_for_a_day_after_its_exp() {
    assert!(!is_obsolete(1_000, 1_000 + 86_400));
    assert!(is_obsolete(1_000, 1_001 + 86_400));
    assert!(!is_obsolete(NEVER, u64::MAX));
}
