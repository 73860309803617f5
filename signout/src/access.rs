//! Who may call?
//!
//! Whoever knows an API token. Tokens are compared by hash and in constant time, all of them on
//! every call, so that neither the time of an answer nor its content tells how near a guess was.

use hmac_sha256::Hash;
use subtle::{Choice, ConstantTimeEq};

use crate::error::Error;

/// The tokens that open `/v1`.
pub struct Access {
    api: Vec<[u8; 32]>,
    admin: Option<[u8; 32]>,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Everything but the cutoff for all.
    Most,
    /// Everything.
    All,
}

impl Access {
    /// Access with any of `api`; for the cutoff for all with `admin`, where there is one.
    #[must_use]
    pub fn new<'a>(api: impl IntoIterator<Item = &'a str>, admin: Option<&str>) -> Self {
        let hash = |token: &str| Hash::hash(token.as_bytes());
        Self { api: api.into_iter().map(hash).collect(), admin: admin.map(hash) }
    }

    /// What the bearer of this `Authorization` header may do (RFC 6750 §2.1).
    pub(crate) fn right(&self, authorization: Option<&[u8]>) -> Result<Right, Error> {
        let presented = authorization.and_then(bearer).ok_or(Error::Unauthorized)?;
        let presented = Hash::hash(presented);
        let is_api = self.api.iter().fold(Choice::from(0), |found, token| {
            found | token.as_slice().ct_eq(presented.as_slice())
        });
        let is_admin = self.admin.map(|token| token.as_slice().ct_eq(presented.as_slice()).into());
        match (is_admin, bool::from(is_api)) {
            (Some(true), _) | (None, true) => Ok(Right::All),
            (Some(false), true) => Ok(Right::Most),
            (_, false) => Err(Error::Unauthorized),
        }
    }
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_of_the_list_opens_and_nothing_else_does() {
        let access = Access::new(["one", "two"], None);
        for header in ["Bearer one", "bearer two"] {
            assert_eq!(access.right(Some(header.as_bytes())), Ok(Right::All), "{header}");
        }
        for header in ["", "Bearer", "Bearer ", "Bearer on", "Bearer onee", "Basic one", "one,two"]
        {
            let right = access.right(Some(header.as_bytes()));
            assert_eq!(right, Err(Error::Unauthorized), "{header}");
        }
        assert_eq!(access.right(None), Err(Error::Unauthorized));
    }

    #[test]
    fn where_there_is_an_admin_token_the_others_may_do_less() {
        let access = Access::new(["api"], Some("admin"));
        assert_eq!(access.right(Some(b"Bearer api")), Ok(Right::Most));
        assert_eq!(access.right(Some(b"Bearer admin")), Ok(Right::All));
    }
}
