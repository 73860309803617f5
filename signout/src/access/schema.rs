//! The JSON Schema of the tokens file, for editors (`signout schema --tokens`).
//!
//! It is derived from the types that read the file, so it never refuses a valid one. Checks that need
//! more than the form (weak tokens, tokens that come twice) are left to `signout check`.

use serde_json::Value;

use super::raw::TokensFile;
use crate::json_file::schema_of;

/// Returns the schema.
#[must_use]
pub fn schema() -> Value {
    schema_of::<TokensFile>("tokens", "session-guard: the tokens file of the signout service")
}
