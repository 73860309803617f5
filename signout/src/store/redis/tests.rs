//! Promise: services that write at the same time lose nothing, losses of Redis are detected, and a
//! Redis that may lose data acknowledges nothing.
//! Method: a real Redis.

use std::collections::BTreeMap;

use session_guard_core::hash::sha256;
use session_guard_core::revocation::record::{Kind, NEVER, RecordId};

use super::*;
use crate::store::NextEntries;

const RECORDS: &str = "{session-guard}:records";
const LOG: &str = "{session-guard}:log";
const AUDIT: &str = "{session-guard}:audit";
const LONGEST_AUDIT_BYTES: u64 = 300;

fn open(redis: &testbed::Redis) -> RedisStore {
    try_open(redis, WhenNotDurable::Refuse, Wait::default()).unwrap()
}

fn try_open(
    redis: &testbed::Redis,
    check: WhenNotDurable,
    wait: Wait,
) -> Result<RedisStore, StoreError> {
    let options = Options { check, wait, ..Options::default() };
    RedisStore::open(Link::new(&redis.url(), None).unwrap(), options)
}

fn token(number: u64, exp: u64) -> Record {
    Record::token(RecordId(u128::from(number).to_be_bytes()), exp)
}

/// Returns entries for those records, as a service numbers them whose newest entry is `known`.
fn entries(known: Position, records: impl IntoIterator<Item = Record>) -> Vec<Entry> {
    let position = |sequence| Position { sequence, tag: rand_tag() };
    let from = known.sequence + 1;
    (from..)
        .zip(records)
        .map(|(at, it)| Entry { position: position(at), record: Some(it) })
        .collect()
}

fn rand_tag() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_be_bytes(bytes)
}

/// Returns the content of a store: its last entry, the number of entries, and the set.
fn read(store: &mut RedisStore) -> (Position, usize, BTreeMap<(RecordId, Kind), Record>) {
    store.begin(rand_tag()).unwrap();
    let (mut last, mut count, mut set) = (None, 0, BTreeMap::new());
    store
        .read_all(&mut |row| {
            let record = match row {
                Row::Entry(entry) => {
                    (last, count) = (Some(entry.position), count + 1);
                    entry.record
                }
                Row::Record(record) => Some(record),
            };
            if let Some(record) = record {
                let known: &mut Record = set.entry(record.key()).or_insert(record);
                *known = known.merge(record);
            }
        })
        .unwrap();
    (last.unwrap(), count, set)
}

fn append(
    store: &mut RedisStore,
    known: Position,
    records: &[Record],
) -> Result<Vec<Entry>, StoreError> {
    let given = entries(known, records.iter().copied());
    let nothing = Obsolete::default();
    Ok(match store.append(known, (&*given).into(), &nothing, AppendReason::Acknowledge)? {
        Appended::AsGiven => given,
        Appended::Instead(entries) => entries,
    })
}

#[test]
fn all_services_read_appended_records_merged_by_maximum() {
    let redis = testbed::Redis::start();
    let (mut one, mut other) = (open(&redis), open(&redis));
    let (known, ..) = read(&mut one);
    assert_eq!(read(&mut other).0, known, "who comes second finds what the first has begun");
    let user = |cutoff, exp| Record::user(RecordId([7; 16]), cutoff, exp);
    let mine = append(&mut one, known, &[token(1, 50), user(9, NEVER)]).unwrap();
    assert_eq!(mine.len(), 2);
    let both = append(&mut other, known, &[token(1, 40), token(2, 5), user(20, 60)]).unwrap();
    let records: Vec<_> = both.iter().filter_map(|entry| entry.record).collect();
    let expected = [token(1, 50), user(9, NEVER), token(2, 5), user(20, NEVER)];
    assert_eq!(
        records, expected,
        "what others appended comes first, and a lesser exp adds nothing"
    );
    assert_eq!(both[..2], mine);
    let (last, count, set) = read(&mut one);
    assert_eq!((last, count), (both.last().unwrap().position, 5));
    let expected: BTreeMap<_, _> = expected.map(|record| (record.key(), record)).into();
    assert_eq!(set, expected);
}

#[test]
fn a_follower_receives_entries_and_learns_when_it_is_current() {
    let redis = testbed::Redis::start();
    let mut store = open(&redis);
    let (known, ..) = read(&mut store);
    let mut follower = open(&redis).subscribe().unwrap();
    let nothing = NextEntries { entries: Vec::new(), is_all: true };
    assert_eq!(follower.next(known).unwrap(), nothing);
    let waiting = std::thread::spawn(move || follower.next(known).unwrap());
    let appended = append(&mut store, known, &[token(1, 5)]).unwrap();
    assert_eq!(waiting.join().unwrap(), NextEntries { entries: appended, is_all: true });
}

#[test]
fn four_services_that_write_at_once_agree_on_one_log() {
    let redis = testbed::Redis::start();
    let (known, ..) = read(&mut open(&redis));
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let mut store = open(&redis);
            scope.spawn(move || {
                let mut at = known;
                for number in 0..50 {
                    let own = token(writer * 1_000 + number, 100);
                    let news = append(&mut store, at, &[own, token(number, 100)]).unwrap();
                    at = news.last().map_or(at, |entry| entry.position);
                }
            });
        }
    });
    let (last, count, set) = read(&mut open(&redis));
    assert_eq!((set.len(), count, last.sequence), (200, 201, 201), "no record has two entries");
}

/// A way in which a Redis can lose data.
type Loss = fn(&mut testbed::Redis);

#[test]
fn writers_and_followers_detect_every_kind_of_loss() {
    let losses: [(&str, Loss); 5] = [
        ("emptied", |redis| drop(redis.command(&["FLUSHALL"]))),
        ("log gone", |redis| drop(redis.command(&["DEL", LOG]))),
        ("set gone", |redis| drop(redis.command(&["DEL", RECORDS]))),
        ("last entry gone", |redis| drop(redis.command(&["XDEL", LOG, "4-0"]))),
        ("another's log", |redis| {
            redis.command(&["FLUSHALL"]);
            let mut other = open(redis);
            let (known, ..) = read(&mut other);
            append(&mut other, known, &[token(7, 5), token(8, 5), token(9, 5)]).unwrap();
        }),
    ];
    for (name, lose) in losses {
        let mut redis = testbed::Redis::start();
        let mut store = open(&redis);
        let (known, ..) = read(&mut store);
        let records = [token(1, 5), token(2, 5), token(3, 5)];
        let known = append(&mut store, known, &records).unwrap().last().unwrap().position;
        let mut follower = store.subscribe().unwrap();
        assert!(follower.next(known).unwrap().is_all);
        lose(&mut redis);
        let written = append(&mut store, known, &[token(4, 5)]).unwrap_err();
        assert!(written.is_lost(), "{name}: {written}");
        if name != "set gone" {
            let followed = follower.next(known).unwrap_err();
            assert!(followed.is_lost(), "{name}: {followed}");
        }
        assert!(
            store
                .append(known, (&[][..]).into(), &Obsolete::default(), AppendReason::Maintain)
                .unwrap_err()
                .is_lost(),
            "{name}"
        );
        let (_, _, set) = read(&mut store);
        assert!(!set.contains_key(&token(4, 5).key()), "{name}: nothing of it was stored");
        let kept = set.keys().filter(|key| records.iter().any(|it| it.key() == **key)).count();
        let expected = match name {
            "emptied" | "another's log" => 0,
            _ => 3, // each of the two keys alone has them all, as long as the log is not trimmed
        };
        assert_eq!(kept, expected, "{name}");
    }
}

#[test]
fn entries_with_matching_numbers_but_other_tags_are_another_log() {
    let redis = testbed::Redis::start();
    let mut store = open(&redis);
    let (first, ..) = read(&mut store);
    let known = append(&mut store, first, &[token(1, 5)]).unwrap()[0].position;
    // A replica that was behind became the primary, and another service appended entries to it.
    let only_the_first = "local first = redis.call('XRANGE', KEYS[1], '1-0', '1-0')[1][2]
        redis.call('DEL', KEYS[1])
        return redis.call('XADD', KEYS[1], '1-0', first[1], first[2])";
    redis.command(&["EVAL", only_the_first, "1", LOG]);
    let instead = append(&mut store, first, &[token(2, 5), token(3, 5)]).unwrap();
    assert_eq!(instead.last().unwrap().position.sequence, known.sequence + 1);
    assert!(store.subscribe().unwrap().next(known).unwrap_err().is_lost());
    assert!(append(&mut store, known, &[token(4, 5)]).unwrap_err().is_lost());
}

#[test]
fn a_broken_log_is_replaced_without_losing_records() {
    let redis = testbed::Redis::start();
    let mut store = open(&redis);
    let (known, ..) = read(&mut store);
    let records = [token(1, 5), token(2, 5), token(3, 5)];
    let known = append(&mut store, known, &records).unwrap()[2].position;
    redis.command(&["XDEL", LOG, "3-0"]);
    store.begin(rand_tag()).unwrap();
    assert!(store.read_all(&mut |_| {}).unwrap_err().is_lost(), "and it is mended meanwhile");
    let (last, count, set) = read(&mut store);
    assert_eq!((last.sequence, count, set.len()), (1, 1, 3));
    assert!(append(&mut store, known, &[token(4, 5)]).unwrap_err().is_lost());
    assert_eq!(append(&mut store, last, &[token(4, 5)]).unwrap().len(), 1);
}

#[test]
fn the_log_is_trimmed_and_the_set_is_complete() {
    let redis = testbed::Redis::start();
    let mut store = open(&redis);
    let (mut known, ..) = read(&mut store);
    let most = LOG_ENTRIES as u64 + 20_000;
    for first in (0..most).step_by(10_000) {
        let records: Vec<_> = (first..first + 10_000).map(|number| token(number, NEVER)).collect();
        known = append(&mut store, known, &records).unwrap().last().unwrap().position;
    }
    let (last, count, set) = read(&mut store);
    assert_eq!((last, set.len() as u64), (known, most));
    assert!((LOG_ENTRIES..LOG_ENTRIES + 1_000).contains(&count), "{count} entries");
}

#[test]
fn an_obsolete_record_is_deleted_unless_it_has_changed() {
    let redis = testbed::Redis::start();
    let mut store = open(&redis);
    let (known, ..) = read(&mut store);
    let known = append(&mut store, known, &[token(1, 5), token(2, 5)]).unwrap()[1].position;
    let known = append(&mut store, known, &[token(2, 90)]).unwrap()[0].position;
    let obsolete =
        Obsolete { records: vec![token(1, 5), token(2, 5), token(3, 5)], ..Obsolete::default() };
    let appended =
        store.append(known, (&[][..]).into(), &obsolete, AppendReason::Maintain).unwrap();
    assert_eq!(appended, Appended::AsGiven);
    assert_eq!(redis.command(&["HLEN", RECORDS]), "2", "the format and one record");
}

/// Prints the figure of docs/operations.md.
#[test]
#[ignore = "measures: make audit-bytes"]
fn bytes_of_an_audit_entry() {
    let redis = testbed::Redis::start();
    let mut store = open(&redis);
    store.begin(1).unwrap();
    let count = crate::store::audit_tests::append_sign_outs(&mut store);
    let size = redis.command(&["MEMORY", "USAGE", AUDIT, "SAMPLES", "0"]);
    let size: u64 = size.parse().expect("a number of bytes");
    println!("Redis: {count} audit entries take {size} bytes, {} each", size / count);
    assert!(size / count <= LONGEST_AUDIT_BYTES, "docs/operations.md says less");
}

#[test]
fn the_audit_is_kept_in_order_and_the_oldest_rows_go_first() {
    let redis = testbed::Redis::start();
    let mut store = open(&redis);
    store.begin(rand_tag()).unwrap();
    crate::store::audit_tests::rows_are_kept_in_order(&mut store);
}

#[test]
fn a_redis_that_may_lose_data_is_refused_or_reported() {
    for (name, value, word) in
        [("appendonly", "no", "appendonly yes"), ("maxmemory-policy", "allkeys-lru", "noeviction")]
    {
        let redis = testbed::Redis::setup().set(name, value).start();
        let refused =
            try_open(&redis, WhenNotDurable::Refuse, Wait::default()).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains(word), "{refused}");
        assert!(
            try_open(&redis, WhenNotDurable::Warn, Wait::default())
                .unwrap()
                .durability()
                .problem()
                .is_some()
        );
    }
    assert_eq!(open(&testbed::Redis::start()).durability(), Durability::Durable);
}

#[test]
fn a_full_redis_rejects_appends_with_an_error() {
    let redis = testbed::Redis::setup().set("maxmemory", "4mb").start();
    let mut store = open(&redis);
    let (mut known, ..) = read(&mut store);
    let mut number = 0;
    let error = loop {
        let records: Vec<_> = (number..number + 500).map(|at| token(at, NEVER)).collect();
        match append(&mut store, known, &records) {
            Ok(entries) => known = entries.last().unwrap().position,
            Err(error) => break error,
        }
        number += 500;
    };
    assert!(error.to_string().contains("maxmemory"), "{error}");
    let (last, _, set) = read(&mut store);
    assert_eq!((last, set.len() as u64), (known, number), "no half of a batch");
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(append(&mut store, known, &[token(number, NEVER)]).is_ok());
}

#[test]
fn an_acknowledgement_waits_for_the_replicas_that_it_needs() {
    let redis = testbed::Redis::start();
    let needs_one = Wait { replicas: 1, fsync: false };
    let mut store = try_open(&redis, WhenNotDurable::Refuse, needs_one).unwrap();
    let (known, ..) = read(&mut store);
    let alone = append(&mut store, known, &[token(1, 5)]).unwrap_err();
    assert!(alone.to_string().contains("0 of 1"), "{alone}");
    let port = redis.address().port().to_string();
    let replica = testbed::Redis::setup().set("replicaof", &format!("127.0.0.1 {port}")).start();
    testbed::eventually(Duration::from_secs(20), || {
        replica.command(&["INFO", "replication"]).contains("master_link_status:up")
    });
    // A record that the primary already holds is acknowledged only when the replica has it, too.
    let entries = append(&mut store, known, &[token(1, 5)]).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(replica.command(&["HLEN", RECORDS]), "2");
    let mut store = try_open(&replica, WhenNotDurable::Refuse, Wait::default()).unwrap();
    assert!(append(&mut store, known, &[token(2, 5)]).is_err(), "a replica takes no writes");
}

#[test]
fn a_server_without_waitaof_is_refused_if_it_is_needed() {
    let redis = testbed::Redis::start();
    let has_it = redis.try_command(&["WAITAOF", "0", "0", "1"]).is_ok();
    let opened = try_open(&redis, WhenNotDurable::Refuse, Wait { replicas: 0, fsync: true });
    match opened {
        Ok(mut store) => {
            let (known, ..) = read(&mut store);
            assert!(has_it && append(&mut store, known, &[token(1, 5)]).is_ok());
        }
        Err(error) => assert!(!has_it && error.to_string().contains("Valkey"), "{error}"),
    }
}

#[test]
fn keys_of_other_programs_or_versions_are_not_changed() {
    let redis = testbed::Redis::start();
    redis.command(&["HSET", RECORDS, "format", "2"]);
    let error = open(&redis).begin(1).unwrap_err();
    assert!(error.to_string().contains("format 2"), "{error}");
    redis.command(&["HSET", RECORDS, "format", "1", "odd", "value"]);
    let mut store = open(&redis);
    store.begin(1).unwrap();
    let error = store.read_all(&mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("a record is damaged"), "{error}");
}

#[test]
fn a_cluster_works_like_one_server() {
    let redis = testbed::Redis::setup().set("cluster-enabled", "yes").start();
    redis.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    testbed::eventually(Duration::from_secs(20), || {
        redis.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
    });
    let address = format!("redis+cluster://{}", redis.address());
    let link = Link::new(&address, None).unwrap();
    let mut store = RedisStore::open(link, Options::default()).unwrap();
    let (known, ..) = read(&mut store);
    let appended = append(&mut store, known, &[token(1, 5)]).unwrap();
    let followed = store.subscribe().unwrap().next(known).unwrap();
    assert_eq!(followed.entries, appended);
    let link = Link::new(&address, None).unwrap();
    let wait = Wait { replicas: 1, fsync: false };
    assert!(RedisStore::open(link, Options { wait, ..Options::default() }).is_err());
}

#[test]
fn settings_that_change_on_the_running_server_stop_acknowledgements() {
    for (name, bad, good, word) in [
        ("appendonly", "no", "yes", "appendonly yes"),
        ("maxmemory-policy", "allkeys-lru", "noeviction", "noeviction"),
    ] {
        let redis = testbed::Redis::start();
        let (mut strict, mut lenient) =
            (open(&redis), try_open(&redis, WhenNotDurable::Warn, Wait::default()).unwrap());
        let (known, ..) = read(&mut strict);
        let known = append(&mut strict, known, &[token(1, 5)]).unwrap()[0].position;
        redis.command(&["CONFIG", "SET", name, bad]);
        // Immediately, without a check in between: not even a known record is acknowledged.
        for records in [&[token(2, 5)][..], &[]] {
            let refused = append(&mut strict, known, records).unwrap_err();
            assert!(refused.refusal().is_some_and(|problem| problem.contains(word)), "{refused}");
        }
        assert!(strict.durability().refusal().is_some());
        assert_eq!(redis.command(&["HLEN", RECORDS]), "2", "the format and one record");
        let maintained =
            strict.append(known, (&[][..]).into(), &Obsolete::default(), AppendReason::Maintain);
        assert_eq!(maintained.unwrap(), Appended::AsGiven, "reading what others append works");
        lenient.check();
        assert!(
            lenient.durability().problem().is_some() && lenient.durability().refusal().is_none()
        );
        let known = append(&mut lenient, known, &[token(3, 5)]).unwrap()[0].position;
        redis.command(&["CONFIG", "SET", name, good]);
        testbed::eventually(Duration::from_secs(20), || {
            strict.check();
            strict.durability() == Durability::Durable
        });
        assert_eq!(append(&mut strict, known, &[token(4, 5)]).unwrap().len(), 1);
    }
}

#[test]
fn a_user_without_info_is_refused_or_warned_about() {
    let redis = testbed::Redis::start();
    redis.command(&[
        "ACL", "SETUSER", "limited", "on", ">secret", "~*", "+@all", "-info", "-config",
    ]);
    let address = redis.url().replace("redis://", "redis://limited:secret@");
    let open = |check| {
        let options = Options { check, ..Options::default() };
        RedisStore::open(Link::new(&address, None).unwrap(), options)
    };
    let refused = open(WhenNotDurable::Refuse).map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("+info") && !refused.contains("secret"), "{refused}");
    let mut store = open(WhenNotDurable::Warn).unwrap();
    assert!(store.durability().problem().is_some_and(|problem| problem.contains("+info")));
    let (known, ..) = read(&mut store);
    assert_eq!(append(&mut store, known, &[token(1, 5)]).unwrap().len(), 1);
}

/// Reads the store as a service with these API tokens does at its start.
fn start_as(
    redis: &testbed::Redis,
    prefix: &str,
    tokens: &[&str],
    adopts: bool,
) -> Result<usize, StoreError> {
    let installation = Some(Installation::of_tokens(
        tokens.iter().map(|token| sha256([token.as_bytes()])),
        adopts,
    ));
    let options = Options { prefix: prefix.to_owned(), installation, ..Options::default() };
    let mut store = RedisStore::open(Link::new(&redis.url(), None).unwrap(), options)?;
    store.begin(rand_tag())?;
    let mut count = 0;
    store.read_all(&mut |row| count += usize::from(matches!(row, Row::Record(_))))?;
    Ok(count)
}

#[test]
fn two_installations_cannot_share_keys_by_mistake() {
    let redis = testbed::Redis::start();
    let (production, staging) = (&["production token"][..], &["staging token"][..]);
    let start = |prefix, tokens, adopts| start_as(&redis, prefix, tokens, adopts);
    assert!(start("session-guard", production, false).is_ok());
    let refused = start("session-guard", staging, false).unwrap_err().to_string();
    assert!(refused.contains("--redis-prefix") && refused.contains("--redis-adopt"), "{refused}");
    assert!(!refused.contains("production"), "{refused}");
    assert!(start("staging", staging, false).is_ok(), "its own keys");
    assert!(start("session-guard", production, false).is_ok(), "as before");
    let long = "x".repeat(65);
    for prefix in ["", "a b", "a{b", &long] {
        assert!(start(prefix, staging, false).is_err(), "{prefix}");
    }
    // Installations with different prefixes do not share records.
    let mut store = open(&redis);
    let (known, ..) = read(&mut store);
    append(&mut store, known, &[token(1, 5)]).unwrap();
    assert_eq!(start("session-guard", production, false).unwrap(), 1);
    assert_eq!(start("staging", staging, false).unwrap(), 0);
}

#[test]
fn an_installation_keeps_its_keys_while_its_tokens_are_rotated() {
    let redis = testbed::Redis::start();
    let start = |tokens: &[&str], adopts| start_as(&redis, "session-guard", tokens, adopts);
    for tokens in [&["a"][..], &["b", "a"], &["a"], &["b"], &["c", "b"], &["c"]] {
        assert!(start(tokens, false).is_ok(), "{tokens:?}");
    }
    assert!(start(&["x"], false).is_err(), "all tokens were replaced at once");
    assert!(start(&["x"], true).is_ok(), "adopted");
    assert!(start(&["x"], false).is_ok());
    assert!(start(&["c"], false).is_err(), "the former owner has lost it");
    // An emptied Redis belongs to the installation whose service starts next.
    redis.command(&["FLUSHALL"]);
    assert!(start(&["c"], false).is_ok());
}

#[test]
fn a_lease_has_one_owner_until_it_ends() {
    let redis = testbed::Redis::start();
    let (mut one, mut other) = (open(&redis), open(&redis));
    let minute = Duration::from_secs(60);
    assert!(one.lease("poll https://id.example.com", 1, minute).unwrap());
    assert!(!other.lease("poll https://id.example.com", 2, minute).unwrap());
    assert!(one.lease("poll https://id.example.com", 1, minute).unwrap(), "renewed");
    assert!(other.lease("poll https://other.example.com", 2, minute).unwrap());
    assert!(one.lease("short", 1, Duration::from_millis(1)).unwrap());
    let deadline = std::time::Instant::now() + minute;
    while !other.lease("short", 2, minute).unwrap() {
        assert!(std::time::Instant::now() < deadline);
    }
}
