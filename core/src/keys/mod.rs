//! Which keys verify tokens, and which key may verify which token?
//!
//! Each [`Key`] is bound to one algorithm by whoever made it; a token only names the algorithm, and
//! is refused where no key is bound to that one (RFC 8725 §3.1). A token's `kid` narrows the choice
//! down, never widens it: keys and URLs inside a token (`jwk`, `jku`, `x5c`, `x5u`) are not read.

pub(crate) mod budget;
mod ecdsa;
pub mod host;
pub(crate) mod jwk;
mod public;
mod signature;

use std::fmt;
use std::rc::Rc;

use sha2::{Digest, Sha256};

pub use crate::keys::public::{KeyError, PublicAlgorithm};

use crate::keys::budget::Budget;
use crate::keys::host::SignatureHost;
use crate::keys::public::{PublicKey, Written};
use crate::keys::signature::SignatureKey;
use crate::refusal::Refusal;

/// How a token is signed with a shared secret (RFC 7518 §3.2). For key pairs see
/// [`PublicAlgorithm`]: two types, so that a public key can never become the secret of an HMAC.
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

    /// Its name in `alg`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    /// The algorithm of exactly that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// How long a secret must be at least: as long as the hash (RFC 7518 §3.2).
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
    /// A shared secret. With an `id` the key takes tokens of that `kid` or of none, else of any.
    /// `issuer` and `audiences`, where given, must hold for the tokens that this key verified.
    ///
    /// How long and how secret the secret is, is for the configuration to judge.
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

    /// A public key in PEM (`BEGIN PUBLIC KEY`); the rest as in [`Key::hmac`].
    pub fn public(
        algorithm: PublicAlgorithm,
        pem: &str,
        id: Option<String>,
        issuer: Option<String>,
        audiences: Vec<String>,
    ) -> Result<Self, KeyError> {
        let key = PublicKey::read(algorithm, &Written::Pem(pem))?;
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

    /// What tells this key from every other one: whatever decides about a token is in it.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Whether a token could not tell which of the two it means. Issuers name their keys without
    /// asking each other.
    pub(crate) fn is_namesake_of(&self, other: &Self) -> bool {
        self.id.is_some()
            && (self.algorithm, &self.id, &self.issuer)
                == (other.algorithm, &other.id, &other.issuer)
    }

    /// The name of its one algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The `kid` of its tokens, if it has an id.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether this key made the signature (RFC 7515 §5.2).
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`]: it would take more effort than is left.
    pub(crate) fn verify(
        &self,
        signing_input: &[u8],
        signature: &[u8],
        effort: Effort<'_>,
    ) -> Result<bool, Refusal> {
        self.signature.verify(signing_input, signature, effort)
    }

    /// The same without a host and without a bound.
    #[cfg(test)]
    pub(crate) fn verifies(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        let budget = &Budget::new(u64::MAX);
        let effort = Effort { host: &host::NoHost, budget, unix_seconds: 0 };
        self.verify(signing_input, signature, effort) == Ok(true)
    }

    /// The issuer that tokens verified by this key must have.
    #[must_use]
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The audiences of which tokens verified by this key must name one, if there are any.
    #[must_use]
    pub(crate) fn audiences(&self) -> &[String] {
        &self.audiences
    }

    fn takes(&self, kid: Option<&str>) -> bool {
        self.id.is_none() || kid.is_none() || self.is_named(kid)
    }

    fn is_named(&self, kid: Option<&str>) -> bool {
        self.id.as_deref() == kid
    }
}

impl fmt::Debug for Key {
    /// Says which key it is, never what it holds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {:?})", self.algorithm, self.id)
    }
}

/// A hash of all that a key is, or a set of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint([u8; 16]);

impl Fingerprint {
    pub(crate) fn of<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut fingerprint = [0; 16];
        fingerprint.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Self(fingerprint)
    }
}

/// What a signature may cost, and who may be asked about it.
#[derive(Clone, Copy)]
pub(crate) struct Effort<'a> {
    pub(crate) host: &'a dyn SignatureHost,
    pub(crate) budget: &'a Budget,
    pub(crate) unix_seconds: u64,
}

/// The keys of one configuration.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    keys: Vec<Rc<Key>>,
    lacks_some: bool,
}

impl KeyRing {
    /// A ring of these keys, tried in this order.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self { keys: keys.into_iter().map(Rc::new).collect(), lacks_some: false }
    }

    /// The same with more keys behind; `lacks_some`: further ones are still to come, so that a token
    /// which no key takes may be genuine.
    #[must_use]
    pub(crate) fn with(&self, more: impl Iterator<Item = Rc<Key>>, lacks_some: bool) -> Self {
        Self { keys: self.keys.iter().cloned().chain(more).collect(), lacks_some }
    }

    /// Whether keys are still to come.
    #[must_use]
    pub fn lacks_some(&self) -> bool {
        self.lacks_some
    }

    /// Whether that key is on it.
    pub(crate) fn holds(&self, fingerprint: Fingerprint) -> bool {
        self.keys.iter().any(|key| key.fingerprint == fingerprint)
    }

    /// What tokens may be signed with: the algorithms of its keys, each once.
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

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Whether a key has that id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.is_named(Some(id)))
    }

    /// The keys to try on a token of that `alg`, `kid` and `iss`: first those whose id is its `kid`,
    /// of them those of its issuer, who may share a key with another one; at least one, at most
    /// [`KEYS_TRIED`].
    pub(crate) fn candidates(
        &self,
        algorithm: &str,
        kid: Option<&str>,
        issuer: Option<&str>,
    ) -> Result<impl Iterator<Item = &Key>, Refusal> {
        if self.keys.is_empty() {
            return Err(Refusal::Unavailable);
        }
        let bound = || self.keys.iter().map(|key| &**key).filter(|key| key.algorithm == algorithm);
        if bound().next().is_none() {
            return Err(Refusal::UnsupportedAlgorithm);
        }
        let mut keys: Vec<_> = bound().filter(|key| key.takes(kid)).collect();
        if keys.is_empty() {
            return Err(Refusal::UnknownKey);
        }
        let is_of = |key: &Key| key.issuer.is_none() || key.issuer.as_deref() == issuer;
        keys.sort_by_key(|key| (!key.is_named(kid), !is_of(key)));
        Ok(keys.into_iter().take(KEYS_TRIED))
    }
}

/// How many keys are tried on one token: what a forged token may cost at most.
const KEYS_TRIED: usize = 8;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
