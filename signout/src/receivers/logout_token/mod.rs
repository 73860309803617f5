//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, incorporating errata).

use session_guard_core::token::statement::StatementClaims;

use super::message::{self, MessageEffect};
use super::rejection::{Rejection, RejectionReason};
use super::subject::Subject;
use crate::issuers::settings::IssuerSettings;

/// Checks the claims of a verified logout token (§2.6). Returns its effect (§2.7).
///
/// # Errors
///
/// The logout token is rejected.
pub(super) fn read(
    claims: &StatementClaims<'_>,
    settings: &IssuerSettings,
    audiences: &[String],
    now: u64,
) -> Result<MessageEffect, Rejection> {
    let iat = message::check(claims, audiences, now)?;
    let events = claims.object("events");
    let event = events.as_ref().ok().and_then(Option::as_ref).map(|events| events.object(EVENT));
    if !matches!(event, Some(Ok(Some(_)))) {
        let detail = "`events` is not an object with the back-channel logout event, so this is not a \
                      logout token (§2.4).";
        return Err(Rejection::new(RejectionReason::WrongEvent, detail));
    }
    if claims.has("nonce") {
        let detail = "A logout token has no `nonce` (§2.4); this looks like an ID token.";
        return Err(Rejection::new(RejectionReason::BadClaims, detail));
    }
    let (sid, sub) = (claims.text("sid")?, claims.text("sub")?);
    let subject = match (sid, sub) {
        (Some(sid), _) => Subject::session(&sid)?,
        (None, Some(sub)) => Subject::user(&sub, settings)?,
        (None, None) => {
            let detail = "The logout token has neither `sid` nor `sub` (§2.4).";
            return Err(Rejection::new(RejectionReason::BadSubject, detail));
        }
    };
    let mut accepted = MessageEffect::cutoff(&subject, settings, iat, now);
    if claims.text("jti")?.is_none() {
        accepted.notes.push("the logout token has no `jti`, which the specification requires");
    }
    if !claims.has("exp") {
        accepted.notes.push("the logout token has no `exp`, which the specification requires");
    }
    Ok(accepted)
}

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

#[cfg(test)]
mod tests;
