//! Parses a token's compact form.
//!
//! A token is a JWS in compact form (RFC 7515 §7.1) whose header and payload are strict JSON objects.
//! Each token has one spelling: base64url without padding, white space, other alphabets or stray bits
//! (RFC 7515 §2). Only `alg`, `kid` and `typ` of the header are read, so a key inside a token is never
//! used. Headers that would change the meaning of a token cause a refusal.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::{Object, Value};

/// The parts of a well-formed token whose signature has not been checked.
pub(super) struct Compact<'a> {
    /// Header and payload as sent, which the signature covers.
    pub(super) signing_input: &'a [u8],
    pub(super) header: Header,
    /// The payload's JSON text.
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// The members of the header that are read (RFC 7515 §4.1).
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) kid: Option<String>,
}

impl<'a> Compact<'a> {
    /// Splits a token; `None` if it is not well-formed or not of this type. The caller parses the
    /// payload.
    pub(super) fn parse(token: &'a [u8], purpose: JwtType) -> Option<Self> {
        let mut parts = token.splitn(4, |byte| *byte == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let signing_input = token.get(..header.len() + 1 + payload.len())?;
        let header = Header::parse(&URL_SAFE_NO_PAD.decode(header).ok()?, purpose)?;
        if signature.is_empty() && header.algorithm != "none" {
            return None; // RFC 7518 §3.6: only an unsecured token has no signature
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self { signing_input, header, payload, signature })
    }
}

impl Header {
    fn parse(json: &[u8], purpose: JwtType) -> Option<Self> {
        let object = Object::parse(json)?;
        if FORBIDDEN.iter().any(|name| object.find(name).is_some()) {
            return None;
        }
        if !purpose.admits(text(&object, "typ")?.as_deref()) {
            return None;
        }
        let kid = text(&object, "kid")?.map(Cow::into_owned);
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_LIMIT) {
            return None;
        }
        Some(Self { algorithm: text(&object, "alg")??.into_owned(), kid })
    }
}

/// The member with this name: `Some(None)` if it is absent, `None` if it is not a string.
fn text<'a>(object: &Object<'a>, name: &str) -> Option<Option<Cow<'a, str>>> {
    match object.find(name) {
        None => Some(None),
        Some(Value::Text(text)) => Some(Some(text.clone())),
        Some(_) => None,
    }
}

/// What a JWT is for. An issuer signs all of them with the same keys, so the `typ` in the header keeps
/// one from being taken for another (RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtType {
    /// An access token (RFC 9068 §2.1), or a JWT without a purpose of its own.
    Access,
    /// A logout token (OpenID Connect Back-Channel Logout 1.0 §2.4). Some issuers send it without `typ`.
    Logout,
    /// A Security Event Token (RFC 8417 §2.3), always with its `typ` (Shared Signals 1.0).
    SecurityEvent,
    /// The credential of the caller of Global Token Revocation, as Okta sends it.
    GlobalTokenRevocation,
}

impl JwtType {
    /// Whether a JWT with this `typ` may be used for this purpose. The prefix `application/` is
    /// optional, and case is ignored (RFC 7515 §4.1.9).
    fn admits(self, typ: Option<&str>) -> bool {
        let typ = typ.map(str::to_ascii_lowercase);
        let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
        match self {
            Self::Access => matches!(typ, None | Some("jwt" | "at+jwt")),
            Self::Logout => matches!(typ, None | Some("jwt" | "logout+jwt")),
            Self::SecurityEvent => typ == Some("secevent+jwt"),
            Self::GlobalTokenRevocation => typ == Some("global-token-revocation+jwt"),
        }
    }
}

/// Headers that would change the meaning of a token: critical extensions (RFC 7515 §4.1.11; none is
/// supported), an unencoded payload (RFC 7797), compression and encryption (RFC 7516).
const FORBIDDEN: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// The longest `kid`.
const KID_BYTES_LIMIT: usize = 256;
