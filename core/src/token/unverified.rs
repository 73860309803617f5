//! Reads a token that is to be revoked, without checking its signature.
//!
//! An operator may have a token that must be revoked, and no key. Revoking a forged token does no
//! harm, because the caller could have named the same ids directly. Only form and claims are
//! therefore read here. Nothing in this module admits a request.

use crate::json::Object;
use crate::revocation::name::{NamePair, TokenNames};
use crate::token::claims;
use crate::token::compact::{Compact, HeaderParser, JwtType};
use crate::token::is_session_id;

/// The names and times of a token whose signature was not checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnverifiedToken {
    /// The names of the token and its session (claim `sid`). The user is not among them, because
    /// the claim with the user id depends on the filter's configuration.
    pub names: TokenNames,
    /// The names under which the token's user can be revoked, if `sub` is the claim with the user id
    /// (the default).
    pub sub: Option<NamePair>,
    /// The time when the token was issued, in seconds since 1970 UTC.
    pub iat: Option<u64>,
    /// The time when the token expires, in seconds since 1970 UTC.
    pub exp: Option<u64>,
}

impl UnverifiedToken {
    /// Reads a token of this realm. If the token names no issuer, `issuer` is its issuer. Returns
    /// `None` if a filter would refuse the token under any configuration, or if the token names
    /// another issuer.
    #[must_use]
    pub fn read(token: &[u8], realm: &str, issuer: Option<&str>) -> Option<Self> {
        let compact = Compact::parse(token, &HeaderParser::new(JwtType::Access)).ok()?;
        let payload = Object::parse(&compact.payload)?;
        let time = |name, round| claims::time(&payload, name, round).ok();
        let (iat, exp) = (time("iat", f64::floor)?, time("exp", f64::floor)?);
        let named = claims::text(&payload, "iss").ok()?;
        if issuer.is_some() && named.is_some() && issuer != named.as_deref() {
            return None;
        }
        let issuer = named.as_deref().or(issuer);
        let token = match claims::jti(&payload).ok()? {
            Some(jti) => NamePair::of_token(realm, issuer, &jti),
            None => NamePair::of_input(realm, issuer, compact.signing_input),
        };
        // Where `sid` is something else than a session id, the configuration does not name it.
        let session = claims::text(&payload, "sid").ok().flatten().filter(|sid| is_session_id(sid));
        let session = session.map(|sid| NamePair::of_session(realm, issuer, &sid));
        let sub = claims::text(&payload, "sub").ok().flatten();
        let sub = sub.map(|sub| NamePair::of_user(realm, issuer, &sub));
        Some(Self { names: TokenNames { token, session, user: None }, sub, iat, exp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::record::RecordId;
    use crate::token::builder::{NOW, TokenBuilder};

    fn ids(token: &TokenBuilder, issuer: Option<&str>) -> Option<(RecordId, Option<RecordId>)> {
        let read = UnverifiedToken::read(token.sign_with(&[7; 32]).as_bytes(), "shop", issuer)?;
        Some((read.names.token.own(), read.names.session.map(NamePair::own)))
    }

    #[test]
    fn a_token_is_named_by_its_claims() {
        let token = || TokenBuilder::new().claim("jti", "\"1\"").claim("sid", "\"s\"");
        let (jti, sid) = (RecordId::of_token, RecordId::of_session);
        let named = |issuer| Some((jti("shop", issuer, "1"), Some(sid("shop", issuer, "s"))));
        let with_issuer = || token().claim("iss", "\"a\"");
        assert_eq!(ids(&token(), None), named(None));
        assert_eq!(ids(&token(), Some("b")), named(Some("b")));
        assert_eq!(ids(&with_issuer(), None), named(Some("a")));
        assert_eq!(ids(&with_issuer(), Some("a")), named(Some("a")));
        assert_eq!(ids(&with_issuer(), Some("b")), None);
        let input = token().without("jti").signing_input();
        let by_input = RecordId::of_input("shop", None, input.as_bytes());
        assert_eq!(ids(&token().without("jti"), None).map(|ids| ids.0), Some(by_input));
        for sid in ["null", "7", "\"\"", "[]"] {
            let session = ids(&token().claim("sid", sid), None).map(|ids| ids.1);
            assert_eq!(session, Some(None), "{sid}");
        }
    }

    #[test]
    fn a_token_that_no_filter_accepts_is_not_read() {
        for (name, json) in [("jti", "7"), ("exp", "\"1\""), ("iat", "-1"), ("iss", "7")] {
            assert_eq!(ids(&TokenBuilder::new().claim(name, json), None), None, "{name}: {json}");
        }
        let logout = TokenBuilder::new().header("typ", "\"logout+jwt\"");
        assert_eq!(ids(&logout, None), None);
        for text in ["", "a", "a.b.c", "e30.e30.", "sk-0"] {
            assert_eq!(UnverifiedToken::read(text.as_bytes(), "", None), None, "{text}");
        }
    }

    #[test]
    fn times_are_those_of_the_token() {
        let token = TokenBuilder::new().claim("iat", "1795332119.9").sign();
        let read = UnverifiedToken::read(token.as_bytes(), "", None).expect("well-formed");
        assert_eq!((read.iat, read.exp), (Some(NOW - 1), Some(NOW + 3_600)));
    }
}
