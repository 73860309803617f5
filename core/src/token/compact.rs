//! Parses a token's compact form.
//!
//! A token is a JWS in compact form (RFC 7515 §7.1) whose header and payload are strict JSON
//! objects. Each token has one spelling: base64url without padding, white space, other alphabets or
//! stray bits (RFC 7515 §2). Only `alg`, `kid` and `typ` of the header are read, so a key inside a
//! token is never used. Header members that would change the meaning of a token cause a refusal.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::json::{Object, Value};
use crate::refusal::RefusalRule;

/// The parts of a well-formed token whose signature has not been checked.
pub(super) struct Compact<'a> {
    /// Header and payload as sent, which the signature covers.
    pub(super) signing_input: &'a [u8],
    pub(super) header: Arc<Header>,
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
    /// Splits a token. The caller parses the payload.
    ///
    /// # Errors
    ///
    /// The rule that the token does not follow.
    pub(super) fn parse(token: &'a [u8], headers: &HeaderParser) -> Result<Self, RefusalRule> {
        let mut dots = memchr::memchr_iter(b'.', token);
        let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
            return Err(RefusalRule::Parts);
        };
        let part = |range| token.get(range).ok_or(RefusalRule::Parts);
        let (header, payload) = (part(0..first)?, part(first + 1..second)?);
        let (signing_input, signature) = (part(0..second)?, part(second + 1..token.len())?);
        let header = headers.parse(header)?;
        if signature.is_empty() && header.algorithm != "none" {
            return Err(RefusalRule::Signature); // RFC 7518 §3.6: only an unsecured token has none
        }
        let (payload, signature) = (decoded(payload)?, decoded(signature)?);
        Ok(Self { signing_input, header, payload, signature })
    }
}

/// Parses the headers of tokens for one purpose.
///
/// All tokens of an issuer usually have the same header, so the last one is remembered.
pub(super) struct HeaderParser {
    purpose: JwtType,
    /// The last well-formed header.
    last: RefCell<Option<ParsedHeader>>,
}

struct ParsedHeader {
    sent: Box<[u8]>,
    header: Arc<Header>,
}

impl HeaderParser {
    pub(super) fn new(purpose: JwtType) -> Self {
        Self { purpose, last: RefCell::new(None) }
    }

    /// Parses a header as sent.
    fn parse(&self, sent: &[u8]) -> Result<Arc<Header>, RefusalRule> {
        let mut last = self.last.borrow_mut();
        if let Some(last) = last.as_ref().filter(|last| *last.sent == *sent) {
            return Ok(last.header.clone());
        }
        let header = Arc::new(Header::parse(&decoded(sent)?, self.purpose)?);
        *last = Some(ParsedHeader { sent: sent.into(), header: header.clone() });
        Ok(header)
    }
}

impl Header {
    fn parse(json: &[u8], purpose: JwtType) -> Result<Self, RefusalRule> {
        let object = Object::parse(json).ok_or(RefusalRule::Header)?;
        if let Some((_, rule)) = FORBIDDEN.iter().find(|(name, _)| object.find(name).is_some()) {
            return Err(*rule);
        }
        if !purpose.admits(text(&object, "typ", RefusalRule::Typ)?.as_deref()) {
            return Err(RefusalRule::Typ);
        }
        let kid = text(&object, "kid", RefusalRule::Kid)?.map(Cow::into_owned);
        if kid.as_ref().is_some_and(|kid| kid.len() > KID_BYTES_LIMIT) {
            return Err(RefusalRule::Kid);
        }
        let algorithm =
            text(&object, "alg", RefusalRule::Alg)?.ok_or(RefusalRule::Alg)?.into_owned();
        Ok(Self { algorithm, kid })
    }
}

fn decoded(part: &[u8]) -> Result<Vec<u8>, RefusalRule> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| RefusalRule::Base64)
}

/// Returns the member with this name if there is one, or the error `rule` if it is not a string.
fn text<'a>(
    object: &Object<'a>,
    name: &str,
    rule: RefusalRule,
) -> Result<Option<Cow<'a, str>>, RefusalRule> {
    match object.find(name) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(rule),
    }
}

/// The purpose of a JWT. An issuer signs JWTs for all purposes with the same keys, so the `typ` in
/// the header prevents that a JWT is accepted for another purpose (RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtType {
    /// An access token (RFC 9068 §2.1), or a JWT whose `typ` names no purpose.
    Access,
    /// A logout token (OpenID Connect Back-Channel Logout 1.0 §2.4). Some issuers send it without `typ`.
    Logout,
    /// A Security Event Token (RFC 8417 §2.3), always with its `typ` (Shared Signals 1.0).
    SecurityEvent,
    /// The credential of the caller of Global Token Revocation, as Okta sends it.
    GlobalTokenRevocation,
}

impl JwtType {
    /// Returns whether a JWT with this `typ` may be used for this purpose. The prefix
    /// `application/` is optional, and case is ignored (RFC 7515 §4.1.9).
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

/// Header members that would change the meaning of a token: critical extensions (RFC 7515 §4.1.11;
/// none is supported), an unencoded payload (RFC 7797), compression and encryption (RFC 7516).
const FORBIDDEN: [(&str, RefusalRule); 4] = [
    ("crit", RefusalRule::Crit),
    ("b64", RefusalRule::B64),
    ("zip", RefusalRule::Zip),
    ("enc", RefusalRule::Enc),
];

/// The longest `kid`.
const KID_BYTES_LIMIT: usize = 256;
