//! The keys that verify tokens, and which key may verify which token.
//!
//! The configuration binds each [`Key`] to one algorithm. A token only names its algorithm, and is
//! refused if no key is bound to it (RFC 8725 §3.1). A token's `kid` narrows the choice of keys.
//! Keys and URLs inside a token (`jwk`, `jku`, `x5c`, `x5u`) are not read. The module `effort` bounds the
//! time that signature checks take.

mod cost;
pub(crate) mod effort;
pub mod host;
pub(crate) mod jwk;
mod public;
mod signature;

use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

pub use crate::keys::public::{KeyError, PublicAlgorithm};

use crate::hash::sha256_of_list;
use crate::keys::effort::Effort;
use crate::keys::public::{PublicKey, PublicKeyForm};
use crate::keys::signature::SignatureKey;
use crate::refusal::Refusal;

/// An algorithm that signs with a shared secret (RFC 7518 §3.2).
///
/// Key pairs have a type of their own, [`PublicAlgorithm`], so that a public key can never become
/// the secret of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl Algorithm {
    /// All algorithms.
    pub const ALL: [Self; 3] = [Self::Hs256, Self::Hs384, Self::Hs512];

    /// Returns its name in `alg`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// Returns the algorithm with exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Returns the minimum length of a secret, which is the length of the hash (RFC 7518 §3.2).
    #[must_use]
    pub fn minimum_secret_bytes(self) -> usize {
        match self {
            Self::Hs256 => 32,
            Self::Hs384 => 48,
            Self::Hs512 => 64,
        }
    }
}

/// A key, ready to verify.
pub struct Key {
    algorithm: &'static str,
    signature: SignatureKey,
    fingerprint: Fingerprint,
    id: Option<String>,
    issuer: Option<String>,
    audiences: Vec<String>,
}

impl Key {
    /// Creates a key from a shared secret.
    ///
    /// A key with an `id` verifies tokens with that `kid` or with none; a key without an id
    /// verifies tokens with any `kid`. If `issuer` or `audiences` are given, the tokens that this
    /// key verifies must have them. The configuration checks the secret's strength, not this
    /// function.
    #[must_use]
    pub fn hmac(
        algorithm: Algorithm,
        secret: &[u8],
        id: Option<String>,
        issuer: Option<String>,
        audiences: Vec<String>,
    ) -> Self {
        let signature = SignatureKey::hmac(algorithm, secret);
        Self::bound(algorithm.name(), signature, secret, id, issuer, audiences)
    }

    /// Creates a key from a public key in PEM (`BEGIN PUBLIC KEY`). The other parameters are those
    /// of [`Key::hmac`].
    pub fn public(
        algorithm: PublicAlgorithm,
        pem: &str,
        id: Option<String>,
        issuer: Option<String>,
        audiences: Vec<String>,
    ) -> Result<Self, KeyError> {
        let key = PublicKey::read(algorithm, &PublicKeyForm::Pem(pem))?;
        Ok(Self::of(key, id, issuer, audiences))
    }

    fn of(
        key: PublicKey,
        id: Option<String>,
        issuer: Option<String>,
        audiences: Vec<String>,
    ) -> Self {
        let (algorithm, material) = (key.algorithm().name(), key.der().to_vec());
        Self::bound(algorithm, SignatureKey::Public(key), &material, id, issuer, audiences)
    }

    fn bound(
        algorithm: &'static str,
        signature: SignatureKey,
        material: &[u8],
        id: Option<String>,
        issuer: Option<String>,
        audiences: Vec<String>,
    ) -> Self {
        let texts = [id.as_deref(), issuer.as_deref()].map(|text| text.unwrap_or_default());
        let parts = [algorithm.as_bytes(), material].into_iter();
        let parts = parts.chain(texts.iter().map(|text| text.as_bytes()));
        let fingerprint = Fingerprint::of(parts.chain(audiences.iter().map(String::as_bytes)));
        Self { algorithm, signature, fingerprint, id, issuer, audiences }
    }

    /// Returns a hash of everything in this key that affects the verdict about a token.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Returns everything by which a token may select this key.
    pub(crate) fn name(&self) -> KeyName<'_> {
        let (id, issuer) = (self.id.as_deref(), self.issuer.as_deref());
        KeyName { algorithm: self.algorithm, id, issuer }
    }

    /// Returns the name of the algorithm that this key is bound to.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// Returns the `kid` of this key's tokens, if it has an id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns whether this key made the signature (RFC 7515 §5.2).
    ///
    /// # Errors
    ///
    /// [`OutOfTime`] if this request may not spend the time that the check takes.
    pub(crate) fn verify(
        &self,
        signing_input: &[u8],
        signature: &[u8],
        effort: &Effort<'_>,
    ) -> Result<bool, OutOfTime> {
        self.signature.verify(signing_input, signature, effort)
    }

    /// Returns whether this key made the signature. No host checks it, and no limit applies.
    #[cfg(test)]
    pub(crate) fn verifies(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        let budget = effort::FailureBudget::new(1_000);
        let effort = Effort::new(&host::NoHost, &budget, 1, u64::MAX);
        self.verify(signing_input, signature, &effort) == Ok(true)
    }

    /// Returns the `iss` that tokens verified by this key must have. Returns `None` if the key
    /// accepts any `iss`.
    #[must_use]
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns the audiences of this key. A token that the key verifies must name one of them in
    /// `aud`. If the list is empty, the key accepts any `aud`.
    #[must_use]
    pub(crate) fn audiences(&self) -> &[String] {
        &self.audiences
    }

    fn is_named(&self, kid: Option<&str>) -> bool {
        self.id.as_deref() == kid
    }
}

/// The algorithm, `kid` and issuer of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyName<'a> {
    pub(crate) algorithm: &'static str,
    pub(crate) id: Option<&'a str>,
    pub(crate) issuer: Option<&'a str>,
}

impl KeyName<'_> {
    /// Returns whether a token's `kid` could mean either of the two keys: they have the same
    /// algorithm, id and issuer. Different issuers may use the same id.
    pub(crate) fn is_namesake_of(&self, other: &KeyName<'_>) -> bool {
        self.id.is_some() && self == other
    }
}

impl fmt::Debug for Key {
    /// Shows algorithm and id, never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {:?})", self.algorithm, self.id)
    }
}

/// A hash of a key, or of a set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 16]);

impl Fingerprint {
    pub(crate) fn of<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Self {
        Self(sha256_of_list(parts))
    }
}

/// The error when a signature was not checked, because the request may not spend the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfTime;

/// Some of the keys of one configuration.
pub(crate) type KeyList<'a> = SmallVec<[&'a Key; 2]>;

/// The keys of one configuration.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: Vec<Arc<Key>>,
    lacks_some: bool,
}

impl KeyRing {
    /// Creates a ring of these keys, which are tried in this order.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self { keys: keys.into_iter().map(Arc::new).collect(), lacks_some: false }
    }

    /// Returns these keys followed by more. With `lacks_some`, more keys are expected later, so a
    /// token that no key verifies may still be genuine.
    #[must_use]
    pub(crate) fn with(&self, more: impl Iterator<Item = Arc<Key>>, lacks_some: bool) -> Self {
        Self { keys: self.keys.iter().cloned().chain(more).collect(), lacks_some }
    }

    /// Returns whether more keys are expected.
    #[must_use]
    pub fn lacks_some(&self) -> bool {
        self.lacks_some
    }

    /// Returns whether the ring contains this key.
    pub(crate) fn holds(&self, fingerprint: Fingerprint) -> bool {
        self.keys.iter().any(|key| key.fingerprint == fingerprint)
    }

    /// Returns the algorithms of the keys, each once.
    #[must_use]
    pub fn algorithms(&self) -> Vec<&'static str> {
        let mut names = vec![];
        for key in &self.keys {
            if !names.contains(&key.algorithm) {
                names.push(key.algorithm);
            }
        }
        names
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether a key has this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.is_named(Some(id)))
    }

    /// Returns the keys to try on a token with this `alg`, `kid` and `iss`: at least one and at
    /// most [`KEYS_TRIED`], always in the same order.
    ///
    /// If keys have the token's `kid` as their id, only these keys are tried. If no key has, only
    /// keys without an id are tried, since a key with another id did not sign the token. A token
    /// without `kid` is tried with every key of its algorithm. Keys of the token's issuer come
    /// first.
    pub(crate) fn candidates(
        &self,
        algorithm: &str,
        kid: Option<&str>,
        issuer: Option<&str>,
    ) -> Result<KeyList<'_>, Refusal> {
        if self.keys.is_empty() {
            return Err(Refusal::Unavailable);
        }
        let algorithm = PublicAlgorithm::from_name(algorithm).map_or(algorithm, |it| it.name());
        let bound = self.keys.iter().map(|key| &**key).filter(|key| key.algorithm == algorithm);
        let mut keys: KeyList<'_> = bound.collect();
        if keys.is_empty() {
            return Err(Refusal::UnsupportedAlgorithm);
        }
        if kid.is_some() {
            let has_named = keys.iter().any(|key| key.is_named(kid));
            keys.retain(|key| if has_named { key.is_named(kid) } else { key.id.is_none() });
        }
        if keys.is_empty() {
            return Err(Refusal::UnknownKey);
        }
        let is_of = |key: &Key| key.issuer.is_none() || key.issuer.as_deref() == issuer;
        keys.sort_by_key(|key| !is_of(key));
        keys.truncate(KEYS_TRIED);
        Ok(keys)
    }
}

/// The maximum number of keys that have no `id`, for each algorithm. A configuration with more does
/// not load. All of these keys may have to be tried on one token: on a token without `kid`, and on
/// one whose `kid` is the `id` of no key.
pub const KEYS_TRIED: usize = 8;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
