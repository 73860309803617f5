//! Finds the key that made a token's signature.
//!
//! The verifier of [access tokens](super::Verifier) and that of [statements](super::statement) both
//! use it. This module keeps no state: its callers remember results.

use crate::keys::effort::Effort;
use crate::keys::{Key, KeyList, KeyRing, OutOfTime, PublicAlgorithm};
use crate::refusal::Refusal;
use crate::token::compact::{Compact, Header};

/// The error when no key may have signed a token.
pub(super) struct NoCandidate {
    pub(super) refusal: Refusal,
    /// Whether the issuer may have published a matching key since the keys were fetched.
    pub(super) misses_key: bool,
}

/// The error when none of the keys that were tried signed a token.
pub(super) enum NoSigner {
    /// The request may not spend the time for more checks. This many keys did not sign the token.
    OutOfTime { tried: usize },
    /// No key signed it.
    Forged {
        /// Whether the issuer may have published the key with the token's `kid` since the keys were
        /// fetched.
        misses_key: bool,
    },
}

/// Returns the keys that may have signed a token with this header and issuer. There is at least
/// one.
pub(super) fn candidates<'k>(
    keys: &'k KeyRing,
    header: &Header,
    issuer: Option<&str>,
) -> Result<KeyList<'k>, NoCandidate> {
    let Header { algorithm, kid } = header;
    keys.candidates(algorithm, kid.as_deref(), issuer).map_err(|refusal| {
        let misses_key = match refusal {
            Refusal::UnknownKey => true,
            Refusal::UnsupportedAlgorithm => PublicAlgorithm::from_name(algorithm).is_some(),
            _ => false,
        };
        NoCandidate { refusal, misses_key }
    })
}

/// Returns the key among `untried` that made the signature.
pub(super) fn find<'k>(
    untried: impl Iterator<Item = &'k Key>,
    keys: &KeyRing,
    compact: &Compact<'_>,
    effort: &Effort<'_>,
) -> Result<&'k Key, NoSigner> {
    let mut out_of_time = None;
    for (tried, key) in untried.enumerate() {
        match key.verify(compact.signing_input, &compact.signature, effort) {
            Ok(true) => return Ok(key),
            Ok(false) => {}
            Err(OutOfTime) => {
                out_of_time = Some(NoSigner::OutOfTime { tried });
                break;
            }
        }
    }
    let Header { algorithm, kid } = &*compact.header;
    // Keys without an id were tried, but the key with the token's `kid` may be missing.
    let misses_key = PublicAlgorithm::from_name(algorithm).is_some()
        && kid.as_ref().is_some_and(|kid| !keys.has(kid));
    Err(out_of_time.unwrap_or(NoSigner::Forged { misses_key }))
}
