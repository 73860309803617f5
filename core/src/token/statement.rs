//! Verifies JWTs of an issuer that are not access tokens: logout tokens, Security Event Tokens, and
//! the credentials of callers.
//!
//! Form, keys and signatures are checked by the same code as for access tokens. Each protocol
//! requires other claims, so the receiver reads the claims, with accessors that distinguish
//! *absent* from *malformed*.
//!
//! # Bounded work
//!
//! Anybody can send a statement. [`StatementVerifier`] has one budget for the failed checks of all
//! senders: while the budget is used up, a statement is refused as unavailable, and its sender may
//! send it again. Genuine statements are never charged.

use std::borrow::Cow;
use std::fmt;

use crate::json::{Object, Value};
use crate::keys::KeyRing;
use crate::keys::effort::{Effort, FailureBudget};
use crate::keys::host::NoHost;
use crate::refusal::Refusal;
use crate::token::claims;
use crate::token::compact::{Compact, HeaderParser, JwtType};
use crate::token::signer::{self, NoCandidate, NoSigner};

/// A well-formed statement whose signature has not been checked.
pub struct Statement<'a> {
    compact: Compact<'a>,
    issuer: Option<String>,
}

impl<'a> Statement<'a> {
    /// Reads a JWT in compact form. Returns `None` if it is longer than [`STATEMENT_BYTES_LIMIT`],
    /// not well-formed, or of another type.
    #[must_use]
    pub fn parse(jwt: &'a [u8], purpose: JwtType) -> Option<Self> {
        if jwt.len() > STATEMENT_BYTES_LIMIT {
            return None;
        }
        let compact = Compact::parse(jwt, &HeaderParser::new(purpose)).ok()?;
        let issuer = match Object::parse(&compact.payload)?.find("iss") {
            Some(Value::Text(issuer)) => Some(issuer.to_string()),
            _ => None,
        };
        Some(Self { compact, issuer })
    }

    /// Returns the issuer that the statement names, whose keys must be used to check it. The
    /// signature has not been checked yet.
    #[must_use]
    pub fn named_issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns the text that the signature covers. A token without `jti` is revoked under this
    /// text.
    #[must_use]
    pub fn signing_input(&self) -> &'a [u8] {
        self.compact.signing_input
    }

    /// Returns the name of its algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.compact.header.algorithm
    }
}

/// Verifies statements. The time for failed checks is limited, over all statements.
pub struct StatementVerifier {
    failures: FailureBudget,
}

/// The reason why a statement is not known to be genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotGenuine {
    /// Unsupported algorithm, unknown key or bad signature; or unavailable, if this cannot be
    /// decided now.
    pub refusal: Refusal,
    /// Whether the issuer may have published the key since the keys were fetched.
    pub misses_key: bool,
}

impl StatementVerifier {
    /// Creates a verifier that spends at most this time of each second on failed signature checks,
    /// by the expected times of `keys::cost`.
    #[must_use]
    pub fn new(failed_milliseconds_per_second: u64) -> Self {
        Self { failures: FailureBudget::new(failed_milliseconds_per_second) }
    }

    /// Checks the signature with these keys.
    ///
    /// # Errors
    ///
    /// The reason why the statement is not known to be genuine.
    pub fn verify(
        &self,
        statement: &Statement<'_>,
        keys: &KeyRing,
        unix_milliseconds: u64,
    ) -> Result<VerifiedStatement, NotGenuine> {
        let Statement { compact, issuer } = statement;
        let refuse = |refusal, misses_key| {
            let refusal = if keys.lacks_some() { Refusal::Unavailable } else { refusal };
            NotGenuine { refusal, misses_key }
        };
        let candidates = signer::candidates(keys, &compact.header, issuer.as_deref())
            .map_err(|NoCandidate { refusal, misses_key }| refuse(refusal, misses_key))?;
        let effort = Effort::new(&NoHost, &self.failures, unix_milliseconds, ONE_TOKEN);
        let found = signer::find(candidates.into_iter(), keys, compact, &effort);
        match found.inspect_err(|_| effort.note_failure(compact.signing_input.len(), 0)) {
            Ok(_) => Ok(VerifiedStatement { payload: compact.payload.clone() }),
            Err(NoSigner::OutOfTime { .. }) => {
                Err(NotGenuine { refusal: Refusal::Unavailable, misses_key: false })
            }
            Err(NoSigner::Forged { misses_key }) => Err(refuse(Refusal::BadSignature, misses_key)),
        }
    }
}

/// A statement with a valid signature. Only [`StatementVerifier::verify`] makes one.
pub struct VerifiedStatement {
    payload: Vec<u8>,
}

impl VerifiedStatement {
    /// Returns its claims.
    ///
    /// # Errors
    ///
    /// Never in practice: the payload has been parsed before.
    pub fn claims(&self) -> Result<StatementClaims<'_>, MalformedClaim> {
        Object::parse(&self.payload).map(StatementClaims).ok_or(MalformedClaim("the payload"))
    }
}

impl fmt::Debug for VerifiedStatement {
    /// Shows no claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifiedStatement")
    }
}

/// A claim of this name has the wrong type or is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedClaim(pub &'static str);

/// The members of a JSON object: the payload of a verified statement, an object in that payload, or
/// the body of a request. The accessors return `None` for a member that is absent, and an error for
/// one that is `null` or of another type.
pub struct StatementClaims<'a>(Object<'a>);

impl<'a> StatementClaims<'a> {
    /// Reads a JSON object that is not in a JWT, such as the body of a request.
    #[must_use]
    pub fn parse(json: &'a [u8]) -> Option<Self> {
        Object::parse(json).map(Self)
    }

    /// Returns whether a claim is present, with any value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.find(name).is_some()
    }

    /// Returns the names of all members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.names()
    }

    /// Returns a string.
    ///
    /// # Errors
    ///
    /// The claim is not a string.
    pub fn text(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, MalformedClaim> {
        claims::text(&self.0, name).map_err(|_| MalformedClaim(name))
    }

    /// Returns a NumericDate, rounded down to whole seconds.
    ///
    /// # Errors
    ///
    /// The claim is not a number, is negative, or must be in milliseconds.
    pub fn time(&self, name: &'static str) -> Result<Option<u64>, MalformedClaim> {
        claims::time(&self.0, name, f64::floor).map_err(|_| MalformedClaim(name))
    }

    /// Returns `aud`, which is one string or a list of strings (RFC 7519 §4.1.3). The result is
    /// empty if `aud` is absent.
    ///
    /// # Errors
    ///
    /// `aud` is neither a string nor a list of strings.
    pub fn audiences(&self) -> Result<Vec<Cow<'_, str>>, MalformedClaim> {
        claims::audiences(&self.0).map_err(|_| MalformedClaim("aud"))
    }

    /// Returns an object.
    ///
    /// # Errors
    ///
    /// The member is not an object.
    pub fn object(
        &self,
        name: &'static str,
    ) -> Result<Option<StatementClaims<'a>>, MalformedClaim> {
        match self.0.find(name) {
            None => Ok(None),
            Some(Value::Object(nested)) => nested
                .object()
                .map(|object| Some(StatementClaims(object)))
                .ok_or(MalformedClaim(name)),
            Some(_) => Err(MalformedClaim(name)),
        }
    }
}

/// Longest statement. A logout token or a Security Event Token has one or two kilobytes.
pub const STATEMENT_BYTES_LIMIT: usize = 16 * 1024;

/// The limit for invalid tokens, which never applies, because a statement is only one token.
const ONE_TOKEN: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::fixtures::{ED25519, TOKENS};
    use crate::keys::{Key, PublicAlgorithm};
    use crate::token::builder::{NOW, TokenBuilder, public_key, ring, with_signature};

    fn verify(jwt: &str, keys: &KeyRing) -> Result<VerifiedStatement, NotGenuine> {
        let statement = Statement::parse(jwt.as_bytes(), JwtType::Logout).expect("well-formed");
        StatementVerifier::new(250).verify(&statement, keys, NOW * 1_000)
    }

    #[test]
    fn only_statements_of_the_requested_type_are_parsed() {
        let types = [None, Some("JWT"), Some("at+jwt"), Some("logout+jwt"), Some("secevent+jwt")];
        let revocation = Some("global-token-revocation+jwt");
        for (purpose, admitted) in [
            (JwtType::Access, vec![None, Some("JWT"), Some("at+jwt")]),
            (JwtType::Logout, vec![None, Some("JWT"), Some("logout+jwt")]),
            (JwtType::SecurityEvent, vec![Some("secevent+jwt")]),
            (JwtType::GlobalTokenRevocation, vec![revocation]),
        ] {
            for typ in types.into_iter().chain([revocation, Some("dpop+jwt")]) {
                let builder = TokenBuilder::new();
                let jwt = match typ {
                    Some(typ) => builder.header("typ", format!("\"{typ}\"")),
                    None => builder.without_header("typ"),
                };
                let is_read = Statement::parse(jwt.sign().as_bytes(), purpose).is_some();
                assert_eq!(is_read, admitted.contains(&typ), "{purpose:?} {typ:?}");
            }
        }
        let named = TokenBuilder::new().header("typ", "\"application/Logout+JWT\"").sign();
        assert!(Statement::parse(named.as_bytes(), JwtType::Logout).is_some());
    }

    #[test]
    fn a_statement_is_verified_with_the_keys_of_its_algorithm() {
        for (name, pem, token) in TOKENS {
            let algorithm = PublicAlgorithm::from_name(name).expect("known");
            let key = Key::public(algorithm, pem, None, None, vec![]).expect("a key");
            assert!(verify(token, &KeyRing::new(vec![key])).is_ok(), "{name}");
        }
        let eddsa = TOKENS.last().expect("some").2;
        let refused = verify(eddsa, &KeyRing::new(vec![public_key("ES256", None)])).unwrap_err();
        assert_eq!(refused.refusal, Refusal::UnsupportedAlgorithm);
        let other = KeyRing::new(vec![public_key("EdDSA", Some("other"))]);
        assert!(verify(eddsa, &other).is_ok(), "a token without kid is tried with every key");
        let forged = with_signature("EdDSA", 1, &[1; 64]);
        let known = KeyRing::new(vec![public_key("EdDSA", None)]);
        let refused = NotGenuine { refusal: Refusal::BadSignature, misses_key: false };
        assert_eq!(verify(&forged, &known).unwrap_err(), refused);
    }

    #[test]
    fn a_public_key_is_not_an_hmac_secret() {
        let jwt = TokenBuilder::new().sign_with(ED25519.as_bytes());
        let keys = KeyRing::new(vec![public_key("EdDSA", None)]);
        let refused = NotGenuine { refusal: Refusal::UnsupportedAlgorithm, misses_key: false };
        assert_eq!(verify(&jwt, &keys).unwrap_err(), refused);
    }

    #[test]
    fn a_missing_key_is_named_as_such() {
        let jwt = with_signature("EdDSA", 1, &[1; 64]);
        let keys = KeyRing::new(vec![public_key("ES256", None)]);
        assert!(verify(&jwt, &keys).unwrap_err().misses_key, "a new algorithm");
        let expecting = keys.with(std::iter::empty(), true);
        assert_eq!(verify(&jwt, &expecting).unwrap_err().refusal, Refusal::Unavailable);
    }

    #[test]
    fn failed_checks_use_up_the_budget() {
        let verifier = StatementVerifier::new(10);
        let keys = KeyRing::new(vec![public_key("EdDSA", None)]);
        let refusals: Vec<_> = (0..100)
            .map(|jti| {
                let jwt = with_signature("EdDSA", jti, &[1; 64]);
                let statement = Statement::parse(jwt.as_bytes(), JwtType::Logout).expect("sound");
                verifier.verify(&statement, &keys, NOW * 1_000).unwrap_err().refusal
            })
            .collect();
        assert_eq!(refusals.first(), Some(&Refusal::BadSignature));
        assert_eq!(refusals.last(), Some(&Refusal::Unavailable));
    }

    #[test]
    fn absent_and_malformed_claims_differ() {
        let jwt = TokenBuilder::new()
            .claim("sid", 7)
            .claim("nonce", "null")
            .claim("events", r#"{"a": {}, "b": []}"#)
            .claim("at", 1_795_332_120_000_u64)
            .sign();
        let verified = verify(&jwt, &ring()).expect("genuine");
        let claims = verified.claims().expect("an object");
        assert_eq!(claims.text("sub").expect("sound").as_deref(), Some("user-1"));
        assert_eq!(claims.text("absent"), Ok(None));
        assert_eq!(claims.text("sid"), Err(MalformedClaim("sid")));
        assert_eq!(claims.time("iat"), Ok(Some(NOW - 60)));
        assert_eq!(claims.time("at"), Err(MalformedClaim("at")), "milliseconds");
        assert!(claims.has("nonce") && claims.text("nonce").is_err());
        let events = claims.object("events").expect("sound").expect("present");
        assert_eq!(events.names().collect::<Vec<_>>(), ["a", "b"]);
        assert!(events.object("a").is_ok() && events.object("b").is_err());
    }
}
