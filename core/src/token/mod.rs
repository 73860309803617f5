//! Is a token genuine?
//!
//! [`Verifier::verify`] answers with a [`VerifiedToken`], which nothing else can make, or with the
//! first [`Refusal`] in the order of judgement: form, algorithm, key, signature, time, issuer,
//! audience, claims. The parser and the claims are our own and strict (RFC 7515, 7519, 8725); the
//! cryptography is the libraries'. Whether a genuine token is revoked is another question.
//!
//! # Why a cache
//!
//! Most requests carry a token that this VM has verified before. Its exact bytes are remembered, so
//! the same request costs one look-up; the times are judged again on every call.

mod cache;
mod claims;
mod compact;

pub use claims::is_user_id;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::json::{Object, Value};
use crate::keys::budget::Budget;
use crate::keys::host::{NoHost, SignatureHost};
use crate::keys::{Effort, Fingerprint, Key, KeyRing, PublicAlgorithm};
use crate::refusal::Refusal;
use crate::revocation::generation::Mark;
use crate::revocation::record::RecordId;
use crate::token::cache::TokenCache;
use crate::token::claims::{Claims, Forwarded, Times};
use crate::token::compact::{Compact, Header};

/// What a token must say, beyond having been signed by one of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The value that `iss` must have, if any.
    pub issuer: Option<String>,
    /// The audiences of which `aud` must name one, if there are any.
    pub audiences: Vec<String>,
    /// The claim that names the user; `None` asks for no user.
    pub user_id: Option<String>,
    /// Claims that must be there and not be null.
    pub required: Vec<String>,
    /// How far the issuer's clock and ours may differ, in seconds.
    pub clock_skew_seconds: u64,
    /// The longest time from `iat` to `exp`, in seconds; both are then required.
    pub max_lifetime_seconds: Option<u64>,
    /// The longest token, in bytes.
    pub max_token_bytes: usize,
    /// Claims to be read for the application, as [`VerifiedToken::claim`] says.
    pub forwarded: Vec<String>,
    /// Separates applications behind one signout service; part of every record id.
    pub realm: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            issuer: None,
            audiences: vec![],
            user_id: None,
            required: vec![],
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
    /// Whether a token came that a key may have signed which is not there.
    misses_key: Cell<bool>,
    policy: Policy,
    host: &'static dyn SignatureHost,
    slow: Budget,
    cache: RefCell<TokenCache>,
}

impl Verifier {
    /// A verifier with an empty cache, which does all by itself and without a bound.
    #[must_use]
    pub fn new(keys: KeyRing, policy: Policy) -> Self {
        Self {
            keys: RefCell::new(keys),
            misses_key: Cell::new(false),
            policy,
            host: &NoHost,
            slow: Budget::new(u64::MAX),
            cache: RefCell::new(TokenCache::new()),
        }
    }

    /// Asks that host first, and verifies so many slow signatures a second at most; beyond that
    /// unseen tokens are refused as [`Refusal::Unavailable`].
    #[must_use]
    pub fn with_host(self, host: &'static dyn SignatureHost, slow_per_second: u64) -> Self {
        Self { host, slow: Budget::new(slow_per_second), ..self }
    }

    /// Takes other keys, and forgets every token whose key is not among them. The others stay known:
    /// were all to be verified anew, slow ones would be refused beyond the budget.
    pub fn replace_keys(&self, keys: KeyRing) {
        self.cache.borrow_mut().forget_unless(|signer| keys.holds(signer));
        self.keys.replace(keys);
    }

    /// Whether all keys are there that the configuration names.
    #[must_use]
    pub fn has_all_keys(&self) -> bool {
        !self.keys.borrow().lacks_some()
    }

    /// Whether since the last call a token came that names a key which is not there, or a public
    /// algorithm that no key is bound to.
    pub fn take_missed_key(&self) -> bool {
        self.misses_key.take()
    }

    /// Whether the token is genuine at that time (seconds since 1970 UTC).
    pub fn verify(&self, token: &[u8], unix_seconds: u64) -> Result<Rc<VerifiedToken>, Refusal> {
        let known = self.cache.borrow_mut().find(token);
        if let Some(known) = known {
            self.check_times(&known, unix_seconds)?;
            return Ok(known);
        }
        let (verified, signer) = self.verify_unseen(token, unix_seconds)?;
        let verified = Rc::new(verified);
        self.cache.borrow_mut().keep(token, Rc::clone(&verified), signer);
        Ok(verified)
    }

    /// Whether the times of a token that was verified before still hold.
    ///
    /// # Errors
    ///
    /// [`Refusal::Expired`] or [`Refusal::NotYetValid`].
    pub fn check_times(&self, token: &VerifiedToken, unix_seconds: u64) -> Result<(), Refusal> {
        token.times.check(unix_seconds, self.policy.clock_skew_seconds)
    }

    /// From when on the token has expired, if ever, seconds since 1970 UTC.
    #[must_use]
    pub fn end_of(&self, token: &VerifiedToken) -> Option<u64> {
        token.exp().map(|exp| exp.saturating_add(self.policy.clock_skew_seconds))
    }

    fn verify_unseen(
        &self,
        token: &[u8],
        unix_seconds: u64,
    ) -> Result<(VerifiedToken, Fingerprint), Refusal> {
        if token.len() > self.policy.max_token_bytes {
            return Err(Refusal::MalformedToken);
        }
        let token = Compact::parse(token).ok_or(Refusal::MalformedToken)?;
        let claims = Object::parse(&token.payload).ok_or(Refusal::MalformedToken)?;
        let keys = self.keys.borrow();
        let issuer = match claims.find("iss") {
            Some(Value::Text(issuer)) => Some(&**issuer),
            _ => None,
        };
        let key = self.signer(&keys, &token, issuer, unix_seconds)?;
        let claims = claims::judge(&claims, key, &self.policy, unix_seconds)?;
        let verified = VerifiedToken::new(claims, token.signing_input, &self.policy.realm);
        Ok((verified, key.fingerprint()))
    }

    /// The key that made the token's signature. Where keys are still to come, one of them may have.
    fn signer<'a>(
        &self,
        keys: &'a KeyRing,
        token: &Compact<'_>,
        issuer: Option<&str>,
        unix_seconds: u64,
    ) -> Result<&'a Key, Refusal> {
        let found = self.signer_among(keys, token, issuer, unix_seconds);
        let Header { algorithm, kid } = &token.header;
        let is_public = || PublicAlgorithm::from_name(algorithm).is_some();
        let misses_key = match found.as_ref().err() {
            Some(Refusal::UnknownKey) => true,
            Some(Refusal::UnsupportedAlgorithm) => is_public(),
            // Keys without id were tried on it: it may be none of theirs.
            Some(Refusal::BadSignature) => {
                is_public() && kid.as_ref().is_some_and(|kid| !keys.has(kid))
            }
            _ => false,
        };
        if misses_key {
            self.misses_key.set(true);
        }
        found.map_err(|refusal| if keys.lacks_some() { Refusal::Unavailable } else { refusal })
    }

    fn signer_among<'a>(
        &self,
        keys: &'a KeyRing,
        token: &Compact<'_>,
        issuer: Option<&str>,
        unix_seconds: u64,
    ) -> Result<&'a Key, Refusal> {
        let effort = Effort { host: self.host, budget: &self.slow, unix_seconds };
        let Header { algorithm, kid } = &token.header;
        for key in keys.candidates(algorithm, kid.as_deref(), issuer)? {
            if key.verify(token.signing_input, &token.signature, effort)? {
                return Ok(key);
            }
        }
        Err(Refusal::BadSignature)
    }
}

/// A user as a token names them.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    id: Box<str>,
    record_id: RecordId,
}

impl User {
    /// The user id: not empty, at most 256 bytes, fit for a header.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What this user's cutoff is stored under.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        self.record_id
    }
}

/// A token whose signature and claims have been verified. Its times hold at the moment for which
/// [`Verifier::verify`] returned it.
pub struct VerifiedToken {
    record_id: RecordId,
    user: Option<User>,
    times: Times,
    forwarded: Forwarded,
    live_at: Cell<Option<Mark>>,
}

impl VerifiedToken {
    fn new(claims: Claims, signing_input: &[u8], realm: &str) -> Self {
        let Claims { times, jti, user_id, forwarded } = claims;
        let record_id = match jti {
            Some(jti) => RecordId::of_token(realm, &jti),
            None => RecordId::of_input(realm, signing_input),
        };
        let user = user_id.map(|id| User { record_id: RecordId::of_user(realm, &id), id });
        Self { record_id, user, times, forwarded, live_at: Cell::new(None) }
    }

    /// What this token's revocation is stored under: its `jti`, or its signing input if it has none.
    #[must_use]
    pub fn record_id(&self) -> RecordId {
        self.record_id
    }

    /// The user; `None` where the policy asks for none.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.user.as_ref()
    }

    /// When it expires, seconds since 1970 UTC; fractions rounded down.
    #[must_use]
    pub fn exp(&self) -> Option<u64> {
        self.times.exp
    }

    /// When it was issued, seconds since 1970 UTC; fractions rounded down.
    #[must_use]
    pub fn iat(&self) -> Option<u64> {
        self.times.iat
    }

    /// Returns the value of a forwarded claim as header text, or `None` if the token does not have
    /// the claim, if it is `null`, or if no header can carry its value.
    ///
    /// Strings, numbers and booleans are unchanged, and lists of them are joined by commas. A list is
    /// JSON if an element contains a comma, is empty, or begins or ends with white space. The text
    /// has at most 8 KiB and no control characters.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&str> {
        self.forwarded.iter().find(|(known, _)| &**known == name)?.1.as_deref()
    }

    /// Returns how many of the forwarded claims have a value that no header can carry.
    #[must_use]
    pub fn claims_left_out(&self) -> usize {
        self.forwarded.iter().filter(|(_, text)| text.is_none()).count()
    }

    /// As of which writes to the revocation set this token was last found not revoked.
    #[must_use]
    pub fn known_live_at(&self) -> Option<Mark> {
        self.live_at.get()
    }

    /// Notes that this token is not revoked as of these writes.
    pub fn note_live_at(&self, mark: Mark) {
        self.live_at.set(Some(mark));
    }

    /// Bytes of text that it holds.
    fn text_bytes(&self) -> usize {
        let user = self.user.as_ref().map_or(0, |user| user.id.len());
        let length = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let claims = self.forwarded.iter().map(|(name, text)| name.len() + length(text));
        user + claims.sum::<usize>()
    }
}

impl fmt::Debug for VerifiedToken {
    /// Says which token it is, by its hash; neither user nor claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifiedToken({})", self.record_id)
    }
}

impl fmt::Debug for User {
    /// Says which user it is, by its hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User({})", self.record_id)
    }
}

/// As `max_token_bytes` of the configuration.
const DEFAULT_MAX_TOKEN_BYTES: usize = 16 * 1024;

#[cfg(test)]
pub(crate) mod builder;
#[cfg(test)]
mod tests;
