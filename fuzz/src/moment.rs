//! When, and with which keys?

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use session_guard_core::clock::Now;

/// The moment that every input is about.
pub(crate) const NOW: Now = Now { unix_seconds: 1_795_332_120, monotonic_milliseconds: 50_000 };

/// What genuine tokens are signed with.
pub(crate) const SECRET: &str = "a-secret-of-32-bytes-or-some-more";

/// A token by [`SECRET`], whatever its header says.
pub(crate) fn signed(header: &[u8], payload: &[u8]) -> String {
    let input = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), SECRET.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}
