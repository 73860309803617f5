//! Is this a token by its form?
//!
//! A JWS in compact form (RFC 7515 §7.1) whose header and payload are strict JSON objects. One
//! token has one spelling: base64url without padding, white space, other alphabets or stray bits
//! (RFC 7515 §2). What the header names besides `alg`, `kid`, `typ` is not read, so no key that
//! travels inside a token is ever used; headers that would change what a token means are refused.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::{Object, Value};

/// The parts of a token whose form is right. Nothing in it is genuine yet.
pub(super) struct Compact<'a> {
    /// Header and payload as sent: what the signature covers.
    pub(super) signing_input: &'a [u8],
    pub(super) header: Header,
    /// The payload's JSON text.
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// What the header says (RFC 7515 §4.1).
pub(super) struct Header {
    pub(super) algorithm: String,
    pub(super) kid: Option<String>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart; `None` where it is not well-formed. Whether the payload is an object is
    /// for whoever reads it.
    pub(super) fn parse(token: &'a [u8]) -> Option<Self> {
        let mut parts = token.splitn(4, |byte| *byte == b'.');
        let (header, payload, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let signing_input = token.get(..header.len() + 1 + payload.len())?;
        let header = Header::parse(&URL_SAFE_NO_PAD.decode(header).ok()?)?;
        if signature.is_empty() && header.algorithm != "none" {
            return None; // RFC 7518 §3.6: only an unsecured token has no signature
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        Some(Self { signing_input, header, payload, signature })
    }
}

impl Header {
    fn parse(json: &[u8]) -> Option<Self> {
        let object = Object::parse(json)?;
        if FORBIDDEN.iter().any(|name| object.find(name).is_some()) {
            return None;
        }
        if !text(&object, "typ")?.is_none_or(|typ| is_access_token_type(&typ)) {
            return None;
        }
        let kid = text(&object, "kid")?.map(Cow::into_owned);
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_LIMIT) {
            return None;
        }
        Some(Self { algorithm: text(&object, "alg")??.into_owned(), kid })
    }
}

/// `Some(None)` where there is no such member, `None` where it is not a string.
fn text<'a>(object: &Object<'a>, name: &str) -> Option<Option<Cow<'a, str>>> {
    match object.find(name) {
        None => Some(None),
        Some(Value::Text(text)) => Some(Some(text.clone())),
        Some(_) => None,
    }
}

/// Whether a token of that `typ` may open a session: a plain JWT (RFC 7519 §5.1) or an access token
/// (RFC 9068 §2.1). Others, such as `logout+jwt`, `dpop+jwt` or `secevent+jwt`, are signed by the
/// same keys for another purpose (RFC 8725 §3.11). `application/` may be left out, and case does
/// not count (RFC 7515 §4.1.9).
fn is_access_token_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// Headers that would change what the token means: extensions that must be understood (RFC 7515
/// §4.1.11; we understand none), an unencoded payload (RFC 7797), compression and encryption (RFC
/// 7516).
const FORBIDDEN: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// The longest `kid`.
const KID_BYTES_LIMIT: usize = 256;
