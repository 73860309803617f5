//! Who else can tell whether a signature holds, and faster?
//!
//! A proxy verifies RSA signatures in a fortieth of the time that WebAssembly takes. What it is asked
//! is judged here first, so that a yes means the same wherever it comes from: the key is the one that
//! our own library has read and written out again, and an ECDSA signature is converted only if it has
//! its one form. No answer is an answer too: then the signature is verified here.

/// Somebody outside of this VM who verifies signatures.
pub trait SignatureHost {
    /// Whether the signature holds; `None` where that cannot be told.
    fn verify(&self, question: &Question<'_>) -> Option<bool>;
}

/// A signature by RSASSA-PKCS1-v1_5 or by ECDSA.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `sha256`, `sha384` or `sha512`.
    pub hash: &'static str,
    /// SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7).
    pub public_key: &'a [u8],
    /// As it stands in the token, but that of ECDSA in DER (RFC 3279 §2.2.3).
    pub signature: &'a [u8],
    /// What is signed.
    pub text: &'a [u8],
}

/// Nobody: every signature is verified here.
#[derive(Clone, Copy, Debug)]
pub struct NoHost;

impl SignatureHost for NoHost {
    fn verify(&self, _: &Question<'_>) -> Option<bool> {
        None
    }
}
