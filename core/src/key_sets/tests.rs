//! Promise: the keys of a published set reach every VM of the process. They stay when the issuer
//! fails, change when the issuer changes them, and cost the issuer a bounded number of requests.
//! Method: several VMs with shared memory tick every second. The test sets the issuer's response.

use std::cell::RefCell;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::headers::Headers;
use crate::keys::fixtures::TOKENS;
use crate::shared::lease::TERM_MILLISECONDS;
use crate::shared::{Expect, InMemory};
use crate::token::{Policy, Verifier};

const START: u64 = 1_000_000;
const REFRESH: u64 = 300;

fn settings() -> KeySetSettings {
    KeySetSettings {
        name: "keys[0].jwks".to_owned(),
        cluster: "idp".to_owned(),
        authority: "id.example.com".to_owned(),
        path: "/jwks.json".to_owned(),
        refresh_seconds: REFRESH,
        rules: KeySetRules::default(),
    }
}

/// Returns a different Ed25519 key for each id.
fn key(id: &str) -> Value {
    let bytes = jwt_simple::algorithms::Ed25519KeyPair::generate().public_key().to_bytes();
    let x = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);
    json!({"kid": id, "kty": "OKP", "crv": "Ed25519", "x": x})
}

fn set_of(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

fn ids(ring: &KeyRing) -> Vec<String> {
    let debug = format!("{ring:?}");
    let keys = debug.split("Some(\"").skip(1);
    keys.filter_map(|rest| rest.split_once('"').map(|(id, _)| id.to_owned())).collect()
}

/// A process and its issuer.
struct IssuerBench {
    shared: InMemory,
    now: u64,
    vms: Vec<KeySetVm>,
    /// The issuer's response; `None` if it does not respond.
    response: RefCell<Option<Response>>,
    fetches: Vec<u64>,
    notices: Vec<KeySetNotice>,
    counts: Vec<KeySetCount>,
}

struct KeySetVm {
    sets: KeySets,
    ring: KeyRing,
}

impl IssuerBench {
    fn new(vms: u8, json: &str) -> Self {
        let mut process = Self {
            shared: InMemory::default(),
            now: START,
            vms: Vec::new(),
            response: RefCell::default(),
            fetches: Vec::new(),
            notices: Vec::new(),
            counts: Vec::new(),
        };
        process.publish(json);
        (1..=vms).for_each(|owner| process.add(owner));
        process
    }

    fn add(&mut self, owner: u8) {
        self.add_with(owner, settings());
    }

    fn add_with(&mut self, owner: u8, settings: KeySetSettings) {
        let mut sets = KeySets::new(vec![settings], KeyRing::default(), [owner; 16]);
        let ring = sets.load(&self.shared, self.time(), 0);
        self.vms.push(KeySetVm { sets, ring });
    }

    fn publish(&self, json: &str) {
        self.answer_with("200", "application/json", json.as_bytes());
    }

    fn answer_with(&self, status: &str, content_type: &str, body: &[u8]) {
        let headers = Headers::from_pairs(&[(":status", status), ("content-type", content_type)]);
        *self.response.borrow_mut() = Some(Response { headers, body: body.to_vec() });
    }

    fn time(&self) -> Now {
        Now { unix_seconds: 1_795_332_120 + self.now / 1_000, monotonic_milliseconds: self.now }
    }

    /// Ticks every VM, and responds at once to each call.
    fn tick(&mut self) {
        for at in 0..self.vms.len() {
            let (time, shared) = (self.time(), &self.shared);
            let effects = self.vms[at].sets.tick(shared, time, u32::MAX / 2);
            self.apply(at, effects);
        }
    }

    fn apply(&mut self, at: usize, effects: KeySetEffects) {
        self.notices.extend(effects.notices);
        self.counts.extend(effects.counts);
        if let Some(ring) = effects.keys {
            self.vms[at].ring = ring;
        }
        for (index, call) in effects.fetch {
            assert_eq!((call.method, &*call.path), ("GET", "/jwks.json"));
            self.fetches.push(self.now);
            let response = self.response.borrow().clone();
            let (time, random) = (self.time(), u32::MAX / 2);
            let sets = &mut self.vms[at].sets;
            let effects = sets.fetch_finished(index, &self.shared, time, random, response.as_ref());
            self.apply(at, effects);
        }
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.tick();
            self.now += 1_000;
        }
    }

    fn held(&self) -> Vec<Vec<String>> {
        self.vms.iter().map(|vm| ids(&vm.ring)).collect()
    }

    fn logged(&mut self) -> Vec<String> {
        let told = self.notices.drain(..).map(|notice| format!("{notice}"));
        told.map(|text| text.strip_prefix("keys[0].jwks: ").expect("which set").to_owned())
            .collect()
    }
}

#[test]
fn loading_replaces_keys_that_another_thread_has_replaced() {
    let mut process = IssuerBench::new(2, &set_of(&[key("a"), key("b")]));
    process.run(2);
    process.publish(&set_of(&[key("b")]));
    while ids(&process.vms[0].ring).len() == 2 {
        let (now, random) = (process.time(), u32::MAX / 2);
        let effects = process.vms[0].sets.tick(&process.shared, now, random);
        process.apply(0, effects);
        process.now += 1_000;
    }
    assert_eq!(process.held(), [vec!["b"], vec!["a", "b"]], "the second has not ticked");
    let now = process.time();
    assert_eq!(ids(&process.vms[1].sets.load(&process.shared, now, 0)), ["b"]);
}

#[test]
fn a_set_is_fetched_once_and_reaches_every_vm() {
    let mut process = IssuerBench::new(3, &set_of(&[key("a"), key("b")]));
    assert!(process.vms.iter().all(|vm| vm.ring.lacks_some() && vm.ring.count() == 0));
    process.run(2);
    assert_eq!(process.held(), vec![vec!["a", "b"]; 3]);
    assert!(process.vms.iter().all(|vm| !vm.ring.lacks_some()));
    assert_eq!(process.fetches, [START]);
    assert_eq!(process.logged(), ["2 keys are in use"]);
    process.add(9);
    assert_eq!(process.held()[3], ["a", "b"], "a configuration that begins later has them at once");
}

#[test]
fn a_change_reaches_every_vm() {
    let (a, b) = (key("a"), key("b"));
    let mut process = IssuerBench::new(2, &set_of(std::slice::from_ref(&a)));
    process.run(REFRESH * 4);
    assert_eq!(process.logged(), ["1 key is in use"], "the same set again changes nothing");
    process.publish(&set_of(&[a, b.clone()]));
    process.run(REFRESH);
    assert_eq!(process.held(), vec![vec!["a", "b"]; 2]);
    process.publish(&set_of(&[b]));
    process.run(REFRESH);
    assert_eq!(process.held(), vec![vec!["b"]; 2]);
    for pair in process.fetches.windows(2) {
        let apart = pair[1] - pair[0];
        assert!((REFRESH * 800..=REFRESH * 1_000).contains(&apart), "{apart}");
    }
}

#[test]
fn a_rejected_response_leaves_the_keys_as_they_are() {
    let good = set_of(&[key("a")]);
    let json = "application/json";
    let many: Vec<_> = (0..=document::SET_KEYS_LIMIT).map(|_| json!({"kty": "x"})).collect();
    let long = format!("{good}{}", " ".repeat(document::SET_BYTES_LIMIT));
    for (status, content_type, body, reason) in [
        ("500", json, good.as_str(), KeySetRejection::Status),
        ("503", json, &good, KeySetRejection::Unavailable),
        ("504", json, &good, KeySetRejection::TimedOut),
        ("200", "text/html", &good, KeySetRejection::ContentType),
        ("200", json, "", KeySetRejection::NotASet),
        ("200", json, "[]", KeySetRejection::NotASet),
        ("200", json, &format!("[[{}]]", key("a")), KeySetRejection::NotASet),
        ("200", json, "{}", KeySetRejection::NotASet),
        ("200", json, "{\"keys\": {}}", KeySetRejection::NotASet),
        ("200", json, "{\"keys\": [], \"keys\": []}", KeySetRejection::NotASet),
        ("200", json, &good[..good.len() - 1], KeySetRejection::NotASet),
        ("200", json, &format!("{good}x"), KeySetRejection::NotASet),
        ("200", json, "{\"keys\": []}", KeySetRejection::NoKeys),
        ("200", json, r#"{"keys": [{"kty": "RSA", "use": "enc"}]}"#, KeySetRejection::NoKeys),
        ("200", json, r#"{"keys": [{"kty": "oct"}]}"#, KeySetRejection::NoKeys),
        ("200", json, &set_of(&many), KeySetRejection::TooManyKeys),
        ("200", json, &long, KeySetRejection::TooLong),
    ] {
        let mut process = IssuerBench::new(2, &good);
        process.run(2);
        process.answer_with(status, content_type, body.as_bytes());
        process.run(REFRESH * 2);
        assert_eq!(process.held(), vec![vec!["a"]; 2], "{reason}");
        let of = |count: &&KeySetCount| **count == KeySetCount::Rejected(reason);
        let rejected = process.counts.iter().filter(of).count();
        assert!((2..30).contains(&rejected), "{reason}: {rejected}");
        let logged = process.logged();
        let rejected = format!("response rejected ({reason}): ");
        let of_rejection = logged.iter().filter(|line| line.starts_with(&rejected)).count();
        assert_eq!(of_rejection, 1, "{logged:?}");
        process.publish(&good);
        process.run(61);
        assert_eq!(process.logged(), ["responses are accepted again"]);
    }
}

#[test]
fn without_keys_the_set_is_fetched_every_few_seconds() {
    let mut process = IssuerBench::new(2, "");
    *process.response.borrow_mut() = None;
    process.run(600);
    assert!((150..300).contains(&process.fetches.len()), "{:?}", process.fetches);
    assert!(process.vms.iter().all(|vm| vm.ring.lacks_some()));
    let told = process.logged();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("503"), "{told:?}");
    let time = process.time();
    let soon = process.vms[1].sets.tick(&process.shared, time, 0);
    assert_eq!(soon.tick_within_milliseconds, Some(LACKING_TICK_MILLISECONDS));
    process.publish(&set_of(&[key("a")]));
    process.run(61);
    assert_eq!(process.held(), vec![vec!["a"]; 2]);
}

#[test]
fn a_bad_key_is_left_out_and_reported() {
    let k = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, [7; 64]);
    let mut private = key("private");
    private["d"] = json!("AA");
    let odd = json!({"kty": "odd", "kid": format!("\n{}", "x".repeat(100))});
    let keys = [
        key("a"),
        json!(7),
        json!({"kty": "oct", "alg": "HS256", "kid": "secret", "k": k}),
        private,
        odd,
        key("a"),
        json!({"kty": "EC", "use": "enc"}),
        key("b"),
    ];
    let mut process = IssuerBench::new(1, &set_of(&keys));
    process.run(1);
    assert_eq!(process.held(), [["a", "b"]]);
    let told = process.logged();
    let begins = |at: usize, text: &str| assert!(told[at].starts_with(text), "{told:?}");
    begins(0, "left out: keys[1]: ");
    begins(1, "left out: keys[2] (kid \"secret\"): a secret must not be in a published set; ");
    begins(2, "left out: keys[3] (kid \"private\"): contains a private key");
    begins(3, &format!("left out: keys[4] (kid \"\\n{}\"): ", "x".repeat(63)));
    begins(4, "left out: keys[5] (kid \"a\"): its `kid` comes twice");
    begins(5, "2 keys are in use");
    assert!(!told.concat().contains(&k), "{told:?}");
}

#[test]
fn an_unknown_kid_causes_one_early_fetch_per_interval() {
    let a = key("a");
    let mut process = IssuerBench::new(3, &set_of(std::slice::from_ref(&a)));
    process.run(20);
    assert_eq!(process.fetches.len(), 1);
    process.publish(&set_of(&[a, key("b")]));
    process.vms[2].sets.note_missed_key(&process.shared, process.time());
    process.run(2);
    assert_eq!(process.held(), vec![vec!["a", "b"]; 3], "the new key is there");
    assert_eq!(process.fetches.len(), 2);
    let begin = process.now;
    for _ in 0..REFRESH * 10 {
        process.vms[1].sets.note_missed_key(&process.shared, process.time());
        process.run(1);
    }
    let within = |from: u64| {
        let seen = process.fetches.iter().filter(|at| (from..from + REFRESH * 1_000).contains(at));
        seen.count()
    };
    let most = (begin..process.now - REFRESH * 1_000).step_by(1_000).map(within).max();
    assert!(most <= Some(3), "a flood for ten intervals: {:?}", process.fetches);
    assert!(process.fetches.len() <= 2 + 10 * 2 + 3, "{:?}", process.fetches);
}

#[test]
fn a_failed_early_fetch_is_repeated() {
    let a = key("a");
    let mut process = IssuerBench::new(1, &set_of(std::slice::from_ref(&a)));
    process.run(20);
    process.response.take();
    process.vms[0].sets.note_missed_key(&process.shared, process.time());
    process.run(2);
    assert_eq!((process.fetches.len(), process.held()), (2, vec![vec!["a".to_owned()]]));
    process.publish(&set_of(&[a, key("b")]));
    process.run(10);
    assert_eq!((process.fetches.len(), process.held()), (3, vec![vec!["a".into(), "b".into()]]));
}

#[test]
fn another_vm_fetches_when_the_leader_dies() {
    let mut process = IssuerBench::new(2, &set_of(&[key("a")]));
    process.run(2);
    let dead = process.vms.iter().position(|vm| vm.sets.sets[0].lease.is_held(process.now));
    process.vms.remove(dead.expect("one holds the lease"));
    process.publish(&set_of(&[key("b")]));
    process.run(REFRESH + 3 * TERM_MILLISECONDS / 1_000);
    assert_eq!(process.held(), [["b"]]);
}

#[test]
fn a_late_response_does_not_replace_a_newer_set() {
    let mut process = IssuerBench::new(1, &set_of(&[key("a")]));
    let time = process.time();
    let effects = process.vms[0].sets.tick(&process.shared, time, 0);
    assert_eq!(effects.fetch.len(), 1);
    let names = KeySetNames::new(&KeySpace::of_key_set("idp", "id.example.com", "/jwks.json", ""));
    let newer = Published { fetched_at: process.now, json: set_of(&[key("b")]).into_bytes() };
    assert!(names.write(&process.shared, &newer, None));
    let late = process.response.borrow().clone();
    let (shared, time) = (&process.shared, process.time());
    let effects = process.vms[0].sets.fetch_finished(0, shared, time, 0, late.as_ref());
    assert_eq!(effects.counts, [KeySetCount::Rejected(KeySetRejection::Superseded)]);
    assert_eq!(ids(&effects.keys.expect("the newer one")), ["b"]);
}

#[test]
fn a_set_stored_after_the_clock_was_read_is_used() {
    let mut process = IssuerBench::new(1, &set_of(&[key("a")]));
    process.run(1);
    process.now = START - 5;
    process.add(2);
    assert_eq!(process.held()[1], ["a"]);
}

#[test]
fn a_set_from_the_far_future_is_fetched_again_in_time() {
    let mut process = IssuerBench::new(1, &set_of(&[key("a")]));
    let names = KeySetNames::new(&KeySpace::of_key_set("idp", "id.example.com", "/jwks.json", ""));
    let json = set_of(&[key("b")]).into_bytes();
    assert!(names.write(&process.shared, &Published { fetched_at: u64::MAX, json }, None));
    process.run(REFRESH);
    assert_eq!((process.held(), process.fetches.len()), (vec![vec!["a".to_owned()]], 1));
}

#[test]
fn damaged_shared_data_removes_no_key() {
    let future = [&b"SGK1"[..], &u64::MAX.to_be_bytes(), b"{}"].concat();
    for value in [&b""[..], b"SGK1", b"junk", b"SGK1\0\0\0\0\0\0\0\x01{\"keys\":[]}", &future] {
        let mut process = IssuerBench::new(2, &set_of(&[key("a")]));
        process.run(5);
        let space = KeySpace::of_key_set("idp", "id.example.com", "/jwks.json", "");
        assert!(process.shared.set_if(&space.name("keys", None), value, Expect::Anything));
        process.run(2);
        assert_eq!(process.held(), vec![vec!["a"]; 2], "{}", value.escape_ascii());
        process.run(10);
        assert_eq!(process.fetches.len(), 2, "{}", value.escape_ascii());
        process.add(9);
        assert_eq!(process.held()[2], ["a"], "{}", value.escape_ascii());
    }
}

#[test]
fn differently_configured_key_sets_are_independent() {
    // An RSA key without `alg` is used only if the configuration assigns it an algorithm.
    let (pem, _) = (crate::keys::fixtures::RSA_2048, TOKENS);
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, der).unwrap();
    let n = &der[33..33 + 256];
    let n = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, n);
    let mut process = IssuerBench::new(0, &set_of(&[json!({"kty": "RSA", "n": n, "e": "AQAB"})]));
    let rules = KeySetRules { rsa: Some(PublicAlgorithm::Rs256), ..KeySetRules::default() };
    process.add(1);
    process.add_with(2, KeySetSettings { rules, ..settings() });
    process.run(20);
    let counts: Vec<_> = process.vms.iter().map(|vm| vm.ring.count()).collect();
    assert_eq!(counts, [0, 1]);
    assert!(process.vms[0].ring.lacks_some() && !process.vms[1].ring.lacks_some());
}

#[test]
fn a_set_removes_no_key_of_the_configuration() {
    let fixed = KeyRing::new(vec![Key::hmac(
        crate::keys::Algorithm::Hs256,
        crate::token::builder::SECRET,
        None,
        None,
        vec![],
    )]);
    let shared = InMemory::default();
    let mut sets = KeySets::new(vec![settings()], fixed, [1; 16]);
    let now = Now { unix_seconds: 0, monotonic_milliseconds: START };
    let verifier = Verifier::new(sets.load(&shared, now, 0), Policy::default());
    let good = crate::token::builder::TokenBuilder::new();
    let verdict = |token: &str| verifier.verify(token.as_bytes(), crate::token::builder::NOW).err();
    assert_eq!(verdict(&good.sign()), None, "whatever becomes of the set");
    let other = good.header("alg", "\"EdDSA\"").sign();
    assert_eq!(verdict(&other), Some(crate::refusal::Refusal::Unavailable));
}

#[test]
fn a_bad_key_does_not_invalidate_the_set() {
    let short = json!({"kid": "short", "kty": "EC", "crv": "P-256", "x": "A".repeat(42), "y": "A".repeat(43)});
    let padded = json!({"kid": "padded", "kty": "RSA", "alg": "RS256", "n": "AAAA==", "e": "AQAB"});
    let mut process = IssuerBench::new(1, &set_of(&[short.clone(), padded.clone(), key("a")]));
    process.run(1);
    assert_eq!(process.held(), [["a"]]);
    assert_eq!(process.logged().len(), 3);
    // Without the good key, the log still reports what is wrong with each of the others once.
    process.publish(&set_of(&[short, padded]));
    process.run(REFRESH * 3);
    assert_eq!(process.held(), [["a"]]);
    let logged = process.logged();
    assert!(
        logged.iter().any(|line| line.starts_with("response rejected (no_keys)")),
        "{logged:?}"
    );
    let mut process =
        IssuerBench::new(1, &set_of(&[json!({"kid": "bad", "kty": "EC", "crv": "P-256"})]));
    process.run(60);
    let logged = process.logged();
    assert!(logged[0].starts_with("left out: keys[0] (kid \"bad\"): `x` is missing"), "{logged:?}");
    assert_eq!(logged.len(), 2, "once: {logged:?}");
}

#[test]
fn a_set_without_keys_is_settled_once_fetching_has_failed() {
    let mut process = IssuerBench::new(2, "");
    *process.response.borrow_mut() = None;
    let settled = |process: &IssuerBench| {
        let are_settled = |vm: &KeySetVm| vm.sets.are_settled(&process.shared);
        process.vms.iter().map(are_settled).collect::<Vec<_>>()
    };
    assert_eq!(settled(&process), [false, false]);
    process.run(1);
    assert_eq!(settled(&process), [true, true], "every VM knows what the leader has tried");
    let mut process = IssuerBench::new(2, &set_of(&[key("a")]));
    assert_eq!(settled(&process), [false, false]);
    process.run(2);
    assert_eq!(settled(&process), [true, true]);
}

#[test]
fn a_vm_without_keys_loads_those_that_another_has_fetched() {
    let mut process = IssuerBench::new(2, &set_of(&[key("a")]));
    for vm in 0..2 {
        let (time, shared) = (process.time(), &process.shared);
        let effects = process.vms[vm].sets.tick(shared, time, 0);
        if effects.fetch.is_empty() {
            continue;
        }
        let response = process.response.borrow().clone();
        let effects = process.vms[vm].sets.fetch_finished(0, shared, time, 0, response.as_ref());
        assert!(effects.keys.is_some());
        // The other VM has not ticked since the fetch.
        let other = &mut process.vms[1 - vm].sets;
        let ring = other.load_missing(shared, time, 0).expect("the fetched keys");
        assert_eq!(ids(&ring), ["a"]);
        assert!(other.load_missing(shared, time, 0).is_none(), "nothing is missing any more");
        return;
    }
    panic!("no VM has fetched the set");
}

#[test]
fn a_set_served_as_plain_text_is_used_with_a_warning() {
    let set = set_of(&[key("a")]);
    let mut process = IssuerBench::new(1, &set);
    process.answer_with("200", "text/plain; charset=utf-8", set.as_bytes());
    process.run(REFRESH * 3);
    assert_eq!(process.held(), [["a"]]);
    let logged = process.logged();
    assert_eq!(logged.iter().filter(|line| line.contains("text/plain")).count(), 1, "{logged:?}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, key in "[{}\\[\\]\":,a-z0-9]{0,60}") {
        let _ = document::read(&bytes, &KeySetRules::default());
        let _ = document::read(format!("{{\"keys\":[{key}]}}").as_bytes(), &KeySetRules::default());
    }
}
