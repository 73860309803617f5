//! The time and the key of all inputs.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use session_guard_core::clock::Now;

/// The time at which every input is processed.
pub(crate) const NOW: Now = Now { unix_seconds: 1_795_332_120, monotonic_milliseconds: 50_000 };

/// The secret of genuine tokens.
pub(crate) const SECRET: &str = "a-secret-of-32-bytes-or-some-more";

/// Returns a token signed with [`SECRET`], regardless of its header.
pub(crate) fn signed(header: &[u8], payload: &[u8]) -> String {
    let input = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), SECRET.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(tag))
}
