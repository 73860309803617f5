//! All refusals, and the response to each.
//!
//! One enum and one table define the status, the stable code, the sentence and the challenge.
//! Nothing in a response depends on the content of the token. The order of the variants is the
//! order of the checks. If a request has several reasons for a refusal, the first in this order is
//! reported. Programs may rely on the codes, which never change. The configuration may replace the
//! sentences, because an application's front end may expect its own.

mod objection;

use serde_json::Value;

pub use objection::{ClaimFault, Explanation, Objection, RefusalRule};

/// The reason why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// No configured place contains a token.
    MissingToken,
    /// The token is not a JWS in compact form whose header and payload are strict JSON objects (RFC
    /// 7515 §7.1).
    MalformedToken,
    /// No key is bound to the algorithm that the token names.
    UnsupportedAlgorithm,
    /// No key of that algorithm accepts the token's `kid`.
    UnknownKey,
    /// The signature does not verify (RFC 7515 §5.2).
    BadSignature,
    /// `exp` has passed (RFC 7519 §4.1.4).
    Expired,
    /// `nbf` or `iat` lies in the future (RFC 7519 §4.1.5, §4.1.6).
    NotYetValid,
    /// `iss` is not the configured one (RFC 7519 §4.1.1).
    WrongIssuer,
    /// `aud` names none of the configured audiences (RFC 7519 §4.1.3).
    WrongAudience,
    /// A required claim is absent, or a claim that the filter reads has the wrong type or size.
    BadClaims,
    /// The tokens of the request name different users.
    ConflictingTokens,
    /// The token is revoked: by its own record, by the cutoff of its user or session, or by the
    /// cutoff for all.
    Revoked,
    /// The filter cannot decide: keys are missing, or the revocation set is not up to date.
    Unavailable,
}

/// Whether refusals take effect: the setting `enforce`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// A refused request gets the filter's response.
    #[default]
    On,
    /// A dry run: a refused request continues, and the refusal is counted and logged.
    DryRun,
}

/// The response to a refused request, before it is serialised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalReply<'a> {
    /// HTTP status: 401 or 503.
    pub status: u16,
    /// The stable name, for programs. It appears in the body, the counter and the access log.
    pub code: &'static str,
    /// One sentence for people.
    pub detail: &'a str,
    /// The value of `WWW-Authenticate` (RFC 6750 §3), only on 401.
    pub challenge: Option<&'static str>,
    /// The value of `Retry-After`, only on 503.
    pub retry_after_seconds: Option<&'static str>,
}

/// A response that the filter sends in place of the application's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalResponse {
    /// HTTP status.
    pub status: u16,
    /// The response code details, for the access log.
    pub code_details: String,
    /// Header lines.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl LocalResponse {
    /// Returns the response on a route with access `ready`.
    #[must_use]
    pub fn ready(is_ready: bool) -> Self {
        Self {
            status: if is_ready { 200 } else { 503 },
            code_details: "session_guard_ready".to_owned(),
            headers: [("content-type", "application/json"), ("cache-control", "no-store")]
                .map(|(name, value)| (name, value.to_owned()))
                .to_vec(),
            body: format!("{{\"ready\": {is_ready}}}"),
        }
    }
}

/// The sentences that the configuration replaces; `None` keeps the filter's own sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentences {
    /// The sentence for a request without a token.
    pub missing_token: Option<String>,
    /// The sentence for a request with a token that is refused: the error `invalid_token` of RFC
    /// 6750 §3.1.
    pub invalid_token: Option<String>,
    /// The sentence for a request about which the filter cannot decide now.
    pub unavailable: Option<String>,
}

impl Sentences {
    /// Returns the whole response to a refused request. `clear_cookies` are values of `Set-Cookie`.
    /// Only the response code details, which the client does not see, name the claim or the rule.
    #[must_use]
    pub fn response(&self, objection: &Objection, clear_cookies: &[String]) -> LocalResponse {
        let answer = self.answer(objection.refusal());
        let headers = answer.headers(clear_cookies);
        LocalResponse {
            status: answer.status,
            code_details: format!("session_guard_{}", objection.name()),
            headers: headers.into_iter().map(|(name, value)| (name, value.to_owned())).collect(),
            body: answer.body(),
        }
    }

    /// Returns the response with the configured sentence.
    #[must_use]
    pub fn answer(&self, refusal: Refusal) -> LocalReply<'_> {
        let detail = match refusal {
            Refusal::MissingToken => &self.missing_token,
            Refusal::Unavailable => &self.unavailable,
            _ => &self.invalid_token,
        };
        let answer = refusal.answer();
        LocalReply { detail: detail.as_deref().unwrap_or(answer.detail), ..answer }
    }
}

impl LocalReply<'_> {
    /// Returns the headers of the response. `clear_cookies` are whole values of `Set-Cookie`.
    #[must_use]
    pub fn headers<'c>(&self, clear_cookies: &'c [String]) -> Vec<(&'static str, &'c str)> {
        let mut headers = vec![("content-type", "application/json"), ("cache-control", "no-store")];
        headers.extend(self.challenge.map(|challenge| ("www-authenticate", challenge)));
        headers.extend(self.retry_after_seconds.map(|seconds| ("retry-after", seconds)));
        headers.extend(clear_cookies.iter().map(|cookie| ("set-cookie", cookie.as_str())));
        headers
    }

    /// Returns the body of the response.
    #[must_use]
    pub fn body(&self) -> String {
        let (code, detail) = (self.code, Value::from(self.detail));
        format!("{{\"code\": \"{code}\", \"detail\": {detail}}}")
    }
}

impl Refusal {
    /// Every refusal, in the order of the checks.
    pub const ALL: [Self; 13] = [
        Self::MissingToken,
        Self::MalformedToken,
        Self::UnsupportedAlgorithm,
        Self::UnknownKey,
        Self::BadSignature,
        Self::Expired,
        Self::NotYetValid,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::BadClaims,
        Self::ConflictingTokens,
        Self::Revoked,
        Self::Unavailable,
    ];

    /// Returns the status, code, sentence and challenge of this refusal.
    #[must_use]
    pub fn answer(self) -> LocalReply<'static> {
        let (code, detail) = match self {
            Self::MissingToken => ("missing_token", "The request carries no token."),
            Self::MalformedToken => ("malformed_token", "The token is not a well-formed JWT."),
            Self::UnsupportedAlgorithm => {
                ("unsupported_algorithm", "The token's algorithm is not accepted here.")
            }
            Self::UnknownKey => ("unknown_key", "The token names a key that is not known here."),
            Self::BadSignature => ("bad_signature", "The token's signature does not verify."),
            Self::Expired => ("expired", "The token has expired."),
            Self::NotYetValid => ("not_yet_valid", "The token is not valid yet."),
            Self::WrongIssuer => ("wrong_issuer", "The token's issuer is not accepted here."),
            Self::WrongAudience => ("wrong_audience", "The token is meant for another audience."),
            Self::BadClaims => ("bad_claims", "The token's claims are not as required here."),
            Self::ConflictingTokens => {
                ("conflicting_tokens", "The request's tokens do not name the same user.")
            }
            Self::Revoked => ("revoked", "The token has been revoked; sign in again."),
            Self::Unavailable => {
                ("unavailable", "Whether the token is valid cannot be told now; try again.")
            }
        };
        let (status, challenge) = match self {
            Self::MissingToken => (401, Some("Bearer")),
            Self::Unavailable => (503, None),
            _ => (401, Some("Bearer error=\"invalid_token\"")),
        };
        let retry_after_seconds = (status == 503).then_some(RETRY_AFTER_SECONDS);
        LocalReply { status, code, detail, challenge, retry_after_seconds }
    }
}

/// The keys or revocations that are missing usually arrive within one feed round trip.
const RETRY_AFTER_SECONDS: &str = "2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_named_once() {
        let mut codes: Vec<_> = Refusal::ALL.iter().map(|refusal| refusal.answer().code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Refusal::ALL.len());
    }

    #[test]
    fn a_401_carries_a_challenge_and_a_503_none() {
        for refusal in Refusal::ALL {
            let answer = refusal.answer();
            assert_eq!(answer.challenge.is_some(), answer.status == 401, "{refusal:?}");
            assert_eq!(answer.retry_after_seconds.is_some(), answer.status == 503, "{refusal:?}");
        }
    }

    #[test]
    fn every_body_is_json_with_code_and_detail() {
        for answer in Refusal::ALL.map(Refusal::answer) {
            let body: serde_json::Value = serde_json::from_str(&answer.body()).unwrap();
            assert_eq!(body, serde_json::json!({"code": answer.code, "detail": answer.detail}));
        }
    }

    #[test]
    fn configured_sentences_change_only_the_detail() {
        let own = |text: &str| Some(text.to_owned());
        let sentences = Sentences {
            missing_token: own("who?"),
            invalid_token: own("\"no\"\\"),
            unavailable: own("später"),
        };
        for refusal in Refusal::ALL {
            let (answer, ours) = (sentences.answer(refusal), refusal.answer());
            let expected = match refusal {
                Refusal::MissingToken => "who?",
                Refusal::Unavailable => "später",
                _ => "\"no\"\\",
            };
            assert_eq!(answer, LocalReply { detail: expected, ..ours }, "{refusal:?}");
            let body: serde_json::Value = serde_json::from_str(&answer.body()).unwrap();
            assert_eq!(body, serde_json::json!({"code": ours.code, "detail": expected}));
            assert_eq!(Sentences::default().answer(refusal), ours);
        }
    }

    #[test]
    fn the_client_learns_neither_claim_nor_rule() {
        let mut objections = RefusalRule::ALL.map(Objection::from).to_vec();
        objections.extend(["jti", "sub"].map(Objection::absent));
        objections.extend(["jti", "exp"].map(Objection::malformed));
        for objection in objections {
            let ours = Sentences::default().response(&objection, &[]);
            let plain = Sentences::default().response(&objection.refusal().into(), &[]);
            assert_eq!(ours.code_details, format!("session_guard_{}", objection.name()));
            assert_ne!(ours.code_details, plain.code_details);
            assert_eq!(LocalResponse { code_details: plain.code_details.clone(), ..ours }, plain);
        }
    }

    #[test]
    fn the_challenge_names_an_error_only_where_a_token_came() {
        assert_eq!(Refusal::MissingToken.answer().challenge, Some("Bearer"));
        assert_eq!(Refusal::Revoked.answer().challenge, Some("Bearer error=\"invalid_token\""));
    }
}
