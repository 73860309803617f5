//! Rejections of messages: a reason and a detail.
//!
//! The reason is a stable label of a metric. The detail is for sender and operator, and names the
//! problem and the remedy. Neither contains a part of a token, a user id or a session id.

use std::borrow::Cow;

use session_guard_core::refusal::Refusal;
use session_guard_core::token::statement::MalformedClaim;

/// The kind of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RejectionReason {
    /// The content type, the parameters or the body are not those of this protocol.
    BadRequest,
    /// The message is not a well-formed JWT of the expected type.
    Malformed,
    /// No issuer with the `iss` of the message may send such messages to this realm.
    UnknownIssuer,
    /// The issuer does not sign with this algorithm.
    Algorithm,
    /// The issuer has published no key with the `kid` of the message.
    UnknownKey,
    /// The signature is wrong.
    BadSignature,
    /// The message is for another receiver.
    WrongAudience,
    /// The message has expired.
    Expired,
    /// The message was issued in the future.
    NotYetValid,
    /// A claim is missing or malformed.
    BadClaims,
    /// A logout token does not contain the logout event, or a Security Event Token does not contain
    /// exactly one event. An unknown event in a Security Event Token is acknowledged, not rejected.
    WrongEvent,
    /// The subject is missing or malformed.
    BadSubject,
    /// The subject belongs to another issuer.
    ForeignSubject,
    /// The subject is well-formed, but identifies no session and no user here.
    UnsupportedSubject,
    /// The signature cannot be checked now.
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

    /// Returns the label in `signout_receiver_messages_total`.
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

    /// Returns whether the same message may be accepted later.
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
    /// Returns the rejection for a signature that could not be verified.
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
