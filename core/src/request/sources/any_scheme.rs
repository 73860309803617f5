//! Reads credentials for applications that ignore the scheme of a header.

use crate::request::sources::{is_token_byte, trimmed};

/// The configured scheme that stands for any scheme.
pub const ANY_SCHEME: &str = "*";

/// Returns the text after the first word. The value is not split at commas, because applications
/// that ignore the scheme do not split it either.
pub(super) fn credentials(value: &[u8]) -> &[u8] {
    let value = trimmed(value);
    match value.iter().position(|byte| !is_token_byte(*byte)) {
        Some(0) => value,
        Some(end) => trimmed(value.get(end..).unwrap_or_default()),
        None => b"",
    }
}
