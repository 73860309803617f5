//! Is a text certainly the name of an environment variable, and not a secret in its place?

/// Returns whether the text may be shown: it has the form of a variable's name, and is shorter than
/// the secret of a key.
#[must_use]
pub fn is_shown(name: &str) -> bool {
    name.len() <= VARIABLE_BYTES
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Names of variables are shorter; a secret of a key has at least 32 bytes, which is 64 in hex.
const VARIABLE_BYTES: usize = 63;
