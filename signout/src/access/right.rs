//! The rights of an API token.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an API token allows. No right includes another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Revoke tokens, sessions, users and API keys.
    Revoke,
    /// Poll the feed, look up revocations, and read the audit and the status.
    Read,
    /// Set the cutoff for all users.
    Admin,
}

impl Right {
    /// All rights.
    pub const ALL: [Self; 3] = [Self::Revoke, Self::Read, Self::Admin];

    /// Returns its name in the tokens file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
