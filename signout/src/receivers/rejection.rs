//! Why a receiver rejects a message.
//!
//! The reason is a label of a metric and stable. The detail tells the sender and the operator what is
//! wrong and what helps. Neither holds anything of a token, a user or a session.

use std::borrow::Cow;

use session_guard_core::refusal::Refusal;
use session_guard_core::token::statement::MalformedClaim;

/// The kind of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RejectionReason {
    /// The request is not one of this protocol: content type, parameters, body.
    BadRequest,
    /// The message is no well-formed JWT of the expected type.
    Malformed,
    /// No issuer with this name may send such messages to this realm.
    UnknownIssuer,
    /// The issuer does not sign with this algorithm.
    Algorithm,
    /// The issuer has published no such key.
    UnknownKey,
    /// The signature is wrong.
    BadSignature,
    /// The message is for somebody else.
    WrongAudience,
    /// The message has expired.
    Expired,
    /// The message is from the future.
    NotYetValid,
    /// A claim is missing or malformed.
    BadClaims,
    /// The message reports no event, or not one of this protocol.
    WrongEvent,
    /// The subject is missing or malformed.
    BadSubject,
    /// The subject belongs to another issuer.
    ForeignSubject,
    /// The subject is well-formed, but tells nothing about sessions here.
    UnsupportedSubject,
    /// The message cannot be judged now.
    Unavailable,
    /// The revocation was not stored.
    NotStored,
}

impl RejectionReason {
    /// Every reason.
    pub(crate) const ALL: [Self; 16] = [
        Self::BadRequest,
        Self::Malformed,
        Self::UnknownIssuer,
        Self::Algorithm,
        Self::UnknownKey,
        Self::BadSignature,
        Self::WrongAudience,
        Self::Expired,
        Self::NotYetValid,
        Self::BadClaims,
        Self::WrongEvent,
        Self::BadSubject,
        Self::ForeignSubject,
        Self::UnsupportedSubject,
        Self::Unavailable,
        Self::NotStored,
    ];

    /// The label in `signout_receiver_messages_total`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Malformed => "malformed_token",
            Self::UnknownIssuer => "unknown_issuer",
            Self::Algorithm => "unsupported_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::BadClaims => "bad_claims",
            Self::WrongEvent => "wrong_event",
            Self::BadSubject => "bad_subject",
            Self::ForeignSubject => "foreign_subject",
            Self::UnsupportedSubject => "unsupported_subject",
            Self::Unavailable => "unavailable",
            Self::NotStored => "not_stored",
        }
    }

    /// Whether the same message may be accepted later.
    pub(crate) fn is_temporary(self) -> bool {
        matches!(self, Self::Unavailable | Self::NotStored)
    }
}

/// A rejected message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: RejectionReason,
    pub(crate) detail: Cow<'static, str>,
}

impl Rejection {
    pub(crate) fn new(reason: RejectionReason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(crate) fn bad_request(detail: &'static str) -> Self {
        Self::new(RejectionReason::BadRequest, detail)
    }
}

impl From<MalformedClaim> for Rejection {
    fn from(MalformedClaim(name): MalformedClaim) -> Self {
        Self::new(
            RejectionReason::BadClaims,
            format!("`{name}` has the wrong type or is out of range."),
        )
    }
}

impl From<Refusal> for Rejection {
    /// The outcome of a signature check.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnsupportedAlgorithm => Self::new(
                RejectionReason::Algorithm,
                "No key of the issuer is for this algorithm; see `algorithms` and `jwks` in the \
                 issuers file.",
            ),
            Refusal::UnknownKey => Self::new(
                RejectionReason::UnknownKey,
                "The issuer has published no key with this `kid`; see `jwks` in the issuers file.",
            ),
            Refusal::BadSignature => Self::new(
                RejectionReason::BadSignature,
                "The signature is not by a key of the issuer.",
            ),
            _ => Self::new(
                RejectionReason::Unavailable,
                "The signature cannot be checked now: the issuer's keys are not loaded, or too many \
                 forged messages arrive. Send it again.",
            ),
        }
    }
}
