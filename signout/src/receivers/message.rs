//! What do all messages of issuers have in common?
//!
//! Audience and times are checked the same way in each protocol, after the signature.

use session_guard_core::revocation::record::Record;
use session_guard_core::token::statement::StatementClaims;

use super::rejection::{Rejection, RejectionReason};
use super::subject::Subject;
use crate::issuers::settings::IssuerSettings;
use crate::request::CUTOFF_AHEAD_SECONDS;

/// What an accepted message changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MessageEffect {
    /// The records to store.
    pub(super) records: Vec<Record>,
    /// The response may leave when this second has begun: every token that was issued before the
    /// response is then refused, and a sign-in after it works.
    pub(super) respond_at: u64,
    /// What the issuer should do better, for the operator's log.
    pub(super) notes: Vec<&'static str>,
}

impl MessageEffect {
    /// The cutoff of a subject at this second of the issuer's clock.
    pub(super) fn cutoff(
        subject: &Subject,
        settings: &IssuerSettings,
        issued_at: u64,
        now: u64,
    ) -> Self {
        Self {
            records: subject.cutoffs(settings, issued_at, now),
            respond_at: issued_at.saturating_add(1),
            notes: vec![],
        }
    }
}

/// Checks `aud`, `exp`, `nbf` and `iat` of a genuine message; returns `iat`.
///
/// # Errors
///
/// The message is for somebody else, or not valid at this time.
pub(super) fn check(
    claims: &StatementClaims<'_>,
    audiences: &[String],
    now: u64,
) -> Result<u64, Rejection> {
    let (exp, nbf, iat) = (claims.time("exp")?, claims.time("nbf")?, claims.time("iat")?);
    if exp.is_some_and(|exp| now >= exp.saturating_add(SKEW_SECONDS)) {
        let detail = "The message has expired; see the clocks of the issuer and of this machine.";
        return Err(Rejection::new(RejectionReason::Expired, detail));
    }
    let iat = iat.ok_or_else(|| Rejection::new(RejectionReason::BadClaims, "`iat` is missing."))?;
    not_from_the_future(iat.max(nbf.unwrap_or(0)), now)?;
    let named = claims.audiences()?;
    if !named.iter().any(|named| audiences.iter().any(|audience| audience == named)) {
        let detail = "`aud` names none of the `audiences` in the issuers file.";
        return Err(Rejection::new(RejectionReason::WrongAudience, detail));
    }
    Ok(iat)
}

/// Checks that a time is not later than the clocks may differ.
///
/// # Errors
///
/// It is.
pub(super) fn not_from_the_future(time: u64, now: u64) -> Result<(), Rejection> {
    if time <= now.saturating_add(SKEW_SECONDS) {
        return Ok(());
    }
    let detail =
        "The message is from the future; see the clocks of the issuer and of this machine.";
    Err(Rejection::new(RejectionReason::NotYetValid, detail))
}

/// By how much the clocks of issuer and service may differ: a cutoff may be as far ahead.
const SKEW_SECONDS: u64 = CUTOFF_AHEAD_SECONDS;
