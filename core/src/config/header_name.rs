//! Checks header names: those that may carry a token, and those that may be set for the
//! application.

use crate::config::error::{At, ConfigError};
use crate::config::limits;
use crate::config::settings::NAME_BYTES;

/// Returns the lower-case name of a header that may carry a token.
pub(super) fn carrying_a_token(at: &At, written: &str) -> Result<String, ConfigError> {
    let name = well_formed(at, written)?;
    if matches!(&*name, "cookie" | "set-cookie") {
        return Err(
            at.error("contains cookies, not a token", "name the cookie: {\"cookie\": \"…\"}")
        );
    }
    if name != "authorization" && is_taken(&name) {
        return Err(at.error("has another meaning in HTTP", "name another header"));
    }
    Ok(name)
}

/// Returns the lower-case name of a header that may be set for the application.
///
/// Refuses headers on which HTTP or Envoy relies (pseudo, hop-by-hop, message body, `x-envoy-…`),
/// headers with credentials, and headers in which proxies state the origin of a request. Other
/// `x-forwarded-…` names are allowed, because `x-forwarded-user` is a common name for a user id.
pub(super) fn to_be_set(at: &At, written: &str) -> Result<String, ConfigError> {
    let name = well_formed(at, written)?;
    if is_taken(&name) {
        return Err(at.error("has another meaning in HTTP", "name another header"));
    }
    Ok(name)
}

fn well_formed(at: &At, written: &str) -> Result<String, ConfigError> {
    let name = limits::text(at, written, NAME_BYTES)?.to_ascii_lowercase();
    if name.starts_with(':') {
        return Err(at.error("is a pseudo-header", "name another header"));
    }
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        return Err(at.error("is no header name (RFC 9110 §5.1)", "use letters, digits and `-`"));
    }
    Ok(name)
}

fn is_taken(name: &str) -> bool {
    let name = name.replace(['_', '.'], "-");
    TAKEN.contains(&&*name) || TAKEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

const TAKEN: &[&str] = &[
    "accept",
    "authorization",
    "connection",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-http-method-override",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
];

const TAKEN_PREFIXES: &[&str] = &[
    "accept-",
    "access-control-",
    "content-",
    "grpc-",
    "http2-",
    "if-",
    "proxy-",
    "sec-",
    "x-envoy-",
];
