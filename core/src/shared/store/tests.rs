//! Promise: a store behaves like [`InMemory`], and no update is lost if threads swap the same key.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::shared::InMemory;
use crate::shared::names::NAME_BYTES;
use crate::shared::swap::swap;

#[derive(Clone, Debug)]
enum Act {
    Get(u8),
    Set(u8, Vec<u8>, Condition),
}

/// The condition of a write. `Read` expects the version that was read last, `ReadBefore` an older
/// one.
#[derive(Clone, Copy, Debug)]
enum Condition {
    Absent,
    Anything,
    Read,
    ReadBefore,
}

fn act() -> impl Strategy<Value = Act> {
    let condition = prop::sample::select(vec![
        Condition::Absent,
        Condition::Anything,
        Condition::Read,
        Condition::ReadBefore,
    ]);
    let value = prop::collection::vec(any::<u8>(), 0..5);
    prop_oneof![
        (0..3u8).prop_map(Act::Get),
        (0..3u8, value, condition).prop_map(|(key, value, when)| Act::Set(key, value, when)),
    ]
}

/// Runs the acts and returns everything observable. Versions are compared only for equality.
fn observed(shared: &dyn SharedData, acts: &[Act]) -> Vec<String> {
    let mut read: HashMap<u8, Vec<Version>> = HashMap::new();
    let mut observe = |act: &Act| match act {
        Act::Get(key) => {
            let stored = shared.get(&format!("key {key}"));
            let known = read.entry(*key).or_default();
            let is_new = stored.as_ref().is_some_and(|it| known.last() != Some(&it.version));
            known.extend(stored.as_ref().filter(|_| is_new).map(|it| it.version));
            format!("{:?} {is_new}", stored.map(|it| it.value))
        }
        Act::Set(key, value, condition) => {
            let mut known = read.get(key).into_iter().flatten().rev().copied();
            let expect = match condition {
                Condition::Absent => Some(Expect::Absent),
                Condition::Anything => Some(Expect::Anything),
                Condition::Read => known.next().map(Expect::At),
                Condition::ReadBefore => known.nth(1).map(Expect::At),
            };
            let set = |expect| shared.set_if(&format!("key {key}"), value, expect);
            format!("{:?}", expect.map(set))
        }
    };
    acts.iter().map(&mut observe).collect()
}

proptest! {
    #[test]
    fn a_store_behaves_like_the_model(acts in prop::collection::vec(act(), 0..40)) {
        let model = observed(&InMemory::default(), &acts);
        prop_assert_eq!(observed(&SharedStore::new(), &acts), model);
    }
}

#[test]
fn threads_that_swap_one_key_lose_nothing() {
    let store = Arc::new(SharedStore::new());
    let count = |store: &SharedStore| {
        for _ in 0..1_000 {
            swap(store, "sum", |found| {
                let sum = found.and_then(|it| it.try_into().ok()).map_or(0, u64::from_be_bytes);
                (Some((sum + 1).to_be_bytes().to_vec()), ())
            })
            .expect("10,000 tries are enough");
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(|| count(&store)))));
    assert_eq!(store.get("sum").map(|it| it.value), Some(4_000u64.to_be_bytes().to_vec()));
}

#[test]
fn threads_that_add_keys_of_one_list_find_all_of_them() {
    let store = SharedStore::new();
    let keys = colliding(20);
    let add = |keys: &[String]| {
        for key in keys {
            assert!(store.set_if(key, key.as_bytes(), Expect::Anything));
        }
    };
    let halves = [&keys[..12], &keys[8..]];
    thread::scope(|scope| halves.map(|half| drop(scope.spawn(move || add(half)))));
    for key in &keys {
        assert_eq!(store.get(key).map(|it| it.value), Some(key.clone().into_bytes()));
    }
}

#[test]
fn a_key_without_a_write_is_absent() {
    let store = SharedStore::new();
    assert!(!store.set_if("key", b"value", Expect::At(Version(1))));
    assert_eq!((store.get("key"), store.version("key")), (None, None));
    assert!(store.set_if("key", b"", Expect::Absent));
    assert_eq!(store.version("key"), Some(Version(1)));
    assert_eq!(store.get("key").map(|it| it.value), Some(vec![]));
}

#[test]
fn the_shards_of_a_feed_spread_over_the_lists() {
    let names = (0..0x8000).map(|shard| format!("session-guard/2/0123456789abcdef/t{shard:04x}"));
    let mut lengths = HashMap::<u64, usize>::new();
    names.for_each(|name| *lengths.entry(hash(name.as_bytes()) % LISTS as u64).or_default() += 1);
    assert!(lengths.values().all(|length| *length <= 8), "the longest list has 8 entries");
    assert!(lengths.len() > 24_000, "{} lists are used", lengths.len());
}

/// Keys that are in the same list.
fn colliding(count: usize) -> Vec<String> {
    let list = |key: &String| hash(key.as_bytes()) % LISTS as u64;
    let first = "key".to_owned();
    let same = (0u64..).map(|n| format!("key {n}")).filter(|key| list(key) == list(&first));
    let keys: Vec<_> = same.take(count).collect();
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), count);
    keys
}

#[test]
fn a_key_that_is_too_long_is_never_taken_for_another() {
    let store = SharedStore::new();
    let longest = "k".repeat(NAME_BYTES);
    assert!(store.set_if(&longest, b"value", Expect::Absent));
    let too_long = longest.clone() + "k";
    assert!(!store.set_if(&too_long, b"other", Expect::Anything));
    assert_eq!(store.get(&too_long), None);
    assert_eq!(store.get(&longest).map(|stored| stored.value), Some(b"value".to_vec()));
    assert_eq!(store.version(&longest[1..]), None);
}
