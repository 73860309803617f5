//! The session or user whose tokens a message revokes.
//!
//! The cutoff is computed from the time at which the issuer made the message, never from the time
//! at which it arrives. A captured message that is sent again therefore finds its cutoff already in
//! force.

use session_guard_core::revocation::horizon::is_past_for_service;
use session_guard_core::revocation::name::RecordId;
use session_guard_core::revocation::record::Record;
use session_guard_core::token::is_user_id;
use session_guard_core::token::statement::StatementClaims;

use super::rejection::{Rejection, RejectionReason};
use crate::issuers::settings::{IssuerSettings, UserIdClaim};

/// A session or a user of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A session, by its `sid`.
    Session(String),
    /// A user, by the user id.
    User(String),
}

impl Subject {
    /// Returns the session with this `sid`.
    ///
    /// # Errors
    ///
    /// The text cannot be a session id. The caller must not revoke the user's other sessions
    /// instead, even if the message names the user, too.
    pub(super) fn session(sid: &str) -> Result<Self, Rejection> {
        if sid.is_empty() || sid.len() > SESSION_ID_BYTES {
            let detail = format!("A session id has 1 to {SESSION_ID_BYTES} bytes.");
            return Err(Rejection::new(RejectionReason::BadSubject, detail));
        }
        Ok(Self::Session(sid.to_owned()))
    }

    /// Returns the user with this `sub`.
    ///
    /// # Errors
    ///
    /// The text cannot be a user id, or user ids are e-mail addresses here.
    pub(super) fn user(sub: &str, settings: &IssuerSettings) -> Result<Self, Rejection> {
        if settings.user_id != UserIdClaim::Sub {
            let detail = "User ids are e-mail addresses here (`user_id` in the issuers file), so a \
                          `sub` identifies no user; let the issuer send `sid` or an `email` subject.";
            return Err(Rejection::new(RejectionReason::UnsupportedSubject, detail));
        }
        Self::user_id(sub)
    }

    /// Returns the user with this e-mail address.
    ///
    /// # Errors
    ///
    /// The text cannot be a user id, or user ids are not e-mail addresses here.
    fn email(address: &str, settings: &IssuerSettings) -> Result<Self, Rejection> {
        if settings.user_id != UserIdClaim::Email {
            let detail = "User ids are not e-mail addresses here, so an `email` subject identifies no \
                          user; let the issuer send `iss_sub`, or change `user_id` in the issuers file.";
            return Err(Rejection::new(RejectionReason::UnsupportedSubject, detail));
        }
        Self::user_id(address)
    }

    fn user_id(text: &str) -> Result<Self, Rejection> {
        let detail = "A user id has 1 to 256 bytes, without control characters.";
        let user = is_user_id(text).then(|| Self::User(text.to_owned()));
        user.ok_or_else(|| Rejection::new(RejectionReason::BadSubject, detail))
    }

    /// Returns the user that a subject identifier names (RFC 9493 §3.2).
    ///
    /// # Errors
    ///
    /// The identifier is malformed, belongs to another issuer, or has a format that names no user
    /// here.
    pub(super) fn of_user_identifier(
        identifier: &StatementClaims<'_>,
        settings: &IssuerSettings,
    ) -> Result<Self, Rejection> {
        match &*member(identifier, "format")? {
            "iss_sub" => Self::user(&iss_sub(identifier, settings)?, settings),
            "email" => Self::email(&member(identifier, "email")?, settings),
            _ => Err(unsupported()),
        }
    }

    /// Returns the records that revoke all tokens of the subject that were issued up to the second
    /// `issued_at` of the issuer's clock. Leaves out records whose tokens have all expired.
    pub(super) fn cutoffs(
        &self,
        settings: &IssuerSettings,
        issued_at: u64,
        now: u64,
    ) -> Vec<Record> {
        let issued_before = issued_at.saturating_add(1);
        let exp = issued_before.saturating_add(settings.max_lifetime_seconds);
        let realm = &settings.realm;
        let id = |issuer: &String| match self {
            Self::Session(sid) => RecordId::of_session(realm, Some(issuer), sid),
            Self::User(user) => RecordId::of_user(realm, Some(issuer), user),
        };
        // A session's cutoff has the same kind of record as a user's, with another id.
        let record = |issuer| Record::user(id(issuer), issued_before, exp);
        let records = settings.token_issuers.iter().map(record);
        records.filter(|record| !is_past_for_service(record, now)).collect()
    }
}

/// Returns `sub` of an `iss_sub` identifier (RFC 9493 §3.2.3) of this issuer.
///
/// # Errors
///
/// The identifier is malformed or belongs to another issuer.
pub(super) fn iss_sub(
    identifier: &StatementClaims<'_>,
    settings: &IssuerSettings,
) -> Result<String, Rejection> {
    if member(identifier, "iss")? != settings.issuer {
        let detail = "The subject belongs to another issuer than the message.";
        return Err(Rejection::new(RejectionReason::ForeignSubject, detail));
    }
    member(identifier, "sub")
}

/// Returns the string member `name` of a subject identifier (RFC 9493 §3).
///
/// # Errors
///
/// The member is missing or is not a string.
pub(super) fn member(
    identifier: &StatementClaims<'_>,
    name: &'static str,
) -> Result<String, Rejection> {
    match identifier.text(name) {
        Ok(Some(text)) => Ok(text.into_owned()),
        _ => Err(Rejection::new(
            RejectionReason::BadSubject,
            format!("`{name}` of the subject is missing or not a string (RFC 9493)."),
        )),
    }
}

/// Returns the rejection of a subject with an unsupported format.
pub(super) fn unsupported() -> Rejection {
    let detail = "A subject of this format identifies no session and no user here; let the issuer \
                  send `iss_sub`, or `complex` with `user` and `session`.";
    Rejection::new(RejectionReason::UnsupportedSubject, detail)
}

/// Longest session id. Those of idpyoidc have 304 bytes.
pub(super) const SESSION_ID_BYTES: usize = 512;
