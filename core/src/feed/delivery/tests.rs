//! Promise: a revocation is sent until the service has it or rejects it permanently. Method: the
//! deliveries that follow each kind of response, written out.

use super::*;
use crate::feed::outbox::DueTime;
use crate::headers::Headers;
use crate::revocation::record::RecordId;
use crate::shared::InMemory;
use crate::shared::names::KeySpace;

const NOW: Now = Now { unix_seconds: 2_000, monotonic_milliseconds: 50_000 };
const YES: (&str, &str, &str) = ("201", JSON, r#"{"cursor":"5.a"}"#);
const NO: (&str, &str, &str) = ("422", JSON, r#"{"code":"unacceptable","detail":""}"#);

struct DeliveryBench {
    shared: InMemory,
    outbox: Outbox,
    delivery: Delivery,
    now: Now,
}

impl DeliveryBench {
    fn of(records: &[Record]) -> Self {
        let shared = InMemory::default();
        let outbox = Outbox::new(KeySpace::of_feed("", "signout", "signout"));
        outbox.put(&shared, records, DueTime::AtOnce).unwrap();
        Self { shared, outbox, delivery: Delivery::new(2_000), now: NOW }
    }

    fn start(&mut self) -> Option<Call> {
        self.delivery.start(&self.shared, &self.outbox, self.now)
    }

    /// Returns the outcome of a delivery with this response, and the number of records that remain
    /// to be sent.
    fn finished(
        &mut self,
        response: Option<(&str, &str, &str)>,
    ) -> (Option<DeliveryOutcome>, usize) {
        let response = response.map(|(status, content_type, body)| Response {
            headers: Headers::from_pairs(&[(":status", status), ("content-type", content_type)]),
            body: body.chars().map(|latin| latin as u8).collect(),
        });
        let (shared, outbox) = (&self.shared, &self.outbox);
        let outcome = self.delivery.finished(shared, outbox, self.now, 0, response.as_ref());
        let due = self.outbox.due(&self.shared, self.now, BATCH_RECORDS);
        (outcome, due.len())
    }
}

fn token(last: u8) -> Record {
    Record::token(RecordId([last; 16]), 9_000)
}

#[test]
fn only_an_exact_response_of_the_service_ends_a_delivery() {
    let record = token(1);
    let delivered = (Some(DeliveryOutcome::Delivered(1)), 0);
    let dropped = (Some(DeliveryOutcome::Dropped(record)), 0);
    let postponed = (Some(DeliveryOutcome::Postponed), 1);
    let cases = [
        (Some(YES), delivered),
        (Some(("200", JSON, YES.2)), delivered),
        (Some(NO), dropped),
        (Some(("400", JSON, NO.2)), dropped),
        (Some(("413", JSON, NO.2)), dropped),
        (Some(("401", JSON, NO.2)), (Some(DeliveryOutcome::Unauthorized), 1)),
        (Some(("403", JSON, NO.2)), (Some(DeliveryOutcome::Unauthorized), 1)),
        (Some(("507", JSON, NO.2)), postponed),
        (Some(("507", JSON, r#"{"code":"full","accepted":0}"#)), postponed),
        (Some(("507", JSON, r#"{"accepted":1}"#)), (Some(DeliveryOutcome::Partly(1)), 0)),
        (Some(("507", "text/plain", r#"{"accepted":1}"#)), postponed),
        (Some(("503", "text/plain", "upstream connect error")), postponed),
        (Some(("200", "text/html", "<html>")), postponed),
        (Some(("201", JSON, r#"["5.a"]"#)), postponed),
        (Some(("201", JSON, "{\"cursor\":\"5.a\",\"other\":\"\u{e9}\"}")), postponed), // not UTF-8
        (Some(("422", JSON, "{\"code\":\"\",\"detail\":\"\u{e9}\"}")), postponed),
        (Some(("422", JSON, r#"["unacceptable"]"#)), postponed),
        (Some(("400", "text/html", "<html>")), postponed),
        (Some(("404", JSON, NO.2)), postponed),
        (None, postponed),
    ];
    for (response, expected) in cases {
        let mut delivery = DeliveryBench::of(&[record]);
        assert!(delivery.start().is_some());
        assert_eq!(delivery.start(), None, "one at a time");
        assert_eq!(delivery.finished(response), expected, "{response:?}");
        assert_eq!(delivery.finished(response).0, None, "nothing is under way");
    }
}

#[test]
fn a_rejected_batch_is_sent_record_by_record() {
    let records = [token(1), token(2), token(3)];
    let mut delivery = DeliveryBench::of(&records);
    delivery.start().expect("a batch");
    assert_eq!(delivery.finished(Some(NO)), (Some(DeliveryOutcome::Divided), 3));
    let single = delivery.start().expect("the first alone");
    assert_eq!(single, call(&[records[0].into()], 2_000));
    assert_eq!(delivery.finished(Some(YES)), (Some(DeliveryOutcome::Delivered(1)), 2));
    delivery.start().expect("the second alone");
    assert_eq!(delivery.finished(Some(NO)), (Some(DeliveryOutcome::Dropped(records[1])), 1));
    delivery.start().expect("the third alone");
    assert_eq!(delivery.finished(Some(YES)), (Some(DeliveryOutcome::Delivered(1)), 0));
    assert_eq!(delivery.start(), None);
}

#[test]
fn a_failed_delivery_is_repeated_after_a_wait() {
    let mut delivery = DeliveryBench::of(&[token(1)]);
    delivery.start().unwrap();
    delivery.finished(None);
    assert_eq!((delivery.start(), delivery.delivery.failures()), (None, 1));
    delivery.now.monotonic_milliseconds += 1_000;
    delivery.start().expect("again");
    assert_eq!(delivery.finished(Some(YES)), (Some(DeliveryOutcome::Delivered(1)), 0));
    assert_eq!(delivery.delivery.failures(), 0);
}

#[test]
fn a_record_changed_during_a_delivery_is_sent_again() {
    let user = |issued_before| Record::user(RecordId::FIRST, issued_before, NEVER);
    let mut delivery = DeliveryBench::of(&[user(5)]);
    delivery.start().unwrap();
    delivery.outbox.put(&delivery.shared, &[user(9)], DueTime::AtOnce).unwrap();
    assert_eq!(delivery.finished(Some(YES)), (Some(DeliveryOutcome::Delivered(1)), 1));
    assert_eq!(delivery.start(), Some(call(&[user(9).into()], 2_000)));
}

#[test]
fn a_new_leader_repeats_the_delivery_of_a_dead_one() {
    let mut delivery = DeliveryBench::of(&[token(1)]);
    let first = delivery.start();
    delivery.delivery = Delivery::new(2_000);
    assert_eq!(delivery.start(), first);
}

#[test]
fn a_batch_is_bounded_and_has_the_feeds_form() {
    let ids = (0..BATCH_RECORDS as u128 + 1).map(|number| RecordId(number.to_be_bytes()));
    let mut delivery =
        DeliveryBench::of(&ids.map(|id| Record::token(id, NEVER)).collect::<Vec<_>>());
    let body = delivery.start().unwrap().body;
    let list: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
    assert_eq!(list.len(), BATCH_RECORDS);
    let records = [
        token(1),
        Record::user(RecordId::FIRST, 5, 9),
        Record { exp: NEVER, ..Record::all("", 5, 9) },
    ];
    let expected = format!(
        r#"[{{"kind":"token","id":"{}","exp":9000}},{{"kind":"user","id":"{}","issued_before":5,"exp":9}},{{"kind":"all","id":"{}","issued_before":5}}]"#,
        records[0].id, records[1].id, records[2].id
    );
    assert_eq!(String::from_utf8(call(&records.map(Into::into), 1).body).unwrap(), expected);
}

#[test]
fn records_without_room_are_sent_again() {
    let cutoff = Record::user(RecordId([9; 16]), 1_000, NEVER);
    let mut delivery = DeliveryBench::of(&[token(1), token(2), token(3), cutoff]);
    assert!(delivery.start().is_some());
    let full = Some(("507", JSON, r#"{"code":"full","detail":"","accepted":2}"#));
    assert_eq!(delivery.finished(full), (Some(DeliveryOutcome::Partly(2)), 2));
    let due = delivery.outbox.due(&delivery.shared, delivery.now, BATCH_RECORDS);
    assert_eq!(due, [token(2), token(3)], "cutoffs are stored first");
    assert_eq!(delivery.start(), None, "not at once");
    delivery.now.monotonic_milliseconds += 60_000;
    assert!(delivery.start().is_some());
}
