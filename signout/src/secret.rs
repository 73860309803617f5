//! Generated secrets.
//!
//! A secret is generated once, from the operating system's random numbers, into a file that only
//! its owner can read. The file contains only the text, without a line end, so `$(cat …)`, a
//! mounted Kubernetes secret and `--env-file` all give the same bytes.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Whether [`make_once`] generated the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// This call has generated the secret.
    Now,
    /// The secret existed before, and was kept.
    Before,
}

/// Generates a secret in this file, unless the file exists: 48 random bytes as 64 characters of
/// base64url. This is long enough for HS512 (RFC 7518 §3.2).
///
/// # Errors
///
/// The file cannot be created or read, or exists and contains no secret.
pub fn make_once(path: &Path) -> Result<Made> {
    let mut bytes = [0; 48];
    getrandom::fill(&mut bytes).map_err(Error::other)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match made {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return read(path).map(|_| Made::Before);
        }
        Err(error) => return Err(error),
    };
    file.write_all(URL_SAFE_NO_PAD.encode(bytes).as_bytes())?;
    file.sync_all()?;
    Ok(Made::Now)
}

/// Returns the secret in this file, without surrounding white space.
///
/// # Errors
///
/// The file cannot be read, is empty, or is too long for a secret.
pub fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SECRET_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SECRET_BYTES {
        return Err(Error::new(ErrorKind::InvalidData, "it is too long to be a secret"));
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::new(ErrorKind::InvalidData, "it is empty; remove it and try again"));
    }
    Ok(text.to_owned())
}

/// The longest file that is read. It is longer than any list of API tokens.
const SECRET_BYTES: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_generated_once_and_readable_by_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert_eq!(make_once(&path).unwrap(), Made::Now);
        let secret = std::fs::read_to_string(&path).unwrap();
        assert_eq!(secret.len(), 64);
        assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(make_once(&path).unwrap(), Made::Before);
        assert_eq!(read(&path).unwrap(), secret);
    }

    #[test]
    fn two_secrets_differ() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| {
            make_once(&folder.path().join(name)).unwrap();
            read(&folder.path().join(name)).unwrap()
        });
        assert_ne!(one, two);
    }

    #[test]
    fn an_empty_file_is_not_a_secret() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(make_once(file.path()).is_err());
    }
}
