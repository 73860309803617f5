//! Verifies tokens.
//!
//! [`Verifier::verify`] returns a [`VerifiedToken`], which nothing else can make, or the first
//! [`Refusal`] in the order form, algorithm, key, signature, time, issuer, audience, claims. The
//! parser and the claim checks are part of this crate and strict (RFC 7515, 7519, 8725); libraries
//! do the cryptography. [`revocation`](crate::revocation) tells whether a genuine token is revoked.
//!
//! # Genuine and acceptable
//!
//! A token is *genuine* if one of the keys made its signature. It is *acceptable* if its times and
//! claims are as required, too. Only an acceptable token admits a request. A sign-out revokes every
//! genuine token, because a token that is not acceptable here and now may be acceptable later (`nbf`)
//! or at another proxy (`aud`).
//!
//! # Bounded work
//!
//! Most requests carry a token that this VM has verified before. The exact bytes of verified tokens
//! are remembered, so such a request costs one look-up; its times are checked on every call. The
//! bytes of refused tokens are remembered separately, so each key checks the same forged token only
//! once. If the checks of a token were cut off, the number of keys that were tried is remembered,
//! so a retry continues with the next key. [`effort`](crate::keys) bounds the time for all other
//! checks.

mod cache;
mod claim_path;
mod claims;
mod compact;
mod signer;
pub mod statement;
pub mod unverified;

pub use claim_path::ClaimPath;
pub use claims::{is_session_id, is_user_id};
pub use compact::JwtType;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem::size_of;
use std::rc::Rc;

use serde::Deserialize;

use crate::json::{Object, Value};
use crate::keys::effort::{
    Effort, FAILED_NANOSECONDS_TO_ADMIT, FAILED_NANOSECONDS_TO_SIGN_OUT, FailureBudget,
};
use crate::keys::host::{NoHost, SignatureHost};
use crate::keys::{Fingerprint, Key, KeyList, KeyRing};
use crate::refusal::{Objection, Refusal, RefusalRule};
use crate::revocation::generation::Mark;
use crate::revocation::name::{NamePair, TokenNames};
use crate::revocation::record::RecordId;
use crate::token::cache::{Remembered, TokenCache};
use crate::token::claims::{Forwarded, Times};
use crate::token::compact::{Compact, Header, HeaderParser};
use crate::token::signer::{NoCandidate, NoSigner};

/// The claims that an acceptable token has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The required value of `iss`, if any.
    pub issuer: Option<String>,
    /// The audiences of which `aud` must contain one, if there are any.
    pub audiences: Vec<String>,
    /// The claim that contains the user id; `None` requires no user.
    pub user_id: Option<ClaimPath>,
    /// The claim that contains the session id, if any. A token without it belongs to no session.
    pub session_id: Option<ClaimPath>,
    /// Claims that must be present and not null.
    pub required: Vec<ClaimPath>,
    /// Claims with the values that are accepted. Each of these claims must have one of its values.
    pub values: Vec<(ClaimPath, Vec<String>)>,
    /// Whether tokens are accepted that are bound to a key of their client.
    pub bound_tokens: BoundTokens,
    /// The tolerated difference between the clocks of issuer and proxy, in seconds.
    pub clock_skew_seconds: u64,
    /// The longest time from `iat` to `exp`, in seconds; both are then required.
    pub max_lifetime_seconds: Option<u64>,
    /// The longest token, in bytes.
    pub max_token_bytes: usize,
    /// Claims to be read for the application; see [`VerifiedToken::claim`].
    pub forwarded: Vec<ClaimPath>,
    /// Separates applications that use one signout service; part of every record id.
    pub realm: String,
}

/// What happens to a token that is bound to a key of its client (`cnf`, RFC 7800) and comes as a
/// bearer token: `claims.bound_tokens`. Its proof of possession is for the application to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum BoundTokens {
    /// It is accepted.
    #[default]
    Accept,
    /// It is refused.
    Refuse,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            issuer: None,
            audiences: vec![],
            user_id: None,
            session_id: None,
            required: vec![],
            values: vec![],
            bound_tokens: BoundTokens::Accept,
            clock_skew_seconds: 0,
            max_lifetime_seconds: None,
            max_token_bytes: DEFAULT_MAX_TOKEN_BYTES,
            forwarded: vec![],
            realm: String::new(),
        }
    }
}

/// Verifies tokens under one configuration.
pub struct Verifier {
    keys: RefCell<KeyRing>,
    /// Whether a token may have been signed with a key that is missing.
    misses_key: Cell<bool>,
    /// The number of tokens that were not checked because of a limit, since the last call.
    unchecked: Cell<u64>,
    policy: Policy,
    host: &'static dyn SignatureHost,
    admissions: FailureBudget,
    sign_outs: FailureBudget,
    headers: HeaderParser,
    verified: RefCell<TokenCache<Verified>>,
    refused: RefCell<TokenCache<Refused>>,
}

/// The purpose of a request's signature checks. Each has its own budget for failed checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To admit the request.
    Admission,
    /// To revoke the request's tokens.
    SignOut,
}

impl Verifier {
    /// Creates a verifier without a host that checks signatures, and without a budget for failed
    /// checks.
    #[must_use]
    pub fn new(keys: KeyRing, policy: Policy) -> Self {
        Self {
            keys: RefCell::new(keys),
            misses_key: Cell::new(false),
            unchecked: Cell::new(0),
            policy,
            host: &NoHost,
            admissions: FailureBudget::new(u64::MAX),
            sign_outs: FailureBudget::new(u64::MAX),
            headers: HeaderParser::new(JwtType::Access),
            verified: RefCell::new(TokenCache::of_genuine(VERIFIED_BYTES, LONGEST_VERIFIED_BYTES)),
            refused: RefCell::new(TokenCache::of_any(REFUSED_BYTES)),
        }
    }

    /// Makes this host check signatures first. Limits the time for failed signature checks in each
    /// second, separately for admissions and for sign-outs.
    #[must_use]
    pub fn with_host(
        self,
        host: &'static dyn SignatureHost,
        failed_milliseconds_per_second: u64,
    ) -> Self {
        Self {
            host,
            admissions: FailureBudget::new(failed_milliseconds_per_second),
            sign_outs: FailureBudget::new(failed_milliseconds_per_second),
            ..self
        }
    }

    /// Replaces the keys. Forgets refused tokens, and verified tokens whose keys were removed.
    pub fn replace_keys(&self, keys: KeyRing) {
        self.verified.borrow_mut().retain(|verified| keys.holds(verified.signer));
        self.refused.borrow_mut().retain(|_| false);
        self.keys.replace(keys);
    }

    /// Returns whether all keys of the configuration have been loaded.
    #[must_use]
    pub fn has_all_keys(&self) -> bool {
        !self.keys.borrow().lacks_some()
    }

    /// Returns whether a token has named a missing key since the last call, or a public algorithm
    /// that no key is bound to.
    pub fn take_missed_key(&self) -> bool {
        self.misses_key.take()
    }

    /// Returns the number of tokens that were not checked since the last call, because a limit was
    /// reached.
    pub fn take_unchecked(&self) -> u64 {
        self.unchecked.take()
    }

    /// Verifies a token at this time (seconds since 1970 UTC): it must be genuine and acceptable.
    /// Use this for a request with one token that is to be admitted.
    pub fn verify(&self, token: &[u8], unix_seconds: u64) -> Result<Rc<VerifiedToken>, Refusal> {
        self.examine(token, unix_seconds).map_err(|objection| objection.refusal())
    }

    /// Verifies a token like [`Verifier::verify`]. The error contains the claim or the rule that
    /// causes the refusal.
    ///
    /// # Errors
    ///
    /// The first objection to the token.
    pub fn examine(&self, token: &[u8], unix_seconds: u64) -> Result<Rc<VerifiedToken>, Objection> {
        let effort = self.effort(Purpose::Admission, unix_seconds.saturating_mul(1_000));
        match self.check(token, &effort)? {
            Genuine::Acceptable(token) => Ok(token),
            Genuine::Unacceptable(_, objection) => Err(objection),
        }
    }

    /// Returns the limits for the signature checks of one request.
    pub(crate) fn effort(&self, purpose: Purpose, unix_milliseconds: u64) -> Effort<'_> {
        let (budget, most_failed_nanoseconds) = match purpose {
            Purpose::Admission => (&self.admissions, FAILED_NANOSECONDS_TO_ADMIT),
            Purpose::SignOut => (&self.sign_outs, FAILED_NANOSECONDS_TO_SIGN_OUT),
        };
        Effort::new(self.host, budget, unix_milliseconds, most_failed_nanoseconds)
    }

    /// Returns whether this token has been verified before.
    pub(crate) fn is_known(&self, token: &[u8]) -> bool {
        self.verified.borrow().has(token)
    }

    /// Returns the objection that is known without a signature check: malformed, unsupported
    /// algorithm, unknown key, or a bad signature that is remembered.
    pub(crate) fn objection_without_check(&self, token: &[u8]) -> Option<Objection> {
        if self.is_known(token) {
            return None;
        }
        match self.refused.borrow_mut().find(token) {
            Some(Refused::Forged { misses_key }) => return Some(self.forged(*misses_key)),
            Some(Refused::Unacceptable { .. }) => return None,
            Some(Refused::Partly { .. }) | None => {}
        }
        let compact = match self.parse(token) {
            Ok(compact) => compact,
            Err(rule) => return Some(rule.into()),
        };
        let Some(claims) = Object::parse(&compact.payload) else {
            return Some(RefusalRule::Payload.into());
        };
        self.candidates(&self.keys.borrow(), &compact.header, issuer(&claims)).err()
    }

    /// Checks whether the token is genuine, and if so, whether it is acceptable.
    ///
    /// # Errors
    ///
    /// The objection to a token that is not known to be genuine. It is [`Refusal::Unavailable`] if
    /// keys are missing, or if the request may not spend more time.
    pub(crate) fn check(&self, token: &[u8], effort: &Effort<'_>) -> Result<Genuine, Objection> {
        let known = self.verified.borrow_mut().find(token).map(|known| Rc::clone(&known.token));
        if let Some(token) = known {
            return Ok(self.judged(token, effort.unix_seconds()));
        }
        let keys_tried = match self.refused.borrow_mut().find(token) {
            Some(Refused::Forged { misses_key }) => return Err(self.forged(*misses_key)),
            Some(Refused::Unacceptable { token, objection }) => {
                let times = self.check_times_of(token.times, effort.unix_seconds());
                let objection = times.err().unwrap_or_else(|| objection.clone());
                return Ok(Genuine::Unacceptable(Box::new(*token), objection));
            }
            Some(Refused::Partly { keys_tried }) => *keys_tried,
            None => 0,
        };
        if !effort.is_left_for_a_token() {
            self.note_unchecked();
            return Err(RefusalRule::SignatureChecks.into());
        }
        let spent_before = effort.spent_nanoseconds();
        self.check_unseen(token, keys_tried, effort)
            .inspect_err(|_| effort.note_failure(token.len(), spent_before))
    }

    /// Checks whether the times of a token that was verified before are still acceptable.
    ///
    /// # Errors
    ///
    /// [`Refusal::Expired`] or [`Refusal::NotYetValid`].
    pub fn check_times(&self, token: &VerifiedToken, unix_seconds: u64) -> Result<(), Objection> {
        self.check_times_of(token.genuine.times, unix_seconds)
    }

    /// Returns the time at which the token expires, if ever, in seconds since 1970 UTC.
    #[must_use]
    pub fn end_of(&self, token: &VerifiedToken) -> Option<u64> {
        token.exp().map(|exp| exp.saturating_add(self.policy.clock_skew_seconds))
    }

    fn check_times_of(&self, times: Times, unix_seconds: u64) -> Result<(), Objection> {
        times.check(unix_seconds, self.policy.clock_skew_seconds)
    }

    fn judged(&self, token: Rc<VerifiedToken>, unix_seconds: u64) -> Genuine {
        match self.check_times(&token, unix_seconds) {
            Ok(()) => Genuine::Acceptable(token),
            Err(objection) => Genuine::Unacceptable(Box::new(token.genuine), objection),
        }
    }

    fn check_unseen(
        &self,
        token: &[u8],
        keys_tried: usize,
        effort: &Effort<'_>,
    ) -> Result<Genuine, Objection> {
        let compact = self.parse(token)?;
        let claims = Object::parse(&compact.payload).ok_or(RefusalRule::Payload)?;
        let keys = self.keys.borrow();
        let issuer = issuer(&claims);
        let candidates = self.candidates(&keys, &compact.header, issuer)?;
        let untried = candidates.into_iter().skip(keys_tried);
        let key = self.signer(untried, token, &compact, keys_tried, effort)?;
        let claims = claims::read(&claims, key, &self.policy);
        let realm = &self.policy.realm;
        let token_names = match &claims.jti {
            Some(jti) => NamePair::of_token(realm, issuer, jti),
            None => NamePair::of_input(realm, issuer, compact.signing_input),
        };
        let session_id = claims.session_id.as_deref();
        let names = TokenNames {
            token: token_names,
            session: session_id.map(|sid| NamePair::of_session(realm, issuer, sid)),
            user: claims.user_id.as_deref().map(|id| NamePair::of_user(realm, issuer, id)),
        };
        let genuine = GenuineToken { names, times: claims.times };
        match claims.verdict {
            Ok(forwarded) => {
                let verified = Rc::new(VerifiedToken::new(genuine, claims.user_id, forwarded));
                let known = Verified { token: Rc::clone(&verified), signer: key.fingerprint() };
                self.verified.borrow_mut().keep(token, known);
                Ok(self.judged(verified, effort.unix_seconds()))
            }
            Err(objection) => {
                let times = self.check_times_of(genuine.times, effort.unix_seconds());
                if !claims.is_well_formed {
                    return Err(times.err().unwrap_or(objection));
                }
                let remembered =
                    Refused::Unacceptable { token: genuine, objection: objection.clone() };
                self.refused.borrow_mut().keep(token, remembered);
                Ok(Genuine::Unacceptable(Box::new(genuine), times.err().unwrap_or(objection)))
            }
        }
    }

    fn parse<'a>(&self, token: &'a [u8]) -> Result<Compact<'a>, RefusalRule> {
        if token.len() > self.policy.max_token_bytes {
            return Err(RefusalRule::Size);
        }
        Compact::parse(token, &self.headers)
    }

    /// Returns the keys that may have signed a token, or the objection if there are none.
    fn candidates<'a>(
        &self,
        keys: &'a KeyRing,
        header: &Header,
        issuer: Option<&str>,
    ) -> Result<KeyList<'a>, Objection> {
        signer::candidates(keys, header, issuer).map_err(|NoCandidate { refusal, misses_key }| {
            self.unless_keys_are_missing(refusal, misses_key)
        })
    }

    /// Returns the key that made the token's signature, among those that were not tried before.
    fn signer<'a>(
        &self,
        untried: impl Iterator<Item = &'a Key>,
        token: &[u8],
        compact: &Compact<'_>,
        keys_tried: usize,
        effort: &Effort<'_>,
    ) -> Result<&'a Key, Objection> {
        let keys = self.keys.borrow();
        match signer::find(untried, &keys, compact, effort) {
            Ok(key) => Ok(key),
            Err(NoSigner::OutOfTime { tried }) => {
                self.note_unchecked();
                if tried > 0 {
                    let keys_tried = keys_tried.saturating_add(tried);
                    self.refused.borrow_mut().keep(token, Refused::Partly { keys_tried });
                }
                Err(RefusalRule::SignatureChecks.into())
            }
            Err(NoSigner::Forged { misses_key }) => {
                self.refused.borrow_mut().keep(token, Refused::Forged { misses_key });
                Err(self.forged(misses_key))
            }
        }
    }

    fn forged(&self, misses_key: bool) -> Objection {
        self.unless_keys_are_missing(Refusal::BadSignature, misses_key)
    }

    fn note_unchecked(&self) {
        self.unchecked.set(self.unchecked.get().saturating_add(1));
    }

    /// Returns this refusal, or [`Refusal::Unavailable`] while keys are expected, because one of
    /// them may verify the token. Records a missing key.
    fn unless_keys_are_missing(&self, refusal: Refusal, misses_key: bool) -> Objection {
        if misses_key {
            self.misses_key.set(true);
        }
        let is_unknown = refusal == Refusal::Unavailable || self.keys.borrow().lacks_some();
        if is_unknown { RefusalRule::Keys.into() } else { refusal.into() }
    }
}

/// Returns the issuer that a token names.
fn issuer<'a>(claims: &'a Object<'_>) -> Option<&'a str> {
    match claims.find("iss") {
        Some(Value::Text(issuer)) => Some(issuer),
        _ => None,
    }
}

/// A genuine token, with the verdict whether it is acceptable now.
pub(crate) enum Genuine {
    /// Its times and claims are acceptable.
    Acceptable(Rc<VerifiedToken>),
    /// There is an objection to its times or claims.
    Unacceptable(Box<GenuineToken>, Objection),
}

/// A token whose signature is valid, regardless of its times and claims. A sign-out revokes such
/// tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GenuineToken {
    names: TokenNames,
    times: Times,
}

impl GenuineToken {
    /// A token that no verifier has seen.
    #[cfg(test)]
    pub(crate) fn for_test(names: TokenNames, iat: Option<u64>, exp: Option<u64>) -> Self {
        Self { names, times: Times { iat, exp, nbf: None } }
    }

    /// Returns the id of this token's revocation: its issuer and `jti`, or its signing input if it
    /// has no `jti`.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        self.names.token.own()
    }

    /// Returns the id of its session's cutoff, if it names its session.
    #[must_use]
    pub fn session(&self) -> Option<RecordId> {
        self.names.session.map(NamePair::own)
    }

    /// Returns the id of its user's cutoff, if it names its user.
    #[must_use]
    pub fn user(&self) -> Option<RecordId> {
        self.names.user.map(NamePair::own)
    }

    /// Returns whether a sign-out with this token ends its session: it names a session and has an
    /// `iat`.
    #[must_use]
    pub fn ends_session(&self) -> bool {
        self.names.session.is_some() && self.times.iat.is_some()
    }

    /// Returns all ids under which this token may be revoked.
    #[must_use]
    pub fn names(&self) -> &TokenNames {
        &self.names
    }

    /// Returns when the token expires, in seconds since 1970 UTC, rounded down.
    #[must_use]
    pub fn exp(&self) -> Option<u64> {
        self.times.exp
    }

    /// Returns when the token was issued, in seconds since 1970 UTC, rounded down.
    #[must_use]
    pub fn iat(&self) -> Option<u64> {
        self.times.iat
    }
}

impl fmt::Debug for GenuineToken {
    /// Formats the hash that names the token, and no claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GenuineToken({})", self.record_id())
    }
}

/// The user that a token names. Two users are equal only if both their ids and their issuers are.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    id: Rc<str>,
    names: NamePair,
}

impl User {
    /// Returns the user id, which is not empty, has at most 256 bytes, and is valid in a header.
    #[must_use]
    pub fn id(&self) -> &Rc<str> {
        &self.id
    }

    /// Returns the id of this user's cutoff, under the token's issuer.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        self.names.own()
    }
}

/// A genuine token whose claims are acceptable. Its times were acceptable when [`Verifier::verify`]
/// returned it.
pub struct VerifiedToken {
    genuine: GenuineToken,
    user: Option<User>,
    forwarded: Forwarded,
    live_at: Cell<Option<Mark>>,
}

impl VerifiedToken {
    fn new(genuine: GenuineToken, user_id: Option<Rc<str>>, forwarded: Forwarded) -> Self {
        let user = user_id.zip(genuine.names.user).map(|(id, names)| User { id, names });
        Self { genuine, user, forwarded, live_at: Cell::new(None) }
    }

    /// Returns the genuine token, which a sign-out revokes.
    #[must_use]
    pub fn genuine(&self) -> GenuineToken {
        self.genuine
    }

    /// Returns the id of this token's revocation: its issuer and `jti`, or its signing input if it
    /// has no `jti`.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        self.genuine.record_id()
    }

    /// Returns all ids under which this token may be revoked.
    #[must_use]
    pub fn names(&self) -> &TokenNames {
        &self.genuine.names
    }

    /// Returns the user, or `None` if the policy requires none.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// Returns when the token expires, in seconds since 1970 UTC, rounded down.
    #[must_use]
    pub fn exp(&self) -> Option<u64> {
        self.genuine.times.exp
    }

    /// Returns when the token was issued, in seconds since 1970 UTC, rounded down.
    #[must_use]
    pub fn iat(&self) -> Option<u64> {
        self.genuine.times.iat
    }

    /// Returns the value of a forwarded claim as header text, or `None` if the token does not have
    /// the claim, if it is `null`, or if no header can carry its value.
    ///
    /// Strings, numbers and booleans are unchanged, and lists of them are joined by commas. A list is
    /// JSON if an element contains a comma, is empty, or begins or ends with white space. The text
    /// has at most 8 KiB and no control characters.
    #[must_use]
    pub fn claim(&self, path: &ClaimPath) -> Option<&Rc<str>> {
        self.forwarded.iter().find(|(known, _)| known == path)?.1.as_ref()
    }

    /// Returns how many of the forwarded claims have a value that no header can carry.
    #[must_use]
    pub fn claims_left_out(&self) -> usize {
        self.forwarded.iter().filter(|(_, text)| text.is_none()).count()
    }

    /// Returns the generation of the revocation set in which this token was last found not revoked.
    #[must_use]
    pub fn known_live_at(&self) -> Option<Mark> {
        self.live_at.get()
    }

    /// Records that this token is not revoked in this generation.
    pub fn note_live_at(&self, mark: Mark) {
        self.live_at.set(Some(mark));
    }

    /// Returns the length of the token's texts, in bytes.
    fn text_bytes(&self) -> usize {
        let user = self.user.as_ref().map_or(0, |user| user.id.len());
        let length = |text: &Option<Rc<str>>| text.as_ref().map_or(0, |text| text.len());
        let claims = self.forwarded.iter().map(|(_, text)| size_of::<ClaimPath>() + length(text));
        user + claims.sum::<usize>()
    }
}

impl fmt::Debug for VerifiedToken {
    /// Formats the hash that names the token, and neither user nor claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedToken({})", self.record_id())
    }
}

impl fmt::Debug for User {
    /// Formats the hash that names the user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.record_id())
    }
}

/// The entry of a verified token in the cache.
struct Verified {
    token: Rc<VerifiedToken>,
    signer: Fingerprint,
}

impl Remembered for Verified {
    fn bytes(&self) -> usize {
        size_of::<VerifiedToken>() + self.token.text_bytes()
    }
}

/// The entry of a refused token in the cache.
enum Refused {
    /// The first candidate keys did not sign the token. The others have not been tried.
    Partly { keys_tried: usize },
    /// None of the token's candidate keys signed it.
    Forged { misses_key: bool },
    /// The token is genuine, but its issuer, audience or other claims are refused.
    Unacceptable { token: GenuineToken, objection: Objection },
}

impl Remembered for Refused {
    fn bytes(&self) -> usize {
        match self {
            Self::Unacceptable { objection: Objection::Claim(name, _), .. } => name.len(),
            Self::Partly { .. } | Self::Forged { .. } | Self::Unacceptable { .. } => 0,
        }
    }
}

/// The memory for verified tokens of one VM: about 6,000 tokens of usual length.
const VERIFIED_BYTES: usize = 4 * 1024 * 1024;

/// The longest token that is remembered. Longer tokens are verified on every request, as Envoy's
/// jwt_authn does above 4 KiB. Tokens with many groups, of about 9 KiB, are remembered.
const LONGEST_VERIFIED_BYTES: usize = 16 * 1024;

/// The default of `max_token_bytes`.
const DEFAULT_MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The memory for refused tokens of one VM: 1,500 to 2,500 tokens of usual length.
const REFUSED_BYTES: usize = 1024 * 1024;

#[cfg(test)]
pub(crate) mod builder;
#[cfg(test)]
mod tests;
