//! Measures the cost of each step of the core, so that a regression can be located.
//!
//! The code runs natively, with criterion: `cargo bench --bench core`. In Envoy the same code runs
//! as WebAssembly and also pays for each host call. `make bench` measures that.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use session_guard_core::admission::{Admission, Decision, Moment};
use session_guard_core::config::Config;
use session_guard_core::feed::staleness::Knowledge;
use session_guard_core::feed::wire::{
    CHANGES_PAGE_RECORDS, Cursor, Page, PageKey, RESET_PAGE_RECORDS,
};
use session_guard_core::headers::Headers;
use session_guard_core::keys::host::NoHost;
use session_guard_core::refusal::Refusal;
use session_guard_core::revocation::horizon::Horizon;
use session_guard_core::revocation::name::{NamePair, TokenNames};
use session_guard_core::revocation::record::{Record, RecordId};
use session_guard_core::revocation::set::RevocationSet;
use session_guard_core::shared::names::KeySpace;
use session_guard_core::shared::store::SharedStore;
use session_guard_core::shared::{InMemory, SharedData};
use session_guard_core::token::Verifier;
use testbed::{SESSION_SECRET, Token, repository, unix_seconds};

criterion_group!(benches, request, signatures, set, page, threads);
criterion_main!(benches);

/// Measures each stage of a request, and all of them together.
fn request(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    let token = Token::of("ada");
    let bytes = serialised(&lines(&token));
    group.bench_function("headers: parse 12 lines", |bencher| {
        bencher.iter(|| Headers::parse(&bytes));
    });
    let headers = Headers::parse(&bytes).expect("header lines");
    let config = config(&shipped());
    let Config { keys, policy, .. } = self::config(&shipped());
    group.bench_function("route: find among 5 rules", |bencher| {
        bencher.iter(|| config.routes.find(black_box(&headers)).access);
    });
    let verifier = Verifier::new(keys, policy);
    let now = unix_seconds();
    group.bench_function("token: seen before", |bencher| {
        bencher.iter(|| verifier.verify(black_box(token.as_str().as_bytes()), now).is_ok());
    });
    let (shared, set) = million::<InMemory>();
    let admission = Admission::new(config, Some(set), &NoHost);
    let moment = Moment {
        unix_milliseconds: now * 1_000,
        knowledge: Knowledge::Current,
        keys_settled: true,
        shared: &shared,
    };
    let is_forwarded = |decision| matches!(decision, Decision::Forward(_));
    assert!(is_forwarded(admission.decide(&headers, moment)), "a refusal is measured");
    group.bench_function("decide: seen before, 1 million revoked", |bencher| {
        bencher.iter(|| is_forwarded(admission.decide(black_box(&headers), moment)));
    });
    group.bench_function("decide: the same after a change of the set", |bencher| {
        bencher.iter(|| {
            set.generations().renew(&shared);
            is_forwarded(admission.decide(black_box(&headers), moment))
        });
    });
    group.finish();
}

/// Measures a token that is seen for the first time: parser, signature and claims, with an empty
/// cache.
fn signatures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("first sight");
    let hs256 = json!({"algorithm": "HS256", "secret": {"inline": SESSION_SECRET}});
    let mut cases = vec![("HS256".to_owned(), hs256, Token::of("ada").to_string())];
    let public: Value = serde_json::from_str(&repository::read("tests/public_keys.json"))
        .expect("keys with a token each");
    for case in public.as_array().expect("a list") {
        let algorithm = case["algorithm"].as_str().expect("a name").to_owned();
        let key = json!({"algorithm": algorithm, "public_key_pem": case["public_key_pem"]});
        cases.push((algorithm, key, case["token"].as_str().expect("a token").to_owned()));
    }
    for (algorithm, key, token) in cases {
        let config = config(&json!({"keys": [key], "claims": {"user_id": null}}));
        let verifier = || Verifier::new(config.keys.clone(), config.policy.clone());
        let verify = |verifier: &Verifier| verifier.verify(black_box(token.as_bytes()), FAR_FUTURE);
        // Times are checked after the signature, so an expired token costs as much as any other.
        assert_eq!(verify(&verifier()).err(), Some(Refusal::Expired), "{algorithm}");
        group.bench_function(&algorithm, |bencher| {
            bencher.iter_batched_ref(verifier, |it| verify(it).is_err(), BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// Measures the revocation set with a million records.
fn set(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("set of 1 million");
    let (shared, set) = million::<InMemory>();
    let issuer = Some("https://id.example.com");
    let live = TokenNames::of(NamePair::of_token("", issuer, "live"))
        .and_user(NamePair::of_user("", issuer, "ada"));
    group.bench_function("generation", |bencher| {
        bencher.iter(|| set.generations().current(black_box(&shared)));
    });
    group.bench_function("look up a token, its user and all", |bencher| {
        bencher.iter(|| set.is_revoked(&shared, black_box(&live), Some(1)).is_ok());
    });
    let mut number = LIVE;
    group.bench_function("insert one record", |bencher| {
        bencher.iter(|| {
            number += 1;
            set.add(&shared, &[record(number)], Horizon::NONE).is_ok()
        });
    });
    group.finish();
}

/// Measures decoding and applying pages of the feed.
fn page(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("page");
    group.sample_size(20);
    let (shared, set) = million::<InMemory>();
    let mut sorted: Vec<_> = (0..LIVE).map(record).collect();
    sorted.sort_unstable_by_key(|record| record.id);
    sorted.truncate(RESET_PAGE_RECORDS);
    let range = (RecordId::FIRST, sorted[RESET_PAGE_RECORDS - 1].id);
    let cursor = Cursor::new("1.1").expect("a cursor");
    let head = cursor.clone();
    let records = sorted.clone();
    let key = PageKey::new(b"an API token of 32 characters or so");
    let (now, held_milliseconds) = (0, 0);
    let page =
        Page { reset: true, more: true, now, held_milliseconds, cursor, head, range, records };
    let page = page.encode(&key);
    group.throughput(Throughput::Elements(RESET_PAGE_RECORDS as u64));
    group.bench_function("read 20,000 records", |bencher| {
        bencher.iter(|| Page::decode(black_box(&page), &key).is_ok());
    });
    group.bench_function("reset: 20,000 records into an empty set", |bencher| {
        let apply = |shared: InMemory| set.compare(&shared, &sorted, range, Horizon::NONE).is_ok();
        bencher.iter_batched(InMemory::default, apply, BatchSize::LargeInput);
    });
    group.bench_function("reset: 20,000 records that are all there", |bencher| {
        bencher.iter(|| set.compare(&shared, &sorted, range, Horizon::NONE).is_ok());
    });
    group.throughput(Throughput::Elements(CHANGES_PAGE_RECORDS as u64));
    let mut number = LIVE;
    group.bench_function("changes: 1,000 records in the order of the feed", |bencher| {
        bencher.iter_batched(
            || {
                number += CHANGES_PAGE_RECORDS;
                (number..number + CHANGES_PAGE_RECORDS).map(record).collect::<Vec<_>>()
            },
            |new| set.add(&shared, &new, Horizon::NONE).is_ok(),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Measures the shared data of the native filter while several threads use it: the processor time of
/// one operation of one thread. It stays the same if no thread waits for another one.
fn threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("native store of 1 million");
    group.sample_size(20);
    let (shared, set) = million::<SharedStore>();
    let live = TokenNames::of(NamePair::of_token("", None, "live"))
        .and_user(NamePair::of_user("", None, "ada"));
    let next = AtomicUsize::new(LIVE);
    let generation = || set.generations().current(black_box(&shared)).is_some();
    let look_up = || set.is_revoked(&shared, black_box(&live), Some(1)).is_ok();
    let insert = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        set.add(&shared, &[record(number)], Horizon::NONE).is_ok()
    };
    let acts: [(&str, &(dyn Fn() -> bool + Sync)); 3] = [
        ("generation", &generation),
        ("look up a token", &look_up),
        ("insert one record", &insert),
    ];
    for (name, act) in acts {
        for count in [1, 2, 4, 8, 16] {
            let id = BenchmarkId::new(name, format!("{count} threads"));
            group.bench_function(id, |bencher| {
                bencher.iter_custom(|times| processor_time_of_each(act, count, times));
            });
        }
    }
    group.finish();
}

/// Returns the processor time in which a thread acts that many times, on average over the threads.
fn processor_time_of_each(act: &(dyn Fn() -> bool + Sync), count: u32, times: u64) -> Duration {
    let of_one = || {
        let before = thread_nanoseconds();
        (0..times).for_each(|_| assert!(act()));
        Duration::from_nanos(thread_nanoseconds() - before)
    };
    let all: Duration = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(of_one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    all / count
}

/// The processor time of this thread, which Linux counts.
fn thread_nanoseconds() -> u64 {
    let counts = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    counts.split(' ').next().and_then(|first| first.parse().ok()).expect("a number")
}

fn million<S: SharedData + Default>() -> (S, RevocationSet) {
    let (shared, set) = (S::default(), set_of_nothing());
    let mut records: Vec<_> = (0..LIVE).map(record).collect();
    records.sort_unstable_by_key(|record| record.id);
    set.add(&shared, &records, Horizon::NONE).expect("room in memory");
    (shared, set)
}

fn set_of_nothing() -> RevocationSet {
    RevocationSet::new(KeySpace::of_feed("", "signout", "signout"), "")
}

fn record(number: usize) -> Record {
    Record::token(RecordId::of_token("", None, &format!("revoked-{number}")), u64::MAX)
}

fn config(text: &Value) -> Config {
    let environment = |_: &str| Some(SESSION_SECRET.to_owned());
    Config::parse(text.to_string().as_bytes(), &environment).expect("a configuration")
}

fn shipped() -> Value {
    testbed::Configuration::shipped().filter
}

/// The headers of a typical browser request, as Envoy passes them on.
fn lines(token: &Token) -> Vec<(&'static str, String)> {
    let line = |name, value: &str| (name, value.to_owned());
    vec![
        line(":authority", "app.example.com"),
        line(":path", "/api/v1/chats/42?page=2"),
        line(":method", "GET"),
        line(":scheme", "https"),
        line(
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        ),
        line("accept", "application/json"),
        line("accept-language", "en-US,en;q=0.5"),
        line("accept-encoding", "gzip, deflate, br"),
        line("authorization", &format!("Bearer {token}")),
        line("x-forwarded-proto", "https"),
        line("x-forwarded-for", "192.0.2.1"),
        line("x-request-id", "b1ef0eb5-6d83-4a3b-9e0d-1b1e6ad7c3ff"),
    ]
}

/// Serialises headers as Envoy does: first all lengths, then the texts, each followed by a zero
/// byte.
fn serialised(lines: &[(&str, String)]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).expect("a short text").to_le_bytes();
    let mut bytes = number(lines.len()).to_vec();
    for (name, value) in lines {
        bytes.extend([number(name.len()), number(value.len())].concat());
    }
    for (name, value) in lines {
        bytes.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    bytes
}

const LIVE: usize = 1_000_000;

/// Later than every token's `exp`.
const FAR_FUTURE: u64 = 1 << 41;
