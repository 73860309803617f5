//! The exact reason why a request is refused, for the operator and never for the client.
//!
//! The client learns only the [`Refusal`]. An [`Objection`] also names the claim or the rule, in
//! the response code details (`session_guard_bad_claims:jti`), in the log and in `signout explain`.
//! It never contains a value of the token. The names of claims come from the configuration.
//!
//! [`Objection::explanation`] is the one place for the sentences about refusals.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use crate::refusal::{Enforcement, Refusal};
use crate::severity::Severity;

/// The reason for a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// Only the refusal is known.
    Plain(Refusal),
    /// A rule of the filter.
    Rule(RefusalRule),
    /// The claim with this name is not as required. The refusal is [`Refusal::BadClaims`].
    Claim(Rc<str>, ClaimFault),
}

/// The problem with a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClaimFault {
    /// The token does not have the claim, or its value is `null`.
    Absent,
    /// The claim's type, form or length is wrong.
    Malformed,
    /// The configuration accepts no token with this value.
    NotAccepted,
}

/// A rule that a request does not follow, or the reason why the filter cannot decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusalRule {
    /// The only token is in a header, cookie or parameter whose name is spelt differently from the
    /// configuration.
    Spelling,
    /// The only token is in a place that the configuration limits to other routes.
    Route,
    /// The token is longer than `max_token_bytes`.
    Size,
    /// The token does not have three parts.
    Parts,
    /// A part of the token is not base64url without padding.
    Base64,
    /// The token's header is not a strict JSON object.
    Header,
    /// The token's payload is not a strict JSON object.
    Payload,
    /// The token has no signature.
    Signature,
    /// The header has no `alg`, or `alg` is not a string.
    Alg,
    /// `kid` is not a string, or too long.
    Kid,
    /// `typ` is not that of a JWT or an access token.
    Typ,
    /// The header has the member `crit`.
    Crit,
    /// The header has the member `b64`.
    B64,
    /// The header has the member `zip`.
    Zip,
    /// The header has the member `enc`.
    Enc,
    /// A header field contains a credential and something else.
    Field,
    /// The request carries too many tokens.
    Count,
    /// `nbf` lies in the future.
    Nbf,
    /// `iat` lies in the future.
    Iat,
    /// The token has no `iss`.
    IssuerAbsent,
    /// `iss` is not the one that the configuration requires of tokens of this key.
    IssuerOfKey,
    /// The token has no `aud`.
    AudienceAbsent,
    /// `aud` has none of the audiences that the configuration requires of tokens of this key.
    AudienceOfKey,
    /// The time from `iat` to `exp` is longer than `max_lifetime_seconds`.
    MaxLifetime,
    /// The route revokes the tokens of the request's user, and the request also carries an API key,
    /// which names no user.
    ApiKey,
    /// Keys are missing.
    Keys,
    /// The limits for signature checks are used up.
    SignatureChecks,
    /// The revocation set was never loaded.
    FeedNotLoaded,
    /// The revocation set is too old.
    FeedStale,
    /// Shared data is damaged.
    SharedData,
    /// The proxy did not read or change the headers.
    Headers,
    /// A sign-out could not be stored on this proxy.
    Outbox,
    /// The service cannot be reached, and the configuration refuses a sign-out that it has not
    /// stored.
    Unreachable,
    /// The service rejects the revocation of a sign-out.
    Rejected,
}

/// Sentences for the operator. They contain no value of the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The problem.
    pub problem: Cow<'static, str>,
    /// The remedy.
    pub remedy: &'static str,
}

impl From<Refusal> for Objection {
    fn from(refusal: Refusal) -> Self {
        Self::Plain(refusal)
    }
}

impl From<RefusalRule> for Objection {
    fn from(rule: RefusalRule) -> Self {
        Self::Rule(rule)
    }
}

impl Objection {
    /// Creates the objection that the token does not have this claim.
    #[must_use]
    pub fn absent(claim: &str) -> Self {
        Self::Claim(claim.into(), ClaimFault::Absent)
    }

    /// Creates the objection that this claim has a wrong type, form or length.
    #[must_use]
    pub fn malformed(claim: &str) -> Self {
        Self::Claim(claim.into(), ClaimFault::Malformed)
    }

    /// Creates the objection that the configuration accepts no token with this value of the claim.
    #[must_use]
    pub fn not_accepted(claim: &str) -> Self {
        Self::Claim(claim.into(), ClaimFault::NotAccepted)
    }

    /// Returns the refusal, which is all that the client learns.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Plain(refusal) => *refusal,
            Self::Rule(rule) => rule.refusal(),
            Self::Claim(..) => Refusal::BadClaims,
        }
    }

    /// Returns the code of the refusal, with the claim or the rule if it is known:
    /// `bad_claims:jti`. Access logs separate fields by spaces, so each character of a claim's name
    /// that does not occur in URLs is replaced by `_`.
    #[must_use]
    pub fn name(&self) -> String {
        let code = self.refusal().answer().code;
        match self {
            Self::Plain(_) => code.to_owned(),
            Self::Rule(rule) => format!("{code}:{}", rule.name()),
            Self::Claim(claim, _) => {
                let plain = |c: char| if is_plain(c) { c } else { '_' };
                let name: String = claim.chars().take(NAME_CHARACTERS_LIMIT).map(plain).collect();
                format!("{code}:{name}")
            }
        }
    }

    /// Returns the problem and the remedy.
    #[must_use]
    pub fn explanation(&self) -> Explanation {
        match self {
            Self::Plain(refusal) => of_refusal(*refusal).into(),
            Self::Rule(rule) => rule.words().into(),
            Self::Claim(claim, ClaimFault::Absent) => Explanation {
                problem: format!("the token has no claim `{}`", claim.escape_debug()).into(),
                remedy: "let the application or the issuer add it, or remove it from \
                         `claims.required` (the user id: set `claims.user_id`)",
            },
            Self::Claim(claim, ClaimFault::Malformed) => Explanation {
                problem: format!(
                    "the token's claim `{}` has a wrong type, form or length",
                    claim.escape_debug()
                )
                .into(),
                remedy: "let the application or the issuer correct it",
            },
            Self::Claim(claim, ClaimFault::NotAccepted) => Explanation {
                problem: format!(
                    "the configuration does not accept the value of the token's claim `{}`",
                    claim.escape_debug()
                )
                .into(),
                remedy: "compare it with `claims.values`, or, for `cnf`, with `claims.bound_tokens`",
            },
        }
    }

    /// Returns the severity of the log line about the objection. Returns `None` for everyday
    /// refusals, which are counted but not logged: no token, an expired token, a token that was
    /// signed out.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        match (self, self.refusal()) {
            (Self::Plain(Refusal::MissingToken), _) => None,
            (_, Refusal::Expired | Refusal::Revoked) => None,
            (_, Refusal::Unavailable) => Some(Severity::Error),
            _ => Some(Severity::Warning),
        }
    }

    /// Returns the line for the log.
    #[must_use]
    pub fn line(&self, enforcement: Enforcement) -> String {
        let (status, name) = (self.refusal().answer().status, self.name());
        let got = match enforcement {
            Enforcement::On => "got",
            Enforcement::DryRun => "would get, but for `enforce: false`,",
        };
        format!("a request {got} {status} ({name}): {}", self.explanation())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl From<(&'static str, &'static str)> for Explanation {
    fn from((problem, remedy): (&'static str, &'static str)) -> Self {
        Self { problem: problem.into(), remedy }
    }
}

fn of_refusal(refusal: Refusal) -> (&'static str, &'static str) {
    match refusal {
        Refusal::MissingToken => (
            "the request carries no token in a place of token_sources",
            "add the place where clients send it, or open the route if it needs no user",
        ),
        Refusal::MalformedToken => (
            "the token is not a JWS in compact form",
            "send the token unchanged; an API key needs `pass_prefix`",
        ),
        Refusal::UnsupportedAlgorithm => (
            "no key of the configuration is bound to the token's `alg`",
            "add a key with the algorithm that the application or the issuer signs with",
        ),
        Refusal::UnknownKey => (
            "no key of the configuration has the token's `kid`",
            "add that key, or let the issuer publish it in its key set; a secret that every token \
             is signed with needs no `id`",
        ),
        Refusal::BadSignature => (
            "none of the configured keys made the token's signature",
            "compare the key with the one that signs: its encoding, a newline at its end, a key \
             that was replaced while its tokens were valid; if new tokens are good, the client also \
             sends an old one, for example in a cookie",
        ),
        Refusal::Expired => (
            "the token's `exp` has passed",
            "sign in again; if new tokens expire at once, compare the clocks of proxy and issuer",
        ),
        Refusal::NotYetValid => (
            "the token is not valid yet",
            "compare the clocks of proxy and issuer, or raise claims.clock_skew_seconds",
        ),
        Refusal::WrongIssuer => (
            "the token's `iss` is not claims.issuer",
            "write the issuer exactly as in the token; a slash at the end must be in both or in neither",
        ),
        Refusal::WrongAudience => (
            "the token's `aud` has none of claims.audiences",
            "write the audience exactly as in the token, or let the issuer add this one",
        ),
        Refusal::BadClaims => (
            "a claim of the token is missing, malformed or not accepted",
            "compare the token's claims with `claims` in the configuration",
        ),
        Refusal::ConflictingTokens => (
            "the tokens of the request name different users",
            "let the client send one token: sign out before another user signs in",
        ),
        Refusal::Revoked => (
            "the token, its user or its session was signed out",
            "sign in again; if new tokens are refused, compare the clocks of issuer, proxy and \
             signout service",
        ),
        Refusal::Unavailable => {
            ("the filter cannot decide now", "see the other lines of the proxy's log")
        }
    }
}

impl RefusalRule {
    /// Every rule, in the order of the refusals.
    pub const ALL: [Self; 34] = [
        Self::Spelling,
        Self::Route,
        Self::Size,
        Self::Parts,
        Self::Base64,
        Self::Header,
        Self::Payload,
        Self::Signature,
        Self::Alg,
        Self::Kid,
        Self::Typ,
        Self::Crit,
        Self::B64,
        Self::Zip,
        Self::Enc,
        Self::Field,
        Self::Count,
        Self::Nbf,
        Self::Iat,
        Self::IssuerAbsent,
        Self::IssuerOfKey,
        Self::AudienceAbsent,
        Self::AudienceOfKey,
        Self::MaxLifetime,
        Self::ApiKey,
        Self::Keys,
        Self::SignatureChecks,
        Self::FeedNotLoaded,
        Self::FeedStale,
        Self::SharedData,
        Self::Headers,
        Self::Outbox,
        Self::Unreachable,
        Self::Rejected,
    ];

    /// Returns the refusal, which is all that the client learns.
    #[must_use]
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Spelling | Self::Route => Refusal::MissingToken,
            Self::Size
            | Self::Parts
            | Self::Base64
            | Self::Header
            | Self::Payload
            | Self::Signature
            | Self::Alg
            | Self::Kid
            | Self::Typ
            | Self::Crit
            | Self::B64
            | Self::Zip
            | Self::Enc
            | Self::Field
            | Self::Count => Refusal::MalformedToken,
            Self::Nbf | Self::Iat => Refusal::NotYetValid,
            Self::IssuerAbsent | Self::IssuerOfKey => Refusal::WrongIssuer,
            Self::AudienceAbsent | Self::AudienceOfKey => Refusal::WrongAudience,
            Self::MaxLifetime => Refusal::BadClaims,
            Self::ApiKey => Refusal::ConflictingTokens,
            Self::Keys
            | Self::SignatureChecks
            | Self::FeedNotLoaded
            | Self::FeedStale
            | Self::SharedData
            | Self::Headers
            | Self::Outbox
            | Self::Unreachable
            | Self::Rejected => Refusal::Unavailable,
        }
    }

    /// Returns its name in the response code details, after the code of the refusal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Spelling => "spelling",
            Self::Route => "route",
            Self::Size => "size",
            Self::Parts => "parts",
            Self::Base64 => "base64",
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
            Self::Alg => "alg",
            Self::Kid => "kid",
            Self::Typ => "typ",
            Self::Crit => "crit",
            Self::B64 => "b64",
            Self::Zip => "zip",
            Self::Enc => "enc",
            Self::Field => "field",
            Self::Count => "count",
            Self::Nbf => "nbf",
            Self::Iat => "iat",
            Self::IssuerAbsent | Self::AudienceAbsent => "absent",
            Self::IssuerOfKey | Self::AudienceOfKey => "key",
            Self::MaxLifetime => "max_lifetime_seconds",
            Self::ApiKey => "api_key",
            Self::Keys => "keys",
            Self::SignatureChecks => "signature_checks",
            Self::FeedNotLoaded => "feed_not_loaded",
            Self::FeedStale => "feed_stale",
            Self::SharedData => "shared_data",
            Self::Headers => "headers",
            Self::Outbox => "outbox",
            Self::Unreachable => "unreachable",
            Self::Rejected => "rejected",
        }
    }

    /// Returns the problem and the remedy.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Spelling => (
                "the only token is in a header, cookie or parameter whose name is spelt \
                 differently from token_sources",
                "let the client spell the name exactly as the configuration does",
            ),
            Self::Route => (
                "the only token is in a place that token_sources limits to other routes",
                "add this route to the `routes` of that source, or let the client send the token \
                 elsewhere",
            ),
            Self::Size => (
                "the token is longer than max_token_bytes",
                "raise max_token_bytes, or let the issuer put fewer claims into the token",
            ),
            Self::Parts => (
                "the token does not have the three parts of a signed JWT",
                "send a signed JWT; encrypted tokens have five parts, and an API key needs \
                 `pass_prefix`",
            ),
            Self::Base64 => (
                "a part of the token is not base64url without padding",
                "send the token unchanged: no quotes, no line breaks, no `=`",
            ),
            Self::Header => (
                "the token's header is not a JSON object, or has two members of one name",
                "send a signed JWT; an API key needs `pass_prefix`",
            ),
            Self::Payload => (
                "the token's payload is not a JSON object, or has two members of one name",
                "let the issuer put claims into the token as a JSON object (RFC 7519 §7.2)",
            ),
            Self::Signature => (
                "the token has no signature",
                "let the issuer sign the token with one of the configured keys",
            ),
            Self::Alg => (
                "the token's header has no `alg`, or it is not a string",
                "let the issuer name the algorithm (RFC 7515 §4.1.1)",
            ),
            Self::Kid => (
                "the token's `kid` is not a string, or longer than 256 bytes",
                "let the issuer name its keys by short strings",
            ),
            Self::Typ => (
                "the token's `typ` is neither `JWT` nor `at+jwt`",
                "send an access token, not a token that was signed for another purpose",
            ),
            Self::Crit => (
                "the token's header has `crit`, and no critical extension is supported",
                "let the issuer sign without critical extensions (RFC 7515 §4.1.11)",
            ),
            Self::B64 => (
                "the token's header has `b64`, and unencoded payloads are not supported",
                "let the issuer encode the payload (RFC 7797)",
            ),
            Self::Zip => (
                "the token's header has `zip`, and compressed tokens are not supported",
                "let the issuer sign uncompressed claims",
            ),
            Self::Enc => (
                "the token's header has `enc`, and encrypted tokens are not supported",
                "let the issuer sign the token without encrypting it",
            ),
            Self::Field => (
                "a header field holds a credential of its scheme and something else",
                "let the client send one line with one credential (RFC 9110 §11.6.2)",
            ),
            Self::Count => (
                "the request carries more than eight different tokens",
                "let the client send one token; cookies of neighbouring hosts count as well",
            ),
            Self::Nbf => (
                "the token's `nbf` lies in the future",
                "compare the clocks of proxy and issuer, or raise claims.clock_skew_seconds",
            ),
            Self::Iat => (
                "the token's `iat` lies in the future",
                "compare the clocks of proxy and issuer, or raise claims.clock_skew_seconds",
            ),
            Self::IssuerAbsent => (
                "the token has no `iss`, and the configuration requires an issuer",
                "let the application add `iss`, or remove `issuer` from the configuration",
            ),
            Self::IssuerOfKey => (
                "the token's `iss` is not the `issuer` of the key that signed it",
                "write the issuer exactly as in the token; a slash at the end must be in both or in neither",
            ),
            Self::AudienceAbsent => (
                "the token has no `aud`, and the configuration requires an audience",
                "let the application add `aud`, or remove `audiences` from the configuration",
            ),
            Self::AudienceOfKey => (
                "the token's `aud` has none of the `audiences` of the key that signed it",
                "write the audience exactly as in the token, or let the issuer add this one",
            ),
            Self::MaxLifetime => (
                "the token lives longer than claims.max_lifetime_seconds",
                "raise max_lifetime_seconds to the lifetime of the application's tokens",
            ),
            Self::ApiKey => (
                "the route revokes the tokens of the request's user, and the request carries an \
                 API key, which may be another user's",
                "send the user's token without an API key",
            ),
            Self::Keys => (
                "the key set of the token's issuer has not been fetched",
                "see the lines about keys in the proxy's log, and the counter keys_rejected",
            ),
            Self::SignatureChecks => (
                "the limits for signature checks are used up",
                "look for a client that sends forged tokens; give keys ids so that fewer are \
                 tried, or raise forged_token_milliseconds_per_second",
            ),
            Self::FeedNotLoaded => (
                "the revocations have never been loaded from the signout service",
                "see the lines about the feed in the proxy's log: does the service run, does the \
                 cluster have its address, is SIGNOUT_TOKEN the same on both sides?",
            ),
            Self::FeedStale => (
                "the revocations are older than revocation.max_staleness_seconds",
                "see the lines about the feed in the proxy's log: the signout service has been \
                 unreachable for that long",
            ),
            Self::SharedData => (
                "a part of the revocations in shared data is damaged, so the token may be revoked",
                "wait for the reload, which has begun; if it happens again, check the memory of \
                 the machine",
            ),
            Self::Headers => (
                "the proxy did not let the filter read or change the headers",
                "see the proxy's log; a limit of header size may be exceeded",
            ),
            Self::Outbox => (
                "a sign-out could not be stored: the outbox is full, or shared data is busy",
                "let the user try again; if the outbox stays full, the signout service does not \
                 accept revocations",
            ),
            Self::Unreachable => (
                "the signout service did not respond to a sign-out, and \
                 revocation.signout.when_unreachable is `refuse`",
                "check that the service runs and that the proxy can reach it",
            ),
            Self::Rejected => (
                "the signout service rejected the revocation of a sign-out",
                "see the line about it in the proxy's log",
            ),
        }
    }
}

fn is_plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-._~:/@".contains(character)
}

/// The longest name of a claim that is shown. Names in use have at most about forty characters
/// (`https://…/roles`).
const NAME_CHARACTERS_LIMIT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_the_code_with_the_claim_or_the_rule() {
        for (objection, name) in [
            (Objection::Plain(Refusal::Revoked), "revoked"),
            (Objection::absent("jti"), "bad_claims:jti"),
            (Objection::malformed("https://a.example/roles"), "bad_claims:https://a.example/roles"),
            (Objection::absent("my claim\n\"é"), "bad_claims:my_claim___"),
            (RefusalRule::Size.into(), "malformed_token:size"),
            (RefusalRule::IssuerAbsent.into(), "wrong_issuer:absent"),
            (RefusalRule::AudienceOfKey.into(), "wrong_audience:key"),
            (RefusalRule::Keys.into(), "unavailable:keys"),
        ] {
            assert_eq!(objection.name(), name);
        }
        let long = Objection::absent(&"c".repeat(1_000)).name();
        assert_eq!(long.len(), "bad_claims:".len() + NAME_CHARACTERS_LIMIT);
    }

    #[test]
    fn no_two_rules_have_one_name() {
        let mut names: Vec<_> = RefusalRule::ALL.map(|rule| Objection::from(rule).name()).into();
        names.extend(Refusal::ALL.map(|refusal| Objection::from(refusal).name()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_explanation_has_a_problem_and_a_remedy() {
        let claims = [Objection::absent("jti"), Objection::malformed("jti")];
        let refusals = Refusal::ALL.map(Objection::from).into_iter();
        for objection in refusals.chain(RefusalRule::ALL.map(Objection::from)).chain(claims) {
            let Explanation { problem, remedy } = objection.explanation();
            assert!(problem.len() > 20 && remedy.len() > 10, "{objection:?}");
            let line = objection.line(Enforcement::On);
            assert!(line.contains(&*problem) && line.ends_with(remedy), "{line}");
            assert!(!line.contains("  ") && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn daily_refusals_are_not_logged() {
        let daily = [Refusal::MissingToken, Refusal::Expired, Refusal::Revoked];
        for refusal in Refusal::ALL {
            let is_logged = Objection::from(refusal).severity().is_some();
            assert_eq!(is_logged, !daily.contains(&refusal), "{refusal:?}");
        }
        assert_eq!(Objection::from(RefusalRule::Spelling).severity(), Some(Severity::Warning));
        assert_eq!(Objection::from(RefusalRule::FeedStale).severity(), Some(Severity::Error));
        assert_eq!(Objection::absent("jti").severity(), Some(Severity::Warning));
    }
}
