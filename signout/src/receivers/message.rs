//! The common part of all messages from issuers: the checks of `aud`, `exp`, `nbf` and `iat`, and
//! the records that an accepted message stores.
//!
//! Each protocol makes these checks in the same way, after the signature has been verified.

use session_guard_core::revocation::record::{Kind, Record};
use session_guard_core::token::statement::StatementClaims;

use super::rejection::{Rejection, RejectionReason};
use super::subject::Subject;
use crate::audit::AuditSubject;
use crate::issuers::settings::IssuerSettings;
use crate::plan::PlannedRecord;
use crate::request::CUTOFF_AHEAD_SECONDS;

/// What the service does for an accepted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MessageEffect {
    /// The records to store.
    pub(super) records: Vec<Record>,
    /// Whether the cutoffs among `records` are those of sessions or of users, for the audit.
    pub(super) cutoffs_of: AuditSubject,
    /// The second (since 1970 UTC) from which on the response may be sent. Every token that was
    /// issued before the response is then refused, and a sign-in after it works.
    pub(super) respond_at: u64,
    /// Deviations from the specification, for the operator's log.
    pub(super) notes: Vec<&'static str>,
}

impl MessageEffect {
    /// Returns the effect of revoking all tokens of a subject that were issued up to the second
    /// `issued_at` of the issuer's clock.
    pub(super) fn cutoff(
        subject: &Subject,
        settings: &IssuerSettings,
        issued_at: u64,
        now: u64,
    ) -> Self {
        Self {
            records: subject.cutoffs(settings, issued_at, now),
            cutoffs_of: match subject {
                Subject::Session(_) => AuditSubject::Session,
                Subject::User(_) => AuditSubject::User,
            },
            respond_at: issued_at.saturating_add(1),
            notes: vec![],
        }
    }

    /// Returns the records for the writer.
    pub(super) fn planned(&self) -> Vec<PlannedRecord> {
        let subject = |kind| match kind {
            Kind::Token => AuditSubject::Token,
            Kind::User | Kind::All => self.cutoffs_of,
        };
        let planned = |record: &Record| PlannedRecord {
            subject: subject(record.kind),
            ..PlannedRecord::from(*record)
        };
        self.records.iter().map(planned).collect()
    }
}

/// Checks `aud`, `exp`, `nbf` and `iat` of a verified message. Returns its `iat`.
///
/// # Errors
///
/// A claim is missing or malformed, the message is for another receiver, or it is not valid at this
/// time.
pub(super) fn check(
    claims: &StatementClaims<'_>,
    audiences: &[String],
    now: u64,
) -> Result<u64, Rejection> {
    let (exp, nbf, iat) = (claims.time("exp")?, claims.time("nbf")?, claims.time("iat")?);
    if exp.is_some_and(|exp| now >= exp.saturating_add(SKEW_SECONDS)) {
        let detail = "The message has expired; compare the clocks of the issuer and this machine.";
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

/// Checks that the cutoff of a message from this time is at most [`CUTOFF_AHEAD_SECONDS`] in the
/// future, as in a call of the API. It is refused, not reduced: otherwise the same message would set
/// a later cutoff when it is sent again.
///
/// # Errors
///
/// The time is later than that.
pub(super) fn not_from_the_future(time: u64, now: u64) -> Result<(), Rejection> {
    if time < now.saturating_add(CUTOFF_AHEAD_SECONDS) {
        return Ok(());
    }
    let detail =
        "The message was issued in the future; compare the clocks of the issuer and this machine.";
    Err(Rejection::new(RejectionReason::NotYetValid, detail))
}

/// How long a message is accepted after its `exp`, because the clocks of issuer and service differ.
const SKEW_SECONDS: u64 = 60;
