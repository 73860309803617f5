//! The interface to a host that checks signatures faster than WebAssembly.
//!
//! A proxy checks an RSA signature in a fortieth of the time that WebAssembly takes. The core
//! prepares each check so that the host accepts exactly the signatures that the core would accept:
//! the core has parsed and re-encoded the key, and it converts an ECDSA signature to DER only if
//! the signature is in its one valid form. If the host cannot tell, the core checks the signature
//! itself.

/// Checks signatures outside of this VM.
pub trait SignatureHost {
    /// Returns whether the signature is valid, or `None` if the host cannot tell.
    fn verify(&self, check: &SignatureCheck<'_>) -> Option<bool>;
}

/// One signature by RSASSA-PKCS1-v1_5 or by ECDSA.
#[derive(Clone, Copy, Debug)]
pub struct SignatureCheck<'a> {
    /// `sha256`, `sha384` or `sha512`.
    pub hash: &'static str,
    /// SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7).
    pub public_key: &'a [u8],
    /// The signature: as in the token for RSA, in DER for ECDSA (RFC 3279 §2.2.3).
    pub signature: &'a [u8],
    /// The signed text.
    pub text: &'a [u8],
}

/// A host that checks no signatures. The core then checks all of them itself.
#[derive(Clone, Copy, Debug)]
pub struct NoHost;

impl SignatureHost for NoHost {
    fn verify(&self, _: &SignatureCheck<'_>) -> Option<bool> {
        None
    }
}
