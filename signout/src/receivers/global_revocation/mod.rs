//! Global Token Revocation (draft-parecki-oauth-global-token-revocation), as Okta's Universal
//! Logout calls it.
//!
//! The caller presents a JWT that its organisation has signed. The body names the user. The cutoff
//! is computed from the JWT's `iat`, so a captured call changes nothing when it is sent again.

use session_guard_core::token::statement::StatementClaims;

use super::message::{self, MessageEffect};
use super::rejection::{Rejection, RejectionReason};
use super::subject::Subject;
use crate::issuers::settings::IssuerSettings;

/// Checks the claims of the caller's verified credential. Returns its `iat`.
///
/// # Errors
///
/// The credential is rejected.
pub(super) fn check_caller(
    claims: &StatementClaims<'_>,
    audiences: &[String],
    now: u64,
) -> Result<u64, Rejection> {
    let iat = message::check(claims, audiences, now)?;
    if !claims.has("exp") {
        return Err(Rejection::new(
            RejectionReason::BadClaims,
            "`exp` of the credential is missing.",
        ));
    }
    Ok(iat)
}

/// Reads the body of a call whose credential was issued at `iat`.
///
/// # Errors
///
/// The call is rejected.
pub(super) fn read(
    body: &[u8],
    settings: &IssuerSettings,
    iat: u64,
    now: u64,
) -> Result<MessageEffect, Rejection> {
    let not_a_call = || Rejection::bad_request("The body is not a JSON object with `sub_id`.");
    let body = StatementClaims::parse(body).ok_or_else(not_a_call)?;
    // Drafts before 03 call this member `subject`.
    let name = if body.has("sub_id") { "sub_id" } else { "subject" };
    let identifier = body.object(name).ok().flatten().ok_or_else(not_a_call)?;
    let subject = Subject::of_user_identifier(&identifier, settings)?;
    Ok(MessageEffect::cutoff(&subject, settings, iat, now))
}

#[cfg(test)]
mod tests;
