//! The JSON Schema of the issuers file, for editors (`signout schema --issuers`).
//!
//! It is derived from the types that read the file, so it never refuses a valid one. Checks that need
//! more than the form (addresses, keys, an issuer that comes twice) are left to `signout check`.

use serde_json::Value;

use super::raw::IssuersFile;
use crate::json_file::schema_of;

/// Returns the schema.
#[must_use]
pub fn schema() -> Value {
    schema_of::<IssuersFile>("issuers", "session-guard: the issuers file of the signout service")
}
