//! The tokens file as written. The comments of the fields are also the descriptions in the
//! [schema](super::schema).

use schemars::JsonSchema;
use serde::Deserialize;

use super::right::Right;
use super::settings::{REALMS, TOKENS};
use crate::json_file::not_null;

/// API tokens with names and rights.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokensFile {
    /// One entry for each API token.
    #[schemars(length(min = 1, max = TOKENS))]
    pub(super) tokens: Vec<WrittenToken>,
}

/// An API token.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["token"]}, {"required": ["token_sha256"]}]))]
pub(super) struct WrittenToken {
    /// Its name in the audit and in the log: letters, digits, `-`, `_` and `.`, and at least one letter.
    #[schemars(length(min = 1))]
    pub(super) name: String,
    /// The token itself: at least 16 characters, as `signout keygen` generates.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "String", length(min = 1))]
    pub(super) token: Option<String>,
    /// The SHA-256 of the token in 64 hex digits, so that the file contains no secret.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "String", length(min = 1))]
    pub(super) token_sha256: Option<String>,
    /// What the token allows. No right includes another one.
    #[schemars(length(min = 1))]
    pub(super) rights: Vec<Right>,
    /// The realms to which the token is limited; the default realm is the empty text. Without it, the
    /// token is valid in all realms.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "Vec<String>", length(min = 1, max = REALMS))]
    pub(super) realms: Option<Vec<String>>,
}
