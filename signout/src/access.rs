//! API tokens and their rights.
//!
//! Every call compares the presented token with all API tokens, by hash and in constant time.
//! Therefore neither the time nor the content of a response tells how close a guess was.

use hmac_sha256::Hash;
use subtle::{Choice, ConstantTimeEq};

use crate::error::Error;

/// The API tokens for `/v1`.
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
    /// Accepts each token of `api`. If there is an `admin` token, the cutoff for all needs it.
    #[must_use]
    pub fn new<'a>(api: impl IntoIterator<Item = &'a str>, admin: Option<&str>) -> Self {
        let hash = |token: &str| Hash::hash(token.as_bytes());
        Self { api: api.into_iter().map(hash).collect(), admin: admin.map(hash) }
    }

    /// Returns the right of the caller with this `Authorization` header (RFC 6750 §2.1).
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
    fn only_tokens_of_the_list_are_accepted() {
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
    fn an_admin_token_limits_the_other_tokens() {
        let access = Access::new(["api"], Some("admin"));
        assert_eq!(access.right(Some(b"Bearer api")), Ok(Right::Most));
        assert_eq!(access.right(Some(b"Bearer admin")), Ok(Right::All));
    }
}
