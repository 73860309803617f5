//! Token revocation (RFC 7009): the holder of an access token revokes it and ends its session.
//!
//! The token itself authorises the request, because only its holder knows it. The request ends the
//! token's own session, never all sessions of its user. It has no effect if the token has expired
//! or is already revoked, so a thief of an old token cannot end later sessions.

use session_guard_core::revocation::name::RecordId;
use session_guard_core::revocation::record::Record;
use session_guard_core::sign_out::of_token;
use session_guard_core::token::statement::StatementClaims;

use super::message::MessageEffect;
use super::rejection::Rejection;
use super::subject::Subject;
use crate::audit::AuditSubject;
use crate::issuers::settings::IssuerSettings;
use crate::request::CUTOFF_AHEAD_SECONDS;

/// The records to store when the holder of a genuine access token revokes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RevokedToken {
    /// The record of the token itself.
    pub(super) token: Record,
    /// All records to store if `token` is not stored yet: that record, and the cutoff of the
    /// token's session.
    pub(super) effect: MessageEffect,
}

/// Reads a genuine access token. Returns `None` if it has expired.
///
/// # Errors
///
/// A claim is malformed, so no configuration of the filter accepts the token.
pub(super) fn read(
    claims: &StatementClaims<'_>,
    signing_input: &[u8],
    settings: &IssuerSettings,
    now: u64,
) -> Result<Option<RevokedToken>, Rejection> {
    let (exp, iat) = (claims.time("exp")?, claims.time("iat")?);
    let (issuer, jti, sid) = (claims.text("iss")?, claims.text("jti")?, claims.text("sid")?);
    let realm = &settings.realm;
    let id = match &jti {
        Some(jti) => RecordId::of_token(realm, issuer.as_deref(), jti),
        None => RecordId::of_input(realm, issuer.as_deref(), signing_input),
    };
    if exp.is_some_and(|exp| now >= exp) {
        return Ok(None);
    }
    let token = of_token(id, exp, now, Some(settings.max_lifetime_seconds));
    let (records, cutoffs_of) = (vec![token], AuditSubject::Session);
    let mut effect = MessageEffect { records, cutoffs_of, respond_at: now, notes: vec![] };
    if let (Some(sid), Some(iat)) = (sid, iat) {
        // As for a sign-out in the filter: all tokens of the session that were issued until now are
        // revoked, and a new sign-in works. The cutoff is no further ahead than the API allows. A
        // token with a later `iat` is revoked by its own record.
        let session = Subject::session(&sid)?;
        let latest = now.saturating_add(CUTOFF_AHEAD_SECONDS - 1);
        let cutoff = MessageEffect::cutoff(&session, settings, now.max(iat).min(latest), now);
        effect.respond_at = cutoff.respond_at;
        effect.records.extend(cutoff.records);
    }
    Ok(Some(RevokedToken { token, effect }))
}

#[cfg(test)]
mod tests;
