//! How does the service learn what was revoked here?
//!
//! By `POST /v1/revocations` with a list of records in the form of the feed. Only the service's own
//! 200 or 201 is an acknowledgement: `application/json` that names a cursor. A rejection is checked
//! the same way, because another server's 400 must not make us drop a revocation.
//!
//! A sign-out request makes its own call. [`Delivery`] is how the leader delivers the records that
//! are left in the outbox.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::call::poller::Poller;
use crate::call::{Call, Response};
use crate::clock::Now;
use crate::feed::outbox::Outbox;
use crate::json::object_text;
use crate::revocation::record::{Kind, NEVER, Record};
use crate::shared::SharedData;

/// Most records in one batch of the leader.
pub const BATCH_RECORDS: usize = 1_000;

/// Returns the call that delivers these records.
#[must_use]
pub fn call(records: &[Record], timeout_milliseconds: u64) -> Call {
    let list: Vec<_> = records.iter().map(JsonRecord::from).collect();
    Call {
        method: "POST",
        path: "/v1/revocations".to_owned(),
        headers: &[("content-type", JSON), ("accept", JSON)],
        body: serde_json::to_vec(&list).unwrap_or_default(),
        timeout_milliseconds,
    }
}

/// Whether the service has stored the records.
#[must_use]
pub fn is_acknowledged(response: Option<&Response>) -> bool {
    response.is_some_and(|response| {
        matches!(response.status(), Some(200 | 201)) && has_body::<Acknowledgement>(response)
    })
}

/// Whether the service will never accept the records as they are.
fn is_rejected(response: Option<&Response>) -> bool {
    response.is_some_and(|response| {
        matches!(response.status(), Some(400 | 413 | 422)) && has_body::<ErrorBody>(response)
    })
}

fn has_body<T: for<'a> Deserialize<'a>>(response: &Response) -> bool {
    response.is_of_type(JSON)
        && object_text(&response.body).is_some_and(|text| serde_json::from_str::<T>(text).is_ok())
}

/// The leader's deliveries, one at a time.
#[derive(Clone, Debug)]
pub struct Delivery {
    timeout_milliseconds: u64,
    poller: Poller<Vec<Record>>,
    /// The records of a batch that was rejected as a whole: they are sent one by one.
    one_by_one: VecDeque<Record>,
}

/// The result of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The service has stored that many records.
    Delivered(u64),
    /// The service rejected the batch; its records are sent one by one next.
    Divided,
    /// The service rejected this record alone; it was removed from the outbox.
    Dropped(Record),
    /// The service does not know the API token.
    Unauthorized,
    /// Anything else: the records stay in the outbox.
    Postponed,
}

impl Delivery {
    /// A delivery that may begin at once.
    #[must_use]
    pub fn new(timeout_milliseconds: u64) -> Self {
        Self { timeout_milliseconds, poller: Poller::default(), one_by_one: VecDeque::new() }
    }

    /// Whether a call was sent and has not ended yet.
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

    /// Shortens the wait for the next delivery to at most so many milliseconds.
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
        let rejected = is_rejected(response);
        if is_acknowledged(response) || rejected {
            self.poller.succeeded();
        }
        // If the outbox cannot be changed, the records are sent once more, which changes nothing.
        Some(match batch.as_slice() {
            batch if is_acknowledged(response) => {
                let _ = outbox.acknowledged(shared, batch, now);
                DeliveryOutcome::Delivered(batch.len() as u64)
            }
            &[record] if rejected => {
                let _ = outbox.remove(shared, &[record]);
                DeliveryOutcome::Dropped(record)
            }
            batch if rejected => {
                self.one_by_one.extend(batch);
                DeliveryOutcome::Divided
            }
            _ => {
                self.poller.failed(response, now.monotonic_milliseconds, random);
                match response.and_then(Response::status) {
                    Some(401 | 403) => DeliveryOutcome::Unauthorized,
                    _ => DeliveryOutcome::Postponed,
                }
            }
        })
    }
}

/// A record in the service's JSON, in both directions. A token has no `issued_before`; a record that
/// is kept for ever has no `exp`.
#[derive(Debug, Serialize)]
pub struct JsonRecord {
    kind: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

impl From<&Record> for JsonRecord {
    fn from(record: &Record) -> Self {
        Self {
            kind: record.kind.name(),
            id: record.id.to_string(),
            issued_before: (record.kind != Kind::Token).then_some(record.issued_before),
            exp: (record.exp != NEVER).then_some(record.exp),
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

const JSON: &str = "application/json";

#[cfg(test)]
mod tests;
