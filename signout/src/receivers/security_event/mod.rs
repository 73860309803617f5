//! Security Event Tokens of Shared Signals (SSF 1.0, CAEP 1.0, RFC 8417).

use session_guard_core::token::statement::StatementClaims;

use super::message::{self, MessageEffect};
use super::rejection::{Rejection, RejectionReason};
use super::subject::{self, Subject, member};
use crate::issuers::settings::{EventSettings, EventType, IssuerSettings};

/// The meaning of a Security Event Token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EventMeaning {
    /// The event ends sessions.
    Cutoff(MessageEffect),
    /// The transmitter verifies the stream (SSF 1.0 §8.1.4), possibly with a state that the
    /// receiver has chosen.
    Verification { state: Option<String> },
    /// The transmitter has changed the status of the stream (SSF 1.0 §8.1.5).
    StreamUpdated { status: String },
    /// The event changes nothing here.
    Ignored,
}

/// Checks the claims of a verified Security Event Token. Returns its meaning.
///
/// # Errors
///
/// The token is rejected.
pub(super) fn read(
    claims: &StatementClaims<'_>,
    settings: &IssuerSettings,
    events: &EventSettings,
    now: u64,
) -> Result<EventMeaning, Rejection> {
    let iat = message::check(claims, &events.audiences, now)?;
    if claims.text("jti")?.is_none_or(|jti| jti.is_empty()) {
        return Err(Rejection::new(
            RejectionReason::BadClaims,
            "`jti` is missing (RFC 8417 §2.2).",
        ));
    }
    let list = claims.object("events")?;
    let list = list.ok_or_else(|| Rejection::new(RejectionReason::WrongEvent, ONE_EVENT))?;
    let mut names = list.names();
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(Rejection::new(RejectionReason::WrongEvent, ONE_EVENT));
    };
    let [session_revoked, credential_change] =
        [EventType::SessionRevoked, EventType::CredentialChange].map(EventType::address);
    let known = [session_revoked, credential_change, VERIFICATION, STREAM_UPDATED];
    let Some(known) = known.into_iter().find(|known| *known == name) else {
        return Ok(EventMeaning::Ignored);
    };
    let event = list
        .object(known)?
        .ok_or_else(|| Rejection::new(RejectionReason::WrongEvent, ONE_EVENT))?;
    let event_type = match known {
        VERIFICATION => {
            let state = event.text("state")?.map(|state| state.into_owned());
            return Ok(EventMeaning::Verification { state });
        }
        STREAM_UPDATED => {
            let status = event.text("status")?;
            let status = status.ok_or_else(|| bad_event("`status` is missing."))?.into_owned();
            return Ok(EventMeaning::StreamUpdated { status });
        }
        known if known == credential_change => {
            if event.text("credential_type")?.is_none() || event.text("change_type")?.is_none() {
                return Err(bad_event("`credential_type` or `change_type` is missing."));
            }
            EventType::CredentialChange
        }
        _ => EventType::SessionRevoked,
    };
    if !events.types.contains(&event_type) {
        return Ok(EventMeaning::Ignored);
    }
    let at = event.time("event_timestamp")?.unwrap_or(iat);
    message::not_from_the_future(at, now)?;
    let identifier = claims.object("sub_id")?;
    let identifier = identifier
        .ok_or_else(|| Rejection::new(RejectionReason::BadSubject, "`sub_id` is missing."))?;
    let subject = of_event(&identifier, settings, event_type)?;
    Ok(EventMeaning::Cutoff(MessageEffect::cutoff(&subject, settings, at, now)))
}

/// Returns the session or user that an event concerns.
fn of_event(
    identifier: &StatementClaims<'_>,
    settings: &IssuerSettings,
    event_type: EventType,
) -> Result<Subject, Rejection> {
    match (&*member(identifier, "format")?, event_type) {
        ("opaque", EventType::SessionRevoked) => Subject::session(&member(identifier, "id")?),
        ("complex", _) => of_complex(identifier, settings, event_type),
        _ => Subject::of_user_identifier(identifier, settings),
    }
}

/// Returns the session or user that a complex subject (SSF 1.0 §3.2) names. A subject that also
/// names something unknown here (a device, a group) is rejected, because the event must not end
/// more sessions than it names.
fn of_complex(
    identifier: &StatementClaims<'_>,
    settings: &IssuerSettings,
    event_type: EventType,
) -> Result<Subject, Rejection> {
    let is_known = |name| ["format", "user", "session", "tenant"].contains(&name);
    if !identifier.names().all(is_known) {
        return Err(subject::unsupported());
    }
    let part = |name| match identifier.object(name) {
        Ok(part) => Ok(part),
        Err(_) => {
            let detail = "A part of the subject is not an object.";
            Err(Rejection::new(RejectionReason::BadSubject, detail))
        }
    };
    let (user, session) = (part("user")?, part("session")?);
    let user = user.map(|user| Subject::of_user_identifier(&user, settings));
    match (session, user, event_type) {
        (Some(session), user, EventType::SessionRevoked) => {
            // Only the session is revoked. The user is checked nevertheless, because the message is
            // wrong if the user belongs to another issuer.
            if let Some(Err(error)) = user
                && error.reason != RejectionReason::UnsupportedSubject
            {
                return Err(error);
            }
            match &*member(&session, "format")? {
                "opaque" => Subject::session(&member(&session, "id")?),
                "iss_sub" => Subject::session(&subject::iss_sub(&session, settings)?),
                _ => Err(subject::unsupported()),
            }
        }
        (_, Some(user), _) => user,
        (_, None, _) => Err(subject::unsupported()),
    }
}

fn bad_event(detail: &'static str) -> Rejection {
    Rejection::new(RejectionReason::BadClaims, detail)
}

const ONE_EVENT: &str = "`events` is not an object with exactly one event (SSF 1.0 §4.1.3).";

const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const STREAM_UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";

#[cfg(test)]
mod tests;
