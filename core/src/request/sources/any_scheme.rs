//! Which credentials does a header hold for an application that does not look at their scheme?

use crate::request::sources::{is_token_byte, trimmed};

/// In a scheme's place: any.
pub const ANY_SCHEME: &str = "*";

/// What follows the first word. The value is not divided at commas: such applications do not either,
/// and to them `,` may be a scheme.
pub(super) fn credentials(value: &[u8]) -> &[u8] {
    let value = trimmed(value);
    match value.iter().position(|byte| !is_token_byte(*byte)) {
        Some(0) => value,
        Some(end) => trimmed(value.get(end..).unwrap_or_default()),
        None => b"",
    }
}
