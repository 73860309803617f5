//! The book is the join of what was entered, and names each row that it no longer needs once:
//! property tests against a plain fold, and the log's limit.

use proptest::prelude::*;

use super::*;

fn id(byte: u8) -> RecordId {
    RecordId([byte; 16])
}

fn entry(sequence: u64, record: Option<Record>) -> Entry {
    Entry { position: Position { sequence, tag: sequence * 7 }, record }
}

/// A book of these records, one entry each after the genesis entry.
fn book(records: impl IntoIterator<Item = Record>) -> (Book, Forget) {
    let (mut book, mut dead) = (Book::new(entry(1, None)), Forget::default());
    for (sequence, record) in (2..).zip(records) {
        book.append(entry(sequence, Some(record)), &mut dead);
    }
    (book, dead)
}

fn all(book: &Book) -> Vec<Record> {
    book.live_from(RecordId::FIRST).collect()
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
        let (book, _) = book(records);
        prop_assert_eq!(all(&book), join.into_values().collect::<Vec<_>>());
        let by_kind: u64 = Kind::ALL.iter().map(|kind| book.of_kind(*kind)).sum();
        prop_assert_eq!(by_kind as usize, book.len());
    }

    #[test]
    fn a_sweep_in_steps_drops_exactly_what_is_past(records in records(), now in 0u64..400_000) {
        let (mut book, mut dead) = book(records);
        let mut kept = all(&book);
        kept.retain(|record| !is_past(record.exp, now));
        let mut from = book.sweep(RecordId::FIRST, 4, now, &mut dead);
        while from != RecordId::FIRST {
            from = book.sweep(from, 4, now, &mut dead);
        }
        prop_assert_eq!(all(&book), kept);
    }

    #[test]
    fn what_follows_a_position_is_what_came_after_it(
        records in records(),
        at: prop::sample::Index,
    ) {
        let (book, _) = book(records.clone());
        let known = at.index(records.len() + 1);
        let position = entry(known as u64 + 1, None).position;
        let after = book.entries_after(position).unwrap().filter_map(|entry| entry.record);
        prop_assert_eq!(after.collect::<Vec<_>>(), &records[known..]);
        let other = Position { tag: position.tag + 1, ..position };
        prop_assert!(book.entries_after(other).is_none());
    }
}

#[test]
fn the_log_keeps_its_newest_entries_and_gives_up_rows_that_nobody_needs() {
    let token = |number: u64| Record::token(RecordId(u128::from(number).to_be_bytes()), NEVER);
    let most = LOG_ENTRIES as u64;
    // One user's cutoff that is replaced, one token that is not, then as much as the log holds.
    let user = |cutoff| Record::user(id(0xff), cutoff, NEVER);
    let first = [user(1), token(1), user(2)];
    let (mut book, mut dead) = book(first.into_iter().chain((2..=most).map(token)));
    assert_eq!((book.log_len(), book.place_in_log(4)), (LOG_ENTRIES, Some(0)));
    assert_eq!(dead.rows, [1, 2], "the genesis entry and the replaced cutoff");
    assert!(book.entries_after(entry(3, None).position).is_none());
    assert!(book.entries_after(entry(4, None).position).is_some());

    dead.rows.clear();
    book.append(entry(most + 4, Some(user(3))), &mut dead);
    assert_eq!(dead.rows, [4], "the cutoff that was replaced has just left the log");
    book.append(entry(most + 5, Some(token(1).merge(Record::token(token(1).id, 5)))), &mut dead);
    assert_eq!(dead.rows, [4, 3], "its row lay before the log, and a newer one says it all");
}

#[test]
fn rows_before_a_gap_are_kept_only_for_the_set() {
    let (mut book, mut dead) = book([Record::token(id(1), NEVER)]);
    book.append(entry(7, Some(Record::token(id(2), NEVER))), &mut dead);
    assert_eq!(dead.rows, [1]);
    assert_eq!((book.len(), book.log_len()), (2, 1));
    assert!(book.entries_after(entry(2, None).position).is_none());
    book.append(entry(8, Some(Record::token(id(1), NEVER))), &mut dead);
    assert_eq!(dead.rows, [1, 2]);
}

#[test]
fn a_record_is_kept_a_day_beyond_its_exp() {
    assert!(!is_past(1_000, 1_000 + 86_400));
    assert!(is_past(1_000, 1_001 + 86_400));
    assert!(!is_past(NEVER, u64::MAX));
}
