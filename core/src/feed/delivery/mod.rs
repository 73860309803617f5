//! How does the service learn what was revoked here?
//!
//! By `POST /v1/revocations`, a list of records as the feed gives them, one atomic batch. Only the
//! service's own 200 or 201 counts as its word: `application/json` that names a cursor. Likewise its
//! no: whatever else responses 400 must not make us drop a revocation.
//!
//! A request that signs a user out tells the service itself; [`Delivery`] is the lease owner's way to
//! deliver what is left in the outbox.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::call::backoff;
use crate::call::{Call, Response};
use crate::clock::Now;
use crate::feed::outbox::Outbox;
use crate::json::object_text;
use crate::revocation::record::{Kind, NEVER, Record};
use crate::shared::SharedData;

/// Most records in one batch of the lease owner.
pub const BATCH_RECORDS: usize = 1_000;

/// The call that tells the service of these records.
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

/// Whether the service has those records now.
#[must_use]
pub fn is_acknowledged(response: Option<&Response>) -> bool {
    response.is_some_and(|response| {
        matches!(response.status(), Some(200 | 201)) && says::<Acknowledgement>(response)
    })
}

/// Whether the service will never take them as they are.
fn is_refused(response: Option<&Response>) -> bool {
    response.is_some_and(|response| {
        matches!(response.status(), Some(400 | 413 | 422)) && says::<Refused>(response)
    })
}

fn says<T: for<'a> Deserialize<'a>>(response: &Response) -> bool {
    response.is_of_type(JSON)
        && object_text(&response.body).is_some_and(|text| serde_json::from_str::<T>(text).is_ok())
}

/// The delivery that is under way, or when the next one may leave.
#[derive(Clone, Debug)]
pub struct Delivery {
    timeout_milliseconds: u64,
    under_way: Option<Vec<Record>>,
    /// A batch that was refused as a whole: its records go one by one.
    singly: VecDeque<Record>,
    not_before: u64,
    failures: u32,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// That many records are with the service.
    Delivered(u64),
    /// The service refused the batch; its records will go one by one.
    Divided,
    /// The service refused this record alone; it is out of the outbox.
    Dropped(Record),
    /// The API token is not the service's.
    Unauthorized,
    /// Anything else: the records wait.
    Postponed,
}

impl Delivery {
    /// Nothing is under way.
    #[must_use]
    pub fn new(timeout_milliseconds: u64) -> Self {
        Self {
            timeout_milliseconds,
            under_way: None,
            singly: VecDeque::new(),
            not_before: 0,
            failures: 0,
        }
    }

    /// Whether an response is awaited.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// How long until the next delivery may leave; monotonic milliseconds.
    #[must_use]
    pub fn wait_milliseconds(&self, now: u64) -> u64 {
        self.not_before.saturating_sub(now)
    }

    /// How many deliveries in a row have failed.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The next delivery, if there is anything to deliver; from then on it is under way.
    pub fn start(&mut self, shared: &dyn SharedData, outbox: &Outbox, now: Now) -> Option<Call> {
        if self.is_under_way() || self.wait_milliseconds(now.monotonic_milliseconds) > 0 {
            return None;
        }
        let batch = match self.singly.pop_front() {
            Some(record) => vec![record],
            None => outbox.due(shared, now, BATCH_RECORDS),
        };
        let call = (!batch.is_empty()).then(|| call(&batch, self.timeout_milliseconds))?;
        self.under_way = Some(batch);
        Some(call)
    }

    /// The response is there; `None` where nothing was under way.
    pub fn answered(
        &mut self,
        shared: &dyn SharedData,
        outbox: &Outbox,
        now: Now,
        random: u32,
        response: Option<&Response>,
    ) -> Option<DeliveryOutcome> {
        let batch = self.under_way.take()?;
        let refused = is_refused(response);
        if is_acknowledged(response) || refused {
            self.failures = 0;
        }
        // What fails to be noted is sent once more, which changes nothing.
        Some(match batch.as_slice() {
            batch if is_acknowledged(response) => {
                let _ = outbox.acknowledged(shared, batch, now);
                DeliveryOutcome::Delivered(batch.len() as u64)
            }
            &[record] if refused => {
                let _ = outbox.remove(shared, &[record]);
                DeliveryOutcome::Dropped(record)
            }
            batch if refused => {
                self.singly.extend(batch);
                DeliveryOutcome::Divided
            }
            _ => {
                self.failures = self.failures.saturating_add(1);
                let retry_after = response.and_then(Response::retry_after_seconds);
                let wait = backoff::wait_as_asked(self.failures, random, retry_after);
                self.not_before = now.monotonic_milliseconds.saturating_add(wait);
                match response.and_then(Response::status) {
                    Some(401 | 403) => DeliveryOutcome::Unauthorized,
                    _ => DeliveryOutcome::Postponed,
                }
            }
        })
    }
}

/// A record as the service's JSON spells it, in both directions. A token has no `issued_before`, a
/// record for ever no `exp`.
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
struct Refused {
    #[serde(rename = "code")]
    _code: String,
}

const JSON: &str = "application/json";

#[cfg(test)]
mod tests;
