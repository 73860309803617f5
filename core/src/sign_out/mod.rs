//! What happens when a user signs out?
//!
//! Two events end tokens: a request to a sign-out route ends the tokens that it carries, and an
//! application's 2xx response on a `revoke_user` route ends all tokens of a user. Both take the same
//! way. The records go into the [outbox](Outbox), so that the service receives them whatever happens
//! next, and into the [set](RevocationSet), so that every worker of this process refuses the tokens
//! from now on. Then the filter calls the service at once. [`begin`] writes the records and says what
//! to do, [`SignOut`] waits for the response.
//!
//! # Why the outbox comes first
//!
//! A record that is only in the outbox reaches the service, and comes back through the feed. A record
//! that is only in the set would hold here and nowhere else, and nobody would try again: the user's
//! second click carries a token that is revoked already.
//!
//! # What the user is told
//!
//! If the service has the records, the request continues. If the service cannot be reached, the
//! configuration decides: the records hold on this proxy, and the leader delivers them later. If the
//! service definitely rejects them, other proxies would accept the token, so the user gets 503 and can
//! try again, whatever the configuration says.

pub mod without_effect;

use serde::Deserialize;

use crate::call::{Call, Response};
use crate::clock::Now;
use crate::feed::delivery::{self, Verdict};
use crate::feed::outbox::{DueTime, Outbox};
use crate::feed::repair;
use crate::headers::Headers;
use crate::revocation::horizon::{Horizon, LARGEST_SKEW_SECONDS, kept_until};
use crate::revocation::record::{NEVER, Record, RecordId, TIME_LIMIT_SECONDS};
use crate::revocation::set::RevocationSet;
use crate::shared::SharedData;

/// Longest time for which an application's response is held until a cutoff's second has begun.
pub const LONGEST_HOLD_MILLISECONDS: u64 = 2_000;

/// A server's `Date` may be this old.
const OLDEST_DATE_SECONDS: u64 = 1;

/// What to do if the service cannot be reached: `revocation.signout.when_unreachable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum WhenUnreachable {
    /// Continue: the revocation holds here, and the leader delivers it.
    #[default]
    Forward,
    /// Respond 503: the application does not get the request.
    Refuse,
}

/// The settings of sign-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Time that the service has to respond.
    pub timeout_milliseconds: u64,
    /// What to do if it does not.
    pub when_unreachable: WhenUnreachable,
}

/// What to do with the request, or with the application's response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Let it continue.
    Continue,
    /// Respond 503: the revocation is not in force or may not be recorded.
    Unavailable,
    /// Respond 503: the service has rejected the revocation with this verdict.
    Rejected(Verdict),
    /// Pause it, send this call, and pass the response to [`SignOut::respond`].
    Deliver(Call, SignOut),
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

/// Returns the cutoff of a user whose tokens an application's response ends: every token issued before
/// the response was made (`date`, the value of that header, RFC 9110 §5.6.7), and every token issued in
/// the same second as the request's own token (`iat`).
///
/// Servers like uvicorn and nginx update `date` once a second, so it may be a second old. A token
/// issued in that second must end, too.
///
/// # A new token in the response itself
///
/// An application may return a new token in the response to a password change. Its `iat` is the second
/// in which the response was made, like that of a token that somebody else got a moment before with
/// the old password. No cutoff separates the two, so the new token is refused with the old ones, and
/// the user signs in again. The response is held until a sign-in after it works.
#[must_use]
pub fn of_user(
    id: RecordId,
    date: Option<&[u8]>,
    iat: Option<u64>,
    now: Now,
    max_lifetime_seconds: Option<u64>,
) -> Record {
    let date = date.and_then(unix_seconds);
    let responded_at =
        date.map_or(now.unix_seconds, |date| date.saturating_add(OLDEST_DATE_SECONDS));
    // No token issued later than this is accepted, so no cutoff has to reach further.
    let latest = now.unix_seconds.saturating_add(LARGEST_SKEW_SECONDS);
    let last_token = responded_at.max(iat.unwrap_or(0)).min(latest);
    let issued_before = last_token.saturating_add(1);
    Record::user(
        id,
        issued_before,
        end(max_lifetime_seconds.map(|s| issued_before.saturating_add(s))),
    )
}

/// Returns whether the application's response reports success. For a client that speaks gRPC the
/// status is always 200, and `grpc-status` tells of a failure.
#[must_use]
pub fn is_success(response: &Headers) -> bool {
    let is_2xx = matches!(response.first(b":status"), Some([b'2', _, _]));
    is_2xx && response.first(b"grpc-status").is_none_or(|status| status == b"0")
}

/// Puts the revocations into force in this process, and returns what to do next.
///
/// `revoked` are in the set already; those that the service has not acknowledged are sent again, because
/// another click means another try. Without records there is nothing to do.
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
        return Step::Continue;
    }
    let due = DueTime::AfterGraceFrom(now.monotonic_milliseconds);
    let held = outbox.put(shared, &records, due).is_ok()
        && repair::add(shared, set, &records, Horizon::NONE).is_ok();
    if !held {
        return Step::Unavailable;
    }
    let call = delivery::call(&records, settings.timeout_milliseconds);
    Step::Deliver(call, SignOut { records, when_unreachable: settings.when_unreachable })
}

impl SignOut {
    /// Continues after the service's response; `None` if the call failed or could not be sent.
    #[must_use]
    pub fn respond(
        self,
        outbox: &Outbox,
        shared: &dyn SharedData,
        response: Option<&Response>,
        now: Now,
    ) -> Step {
        let verdict = delivery::verdict(response);
        let accepted = match verdict {
            Verdict::Accepted => self.records.len(),
            Verdict::Full(count) => count,
            Verdict::Rejected | Verdict::Unauthorized | Verdict::Unknown => 0,
        };
        // A record that cannot be marked is sent once more, which changes nothing.
        let _ = outbox.acknowledged(shared, &delivery::accepted(&self.records, accepted), now);
        match (verdict, self.when_unreachable) {
            (Verdict::Unknown, WhenUnreachable::Refuse) => Step::Unavailable,
            (Verdict::Unknown, WhenUnreachable::Forward) => Step::Continue,
            _ if accepted >= self.records.len() => Step::Continue,
            (verdict, _) => Step::Rejected(verdict),
        }
    }
}

/// An application's response that waits until its user's cutoff lies in the past, so that a sign-in
/// after it gets a token that is not cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    issued_before: u64,
    ends_at: u64,
}

impl Hold {
    /// Holds the response that has set this cutoff.
    #[must_use]
    pub fn new(cutoff: &Record, now: Now) -> Self {
        let ends_at = now.monotonic_milliseconds.saturating_add(LONGEST_HOLD_MILLISECONDS);
        Self { issued_before: cutoff.issued_before, ends_at }
    }

    /// Returns whether the cutoff lies in the past, or the response was held for long enough.
    #[must_use]
    pub fn is_over(&self, now: Now) -> bool {
        now.unix_seconds >= self.issued_before || now.monotonic_milliseconds >= self.ends_at
    }
}

/// Returns the end of a record for this `exp`.
fn end(exp: Option<u64>) -> u64 {
    exp.filter(|&exp| exp < TIME_LIMIT_SECONDS).unwrap_or(NEVER)
}

fn unix_seconds(date: &[u8]) -> Option<u64> {
    let time = httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests;
