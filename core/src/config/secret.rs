//! Reads secrets and checks their strength.

use std::fmt;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::config::error::{At, ConfigError};
use crate::config::lists::Names;
use crate::config::variable::is_shown;
use crate::config::{known_secrets, limits, raw, settings};
use crate::hash::from_hex;
use crate::keys::Algorithm;

/// A secret. Neither `Debug` nor `Display` shows its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Returns the bytes, for the only code that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Returns the value of a variable in the VM's environment.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Returns the secret of a key, which must be long enough for its algorithm and not publicly known.
/// Unusual but valid secrets add a message to `warnings`.
pub(super) fn of_key(
    at: &At,
    written: &raw::RawKeySecret,
    algorithm: Algorithm,
    accepted: raw::WeakSecret,
    environment: Environment<'_>,
    warnings: &mut Vec<String>,
) -> Result<Secret, ConfigError> {
    if written.sds.is_some() {
        return Err(at.error("needs exactly one of `env`, `inline` and `sds`", "prefer `env`"));
    }
    let text = text(at, written.env.as_ref(), written.inline.as_ref(), environment)?;
    let secret = checked(at, &text, written.encoding, algorithm, accepted, warnings)?;
    if written.inline.is_some() {
        warnings.push(format!("{at}: `inline` is visible in Envoy's config_dump; use `env`"));
    }
    Ok(secret)
}

/// Returns the secret of a key with this text, which must be long enough for its algorithm and not
/// publicly known.
pub(super) fn checked(
    at: &At,
    text: &str,
    encoding: raw::Encoding,
    algorithm: Algorithm,
    accepted: raw::WeakSecret,
    warnings: &mut Vec<String>,
) -> Result<Secret, ConfigError> {
    let bytes = decoded(at, text, encoding)?;
    if known_secrets::contain(text.as_bytes()) {
        return Err(at.error(KNOWN, GENERATE));
    }
    match strength(&bytes, algorithm) {
        Err(weak) if weak.is_short && accepted == raw::WeakSecret::Accept => {
            warnings.push(format!("{at}: {}; accepted, as configured", weak.problem));
        }
        Err(weak) => {
            let remedy = if weak.is_short { LENGTHEN } else { weak.remedy };
            return Err(at.error(weak.problem, remedy));
        }
        Ok(()) => {}
    }
    if bytes.last().is_some_and(u8::is_ascii_whitespace) {
        warnings.push(format!(
            "{at}: ends with a newline or space, which is part of the key; if the issuer's secret \
             has none, remove it"
        ));
    }
    Ok(Secret(bytes))
}

/// The reason why the bytes are not accepted as a secret.
pub(super) struct Weak {
    pub(super) problem: String,
    pub(super) remedy: &'static str,
    /// Whether the only problem is that the secret is shorter than the algorithm needs.
    is_short: bool,
}

/// Returns an error if the bytes are publicly known, are the text of an asymmetric key, or are too
/// short.
pub(super) fn strength(bytes: &[u8], algorithm: Algorithm) -> Result<(), Weak> {
    let (length, needed) = (bytes.len(), algorithm.minimum_secret_bytes());
    if known_secrets::contain(bytes) {
        Err(Weak { problem: KNOWN.to_owned(), remedy: GENERATE, is_short: false })
    } else if is_key(bytes) {
        let problem = "is the text of a key, not a secret".to_owned();
        Err(Weak { problem, remedy: PUBLIC_KEY, is_short: false })
    } else if length < needed {
        let name = algorithm.name();
        let problem = format!("{length} bytes, {name} needs {needed} (RFC 7518 §3.2)");
        Err(Weak { problem, remedy: GENERATE, is_short: true })
    } else {
        Ok(())
    }
}

/// Returns whether the bytes are the text of an asymmetric key. If a public key were used as the
/// secret, anybody who has that key could sign tokens (RFC 8725 §2.1).
fn is_key(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii();
    memchr::memmem::find(text, b"-----BEGIN ").is_some()
        || [&b"ssh-"[..], b"ecdsa-sha2-"].iter().any(|name| text.starts_with(name))
        || serde_json::from_slice::<JwkText>(text).is_ok()
        || is_key_in_der(bytes)
        || BASE64.decode(without_space(text)).is_ok_and(|bytes| is_key_in_der(&bytes))
}

/// A JWK or a JWK Set (RFC 7517 §4, §5).
#[derive(Deserialize)]
struct JwkText {
    #[serde(rename = "kty", alias = "keys")]
    _kind: IgnoredAny,
}

/// Returns whether the bytes are a public key, a private key or a certificate in DER. Each is a
/// SEQUENCE of exactly the stated length that begins with another SEQUENCE or an INTEGER (RFC 5280
/// §4.1, RFC 5958 §2, RFC 8017 §A.1).
fn is_key_in_der(bytes: &[u8]) -> bool {
    let (length, rest) = match bytes {
        [SEQUENCE, 0x82, high, low, rest @ ..] => {
            (usize::from(*high) << 8 | usize::from(*low), rest)
        }
        [SEQUENCE, 0x81, length, rest @ ..] | [SEQUENCE, length @ ..=0x7f, rest @ ..] => {
            (usize::from(*length), rest)
        }
        _ => return false,
    };
    rest.len() == length && matches!(rest, [SEQUENCE | INTEGER, ..])
}

/// Returns the API token of the signout service. If the value is a comma-separated list, returns
/// the first token.
pub(super) fn of_service(
    at: &At,
    written: &raw::RawSecret,
    environment: Environment<'_>,
) -> Result<Secret, ConfigError> {
    let text = text(at, written.env.as_ref(), written.inline.as_ref(), environment)?;
    let bytes = decoded(at, &text, written.encoding)?;
    let first = bytes.split(|byte| *byte == b',').next().unwrap_or_default();
    let token = first.strip_prefix(b" ").unwrap_or(first);
    if token.is_empty() || !token.iter().all(u8::is_ascii_graphic) {
        return Err(at.error(
            "not an API token: empty, or with a space, a control or a non-ASCII character",
            "use the value of the service's SIGNOUT_TOKEN",
        ));
    }
    Ok(Secret(token.to_vec()))
}

fn text(
    at: &At,
    env: Option<&Names>,
    inline: Option<&String>,
    environment: Environment<'_>,
) -> Result<String, ConfigError> {
    let text = match (env, inline) {
        (Some(names), None) => from_environment(&at.field("env"), &names.0, environment)?,
        (None, Some(text)) => text.clone(),
        _ => return Err(at.error("needs exactly one of `env` and `inline`", "prefer `env`")),
    };
    within_limits(at, &text)?;
    Ok(text)
}

/// Returns the text of a secret if it is neither empty nor too long.
pub(super) fn within_limits<'a>(at: &At, text: &'a str) -> Result<&'a str, ConfigError> {
    if text.is_empty() {
        return Err(at.error("is empty", GENERATE));
    }
    if text.len() > settings::TEXT_BYTES {
        return Err(at.error(format!("longer than {} bytes", settings::TEXT_BYTES), GENERATE));
    }
    Ok(text)
}

/// Returns the value of the first variable that is set and not empty. Compose files and charts set
/// variables without a value to the empty text.
fn from_environment(
    at: &At,
    names: &[String],
    environment: Environment<'_>,
) -> Result<String, ConfigError> {
    limits::some(at, names.len(), settings::LIST_ITEMS, "name a variable")?;
    for name in names {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.len() > settings::NAME_BYTES || !name.bytes().all(is_name) {
            return Err(at.error("is no name of an environment variable", "like SESSION_SECRET"));
        }
    }
    let set = names.iter().filter_map(|name| environment(name)).find(|text| !text.is_empty());
    set.ok_or_else(|| {
        // A user may have written the secret in place of the variable's name, so it must not be
        // shown.
        let (list, first) = match names.first() {
            Some(first) if names.iter().all(|name| is_shown(name)) => (names.join(", "), &**first),
            _ => ("…".to_owned(), "…"),
        };
        at.error(
            format!("not set in the filter's environment, or empty: {list}"),
            format!(
                "set it where Envoy or `signout serve --guard` starts; Envoy also needs it in \
                 `vm_config.environment_variables.host_env_keys: [{first}]`, \
                 Istio in `vmConfig.env: [{{name: {first}, valueFrom: HOST}}]`"
            ),
        )
    })
}

/// Removes white space, which is not part of base64 and hex.
fn without_space(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

fn decoded(at: &At, text: &str, encoding: raw::Encoding) -> Result<Vec<u8>, ConfigError> {
    let solid = || without_space(text.as_bytes());
    let (bytes, name) = match encoding {
        raw::Encoding::Utf8 => return Ok(text.as_bytes().to_vec()),
        raw::Encoding::Base64 => (BASE64.decode(solid()).ok(), "base64"),
        raw::Encoding::Base64Url => (BASE64_URL.decode(solid()).ok(), "base64url"),
        raw::Encoding::Hex => (from_hex(&solid()), "hex"),
    };
    let bytes = bytes.ok_or_else(|| {
        at.error(format!("is not {name}"), "see `encoding`: utf8, base64, base64url or hex")
    })?;
    if bytes.is_empty() { Err(at.error("is empty", GENERATE)) } else { Ok(bytes) }
}

const KNOWN: &str = "is publicly known";

const GENERATE: &str = "generate one with `openssl rand -hex 32`";

const LENGTHEN: &str = "generate one with `openssl rand -hex 32`; if the application cannot change \
    its secret, add `\"weak_secret\": \"accept\"` to this key";

const PUBLIC_KEY: &str =
    "a public key goes into `public_key_pem` or `jwks`, with an algorithm of its kind";

/// Tags of DER (X.690 §8.1.2).
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;

/// Accepts base64 with and without padding, because both are used for secrets.
const LENIENT_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT_PADDING);
const BASE64_URL: GeneralPurpose =
    GeneralPurpose::new(&base64::alphabet::URL_SAFE, LENIENT_PADDING);
