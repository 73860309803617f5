//! What happens when a user signs out?
//!
//! Two things end tokens: a request to a sign-out route, which ends those that it carries, and an
//! application's 2xx answer on a `revoke_user` route, which ends all of a user's. Both go the same
//! way: into the [outbox](Outbox), so that the service learns of it whatever happens next; into the
//! [set](RevocationSet), so that every worker of this process refuses from now on; then the service is
//! told at once. [`begin`] does the first two and says what to do, [`SignOut`] waits for the answer.
//!
//! # Why the outbox comes first
//!
//! A record that is only in the outbox gets to the service, and back through the feed. One that is
//! only in the set would hold here and nowhere else, and nobody would try again: the user's second
//! click carries a token that is revoked already.

use crate::call::{Call, Response};
use crate::clock::Now;
use crate::feed::outbox::{DueTime, Outbox};
use crate::feed::{delivery, repair};
use crate::headers::Headers;
use crate::revocation::horizon::{Horizon, LARGEST_SKEW_SECONDS, kept_until};
use crate::revocation::record::{NEVER, Record, RecordId, TIME_LIMIT_SECONDS};
use crate::revocation::set::RevocationSet;
use crate::shared::SharedData;

/// Longest time that an application's answer is held until a cutoff's second has begun.
pub const LONGEST_HOLD_MILLISECONDS: u64 = 2_000;

/// How long a server may go on sending the date that it made.
const OLDEST_DATE_SECONDS: u64 = 1;

/// What to do when the service cannot be told: `revocation.signout.when_unreachable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenUnreachable {
    /// Go on: the revocation holds here, and the lease owner delivers it.
    #[default]
    Forward,
    /// Response 503: the application is not asked.
    Refuse,
}

/// What is settled about sign-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long the service has to acknowledge.
    pub timeout_milliseconds: u64,
    /// What to do when it does not.
    pub when_unreachable: WhenUnreachable,
}

/// What to do with the request, or with the application's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Let it go on.
    Forward,
    /// Response 503: the revocation would not hold.
    Unavailable,
    /// Hold it, make this call, and ask [`SignOut::told`] when the answer is there.
    Tell(Call, SignOut),
}

/// A sign-out that waits for the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOut {
    records: Vec<Record>,
    when_unreachable: WhenUnreachable,
}

/// Returns the revocation of a verified token with that `exp`, if it has one. The record is kept for
/// as long as a renewed token of the same `jti` may live.
#[must_use]
pub fn of_token(
    id: RecordId,
    exp: Option<u64>,
    unix_seconds: u64,
    max_lifetime_seconds: Option<u64>,
) -> Record {
    Record::token(id, end(Some(kept_until(end(exp), unix_seconds, max_lifetime_seconds))))
}

/// The cutoff of a user whose tokens an application's answer has ended: everything issued before
/// that answer was made (`date`, the value of its header of that name, RFC 9110 §5.6.7) or together
/// with the token that the request came with (`iat`).
///
/// A `date` may be a second old: servers make it once a second, uvicorn and nginx among them, and a
/// token issued meanwhile is one of those to be ended.
#[must_use]
pub fn of_user(
    id: RecordId,
    date: Option<&[u8]>,
    iat: Option<u64>,
    now: Now,
    max_lifetime_seconds: Option<u64>,
) -> Record {
    let date = date.and_then(unix_seconds);
    let answered_at =
        date.map_or(now.unix_seconds, |date| date.saturating_add(OLDEST_DATE_SECONDS));
    // No token is taken that was issued later than this, so that no cutoff has to reach further.
    let latest = now.unix_seconds.saturating_add(LARGEST_SKEW_SECONDS);
    let last_token = answered_at.max(iat.unwrap_or(0)).min(latest);
    let issued_before = last_token.saturating_add(1);
    Record::user(
        id,
        issued_before,
        end(max_lifetime_seconds.map(|s| issued_before.saturating_add(s))),
    )
}

/// Whether the application's answer says that it has done what it was asked for. What fails before
/// it gets there is answered 200 as well, to a client that speaks gRPC: the failure is in
/// `grpc-status`.
#[must_use]
pub fn is_success(answer: &Headers) -> bool {
    let is_2xx = matches!(answer.first(b":status"), Some([b'2', _, _]));
    is_2xx && answer.first(b"grpc-status").is_none_or(|status| status == b"0")
}

/// Makes the revocations hold in this process, and says how to go on.
///
/// Of `revoked`, what is in force already, the service is told again where it has not acknowledged
/// it: another click means another try. No records, nothing to do.
#[must_use]
pub fn begin(
    set: &RevocationSet,
    outbox: &Outbox,
    shared: &dyn SharedData,
    mut records: Vec<Record>,
    revoked: &[Record],
    settings: Settings,
    now: Now,
) -> Step {
    records.extend(revoked.iter().filter(|record| outbox.owes(shared, record)));
    if records.is_empty() {
        return Step::Forward;
    }
    let due = DueTime::AfterGraceFrom(now.monotonic_milliseconds);
    let held = outbox.put(shared, &records, due).is_ok()
        && repair::add(shared, set, &records, Horizon::NONE).is_ok();
    if !held {
        return Step::Unavailable;
    }
    let call = delivery::call(&records, settings.timeout_milliseconds);
    Step::Tell(call, SignOut { records, when_unreachable: settings.when_unreachable })
}

impl SignOut {
    /// The service has answered, or not: `None` also stands for a call that could not be made.
    #[must_use]
    pub fn told(
        self,
        outbox: &Outbox,
        shared: &dyn SharedData,
        answer: Option<&Response>,
        now: Now,
    ) -> Step {
        if delivery::is_acknowledged(answer) {
            // What fails to be noted is sent once more, which changes nothing.
            let _ = outbox.acknowledged(shared, &self.records, now);
            return Step::Forward;
        }
        match self.when_unreachable {
            WhenUnreachable::Forward => Step::Forward,
            WhenUnreachable::Refuse => Step::Unavailable,
        }
    }
}

/// An application's answer that waits until its user's cutoff lies in the past, so that a sign-in
/// after it makes a token that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    issued_before: u64,
    ends_at: u64,
}

impl Hold {
    /// Holds the answer that has set this cutoff.
    #[must_use]
    pub fn new(cutoff: &Record, now: Now) -> Self {
        let ends_at = now.monotonic_milliseconds.saturating_add(LONGEST_HOLD_MILLISECONDS);
        Self { issued_before: cutoff.issued_before, ends_at }
    }

    /// Whether the clock has come far enough, or the answer was held for long enough.
    #[must_use]
    pub fn is_over(&self, now: Now) -> bool {
        now.unix_seconds >= self.issued_before || now.monotonic_milliseconds >= self.ends_at
    }
}

/// An end that a record may have.
fn end(exp: Option<u64>) -> u64 {
    exp.filter(|&exp| exp < TIME_LIMIT_SECONDS).unwrap_or(NEVER)
}

fn unix_seconds(date: &[u8]) -> Option<u64> {
    let time = httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests;
