//! Recognises the names of environment variables. A user may have written a secret in place of a
//! variable's name, and messages must not show it.

/// Returns whether the text may be shown, because it has the form of a variable's name and is
/// shorter than the secret of a key.
#[must_use]
pub fn is_shown(name: &str) -> bool {
    name.len() <= VARIABLE_BYTES
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// The longest name that is shown. Real names of variables are shorter, and the secret of a key is
/// longer: it has at least 32 bytes, which are 64 hex digits.
const VARIABLE_BYTES: usize = 63;
