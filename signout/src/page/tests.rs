//! Promise: a proxy that follows the pages has the live set at the end, whatever changes meanwhile.
//! Method: property tests over random sets, page sizes and times of change.

use std::collections::BTreeSet;

use proptest::prelude::*;
use session_guard_core::feed::wire::PageKey;
use session_guard_core::revocation::record::NEVER;

use super::*;
use crate::entry::{Entry, LOG_ENTRIES};

fn entry(sequence: u64, record: Option<Record>) -> Entry {
    Entry { position: Position { sequence, tag: sequence ^ 0xabcd }, record }
}

fn log(records: &[Record]) -> Log {
    let mut log = Log::new(entry(1, None));
    append(&mut log, records);
    log
}

fn append(log: &mut Log, records: &[Record]) {
    for record in records {
        log.append(entry(log.head().sequence + 1, Some(*record)), &mut Default::default());
    }
}

/// Generates records with ids all over the id space, some of them with one id and several kinds.
fn records(most: usize) -> impl Strategy<Value = Vec<Record>> {
    let id = prop_oneof![
        any::<[u8; 16]>(),
        (0u8..4).prop_map(|low| [low; 16]),
        Just([0xff; 16]),
        (0u8..32, any::<bool>()).prop_map(|(piece, end)| {
            let mut id = [if end { 0xff } else { 0 }; 16];
            id[0] = piece << 3 | if end { 7 } else { 0 };
            id
        }),
    ];
    let record = (id, 0..3usize).prop_map(|(id, kind)| {
        let kind = Kind::ALL[kind];
        let issued_before = if kind == Kind::Token { 0 } else { 9 };
        Record { id: RecordId(id), kind, issued_before, exp: NEVER }
    });
    prop::collection::vec(record, 0..most)
}

/// Returns the pages that a proxy without a set fetches, and the set that it then has. Calls
/// `change` before each page.
fn load(
    log: &mut Log,
    limit: usize,
    mut change: impl FnMut(&mut Log),
) -> (Vec<Page>, BTreeSet<Record>) {
    let (mut pages, mut place) = (Vec::<Page>::new(), ProxyPosition::Start);
    while pages.last().is_none_or(|page| page.more) {
        change(log);
        let page = page(log, place, limit, 5);
        let key = PageKey::new(b"an API token");
        assert_eq!(
            Page::decode(&page.encode(&key), &key).as_ref(),
            Ok(&page),
            "as a proxy reads it"
        );
        place = ProxyPosition::parse(page.cursor.as_str());
        pages.push(page);
    }
    let set = pages.iter().flat_map(|page| page.records.iter().copied()).collect();
    (pages, set)
}

fn live(log: &Log) -> BTreeSet<Record> {
    log.live_from(RecordId::FIRST).collect()
}

proptest! {
    #[test]
    fn pages_of_a_reset_contain_the_live_set_without_gaps(
        records in records(200),
        limit in prop_oneof![1..8usize, Just(usize::MAX)],
    ) {
        let mut log = log(&records);
        let (pages, set) = load(&mut log, limit, |_| {});
        prop_assert_eq!(set, live(&log));
        prop_assert_eq!(pages.iter().map(|page| page.records.len()).sum::<usize>(), log.len());
        prop_assert!(pages.iter().all(|page| page.reset && page.records.len() <= limit.max(3)));
        let mut next = Some(RecordId::FIRST);
        for page in &pages {
            prop_assert_eq!(Some(page.range.0), next);
            prop_assert_eq!(page.range.0.0[0] >> 3, page.range.1.0[0] >> 3, "at most 1/32");
            next = successor(page.range.1);
        }
        prop_assert_eq!(next, None, "the last page ends with the highest id");
    }

    #[test]
    fn a_proxy_has_the_live_set_after_concurrent_changes(
        before in records(100),
        meanwhile in records(60),
        limit in 1..40usize,
    ) {
        let mut log = log(&before);
        let mut rest = meanwhile.chunks(2);
        let (pages, set) = load(&mut log, limit, |log| append(log, rest.next().unwrap_or(&[])));
        prop_assert_eq!(set, live(&log));
        prop_assert_eq!(&pages.last().unwrap().cursor, &ProxyPosition::After(log.head()).cursor());
    }

    #[test]
    fn each_change_arrives_once_and_in_order(records in records(100), limit in 1..40usize) {
        let log = log(&records);
        let (mut place, mut came) = (ProxyPosition::After(entry(1, None).position), Vec::new());
        loop {
            let page = page(&log, place, limit, 5);
            prop_assert!(!page.reset && page.records.len() <= limit);
            place = ProxyPosition::parse(page.cursor.as_str());
            came.extend(page.records);
            if !page.more { break }
        }
        prop_assert_eq!(came, records);
    }
}

#[test]
fn an_unknown_position_begins_a_reset() {
    let log = log(&[Record::token(RecordId::FIRST, NEVER)]);
    let [held, foreign, future] = [(2, 2 ^ 0xabcd), (2, 3), (3, 3)]
        .map(|(sequence, tag)| ProxyPosition::After(Position { sequence, tag }));
    assert!(!is_reset(&log, held));
    for place in [ProxyPosition::Start, foreign, future] {
        assert!(is_reset(&log, place), "{place:?}");
        assert_eq!(page(&log, place, 9, 5).range.0, RecordId::FIRST, "{place:?}");
    }
}

#[test]
fn a_reset_older_than_the_log_begins_again() {
    let mut log = log(&[]);
    let first = page(&log, ProxyPosition::Start, 9, 5);
    let second = ProxyPosition::parse(first.cursor.as_str());
    assert_ne!(page(&log, second, 9, 5).range.0, RecordId::FIRST);
    append(&mut log, &vec![Record::token(RecordId::LAST, NEVER); LOG_ENTRIES]);
    assert_eq!(page(&log, second, 9, 5).range.0, RecordId::FIRST);
}

#[test]
fn a_loss_of_records_already_sent_restarts_the_reset() {
    let [low, high] = [RecordId::FIRST, RecordId::LAST].map(|id| Record::token(id, NEVER));
    let before = log(&[high]);
    let lasts = |place| matches!(place, ProxyPosition::InReset { next, .. } if next.0[0] == 0xf8);
    let mut place = ProxyPosition::parse(page(&before, ProxyPosition::Start, 9, 5).cursor.as_str());
    // A later page contains the record that was added meanwhile. Then the service loses that
    // record.
    let mut at_work = log(&[high, Record::token(RecordId([0xf0; 16]), NEVER)]);
    while !lasts(place) {
        place = ProxyPosition::parse(page(&at_work, place, 9, 5).cursor.as_str());
    }
    assert_eq!(page(&before, place, 9, 5).range.0, RecordId::FIRST);
    place = ProxyPosition::parse(page(&at_work, place, 9, 5).cursor.as_str());
    assert!(matches!(place, ProxyPosition::AfterReset { .. }));
    assert!(is_reset(&before, place) && page(&before, place, 9, 5).reset);
    // A service that has lost nothing continues with the changes.
    append(&mut at_work, &[low]);
    let changes = page(&at_work, place, 1, 5);
    assert_eq!((changes.reset, changes.more, changes.records.len()), (false, true, 1));
    let place = ProxyPosition::parse(changes.cursor.as_str());
    assert_eq!(place, ProxyPosition::After(entry(3, None).position));
    assert_eq!(page(&at_work, place, 9, 5).records, [low]);
}

#[test]
fn a_large_limit_does_not_make_a_large_page() {
    let token = |number: usize| Record::token(RecordId((number as u128).to_be_bytes()), NEVER);
    let records: Vec<_> = (0..RESET_RECORDS + 1).map(token).collect();
    let log = log(&records);
    let reset = page(&log, ProxyPosition::Start, usize::MAX, 5);
    assert_eq!(reset.records.len(), RESET_RECORDS);
    assert_eq!(reset.range.1, reset.records.last().unwrap().id);
    let changes = page(&log, ProxyPosition::After(entry(1, None).position), usize::MAX, 5);
    assert_eq!(changes.records.len(), CHANGES_RECORDS);
}
