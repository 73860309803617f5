//! API tokens and their rights.
//!
//! The tokens of `SIGNOUT_TOKEN` have all rights. Those of the [tokens file](settings) have names, the
//! [rights](Right) that the file gives them, and may be limited to some realms.
//!
//! Every call compares the hash of the presented token with the hashes of all API tokens, in
//! constant time. Therefore neither the duration nor the content of a response shows how close a
//! guess was.

pub mod report;
pub mod right;
pub mod schema;
pub mod settings;

mod raw;

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use session_guard_core::hash::{SHA256_BYTES, sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::access::right::Right;
use crate::access::settings::NamedToken;
use crate::error::Error;

/// The SHA-256 of an API token.
pub type TokenHash = [u8; SHA256_BYTES];

/// The API tokens for `/v1`.
pub struct ApiTokens {
    tokens: Vec<(TokenHash, Arc<Grant>)>,
}

/// What an API token allows, and its name.
#[derive(Debug, PartialEq, Eq)]
struct Grant {
    name: String,
    rights: Vec<Right>,
    /// The realms to which the token is limited; `None` if it is not.
    realms: Option<Vec<String>>,
}

/// A caller that has presented an API token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller(Arc<Grant>);

/// Returns the hash by which the service knows a token.
#[must_use]
pub fn token_hash(token: &str) -> TokenHash {
    sha256([token.as_bytes()])
}

impl Caller {
    /// Returns the name of its token, for the audit: its number in `SIGNOUT_TOKEN` from 1 on, `admin`,
    /// or its name in the tokens file.
    pub(crate) fn token_name(&self) -> &str {
        &self.0.name
    }

    /// Returns the realms to which the caller is limited; `None` if it is not.
    pub(crate) fn realms(&self) -> Option<&[String]> {
        self.0.realms.as_deref()
    }

    /// Returns whether the caller may know what concerns this realm.
    pub(crate) fn sees(&self, realm: &str) -> bool {
        self.realms().is_none_or(|realms| realms.iter().any(|known| known == realm))
    }

    /// Returns whether the caller has this right, at least in some realm.
    pub(crate) fn has(&self, right: Right) -> bool {
        self.0.rights.contains(&right)
    }

    /// Checks that the caller has this right, at least in some realm.
    pub(crate) fn require(&self, right: Right) -> Result<(), Error> {
        if self.has(right) { Ok(()) } else { Err(Error::MissingRight(right)) }
    }

    /// Checks that the caller has this right in one realm.
    pub(crate) fn require_in(&self, right: Right, realm: &str) -> Result<(), Error> {
        self.require(right)?;
        if self.sees(realm) { Ok(()) } else { Err(Error::OtherRealm(right)) }
    }

    /// Checks that the caller has this right in all realms.
    pub(crate) fn require_everywhere(&self, right: Right) -> Result<(), Error> {
        self.require(right)?;
        if self.realms().is_none() { Ok(()) } else { Err(Error::EveryRealm(right)) }
    }
}

impl ApiTokens {
    /// Returns the set of these tokens, which have all rights in all realms. If there is an `admin`
    /// token, the cutoff for all users requires it.
    #[must_use]
    pub fn new<'a>(api: impl IntoIterator<Item = &'a str>, admin: Option<&str>) -> Self {
        let mut most = Right::ALL.to_vec();
        most.retain(|right| admin.is_none() || *right != Right::Admin);
        let known = |name: String, token, rights: &[Right]| {
            let grant = Grant { name, rights: rights.to_vec(), realms: None };
            (token_hash(token), Arc::new(grant))
        };
        let numbered =
            (1..).zip(api).map(|(number, token)| known(number.to_string(), token, &most));
        let mut tokens: Vec<_> = numbered.collect();
        // The last of equal tokens is found.
        tokens.extend(admin.map(|token| known(ADMIN.to_owned(), token, &Right::ALL)));
        Self { tokens }
    }

    /// Adds the tokens of a tokens file.
    #[must_use]
    pub fn and(mut self, named: Vec<NamedToken>) -> Self {
        self.tokens.extend(named.into_iter().map(|token| {
            let NamedToken { name, hash, rights, realms } = token;
            (hash, Arc::new(Grant { name, rights, realms }))
        }));
        self
    }

    /// Returns the caller that presents this token.
    ///
    /// # Errors
    ///
    /// There is no token, or it is not one of the API tokens.
    pub(crate) fn caller(&self, presented: Option<&[u8]>) -> Result<Caller, Error> {
        let presented: TokenHash = sha256([presented.ok_or(Error::Unauthorized)?]);
        let number = (1..).zip(&self.tokens).fold(0, |found, (number, (token, _))| {
            u32::conditional_select(&found, &number, token.as_slice().ct_eq(presented.as_slice()))
        });
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let (_, grant) =
            index.and_then(|index| self.tokens.get(index)).ok_or(Error::Unauthorized)?;
        Ok(Caller(Arc::clone(grant)))
    }
}

/// Returns the token in the `Authorization` header (RFC 6750 §2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let header = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = header.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Returns whether an API token may be guessed, because it has fewer than [`SHORT_TOKEN_BYTES`] bytes.
#[must_use]
pub fn is_short(token: &str) -> bool {
    token.len() < SHORT_TOKEN_BYTES
}

/// Nobody can guess 16 random characters.
const SHORT_TOKEN_BYTES: usize = 16;

/// The name of the token in `SIGNOUT_ADMIN_TOKEN`.
const ADMIN: &str = "admin";

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_tokens_of_the_list_are_accepted() {
        let access = ApiTokens::new(["one", "two"], None);
        let caller = |header: &str| {
            let header = HeaderValue::from_str(header).unwrap();
            access.caller(bearer(&HeaderMap::from_iter([(header::AUTHORIZATION, header)])))
        };
        for (header, name) in [("Bearer one", "1"), ("bearer two", "2")] {
            let caller = caller(header).unwrap();
            assert_eq!(caller.token_name(), name, "{header}");
            assert!(Right::ALL.iter().all(|right| caller.require_everywhere(*right).is_ok()));
        }
        for header in ["", "Bearer", "Bearer ", "Bearer on", "Bearer onee", "Basic one", "one,two"]
        {
            assert_eq!(caller(header), Err(Error::Unauthorized), "{header}");
        }
        assert_eq!(access.caller(bearer(&HeaderMap::new())), Err(Error::Unauthorized));
    }

    #[test]
    fn an_admin_token_limits_the_other_tokens() {
        for access in [
            ApiTokens::new(["api"], Some("admin")),
            ApiTokens::new(["api", "admin"], Some("admin")),
        ] {
            let caller = |token: &[u8]| access.caller(Some(token)).unwrap();
            let (api, admin) = (caller(b"api"), caller(b"admin"));
            assert_eq!((api.token_name(), admin.token_name()), ("1", "admin"));
            assert_eq!(api.require(Right::Admin), Err(Error::MissingRight(Right::Admin)));
            assert!(api.has(Right::Read) && api.has(Right::Revoke));
            assert!(Right::ALL.iter().all(|right| admin.require_everywhere(*right).is_ok()));
        }
    }

    #[test]
    fn a_named_token_has_its_rights_in_its_realms() {
        let named = NamedToken {
            name: "support".to_owned(),
            hash: token_hash("secret"),
            rights: vec![Right::Read],
            realms: Some(vec!["shop".to_owned()]),
        };
        let caller =
            ApiTokens::new(["api"], None).and(vec![named]).caller(Some(b"secret")).unwrap();
        assert_eq!(caller.token_name(), "support");
        assert_eq!(caller.require_in(Right::Read, "shop"), Ok(()));
        assert_eq!(caller.require_in(Right::Read, ""), Err(Error::OtherRealm(Right::Read)));
        assert_eq!(caller.require_everywhere(Right::Read), Err(Error::EveryRealm(Right::Read)));
        assert_eq!(
            caller.require_in(Right::Revoke, "shop"),
            Err(Error::MissingRight(Right::Revoke))
        );
    }
}
