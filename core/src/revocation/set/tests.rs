//! Promise: the set never loses a live record, with any number of writers, in any order, and with
//! any clocks. Method: properties that compare the set with the union of all records in a map. In
//! the shared data of the test, other writers write between a read and the write that follows it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::revocation::horizon::LARGEST_SKEW_SECONDS;
use crate::revocation::name::{NamePair, TokenNames};
use crate::revocation::record::NEVER;
use crate::revocation::record::strategies::record;
use crate::shared::{Expect, InMemory, Stored};

type SetModel = BTreeMap<(RecordId, Kind), Record>;

fn space() -> KeySpace {
    KeySpace::of_feed("", "signout", "signout")
}

fn set() -> RevocationSet {
    RevocationSet::new(space(), "")
}

fn join(records: &[Record]) -> SetModel {
    let mut model = SetModel::new();
    for &record in records {
        model.entry(record.key()).and_modify(|held| *held = held.merge(record)).or_insert(record);
    }
    model
}

/// Returns the records in the shards of these records.
fn held(shared: &dyn SharedData, records: &[Record]) -> SetModel {
    let mut held = SetModel::new();
    for slot in records.iter().map(|record| ShardSlot::of(record.key())) {
        let stored = shared.get(&slot.name(&space()));
        let shard = Shard::read(slot, stored.as_ref().map(|stored| stored.value.as_slice()));
        held.extend(shard.expect("well-formed").records().map(|record| (record.key(), record)));
    }
    held
}

/// Shared data with other writers: before each write, one of them writes first.
struct Busy {
    inner: InMemory,
    others: RefCell<Vec<Vec<Record>>>,
}

impl SharedData for Busy {
    fn get(&self, key: &str) -> Option<Stored> {
        self.inner.get(key)
    }

    fn set_if(&self, key: &str, value: &[u8], expect: Expect) -> bool {
        if let Some(records) = self.others.borrow_mut().pop() {
            set().add(&self.inner, &records, Horizon::NONE).unwrap();
        }
        self.inner.set_if(key, value, expect)
    }
}

fn batches() -> impl Strategy<Value = Vec<Vec<Record>>> {
    prop::collection::vec(prop::collection::vec(record(), 0..12), 0..8)
}

proptest! {
    #[test]
    fn order_and_repetition_do_not_change_the_set(
        batches in batches().prop_shuffle(),
        again: prop::sample::Index,
    ) {
        let shared = InMemory::default();
        for batch in batches.iter().chain(batches.get(again.index(batches.len().max(1)))) {
            set().add(&shared, batch, Horizon::NONE).unwrap();
        }
        let all = batches.concat();
        prop_assert_eq!(held(&shared, &all), join(&all));
    }

    #[test]
    fn concurrent_writers_lose_nothing(mine in batches(), others in batches()) {
        let shared = Busy { inner: InMemory::default(), others: RefCell::new(others.clone()) };
        for batch in &mine {
            set().add(&shared, batch, Horizon::NONE).unwrap();
        }
        let left = shared.others.take();
        let all = [mine.concat(), others[left.len()..].concat()].concat();
        prop_assert_eq!(held(&shared, &all), join(&all));
    }

    #[test]
    fn any_of_three_records_revokes_a_token(
        records in prop::collection::vec(record(), 0..12),
        token in record(), user in record(), iat in prop::option::of(0u64..2_000),
    ) {
        let shared = InMemory::default();
        let all = Record::all("", 1_000, NEVER);
        let records = [records, vec![all]].concat();
        set().add(&shared, &records, Horizon::NONE).unwrap();
        let model = join(&records);
        let cut_off = |key| model.get(&key).is_some_and(|r: &Record| iat.is_none_or(|iat| iat < r.issued_before));
        let names = TokenNames::of(token.id).and_user(user.id);
        let expected = model.contains_key(&(token.id, Kind::Token))
            || cut_off((user.id, Kind::User))
            || cut_off(all.key());
        prop_assert_eq!(set().is_revoked(&shared, &names, iat), Ok(expected));
    }

    #[test]
    fn a_record_with_or_without_issuer_revokes_a_token(
        records in prop::collection::vec(named_record(), 0..12),
        issuer in issuer(), jti in value(), user in value(), iat in 0u64..2_000,
    ) {
        let shared = InMemory::default();
        let all: Vec<_> = records.iter().map(|(record, ..)| *record).collect();
        set().add(&shared, &all, Horizon::NONE).unwrap();
        let applies = |(record, by_issuer, value): &(Record, Option<&str>, &str)| {
            let expected = if record.kind == Kind::Token { jti } else { user };
            let is_old = record.kind == Kind::Token || iat < record.issued_before;
            *value == expected && (by_issuer.is_none() || *by_issuer == issuer) && is_old
        };
        let names = TokenNames::of(NamePair::of_token("", issuer, jti))
            .and_user(NamePair::of_user("", issuer, user));
        let expected = records.iter().any(applies);
        prop_assert_eq!(set().is_revoked(&shared, &names, Some(iat)), Ok(expected));
    }

    #[test]
    fn a_kept_verdict_equals_a_lookup(
        writes in prop::collection::vec((named_record(), any::<WriterEnd>()), 1..12),
        tokens in prop::collection::vec((issuer(), value(), value(), 0u64..2_000), 1..6),
    ) {
        let shared = InMemory::default();
        let mut marks = vec![None; tokens.len()];
        set().generations().renew(&shared);
        for ((record, ..), ending) in &writes {
            match ending {
                WriterEnd::Complete => set().add(&shared, &[*record], Horizon::NONE).unwrap(),
                WriterEnd::Died => {
                    let slot = ShardSlot::of(record.key());
                    set().merge(&shared, slot, &[*record], None, Horizon::NONE).unwrap();
                    set().generations().renew(&shared); // by the leader, within a second
                }
                WriterEnd::Nothing => set().generations().renew(&shared),
            }
            for ((issuer, jti, user, iat), mark) in tokens.iter().zip(&mut marks) {
                let names = TokenNames::of(NamePair::of_token("", *issuer, jti))
                    .and_session(NamePair::of_user("", *issuer, user));
                let verdict = set().judge(&shared, &names, Some(*iat), *mark).unwrap();
                let is_revoked = set().is_revoked(&shared, &names, Some(*iat)).unwrap();
                prop_assert_eq!(verdict == RevocationVerdict::Revoked, is_revoked);
                if let RevocationVerdict::Live(new) = verdict {
                    *mark = new;
                }
            }
        }
    }

    #[test]
    fn a_record_outlives_its_tokens_if_one_clock_is_right(
        records in prop::collection::vec(record(), 1..12),
        steps in prop::collection::vec((0u64..400, 0u64..6_000), 1..20),
        right_is_ours: bool,
    ) {
        let shared = InMemory::default();
        set().add(&shared, &records, Horizon::NONE).unwrap();
        let mut time = 0;
        for (elapsed, wrong) in steps {
            time += elapsed;
            let clocks = if right_is_ours { (time, wrong) } else { (wrong, time) };
            let horizon = Horizon::of(clocks.0, clocks.1);
            let slots = records.iter().map(|record| ShardSlot::of(record.key()));
            slots.for_each(|slot| assert!(set().prune(&shared, slot, horizon).is_ok()));
            set().add(&shared, &records[..1], horizon).unwrap();
            let held = held(&shared, &records);
            for (key, record) in join(&records) {
                let acceptable = time <= record.exp.saturating_add(LARGEST_SKEW_SECONDS);
                prop_assert!(!acceptable || held.contains_key(&key), "{record:?} at {time}");
            }
        }
    }

    #[test]
    fn a_page_adds_records_and_returns_those_it_lacks(
        ours in prop::collection::vec(record(), 0..20),
        theirs in prop::collection::vec(record(), 0..20),
        (tails, high) in (prop::array::uniform2(0u8..8), prop_oneof![Just(0), Just(0xff)]),
    ) {
        let shared = InMemory::default();
        set().add(&shared, &ours, Horizon::NONE).unwrap();
        let [first, last] = [tails[0].min(tails[1]), tails[0].max(tails[1])].map(|tail| {
            let mut id = [high; 16];
            id[15] = tail;
            RecordId(id)
        });
        let in_range = |record: &Record| first <= record.id && record.id <= last;
        let page: Vec<_> = join(&theirs).into_values().filter(in_range).collect();
        let lacking = set().compare(&shared, &page, (first, last), Horizon::NONE).unwrap();
        let both = [ours.as_slice(), page.as_slice()].concat();
        prop_assert_eq!(held(&shared, &both), join(&both));
        let theirs = join(&page);
        let mut expected = join(&both);
        expected.retain(|key, record| in_range(record) && theirs.get(key) != Some(record));
        prop_assert_eq!(join(&lacking), expected);
    }
}

#[test]
fn expired_records_are_removed_when_both_clocks_agree() {
    let shared = InMemory::default();
    let id = |last| RecordId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    let (old, new) = (Record::user(id(7), 5, 100), Record::user(id(1), 5, 900));
    set().add(&shared, &[old, new], Horizon::NONE).unwrap();
    let slot = ShardSlot::of(old.key());
    assert_eq!(set().prune(&shared, slot, Horizon::of(500, 400)), Ok(2));
    assert_eq!(set().prune(&shared, slot, Horizon::of(500, 500)), Ok(1));
    assert_eq!(held(&shared, &[old, new]), join(&[new]));
}

#[test]
fn an_unchanged_shard_is_not_written() {
    let shared = InMemory::default();
    let record = Record::token(RecordId::FIRST, 100);
    set().add(&shared, &[record], Horizon::NONE).unwrap();
    let key = ShardSlot::of(record.key()).name(&space());
    let before = shared.get(&key);
    set().add(&shared, &[record], Horizon::NONE).unwrap();
    set().compare(&shared, &[record], (RecordId::FIRST, record.id), Horizon::NONE).unwrap();
    assert_eq!(set().prune(&shared, ShardSlot::of(record.key()), Horizon::NONE), Ok(1));
    assert_eq!(shared.get(&key), before);
}

#[test]
fn the_generation_is_written_after_the_shards() {
    struct CallOrder(InMemory, RefCell<Vec<String>>);
    impl SharedData for CallOrder {
        fn get(&self, key: &str) -> Option<Stored> {
            self.0.get(key)
        }
        fn set_if(&self, key: &str, value: &[u8], expect: Expect) -> bool {
            self.1.borrow_mut().push(key.rsplit('/').next().unwrap().to_owned());
            self.0.set_if(key, value, expect)
        }
    }
    let shared = CallOrder(InMemory::default(), RefCell::default());
    let records = [Record::token(RecordId::LAST, 9), Record::user(RecordId::FIRST, 5, 9)];
    let generation = || set().generations().current(&shared);
    assert_eq!(generation(), None);
    set().add(&shared, &records, Horizon::NONE).unwrap();
    assert_eq!(*shared.1.borrow(), ["t7fff", "u000", "s3ff", "s000", "gen"]);
    let before = generation();
    set().add(&shared, &records, Horizon::NONE).unwrap();
    assert_ne!(generation(), before);
}

/// Shared data that counts reads.
#[derive(Default)]
struct CountingReads {
    inner: InMemory,
    reads: Cell<usize>,
}

impl SharedData for CountingReads {
    fn get(&self, key: &str) -> Option<Stored> {
        self.reads.set(self.reads.get() + 1);
        self.inner.get(key)
    }

    fn version(&self, key: &str) -> Option<Version> {
        self.inner.version(key)
    }

    fn set_if(&self, key: &str, value: &[u8], expect: Expect) -> bool {
        self.inner.set_if(key, value, expect)
    }
}

/// How a writer of one record ends.
#[derive(Clone, Copy, Debug)]
enum WriterEnd {
    /// It has written everything.
    Complete,
    /// It dies after it has written the shard.
    Died,
    /// It writes nothing. The leader renews the generation.
    Nothing,
}

impl Arbitrary for WriterEnd {
    type Parameters = ();
    type Strategy = prop::sample::Select<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        prop::sample::select(vec![Self::Complete, Self::Died, Self::Nothing])
    }
}

/// A revocation of a token or a user, with the issuer and the value that it names.
fn named_record() -> impl Strategy<Value = (Record, Option<&'static str>, &'static str)> {
    (any::<bool>(), issuer(), value(), 1u64..2_000).prop_map(|(is_token, issuer, value, time)| {
        let record = match is_token {
            true => Record::token(RecordId::of_token("", issuer, value), NEVER),
            false => Record::user(RecordId::of_user("", issuer, value), time, NEVER),
        };
        (record, issuer, value)
    })
}

fn issuer() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some("")), Just(Some("a")), Just(Some("b"))]
}

fn value() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("1"), Just("2"), Just("3")]
}

#[test]
fn a_lookup_reads_each_name_once() {
    let shared = CountingReads::default();
    let names = TokenNames::of(NamePair::of_token("", Some("a"), "1")).and_user(NamePair::of_user(
        "",
        Some("a"),
        "u",
    ));
    assert_eq!(set().is_revoked(&shared, &names, Some(5)), Ok(false));
    assert_eq!(shared.reads.get(), 3, "token, user and all");
}

#[test]
fn a_token_is_looked_up_again_only_after_a_change_of_its_shards() {
    let shared = CountingReads::default();
    let token = RecordId::FIRST;
    let [mut neighbour, mut in_stripe] = [token; 2];
    neighbour.0[15] = 1;
    in_stripe.0[1] = 2;
    assert_ne!(ShardSlot::of((token, Kind::Token)), ShardSlot::of((in_stripe, Kind::Token)));
    let judge = |last| set().judge(&shared, &TokenNames::of(token), Some(5), last).unwrap();
    set().generations().renew(&shared);
    let RevocationVerdict::Live(mut mark) = judge(None) else { panic!("revoked") };
    let mut reads_after = |write: &dyn Fn()| {
        write();
        shared.reads.set(0);
        let RevocationVerdict::Live(new) = judge(mark) else { panic!("revoked") };
        mark = new;
        shared.reads.get()
    };
    let add = |id| set().add(&shared, &[Record::token(id, NEVER)], Horizon::NONE).unwrap();
    assert_eq!(reads_after(&|| set().generations().renew(&shared)), 0);
    assert_eq!(reads_after(&|| add(RecordId::LAST)), 0);
    assert_eq!(reads_after(&|| add(in_stripe)), 0);
    assert_eq!(reads_after(&|| add(neighbour)), 2, "token and all");
    assert_eq!(reads_after(&|| set().generations().renew(&shared)), 0);
    add(token);
    assert_eq!(judge(mark), RevocationVerdict::Revoked);
}

#[test]
fn only_the_cutoff_of_this_realm_applies() {
    let shared = InMemory::default();
    set().add(&shared, &[Record::all("other", 1_000, NEVER)], Horizon::NONE).unwrap();
    let token = TokenNames::of(RecordId::of_token("", None, "a"));
    assert_eq!(set().is_revoked(&shared, &token, Some(5)), Ok(false));
    let other = RevocationSet::new(space(), "other");
    assert_eq!(other.is_revoked(&shared, &token, Some(5)), Ok(true));
    assert_eq!(other.is_revoked(&shared, &token, Some(1_000)), Ok(false));
    assert_eq!(other.is_revoked(&shared, &token, None), Ok(true));
}

#[test]
fn a_failed_write_is_an_error() {
    struct Stubborn;
    impl SharedData for Stubborn {
        fn get(&self, _: &str) -> Option<Stored> {
            None
        }
        fn set_if(&self, _: &str, _: &[u8], _: Expect) -> bool {
            false
        }
    }
    let records = [Record::token(RecordId::FIRST, 100)];
    assert_eq!(set().add(&Stubborn, &records, Horizon::NONE), Err(SetError::Contended));
}
