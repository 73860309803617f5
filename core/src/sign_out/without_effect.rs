//! The reasons why a sign-out revokes nothing.
//!
//! The application still responds to such a sign-out, so the user believes that it worked. The
//! filter counts these sign-outs by reason, and logs what the operator can do about it.

use crate::refusal::Refusal;
use crate::request::routes;

/// The reason why a sign-out revokes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutEffect {
    /// No configured token source contains a token.
    NoToken,
    /// No token is genuine: each is malformed, names an unknown key, or has a wrong signature.
    NotGenuine,
    /// Every token has expired.
    Expired,
    /// The tokens lack a required claim, or a claim has the wrong type, issuer or audience.
    BadClaims,
    /// The method is `HEAD` or `OPTIONS`.
    Method,
    /// The sign-out rule of this path names other methods only.
    OtherMethod,
    /// A browser loaded the page in advance, before the user asked for it.
    Prefetch,
    /// Another page embeds the address, for example as an image.
    Embedded,
    /// The request comes from another site.
    CrossSite,
    /// A `revoke_user` route sets no cutoff, because the request's own token has no `iat`. A cutoff
    /// would refuse all later tokens of that user, which probably have no `iat` either.
    NoIat,
}

impl From<routes::NoSignOut> for WithoutEffect {
    fn from(reason: routes::NoSignOut) -> Self {
        match reason {
            routes::NoSignOut::OtherMethod => Self::OtherMethod,
            routes::NoSignOut::Method => Self::Method,
            routes::NoSignOut::Prefetch => Self::Prefetch,
            routes::NoSignOut::Embedded => Self::Embedded,
        }
    }
}

impl WithoutEffect {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::NoToken,
        Self::NotGenuine,
        Self::Expired,
        Self::BadClaims,
        Self::Method,
        Self::OtherMethod,
        Self::Prefetch,
        Self::Embedded,
        Self::CrossSite,
        Self::NoIat,
    ];

    /// Returns the reason if none of the tokens can be revoked. `objection` is the refusal of the
    /// first token, or `None` if there is no token.
    #[must_use]
    pub fn of_tokens(objection: Option<Refusal>) -> Self {
        match objection {
            None | Some(Refusal::MissingToken) => Self::NoToken,
            Some(Refusal::Expired) => Self::Expired,
            Some(
                Refusal::BadClaims
                | Refusal::NotYetValid
                | Refusal::WrongIssuer
                | Refusal::WrongAudience,
            ) => Self::BadClaims,
            Some(_) => Self::NotGenuine,
        }
    }

    /// Returns the name of the reason in the counter `sign_outs_without_effect.<name>`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::NotGenuine => "not_genuine",
            Self::Expired => "expired",
            Self::BadClaims => "bad_claims",
            Self::Method => "method",
            Self::OtherMethod => "other_method",
            Self::Prefetch => "prefetch",
            Self::Embedded => "embedded",
            Self::CrossSite => "cross_site",
            Self::NoIat => "no_iat",
        }
    }

    /// Returns the line for the log.
    #[must_use]
    pub fn line(self) -> &'static str {
        match self {
            Self::NoToken => {
                "a sign-out revoked nothing: the request carried no token; does token_sources name \
                 every place where clients send it?"
            }
            Self::NotGenuine => {
                "a sign-out revoked nothing: no token of the request is genuine; do the configured \
                 keys match the application's?"
            }
            Self::Expired => "a sign-out revoked nothing: the request's tokens have expired",
            Self::BadClaims => {
                "a sign-out revoked nothing: the tokens lack a required claim, or a claim is not \
                 accepted; compare them with `claims` in the configuration"
            }
            Self::Method => "a sign-out revoked nothing: HEAD and OPTIONS sign nobody out",
            Self::OtherMethod => {
                "a request to the path of a sign-out revoked nothing: the sign-out rule names other \
                 methods; if users sign out by this method, add it to the rule's `methods`, \
                 otherwise write a rule for it"
            }
            Self::Prefetch => "a sign-out revoked nothing: the request was a prefetch",
            Self::Embedded => {
                "a sign-out revoked nothing: a page embeds the address of the sign-out, as an image \
                 for example; let the application sign out by POST"
            }
            Self::CrossSite => {
                "a sign-out revoked nothing: the request came from another site; set \
                 `\"cross_site\": \"revoke\"` on the route if that is intended"
            }
            Self::NoIat => {
                "a password change or deletion revoked nothing: the request's token has no `iat`, so \
                 a cutoff would refuse every later sign-in of that user; let the application issue \
                 `iat`"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_a_token_is_a_reason() {
        for (objection, expected) in [
            (None, WithoutEffect::NoToken),
            (Some(Refusal::BadSignature), WithoutEffect::NotGenuine),
            (Some(Refusal::UnknownKey), WithoutEffect::NotGenuine),
            (Some(Refusal::MalformedToken), WithoutEffect::NotGenuine),
            (Some(Refusal::Expired), WithoutEffect::Expired),
            (Some(Refusal::BadClaims), WithoutEffect::BadClaims),
            (Some(Refusal::WrongIssuer), WithoutEffect::BadClaims),
        ] {
            assert_eq!(WithoutEffect::of_tokens(objection), expected, "{objection:?}");
        }
    }

    #[test]
    fn names_are_different_and_lines_say_that_nothing_was_revoked() {
        let mut names = WithoutEffect::ALL.map(WithoutEffect::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), WithoutEffect::ALL.len());
        assert!(WithoutEffect::ALL.iter().all(|it| it.line().contains("revoked nothing")));
    }
}
