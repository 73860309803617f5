//! API tokens and their rights.
//!
//! Every call compares the hash of the presented token with the hashes of all API tokens, in
//! constant time. Therefore neither the duration nor the content of a response shows how close a
//! guess was.

use axum::http::{HeaderMap, header};
use session_guard_core::hash::{SHA256_BYTES, sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::error::Error;

/// Hashes of the API tokens for `/v1`.
pub struct ApiTokens {
    api: Vec<[u8; SHA256_BYTES]>,
    admin: Option<[u8; SHA256_BYTES]>,
}

/// A caller that has presented an API token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) right: Right,
    /// The number of the caller's token in the list, from 1 on; 0 for the admin token.
    number: u32,
}

impl Caller {
    /// Returns the name of its token, for the audit.
    pub(crate) fn token_name(self) -> String {
        match self.number {
            0 => "admin".to_owned(),
            number => number.to_string(),
        }
    }
}

/// The rights of a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// May do everything except set the cutoff for all users.
    Most,
    /// May do everything.
    All,
}

impl ApiTokens {
    /// Returns the set of these tokens. If there is an `admin` token, the cutoff for all users
    /// requires it.
    #[must_use]
    pub fn new<'a>(api: impl IntoIterator<Item = &'a str>, admin: Option<&str>) -> Self {
        let hash = |token: &str| sha256([token.as_bytes()]);
        Self { api: api.into_iter().map(hash).collect(), admin: admin.map(hash) }
    }

    /// Returns the caller that presents this token.
    ///
    /// # Errors
    ///
    /// There is no token, or it is not one of the API tokens.
    pub(crate) fn caller(&self, presented: Option<&[u8]>) -> Result<Caller, Error> {
        let presented = sha256::<SHA256_BYTES>([presented.ok_or(Error::Unauthorized)?]);
        let number = (1..).zip(&self.api).fold(0, |found, (number, token)| {
            u32::conditional_select(&found, &number, token.as_slice().ct_eq(presented.as_slice()))
        });
        let is_admin = self.admin.map(|token| token.as_slice().ct_eq(presented.as_slice()).into());
        match (is_admin, number) {
            (Some(true), _) => Ok(Caller { right: Right::All, number: 0 }),
            (_, 0) => Err(Error::Unauthorized),
            (None, number) => Ok(Caller { right: Right::All, number }),
            (Some(false), number) => Ok(Caller { right: Right::Most, number }),
        }
    }
}

/// Returns the token in the `Authorization` header (RFC 6750 §2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let header = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = header.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_tokens_of_the_list_are_accepted() {
        let access = ApiTokens::new(["one", "two"], None);
        let right = |header: &str| {
            let header = HeaderValue::from_str(header).unwrap();
            access.caller(bearer(&HeaderMap::from_iter([(header::AUTHORIZATION, header)])))
        };
        for (header, number) in [("Bearer one", 1), ("bearer two", 2)] {
            assert_eq!(right(header), Ok(Caller { right: Right::All, number }), "{header}");
        }
        for header in ["", "Bearer", "Bearer ", "Bearer on", "Bearer onee", "Basic one", "one,two"]
        {
            assert_eq!(right(header), Err(Error::Unauthorized), "{header}");
        }
        assert_eq!(access.caller(bearer(&HeaderMap::new())), Err(Error::Unauthorized));
    }

    #[test]
    fn an_admin_token_limits_the_other_tokens() {
        let access = ApiTokens::new(["api"], Some("admin"));
        let caller = |token: &[u8]| access.caller(Some(token)).unwrap();
        assert_eq!((caller(b"api").right, &*caller(b"api").token_name()), (Right::Most, "1"));
        assert_eq!(
            (caller(b"admin").right, &*caller(b"admin").token_name()),
            (Right::All, "admin")
        );
    }
}
