//! Promises: the set never shrinks, whatever the service responds. Only a complete response has an
//! effect. Method: a process of several VMs with the model service of the simulation, or with
//! responses written by hand. `tests/simulation` tests the same code under random faults.

mod model;
#[expect(dead_code, reason = "the simulation needs more of it")]
#[path = "../../../tests/simulation/service.rs"]
mod service;

use super::*;
use crate::feed::page::RESENT_RECORDS;
use crate::feed::staleness::WhenUnknown;
use crate::feed::wire::{CONTENT_TYPE, Cursor};
use crate::headers::Headers;
use crate::revocation::name::TokenNames;
use crate::revocation::record::{NEVER, Record};
use crate::revocation::shard::ShardSlot;
use crate::shared::Expect;
use crate::shared::lease::TERM_MILLISECONDS;
use model::ModelProcess;
use service::{ModelService, RecordMap, page_key, response};

fn token(number: u64) -> Record {
    Record::token(RecordId::of_token("", None, &number.to_string()), NEVER)
}

/// Returns a process that is up to date with a service that contains these records.
fn settled(records: &[Record]) -> (ModelProcess, ModelService) {
    let (mut process, mut service) =
        (ModelProcess::new(1), ModelService::new(1, 1_000, usize::MAX));
    for &record in records {
        service.revoke(record);
    }
    process.settle(&mut service, 1);
    assert_eq!(process.vms[0].feed.knowledge(), Knowledge::Current);
    (process, service)
}

#[test]
fn an_empty_service_gets_everything_back_despite_a_small_outbox() {
    let count = 2 * RESENT_RECORDS as u64 + 100;
    let (mut process, _) = settled(&(0..count).map(token).collect::<Vec<_>>());
    let mut restored = ModelService::new(7, 1_000, usize::MAX);
    restored.revoke(token(count));
    process.settle(&mut restored, 10);
    assert_eq!(restored.live.len() as u64, count + 1);
    assert_eq!(process.held(), restored.live);
    assert_eq!(process.vms[0].feed.knowledge(), Knowledge::Current);
    let gifts = process.vms[0].notices.iter().filter(|notice| **notice == FeedNotice::Resends);
    assert_eq!(gifts.count(), 1);
}

#[test]
fn a_service_restored_to_our_cursor_gets_acknowledged_records_back() {
    let (mut process, service) = settled(&[token(1)]);
    let mut at_work = service.clone();
    process.sign_out(token(2));
    process.advance(2_000);
    process.tick(0);
    // The poll did not bring it: the service returns to the state at our cursor.
    let told = process.vms[0].delivery.clone().expect("told");
    process.answer_tell(0, Some(&at_work.response(&told, 0, 2_000)));
    assert!(at_work.refuses(&token(2)));
    let mut restored = service.restored(7);
    process.settle(&mut restored, 5);
    assert!(!restored.refuses(&token(2)), "it shows no sign of it");
    process.settle(&mut restored, 15);
    assert!(restored.refuses(&token(2)));
    assert_eq!(process.vms[0].feed.outbox().len(&process.shared), 0);
}

#[test]
fn a_response_of_another_server_changes_nothing() {
    let whole = {
        let (mut process, mut service) =
            (ModelProcess::new(1), ModelService::new(1, 10, usize::MAX));
        service.revoke(token(1));
        process.tick(0);
        service.response(&process.vms[0].poll.clone().unwrap(), 0, 2_000)
    };
    let of_status = |status| Response {
        headers: Headers::from_pairs(&[(":status", status), ("content-type", CONTENT_TYPE)]),
        ..whole.clone()
    };
    let of_body = |body: &[u8]| response(200, CONTENT_TYPE, body.to_vec());
    let cases = [
        (None, PollRejection::NoResponse),
        (Some(of_status("401")), PollRejection::Unauthorized),
        (Some(of_status("403")), PollRejection::Unauthorized),
        (Some(of_status("503")), PollRejection::Unavailable),
        (Some(of_status("504")), PollRejection::TimedOut),
        (Some(of_status("204")), PollRejection::Status),
        (Some(of_status("301")), PollRejection::Status),
        (Some(of_status("16959")), PollRejection::Status),
        (Some(response(200, "text/html", whole.body.clone())), PollRejection::ContentType),
        (Some(of_body(b"")), PollRejection::NotAFeed),
        (Some(of_body(b"<html>")), PollRejection::NotAFeed),
        (Some(of_body(&whole.body[..whole.body.len() - 1])), PollRejection::Damaged),
    ];
    for (response, expected) in cases {
        let mut process = ModelProcess::new(1);
        process.tick(0);
        let before = process.state();
        process.answer_poll(0, response.as_ref());
        assert_eq!(process.vms[0].counts, [FeedCount::Rejected(expected)]);
        assert_eq!(process.vms[0].notices[1..], [FeedNotice::Rejected(expected)]);
        assert_eq!((process.state(), process.held()), (before, RecordMap::new()));
        assert_eq!(process.vms[0].poll, None, "it must wait");
    }
}

#[test]
fn a_truncated_or_changed_response_changes_nothing() {
    let (mut process, mut service) = settled(&[token(1)]);
    service.revoke(token(2));
    process.advance(100);
    process.tick(0);
    let call = process.vms[0].poll.clone().expect("asked");
    let whole = service.response(&call, 0, process.now.unix_seconds);
    let (state, length) = (process.state(), whole.body.len());
    let cut = (0..length).map(|at| whole.body[..at].to_vec());
    let flipped = (0..length * 8).map(|bit| {
        let mut body = whole.body.clone();
        body[bit / 8] ^= 1 << (bit % 8);
        body
    });
    for body in cut.chain(flipped) {
        process.vms[0].poll = Some(call.clone());
        process.vms[0].feed.poll.ask(state.cursor.clone(), true, 0);
        process.answer_poll(0, Some(&response(200, CONTENT_TYPE, body)));
        assert_eq!(process.state(), state);
    }
    assert_eq!(process.held_of(&[token(2)]), RecordMap::new());
    process.settle(&mut service, 65);
    assert_eq!(process.held_of(&[token(2)]).len(), 1);
}

/// Builds a page as a fake service would.
fn page(reset: bool, more: bool, cursor: &str, head: &str, records: &[Record]) -> Page {
    let [cursor, head] = [cursor, head].map(|text| Cursor::new(text).unwrap());
    let range = (RecordId::FIRST, RecordId::LAST);
    let records = records.to_vec();
    Page { reset, more, now: 2_000, held_milliseconds: 0, cursor, head, range, records }
}

/// Splits a reset of everything into its pages.
fn pieces(whole: &Page) -> Vec<Page> {
    let piece = |number: u8| {
        let mut range = (RecordId::FIRST, RecordId::LAST);
        (range.0.0[0], range.1.0[0]) = (number << 3, number << 3 | 7);
        let mut records = whole.records.clone();
        records.retain(|record| (range.0..=range.1).contains(&record.id));
        let cursor = Cursor::new(&format!("r{}.{number}", whole.cursor)).unwrap();
        let piece = Page { more: true, cursor, range, records, ..whole.clone() };
        match number {
            31 => Page { more: whole.more, cursor: whole.cursor.clone(), ..piece },
            _ => piece,
        }
    };
    (0..32).map(piece).collect()
}

impl ModelProcess {
    /// Ticks until a poll is sent.
    fn send_poll(&mut self) {
        while self.vms[0].poll.is_none() {
            self.advance(100);
            self.tick(0);
        }
    }

    /// Sends a poll if none is pending, and responds to it with this page.
    fn feed_page(&mut self, page: &Page) {
        self.send_poll();
        self.answer_poll(0, Some(&response(200, CONTENT_TYPE, page.encode(&page_key()))));
    }
}

#[test]
fn an_older_cursor_or_an_empty_reset_removes_nothing() {
    let all = [token(1), token(2)];
    let strange = [
        page(false, false, "1.1", "3.1", &[token(1)]),
        page(false, false, "0.0", "0.0", &[]),
        page(false, false, "18446744073709551615.f", "18446744073709551615.f", &[]),
        page(true, false, "1.9", "1.9", &[]),
        page(true, false, "2.9", "2.9", &[token(1)]),
    ];
    for strange in strange {
        let (mut process, mut service) = settled(&all);
        let pages = if strange.reset { pieces(&strange) } else { vec![strange.clone()] };
        pages.iter().for_each(|page| process.feed_page(page));
        assert_eq!(process.held_of(&all).len(), 2, "{strange:?}");
        // Later changes still arrive.
        service.revoke(token(3));
        process.settle(&mut service, 5);
        assert_eq!(process.held_of(&[token(3)]).len(), 1, "{strange:?}");
    }
}

#[test]
fn pages_of_a_reset_out_of_order_leave_no_gap() {
    let mut middle = page(true, true, "r5.a.9", "5.a", &[]);
    middle.range = (RecordId([9; 16]), RecordId([15; 16]));
    let changes = page(false, false, "5.a", "5.a", &[]);
    let mut first = page(true, true, "r5.a.8", "5.a", &[]);
    first.range.1 = RecordId([7; 16]);
    for (before, after) in
        [(None, &middle), (None, &changes), (Some(&first), &middle), (Some(&first), &changes)]
    {
        let mut process = ModelProcess::new(1);
        if let Some(before) = before {
            process.feed_page(before);
        }
        let state = process.state();
        process.feed_page(after);
        assert_eq!(
            process.vms[0].counts.last(),
            Some(&FeedCount::Rejected(PollRejection::Unsound))
        );
        assert_eq!(process.state(), state);
    }
}

#[test]
fn only_a_complete_response_or_passed_head_updates_freshness() {
    let mut process = ModelProcess::new(1);
    let proof = |process: &mut ModelProcess, page: Page| {
        process.send_poll();
        let sent_at = process.now.monotonic_milliseconds;
        process.advance(7);
        process.feed_page(&page);
        (process.state().current_at, sent_at)
    };
    let mut pages = pieces(&page(true, true, "5.a", "9.b", &[]));
    let mut first = pages.remove(0);
    first.head = Cursor::new("5.a").unwrap();
    let last = pages.pop().unwrap();
    let (none, named_at) = proof(&mut process, first.clone());
    assert_eq!(none, None);
    for page in pages {
        assert_eq!(proof(&mut process, page).0, None);
    }
    let (current_at, next_named_at) = proof(&mut process, last);
    assert_eq!(current_at, Some(named_at), "the head named by the first page");
    let named_at = next_named_at;
    let now_on = |cursor, head| page(false, true, cursor, head, &[]);
    assert_ne!(proof(&mut process, now_on("8.b", "20.b")).0, Some(named_at), "not there yet");
    assert_eq!(proof(&mut process, now_on("11.b", "30.b")).0, Some(named_at), "passed 9.b");
    let (complete, sent_at) = proof(&mut process, page(false, false, "30.b", "30.b", &[]));
    assert_eq!(complete, Some(sent_at));
    let before = process.state().current_at;
    assert_eq!(proof(&mut process, now_on("31.b", "18446744073709551615.b")).0, before);
    assert_eq!(proof(&mut process, now_on("32.b", "40.b")).0, before);
    assert!(proof(&mut process, now_on("40.b", "50.b")).0 > before, "a false head is forgotten");
    // A reset whose page says too early that it is complete.
    first.more = false;
    let before = process.state().current_at;
    assert_eq!(proof(&mut process, first).0, before);
}

#[test]
fn the_set_is_dated_by_when_its_poll_was_sent() {
    // The columns, in milliseconds: from sending to arrival, held by the service, and from sending
    // to the time of completeness.
    let cases = [
        (9_000, 0, 0),
        (9_000, 4_000, 4_000),
        (9_000, 9_000, 9_000),
        (9_000, 9_001, 9_000),
        (9_000, u32::MAX, 9_000),
        (0, 5, 0),
    ];
    for (arrives_after, held_milliseconds, complete_after) in cases {
        let (mut process, _) = settled(&[token(1)]);
        let page = Page { held_milliseconds, ..page(false, false, "2.1", "2.1", &[]) };
        process.send_poll();
        let sent_at = process.now.monotonic_milliseconds;
        process.advance(arrives_after);
        process.feed_page(&page);
        let current_at = process.state().current_at;
        assert_eq!(
            current_at,
            Some(sent_at + complete_after),
            "{arrives_after} {held_milliseconds}"
        );
    }
}

#[test]
fn a_head_is_dated_by_when_its_poll_was_sent() {
    let (mut process, _) = settled(&[token(1)]);
    process.send_poll();
    let sent_at = process.now.monotonic_milliseconds;
    process.advance(9_000);
    let named = Page { held_milliseconds: 2_000, ..page(false, true, "3.1", "9.1", &[]) };
    process.feed_page(&named);
    process.feed_page(&page(false, true, "9.1", "20.1", &[]));
    assert_eq!(process.state().current_at, Some(sent_at + 2_000));
}

#[test]
fn a_late_response_does_not_reduce_freshness() {
    let (mut process, _) = settled(&[token(1)]);
    process.send_poll();
    process.advance(5_000);
    let newer = process.now.monotonic_milliseconds;
    let (mut state, expect) = FeedState::read(&process.shared, &process.vms[0].feed.space);
    state.current_at = Some(newer);
    assert!(state.write(&process.shared, &process.vms[0].feed.space, expect));
    process.feed_page(&page(false, false, "2.1", "2.1", &[]));
    assert_eq!(process.state().current_at, Some(newer));
}

#[test]
fn delayed_responses_do_not_extend_freshness() {
    let (mut process, _) = settled(&[token(1)]);
    let mut last_sent_at = 0;
    for _ in 0..5 {
        process.send_poll();
        last_sent_at = process.now.monotonic_milliseconds;
        process.advance(200_000);
        process.feed_page(&page(false, false, "2.1", "2.1", &[]));
    }
    process.now.monotonic_milliseconds = last_sent_at + 300_000;
    let known = |process: &ModelProcess| process.vms[0].feed.known_at(&process.shared, process.now);
    assert_eq!(known(&process), Knowledge::Current);
    process.now.monotonic_milliseconds += 1;
    assert_eq!(known(&process), Knowledge::Stale);
}

#[test]
fn a_set_becomes_stale_as_configured() {
    let (mut process, _) = settled(&[token(1)]);
    let at = process.state().current_at.unwrap();
    let cases = [
        (0, Knowledge::Current, true, true),
        (300_000, Knowledge::Current, true, true),
        (300_001, Knowledge::Stale, false, true),
    ];
    for (age, knowledge, refuse, use_last) in cases {
        process.now.monotonic_milliseconds = at + age;
        let known = process.vms[0].feed.known_at(&process.shared, process.now);
        assert_eq!(known, knowledge);
        assert_eq!(knowledge.admits(WhenUnknown::Refuse), refuse);
        assert_eq!(knowledge.admits(WhenUnknown::UseLast), use_last);
    }
    for when_unknown in [WhenUnknown::Refuse, WhenUnknown::UseLast] {
        assert!(!Knowledge::Never.admits(when_unknown));
    }
}

#[test]
fn a_damaged_state_is_treated_as_absent() {
    let (mut process, mut service) = settled(&[token(1)]);
    let key = process.vms[0].feed.space.name("feed", None);
    let value = process.shared.get(&key).unwrap().value;
    let damaged = [
        b"".to_vec(),
        b"SGC1".to_vec(),
        value[..value.len() - 1].to_vec(),
        [value, vec![0]].concat(),
    ];
    for value in damaged {
        assert!(process.shared.set_if(&key, &value, Expect::Anything));
        assert_eq!(process.state(), FeedState::default());
        process.vms[0].counts.clear();
        process.settle(&mut service, 10);
        assert_eq!(process.vms[0].feed.knowledge(), Knowledge::Current);
        let counts = &process.vms[0].counts;
        assert!(
            counts.contains(&FeedCount::Damaged) && counts.contains(&FeedCount::Reset),
            "{counts:?}"
        );
    }
}

#[test]
fn a_state_is_read_back() {
    let cursor = Cursor::new("17.0123456789abcdef");
    let full = FeedState {
        cursor: cursor.clone(),
        next_id: Some(RecordId([7; 16])),
        current_at: Some(5),
        target: cursor.map(|cursor| (cursor, 9)),
        service_now: 1_000,
        clamped: Some(70),
    };
    let (shared, space) = (crate::shared::InMemory::default(), KeySpace::of_feed("", "", ""));
    for state in [full, FeedState::default()] {
        assert!(state.write(&shared, &space, Expect::Anything));
        assert_eq!(FeedState::read(&shared, &space).0, state);
    }
}

#[test]
fn reloading_a_damaged_shard_keeps_undelivered_revocations() {
    let (mut process, mut service) = settled(&[token(1)]);
    let own = token(2);
    process.sign_out(own);
    for record in [token(1), own] {
        let key = ShardSlot::of(record.key()).name(&process.vms[0].feed.space);
        assert!(process.shared.set_if(&key, b"not a shard", Expect::Anything));
    }
    let feed = &process.vms[0].feed;
    assert!(feed.set().is_revoked(&process.shared, &TokenNames::of(own.id), None).is_err());
    repair::report(&process.shared, feed.set());
    assert_eq!(feed.known_at(&process.shared, process.now), Knowledge::Never);
    process.settle(&mut service, 3);
    assert_eq!(process.vms[0].feed.knowledge(), Knowledge::Current);
    assert_eq!(process.held_of(&[token(1), own]).len(), 2);
}

#[test]
fn a_cutoff_too_far_ahead_is_clamped_until_plausible() {
    let (mut process, mut service) = settled(&[]);
    let user = |issued_before| Record::user(RecordId::FIRST, issued_before, NEVER);
    let far = process.now.unix_seconds + 1_000;
    service.revoke(user(far));
    process.settle(&mut service, 1);
    let issued_before =
        |process: &ModelProcess| process.held_of(&[user(1)])[&user(1).key()].issued_before;
    assert!(issued_before(&process) <= process.now.unix_seconds + 300);
    assert_eq!(process.vms[0].feed.outbox().len(&process.shared), 0, "the service has it");
    // It was our clock that was behind.
    process.now.unix_seconds += 2_000;
    process.settle(&mut service, 5);
    assert_eq!(issued_before(&process), far);
}

#[test]
fn a_poll_requests_everything_after_the_cursor() {
    let mut poll = Poll::new(300);
    let first = poll.ask(None, true, 0);
    assert_eq!((first.method, first.path.as_str()), ("GET", "/v1/revocations?wait=30"));
    assert_eq!(first.timeout_milliseconds, 35_000);
    let call = Poll::new(30).ask(Cursor::new("5.a&b=%#+"), true, 0);
    assert_eq!(call.path, "/v1/revocations?wait=10&after=5.a%26b%3D%25%23%2B");
    assert_eq!(call.timeout_milliseconds, 15_000);
    assert_eq!(Poll::new(0).ask(None, true, 0).timeout_milliseconds, 6_000);
}

#[test]
fn a_poll_for_a_stale_set_does_not_wait() {
    let call = Poll::new(300).ask(Cursor::new("5.a"), false, 0);
    assert_eq!(call.path, "/v1/revocations?wait=0&after=5.a");
    assert_eq!(call.timeout_milliseconds, 35_000, "a slow service must not be cut off");
}

#[test]
fn a_stale_set_is_polled_every_few_seconds() {
    let (mut process, mut service) = settled(&[token(1)]);
    let mut sent = Vec::new();
    // The service is down for much longer than the set may be old.
    while process.vms[0].feed.knowledge() == Knowledge::Current || sent.len() < 30 {
        process.advance(500);
        process.tick(0);
        if process.vms[0].poll.is_some() {
            if process.vms[0].feed.knowledge() != Knowledge::Current {
                sent.push(process.now.monotonic_milliseconds);
            }
            process.answer_poll(0, None);
        }
    }
    for pair in sent.windows(2) {
        assert!(pair[1] - pair[0] <= 5_000, "{sent:?}");
    }
    process.settle(&mut service, 5);
    assert_eq!(process.vms[0].feed.knowledge(), Knowledge::Current);
}

#[test]
fn a_renamed_feed_enforces_undelivered_revocations() {
    let (mut process, mut service) = settled(&[token(1)]);
    process.sign_out(token(2));
    process.cluster = "renamed".to_owned();
    process.kill(0);
    assert_eq!(process.held_of(&[token(2)]).len(), 0, "the new feed has another set");
    process.settle(&mut service, 1);
    assert_eq!(process.vms[0].feed.knowledge(), Knowledge::Current);
    assert_eq!(process.held_of(&[token(2)]).len(), 1, "as soon as the set is loaded");
    process.settle(&mut service, 5);
    assert!(service.refuses(&token(2)), "it is delivered");
}

#[test]
fn further_pages_are_requested_at_once() {
    let mut process = ModelProcess::new(1);
    let mut pages = pieces(&page(true, false, "5.a", "5.a", &[]));
    let last = pages.pop().unwrap();
    for page in pages {
        process.feed_page(&page);
        assert!(process.vms[0].poll.is_some());
    }
    process.feed_page(&last);
    assert_eq!((&process.vms[0].poll, process.vms[0].tick_within_milliseconds), (&None, Some(20)));
    process.advance(19);
    process.tick(0);
    assert_eq!(process.vms[0].poll, None);
    process.advance(1);
    process.tick(0);
    assert!(process.vms[0].poll.is_some());
}

#[test]
fn failures_and_resets_at_short_intervals_make_the_feed_wait() {
    let mut process = ModelProcess::new(1);
    process.tick(0);
    let busy = Headers::from_pairs(&[(":status", "503"), ("retry-after", "7")]);
    process.answer_poll(0, Some(&Response { headers: busy, body: Vec::new() }));
    assert_eq!(process.vms[0].tick_within_milliseconds, Some(4_000), "nothing is loaded yet");
    for _ in 0..7 {
        process.advance(process.vms[0].tick_within_milliseconds.unwrap());
        process.tick(0);
        process.answer_poll(0, None);
        assert!(process.vms[0].tick_within_milliseconds >= Some(1_000));
    }
    let begins = &pieces(&page(true, false, "5.a", "5.a", &[]))[0];
    let waits = [1, 2].map(|_| {
        process.feed_page(begins);
        process.vms[0].tick_within_milliseconds
    });
    assert_eq!(waits, [None, Some(1_000)]);
    process.advance(60_000);
    process.tick(0);
    process.feed_page(begins);
    assert_eq!(process.vms[0].tick_within_milliseconds, None);
}

#[test]
fn a_current_feed_follows_retry_after() {
    let (mut process, _) = settled(&[token(1)]);
    let busy = Headers::from_pairs(&[(":status", "503"), ("retry-after", "7")]);
    while process.vms[0].poll.is_none() {
        process.advance(100);
        process.tick(0);
    }
    process.answer_poll(0, Some(&Response { headers: busy, body: Vec::new() }));
    assert_eq!(process.vms[0].tick_within_milliseconds, Some(7_000));
}

#[test]
fn a_vm_with_a_wrong_api_token_leaves_the_lease_to_another() {
    for (is_loaded, barred_seconds) in [(false, 4), (true, 60)] {
        let mut process = ModelProcess::new(2);
        if is_loaded {
            process.settle(&mut ModelService::new(1, 10, usize::MAX), 1);
        }
        process.tick(0);
        process.vms[0].poll.get_or_insert_with(|| delivery::call(&[], 1));
        process.vms[0].feed.poll.ask(None, true, 0);
        process.answer_poll(0, Some(&response(401, "application/json", Vec::new())));
        assert!(!process.vms[0].feed.lease.is_held(process.now.monotonic_milliseconds));
        process.tick(1);
        assert!(process.vms[1].feed.lease.is_held(process.now.monotonic_milliseconds));
        process.kill(1);
        for second in 1..=61 {
            process.advance(1_000);
            process.tick(0);
            let leads = process.vms[0].feed.lease.is_held(process.now.monotonic_milliseconds);
            // The other VM's lease lasts for a term after its death.
            let earliest = barred_seconds.max(TERM_MILLISECONDS / 1_000);
            assert_eq!(leads, second >= earliest, "{second} {is_loaded}");
            process.vms[0].poll = None;
        }
    }
}

#[test]
fn a_serving_leader_transfers_the_lease_after_its_poll() {
    let mut process = ModelProcess::new(2);
    let mut service = ModelService::new(1, 10, usize::MAX);
    process.tick(0);
    process.vms[0].feed.note_request();
    let call = process.vms[0].poll.clone().unwrap();
    for _ in 0..5 {
        process.advance(1_000);
        (0..2).for_each(|vm| process.tick(vm));
        assert_eq!(process.vms[1].poll, None, "one poll a process");
    }
    let whole = service.response(&call, 0, 2_000);
    process.answer_poll(0, Some(&whole));
    assert_eq!(process.vms[0].poll, None);
    process.tick(1);
    assert!(process.vms[1].poll.is_some(), "the one that does not serve reads on");
    process.kill(1);
    process.advance(2 * TERM_MILLISECONDS);
    process.tick(0);
    assert!(process.vms[0].poll.is_some(), "and if it dies, the other does, and keeps on");
    process.answer_poll(0, Some(&whole));
    assert!(process.vms[0].feed.lease.is_held(process.now.monotonic_milliseconds));
}

#[test]
fn a_yielding_leader_delivers_due_records_during_its_poll() {
    let mut process = ModelProcess::new(2);
    process.tick(0);
    process.vms[0].feed.note_request();
    for vm in [0, 1, 0] {
        process.tick(vm); // offered, asked for, seen
    }
    process.sign_out(token(1));
    process.advance(2_000);
    process.tick(0);
    assert!(process.vms[0].poll.is_some() && process.vms[0].delivery.is_some());
    process.answer_poll(0, None);
    process.tick(1);
    assert_eq!(process.vms[1].poll, None, "a call is under way yet");
    process.answer_tell(0, None);
    process.tick(1);
    assert!(process.vms[1].poll.is_some());
    assert_eq!(process.vms[0].poll, None);
}

#[test]
fn the_leader_runs_maintenance_once_a_second() {
    let (mut process, _) = settled(&[token(1)]);
    let generation =
        |process: &ModelProcess| process.vms[0].feed.set().generations().current(&process.shared);
    let before = generation(&process);
    process.advance(1_000);
    let effects = process.vms[0].feed.tick(&process.shared, process.now);
    assert_ne!(generation(&process), before);
    let gauges = effects.gauges.expect("the owner shows them");
    let age = (process.now.monotonic_milliseconds - process.state().current_at.unwrap()) / 1_000;
    assert_eq!(gauges.feed_current_timestamp_seconds, process.now.unix_seconds - age);
    assert_eq!((gauges.outbox, gauges.revocations), (0, [0; 3]));
    process.advance(10);
    assert_eq!(process.vms[0].feed.tick(&process.shared, process.now).gauges, None);
}

#[test]
fn the_sweep_counts_live_records_by_kind() {
    let all =
        [token(1), token(2), Record::user(RecordId::FIRST, 5, NEVER), Record::all("", 5, NEVER)];
    let (process, _) = settled(&all);
    let mut sweep = Sweep::default();
    while sweep.counts().is_none() {
        let horizon = process.state().horizon(2_000);
        sweep.step(&process.shared, process.vms[0].feed.set(), horizon).unwrap();
    }
    assert_eq!(sweep.counts(), Some([2, 1, 1]));
}

#[test]
fn each_change_is_logged_once() {
    let mut process = ModelProcess::new(1);
    let mut service = ModelService::new(1, 10, usize::MAX);
    process.tick(0);
    for _ in 0..3 {
        process.answer_poll(0, None);
        process.advance(1_000);
        process.tick(0);
    }
    process.settle(&mut service, 2);
    let failed = FeedNotice::Rejected(PollRejection::NoResponse);
    let expected =
        [FeedNotice::Leads, failed, FeedNotice::Accepted, FeedNotice::Knows(Knowledge::Current)];
    let mut told = process.vms[0].notices.clone();
    told.retain(|notice| expected.contains(notice));
    assert_eq!(told, expected);
    assert!(told.iter().all(|notice| !notice.to_string().is_empty()));
}
