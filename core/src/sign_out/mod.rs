//! Sign-out: records the revocation, enforces it in this process, and delivers it to the service.
//!
//! Two events end tokens. A request to a sign-out route ends the tokens that it carries and their
//! sessions. A 2xx response of the application on a `revoke_user` route ends all tokens of a user.
//! The same code handles both. The records go into the [outbox](Outbox), so that the service
//! receives them even if the next steps fail. They also go into the [set](RevocationSet), so that
//! every worker of this process refuses the tokens from now on. Then the filter calls the service
//! at once. [`begin`] writes the records and returns the next step. [`SignOut`] waits for the
//! response.
//!
//! # Why the outbox is written first
//!
//! If a write fails between the two, the record is only in the outbox: it still reaches the
//! service, and comes back through the feed. If the set were written first, the record could be
//! only in the set, and only this proxy would enforce it. Nobody would deliver it later: if the
//! user clicks again, the token is already revoked.
//!
//! # The response to the user
//!
//! If the service accepts the records, the request continues. If the service cannot be reached, the
//! configuration decides whether the request continues. The records are enforced on this proxy in
//! any case, and the leader delivers them later. If the service definitely rejects the records,
//! other proxies would still accept the token. The user then gets 503 and can try again, regardless
//! of the configuration.

pub mod without_effect;

use serde::Deserialize;

use crate::call::{Call, Response};
use crate::clock::Now;
use crate::feed::delivery::{self, Verdict};
use crate::feed::outbox::{DueTime, Outbox, OutgoingRecord};
use crate::feed::repair;
use crate::headers::Headers;
use crate::revocation::horizon::{
    Horizon, KEPT_AFTER_EXP_SECONDS, LARGEST_SKEW_SECONDS, kept_until,
};
use crate::revocation::record::{NEVER, Record, RecordId, TIME_LIMIT_SECONDS};
use crate::revocation::set::RevocationSet;
use crate::shared::SharedData;
use crate::token::GenuineToken;

/// Longest time for which a response is held until the time of a cutoff has passed.
pub const LONGEST_HOLD_MILLISECONDS: u64 = 2_000;

/// The largest age of a server's `Date` header.
const OLDEST_DATE_SECONDS: u64 = 1;

/// What to do if the service cannot be reached: `revocation.signout.when_unreachable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum WhenUnreachable {
    /// Continue. This proxy enforces the revocation, and the leader delivers it later.
    #[default]
    Forward,
    /// Respond 503. The application does not receive the request.
    Refuse,
}

/// The settings of sign-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Time that the service has to respond.
    pub timeout_milliseconds: u64,
    /// What to do if the service cannot be reached.
    pub when_unreachable: WhenUnreachable,
}

/// The next step of a request, or of the application's response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Let it continue.
    Continue,
    /// Respond 503, because the revocation is not enforced here or is not in the outbox.
    NotStored,
    /// Respond 503, because the service did not respond and the configuration requires it.
    Unreachable,
    /// Respond 503, because the service has rejected the revocation with this verdict.
    Rejected(Verdict),
    /// Pause, send this call, and pass its response to [`SignOut::respond`].
    Deliver(Call, SignOut),
}

/// A sign-out that waits for the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignOut {
    records: Vec<OutgoingRecord>,
    when_unreachable: WhenUnreachable,
}

/// Returns the record of a verified token with this record id and `exp`. The record is kept for as
/// long as a renewed token with the same `jti` may be valid.
#[must_use]
pub fn of_token(
    id: RecordId,
    exp: Option<u64>,
    unix_seconds: u64,
    max_lifetime_seconds: Option<u64>,
) -> Record {
    Record::token(id, end(Some(kept_until(end(exp), unix_seconds, max_lifetime_seconds))))
}

/// Returns the cutoff that ends the session of this genuine token. Returns `None` if the token
/// names no session, or has no `iat`: a cutoff would then refuse the new tokens of the session,
/// too, because they have no `iat` either.
#[must_use]
pub fn of_token_session(
    token: &GenuineToken,
    unix_seconds: u64,
    max_lifetime_seconds: Option<u64>,
) -> Option<Record> {
    let (session, iat) = (token.session()?, token.iat()?);
    Some(of_session(session, iat, token.exp(), unix_seconds, max_lifetime_seconds))
}

/// Returns the cutoff that ends the session of a token with these times: every token of the session
/// that was issued before the sign-out is refused.
///
/// # Why a cutoff, not a ban
///
/// A user may sign out of the application, but not of the identity provider, which then keeps the
/// session. The next sign-in gets tokens of the same session, and must work. Its tokens have an
/// `iat` from the cutoff on, because the response to the sign-out is [held](Hold) until then.
///
/// # How long it is kept
///
/// The cutoff is kept until the last token of the session that was issued before it has expired.
/// The lifetime of such a token is at most `max_lifetime_seconds`. Without that setting it is
/// assumed to be 24 hours, or the lifetime of this token if that is longer.
#[must_use]
pub fn of_session(
    session: RecordId,
    iat: u64,
    exp: Option<u64>,
    unix_seconds: u64,
    max_lifetime_seconds: Option<u64>,
) -> Record {
    // The service accepts no cutoff that is further ahead. A token whose `iat` is later than that
    // is accepted nowhere yet, and its own record revokes it.
    let latest = unix_seconds.saturating_add(LARGEST_SKEW_SECONDS);
    let issued_before = unix_seconds.max(iat).saturating_add(1).min(latest);
    let lifetime = exp.map_or(NEVER, |exp| exp.saturating_sub(iat));
    let lifetime = lifetime.max(max_lifetime_seconds.unwrap_or(KEPT_AFTER_EXP_SECONDS));
    Record::session(session, issued_before, end(issued_before.checked_add(lifetime)))
}

/// Returns the cutoff for a user after the application's response. It revokes every token issued
/// before the response was made (`date` is the value of that header, RFC 9110 §5.6.7), and every
/// token issued up to the second in which the request's own token was issued (`iat`).
///
/// Servers like uvicorn and nginx update `date` once a second, so it may be a second old. A token
/// issued in that second must be revoked, too.
///
/// # A new token in the response itself
///
/// An application may return a new token in the response to a password change. The `iat` of that
/// token is the second in which the response was made. An attacker may have got a token in the same
/// second with the old password. A cutoff cannot separate the two, so the new token is refused as
/// well, and the user signs in again. The response is held so that a new sign-in after it works.
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
    // Tokens whose `iat` is later than this are not accepted, so the cutoff need not be later.
    let latest = now.unix_seconds.saturating_add(LARGEST_SKEW_SECONDS);
    let last_token = responded_at.max(iat.unwrap_or(0)).min(latest);
    let issued_before = last_token.saturating_add(1);
    Record::user(
        id,
        issued_before,
        end(max_lifetime_seconds.map(|s| issued_before.saturating_add(s))),
    )
}

/// Returns whether the application's response reports success. A gRPC response always has status
/// 200, and `grpc-status` reports the failure.
#[must_use]
pub fn is_success(response: &Headers) -> bool {
    let is_2xx = matches!(response.first(b":status"), Some([b'2', _, _]));
    is_2xx && response.first(b"grpc-status").is_none_or(|status| status == b"0")
}

/// Enforces the revocations in this process, and returns the next step.
///
/// `revoked` are records that are in the set already. Those that the service has not acknowledged
/// are sent again, because the user may be trying again. If there are no records, the request
/// continues.
#[must_use]
pub fn begin(
    set: &RevocationSet,
    outbox: &Outbox,
    shared: &dyn SharedData,
    records: Vec<impl Into<OutgoingRecord>>,
    revoked: &[Record],
    settings: Settings,
    now: Now,
) -> Step {
    let owed = revoked.iter().filter_map(|record| outbox.owed(shared, record));
    let outgoing: Vec<_> = records.into_iter().map(Into::into).chain(owed).collect();
    if outgoing.is_empty() {
        return Step::Continue;
    }
    let due = DueTime::AfterGraceFrom(now.monotonic_milliseconds);
    let records: Vec<_> = outgoing.iter().map(|outgoing| outgoing.record).collect();
    let held = outbox.put(shared, &outgoing, due).is_ok()
        && repair::add(shared, set, &records, Horizon::NONE).is_ok();
    if !held {
        return Step::NotStored;
    }
    let call = delivery::call(&outgoing, settings.timeout_milliseconds);
    Step::Deliver(call, SignOut { records: outgoing, when_unreachable: settings.when_unreachable })
}

impl SignOut {
    /// Handles the service's response. `None` means that the call failed or could not be sent.
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
        // If the acknowledgement cannot be stored, the record is sent again, which is harmless.
        let _ = outbox.acknowledged(shared, &delivery::accepted(&self.records, accepted), now);
        match (verdict, self.when_unreachable) {
            (Verdict::Unknown, WhenUnreachable::Refuse) => Step::Unreachable,
            (Verdict::Unknown, WhenUnreachable::Forward) => Step::Continue,
            _ if accepted >= self.records.len() => Step::Continue,
            (verdict, _) => Step::Rejected(verdict),
        }
    }
}

/// The hold of a response until the time of a cutoff of its user or session has passed. A sign-in
/// after the response then gets a token that the cutoff does not revoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    issued_before: u64,
    ends_at: u64,
}

impl Hold {
    /// Creates the hold for a response that has set this cutoff.
    #[must_use]
    pub fn new(cutoff: &Record, now: Now) -> Self {
        let ends_at = now.monotonic_milliseconds.saturating_add(LONGEST_HOLD_MILLISECONDS);
        Self { issued_before: cutoff.issued_before, ends_at }
    }

    /// Returns whether the time of the cutoff has passed, or the longest hold is over.
    #[must_use]
    pub fn is_over(&self, now: Now) -> bool {
        now.unix_seconds >= self.issued_before || now.monotonic_milliseconds >= self.ends_at
    }
}

/// Returns the `exp` of a record for the `exp` of a token.
fn end(exp: Option<u64>) -> u64 {
    exp.filter(|&exp| exp < TIME_LIMIT_SECONDS).unwrap_or(NEVER)
}

fn unix_seconds(date: &[u8]) -> Option<u64> {
    let time = httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests;
