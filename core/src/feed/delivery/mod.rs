//! Delivers revocations to the service.
//!
//! A delivery is a `POST /v1/revocations` with a list of records in the form of the feed. Only the
//! service's own 200 or 201 is an acknowledgement: it is `application/json` and contains a cursor.
//! A rejection is checked in the same way, because a 400 of another server must not make the proxy
//! drop a revocation.
//!
//! A sign-out request makes its own call. [`Delivery`] delivers the records that remain in the
//! outbox, in the leader.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::call::poller::Poller;
use crate::call::{Call, Response};
use crate::clock::Now;
use crate::feed::outbox::{Outbox, OutgoingRecord};
use crate::json::object_text;
use crate::revocation::record::{Kind, NEVER, Record};
use crate::shared::SharedData;

/// The maximum number of records in one batch of the leader.
pub const BATCH_RECORDS: usize = 1_000;

/// Returns the call that delivers these records.
#[must_use]
pub fn call(records: &[OutgoingRecord], timeout_milliseconds: u64) -> Call {
    let list: Vec<_> = records.iter().map(JsonRecord::from).collect();
    Call {
        method: "POST",
        path: "/v1/revocations".to_owned(),
        headers: vec![("content-type", JSON.into()), ("accept", JSON.into())],
        body: serde_json::to_vec(&list).unwrap_or_default(),
        timeout_milliseconds,
    }
}

/// The meaning of a response for the records that were sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The service has all of them.
    Accepted,
    /// 507: the service stored only this many records, because it is full. [`accepted`] returns
    /// which ones.
    Full(usize),
    /// 400, 413 or 422: the service will never accept the batch as it is. Its records are sent
    /// again one by one; a record that is rejected alone is dropped.
    Rejected,
    /// 401 or 403: the service rejects the API token.
    Unauthorized,
    /// It is unknown whether the service has stored the records.
    Unknown,
}

/// Returns the meaning of a response for the records that were sent.
#[must_use]
pub fn verdict(response: Option<&Response>) -> Verdict {
    let Some(response) = response else { return Verdict::Unknown };
    match response.status() {
        Some(200 | 201) if parse::<Acknowledgement>(response).is_some() => Verdict::Accepted,
        Some(400 | 413 | 422) if parse::<ErrorBody>(response).is_some() => Verdict::Rejected,
        Some(401 | 403) => Verdict::Unauthorized,
        Some(507) => Verdict::Full(parse::<Full>(response).map_or(0, |full| full.accepted)),
        _ => Verdict::Unknown,
    }
}

/// Returns the first `count` records that the service stores of a batch: cutoffs first, because they
/// have a reserve, then the others in their order.
#[must_use]
pub fn accepted(batch: &[OutgoingRecord], count: usize) -> Vec<Record> {
    let mut records = records_of(batch);
    records.sort_by_key(|record| record.kind == Kind::Token);
    records.truncate(count);
    records
}

fn records_of(batch: &[OutgoingRecord]) -> Vec<Record> {
    batch.iter().map(|outgoing| outgoing.record).collect()
}

fn parse<T: for<'a> Deserialize<'a>>(response: &Response) -> Option<T> {
    let text = response.is_of_type(JSON).then(|| object_text(&response.body))??;
    serde_json::from_str(text).ok()
}

/// The leader's deliveries, one at a time.
#[derive(Clone, Debug)]
pub struct Delivery {
    timeout_milliseconds: u64,
    poller: Poller<Vec<OutgoingRecord>>,
    /// The records of a batch that was rejected as a whole. They are sent one by one.
    one_by_one: VecDeque<OutgoingRecord>,
}

/// The result of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The service has stored this many records.
    Delivered(u64),
    /// The service rejected the batch; its records are sent one by one next.
    Divided,
    /// The service rejected this record alone. It was removed from the outbox.
    Dropped(Record),
    /// The service does not know the API token.
    Unauthorized,
    /// The service is full and stored only this many records. The others wait in the outbox.
    Partly(u64),
    /// Any other response, or none. The records stay in the outbox.
    Postponed,
}

impl Delivery {
    /// Creates the state before the first delivery, which may be sent at once.
    #[must_use]
    pub fn new(timeout_milliseconds: u64) -> Self {
        Self { timeout_milliseconds, poller: Poller::default(), one_by_one: VecDeque::new() }
    }

    /// Returns whether a call is pending.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.poller.is_pending()
    }

    /// Returns the time until the next delivery may be sent; monotonic milliseconds.
    #[must_use]
    pub fn wait_milliseconds(&self, now: u64) -> u64 {
        self.poller.wait_milliseconds(now)
    }

    /// Returns the number of failed deliveries in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.poller.failures()
    }

    /// Shortens the wait for the next delivery to at most this many milliseconds.
    pub fn call_within(&mut self, now: u64, milliseconds: u64) {
        self.poller.call_within(now, milliseconds);
    }

    /// Returns the call of the next delivery, if one is due.
    pub fn start(&mut self, shared: &dyn SharedData, outbox: &Outbox, now: Now) -> Option<Call> {
        if !self.poller.may_call(now.monotonic_milliseconds) {
            return None;
        }
        let batch = match self.one_by_one.pop_front() {
            Some(record) => vec![record],
            None => outbox.due(shared, now, BATCH_RECORDS),
        };
        let call = (!batch.is_empty()).then(|| call(&batch, self.timeout_milliseconds))?;
        self.poller.begin(batch);
        Some(call)
    }

    /// Handles the response. Returns `None` if no call was pending.
    pub fn finished(
        &mut self,
        shared: &dyn SharedData,
        outbox: &Outbox,
        now: Now,
        random: u32,
        response: Option<&Response>,
    ) -> Option<DeliveryOutcome> {
        let batch = self.poller.end()?;
        let verdict = verdict(response);
        if matches!(verdict, Verdict::Accepted | Verdict::Rejected) {
            self.poller.succeeded();
        }
        // If the outbox cannot be changed, the records are sent again, which is harmless.
        Some(match (verdict, batch.as_slice()) {
            (Verdict::Accepted, batch) => {
                let _ = outbox.acknowledged(shared, &records_of(batch), now);
                DeliveryOutcome::Delivered(batch.len() as u64)
            }
            (Verdict::Rejected, &[OutgoingRecord { record, .. }]) => {
                let _ = outbox.remove(shared, &[record]);
                DeliveryOutcome::Dropped(record)
            }
            (Verdict::Rejected, batch) => {
                self.one_by_one.extend(batch);
                DeliveryOutcome::Divided
            }
            (verdict, batch) => {
                self.poller.failed(response, now.monotonic_milliseconds, random);
                match verdict {
                    Verdict::Unauthorized => DeliveryOutcome::Unauthorized,
                    Verdict::Full(count @ 1..) => {
                        let accepted = accepted(batch, count);
                        let _ = outbox.acknowledged(shared, &accepted, now);
                        DeliveryOutcome::Partly(accepted.len() as u64)
                    }
                    _ => DeliveryOutcome::Postponed,
                }
            }
        })
    }
}

/// A record in the service's JSON, in both directions. A token has no `issued_before`. A record
/// without `exp` is kept for ever. Only the JSON that a proxy sends to the service contains `user`
/// and `iat`.
#[derive(Debug, Serialize)]
pub struct JsonRecord {
    kind: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<u64>,
}

impl From<&OutgoingRecord> for JsonRecord {
    fn from(outgoing: &OutgoingRecord) -> Self {
        Self {
            user: outgoing.account.map(|account| account.user.to_string()),
            iat: outgoing.account.and_then(|account| account.iat),
            ..Self::from(&outgoing.record)
        }
    }
}

impl From<&Record> for JsonRecord {
    fn from(record: &Record) -> Self {
        Self {
            kind: record.kind.name(),
            id: record.id.to_string(),
            issued_before: (record.kind != Kind::Token).then_some(record.issued_before),
            exp: (record.exp != NEVER).then_some(record.exp),
            user: None,
            iat: None,
        }
    }
}

#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(rename = "cursor")]
    _cursor: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "code")]
    _code: String,
}

#[derive(Deserialize)]
struct Full {
    accepted: usize,
}

const JSON: &str = "application/json";

#[cfg(test)]
mod tests;
