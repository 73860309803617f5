//! Checks the issuers file.
//!
//! There are two layers, as for the filter's configuration: the file as [written](super::raw), and
//! [`IssuerSettings`], where keys are ready and every value is within its limit. The error names
//! the field and the remedy, never a value that may be secret.

use std::fmt;

use session_guard_core::config::limits::{self, Whole};
use session_guard_core::config::{At, ConfigError, settings, text};
use session_guard_core::key_sets::KeySetSettings;
use session_guard_core::key_sets::document::{self, KeySetRules};
use session_guard_core::keys::{Key, PublicAlgorithm};

use super::raw;
pub use super::raw::{EventType, UserIdClaim};
use crate::json_file::FileErrors;

/// The settings of one issuer in one realm: its keys, and the messages that it may send.
#[derive(Debug)]
pub struct IssuerSettings {
    /// `iss` of its messages.
    pub issuer: String,
    /// The realm whose sessions it ends; may be empty.
    pub realm: String,
    /// `iss` of the access tokens that it ends. Usually the issuer itself.
    pub token_issuers: Vec<String>,
    /// The source of its keys.
    pub keys: KeySource,
    /// The algorithms that may sign its messages.
    pub algorithms: Vec<PublicAlgorithm>,
    /// The claim that contains the user id in its access tokens.
    pub user_id: UserIdClaim,
    /// The longest lifetime of its access tokens. Cutoffs are kept for this long.
    pub max_lifetime_seconds: u64,
    /// The audiences of its logout tokens; `None` if it may not send any.
    pub backchannel_logout: Option<Vec<String>>,
    /// The Security Event Tokens that it may send; `None` if it may not send any.
    pub events: Option<EventSettings>,
    /// The audiences of its credentials for Global Token Revocation; `None` if it may not call
    /// that.
    pub global_token_revocation: Option<Vec<String>>,
    /// Whether the holder of one of its access tokens may revoke it (RFC 7009).
    pub token_revocation: bool,
    /// Warnings for the operator's log.
    pub warnings: Vec<String>,
}

/// The Security Event Tokens of an issuer.
#[derive(Debug)]
pub struct EventSettings {
    /// The audiences: a token must name one of them.
    pub audiences: Vec<String>,
    /// The events that end sessions. Other events are acknowledged and change nothing.
    pub types: Vec<EventType>,
    /// The transmitter, if the stream is managed or polled by this service.
    pub transmitter: Option<TransmitterSettings>,
}

/// The transmitter of a stream of events (SSF 1.0 §2).
#[derive(Clone, Debug)]
pub struct TransmitterSettings {
    /// The address of its metadata (§7.2).
    pub metadata: String,
    /// The token that authorises the receiver, if the transmitter requires one.
    pub token: Option<TransmitterToken>,
    /// The address to poll (RFC 8936). Without it the transmitter pushes.
    pub poll: Option<String>,
}

/// A bearer token of the receiver.
#[derive(Clone)]
pub struct TransmitterToken(String);

impl TransmitterToken {
    /// The text, for the header that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TransmitterToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransmitterToken(…)")
    }
}

/// Returns the value of an environment variable.
pub type VariableLookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The source of an issuer's keys.
pub enum KeySource {
    /// From the issuers file itself.
    Inline(Vec<Key>),
    /// From an address of the issuer.
    Fetched {
        /// `https://` and the authority, or `http://` and a loopback address.
        origin: String,
        /// The path of the JWK Set there, and the rules for its keys.
        set: KeySetSettings,
    },
}

impl fmt::Debug for KeySource {
    /// Formats the address, or the number of keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(keys) => write!(f, "{} keys", keys.len()),
            Self::Fetched { origin, set } => write!(f, "{origin}{}", set.path),
        }
    }
}

/// Reads an issuers file; secrets come from the environment.
///
/// # Errors
///
/// Describes the first mistake in the file.
pub fn read(
    file: &[u8],
    environment: VariableLookup<'_>,
) -> Result<Vec<IssuerSettings>, ConfigError> {
    let (issuers, errors) = read_all(file, environment);
    errors.into_iter().next().map_or(Ok(issuers), Err)
}

/// Reads an issuers file. Returns the issuers that have no errors, and all errors. If the file has not
/// the right structure, that is the only error.
#[must_use]
pub fn read_all(
    file: &[u8],
    environment: VariableLookup<'_>,
) -> (Vec<IssuerSettings>, Vec<ConfigError>) {
    let (mut errors, mut checked) = (FileErrors::default(), Vec::<IssuerSettings>::new());
    let issuers = errors.note(text::read_object(file, &OBJECTS));
    let Some(raw::IssuersFile { issuers }) = issuers else { return (vec![], errors.0) };
    let at = At::root().field("issuers");
    let remedy = "name the identity providers that end sessions";
    errors.note(limits::some(&at, issuers.len(), ISSUERS, remedy));
    for (index, written) in issuers.into_iter().enumerate().take(ISSUERS) {
        let at = at.item(index);
        let Some(issuer) = check(&at, written, environment, &mut errors) else { continue };
        let is_twin = |other: &IssuerSettings| {
            (&other.issuer, &other.realm) == (&issuer.issuer, &issuer.realm)
        };
        if checked.iter().any(is_twin) {
            let remedy = "an issuer has one entry for each realm";
            errors.0.push(at.field("issuer").error("comes twice in this realm", remedy));
        }
        checked.push(issuer);
    }
    (checked, errors.0)
}

/// Checks one entry. `None` if it has errors.
fn check(
    at: &At,
    written: raw::WrittenIssuer,
    environment: VariableLookup<'_>,
    errors: &mut FileErrors,
) -> Option<IssuerSettings> {
    let before = errors.0.len();
    let long = settings::TEXT_BYTES;
    errors.note(limits::text(&at.field("issuer"), &written.issuer, long));
    let issuer = written.issuer;
    if !written.realm.is_empty() {
        errors.note(limits::text(&at.field("realm"), &written.realm, settings::NAME_BYTES));
    }
    if let Some(list) = &written.token_issuers {
        let at = at.field("token_issuers");
        let remedy = "leave `token_issuers` out if tokens name the same issuer";
        errors.note(limits::some(&at, list.len(), TOKEN_ISSUERS, remedy));
        errors.note(limits::texts(&at, list, TOKEN_ISSUERS, long));
    }
    let token_issuers = written.token_issuers.unwrap_or_else(|| vec![issuer.clone()]);
    let algorithms = algorithms(&at.field("algorithms"), written.algorithms.as_deref());
    let algorithms = errors.note(algorithms).unwrap_or_else(|| vec![PublicAlgorithm::Rs256]);
    let (at_keys, mut warnings) = (at.field("jwks"), vec![]);
    let keys = errors.note(keys(&at_keys, &written.jwks, &issuer, &algorithms, &mut warnings));
    let at_lifetime = at.field("max_lifetime_seconds");
    let lifetime = limits::number(&at_lifetime, written.max_lifetime_seconds, MAX_LIFETIME_SECONDS);
    let lifetime = errors.note(lifetime).flatten();
    let mut receiver = |name: &str, receiver: Option<raw::WrittenReceiver>| {
        let at = at.field(name).field("audiences");
        receiver.map(|it| errors.note(audiences(&at, &it.audiences)).unwrap_or_default())
    };
    let backchannel_logout = receiver("backchannel_logout", written.backchannel_logout);
    let global_token_revocation =
        receiver("global_token_revocation", written.global_token_revocation);
    let events = written
        .events
        .map(|events| check_events(&at.field("events"), events, &issuer, environment, errors));
    let receives = backchannel_logout.is_some()
        || events.is_some()
        || global_token_revocation.is_some()
        || written.token_revocation;
    if !receives {
        let remedy = "add `backchannel_logout`, `events`, `global_token_revocation` or \
                      `token_revocation`";
        errors.0.push(at.error("this issuer may send nothing", remedy));
    }
    if errors.0.len() > before {
        return None;
    }
    Some(IssuerSettings {
        issuer,
        realm: written.realm,
        token_issuers,
        keys: keys?,
        algorithms,
        user_id: written.user_id,
        max_lifetime_seconds: lifetime.unwrap_or_default(),
        backchannel_logout,
        events,
        global_token_revocation,
        token_revocation: written.token_revocation,
        warnings,
    })
}

fn check_events(
    at: &At,
    written: raw::WrittenEvents,
    issuer: &str,
    environment: VariableLookup<'_>,
    errors: &mut FileErrors,
) -> EventSettings {
    let checked = audiences(&at.field("audiences"), &written.audiences);
    let audiences = errors.note(checked).unwrap_or_default();
    let both = || vec![EventType::SessionRevoked, EventType::CredentialChange];
    let types = written.types.unwrap_or_else(both);
    let remedy = "leave `types` out to accept both session-revoked and credential-change";
    errors.note(limits::some(&at.field("types"), types.len(), 2, remedy));
    let at = at.field("transmitter");
    let transmitter = written
        .transmitter
        .and_then(|written| errors.note(check_transmitter(&at, written, issuer, environment)));
    EventSettings { audiences, types, transmitter }
}

fn check_transmitter(
    at: &At,
    written: raw::WrittenTransmitter,
    issuer: &str,
    environment: VariableLookup<'_>,
) -> Result<TransmitterSettings, ConfigError> {
    let trusted = |name: &str, url: String| {
        let at = at.field(name);
        let url = limits::text(&at, &url, settings::TEXT_BYTES)?;
        if is_trusted_url(&url) { Ok(url) } else { Err(at.error("is no https address", HTTPS)) }
    };
    // The well-known part goes between host and path of the issuer (SSF 1.0 §7.2.1).
    let metadata = written.metadata.or_else(|| {
        let (origin, _, path) = split(issuer)?;
        Some(format!("{origin}/.well-known/ssf-configuration{}", path.trim_end_matches('/')))
    });
    let metadata = metadata.ok_or_else(|| {
        at.field("metadata").error("missing", "the address of the transmitter's metadata")
    })?;
    let token = written.token.map(|variable| {
        let at = at.field("token").field("env");
        let name = limits::text(&at, &variable.env, settings::NAME_BYTES)?;
        let value = environment(&name)
            .filter(|value| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()));
        let remedy = "set it to the token that the identity provider has issued";
        value.map(TransmitterToken).ok_or_else(|| {
            at.error(format!("the variable {name} is not set, is empty, or contains a space or a character outside ASCII"), remedy)
        })
    });
    Ok(TransmitterSettings {
        metadata: trusted("metadata", metadata)?,
        token: token.transpose()?,
        poll: written.poll.map(|url| trusted("poll", url)).transpose()?,
    })
}

/// Returns whether a secret may be sent to this address: `https`, or `http` to a loopback address.
#[must_use]
pub fn is_trusted_url(url: &str) -> bool {
    split(url).is_some()
}

fn audiences(at: &At, list: &[String]) -> Result<Vec<String>, ConfigError> {
    let remedy = "name the `aud` of messages for this service: a message for somebody else must \
                  not sign out anybody here";
    limits::some(at, list.len(), settings::LIST_ITEMS, remedy)?;
    limits::texts(at, list, settings::LIST_ITEMS, settings::TEXT_BYTES)
}

fn algorithms(at: &At, names: Option<&[String]>) -> Result<Vec<PublicAlgorithm>, ConfigError> {
    let Some(names) = names else { return Ok(vec![PublicAlgorithm::Rs256]) };
    let known = PublicAlgorithm::ALL.map(PublicAlgorithm::name).join(", ");
    limits::some(
        at,
        names.len(),
        PublicAlgorithm::ALL.len(),
        "leave it out for the default, RS256",
    )?;
    let algorithm = |(index, name): (usize, &String)| {
        let at = at.item(index);
        PublicAlgorithm::from_name(name)
            .ok_or_else(|| at.error("is not supported", format!("one of {known}")))
    };
    names.iter().enumerate().map(algorithm).collect()
}

fn keys(
    at: &At,
    jwks: &raw::WrittenJwks,
    issuer: &str,
    algorithms: &[PublicAlgorithm],
    warnings: &mut Vec<String>,
) -> Result<KeySource, ConfigError> {
    // If exactly one RSA algorithm is allowed, RSA keys without `alg` are for that algorithm.
    let mut rsa = algorithms.iter().copied().filter(|algorithm| algorithm.is_rsa());
    let rsa = rsa.next().filter(|_| rsa.next().is_none());
    let rules = KeySetRules { rsa, issuer: Some(issuer.to_owned()), audiences: vec![] };
    match (&jwks.url, &jwks.inline) {
        (Some(url), None) => fetched(at, url, jwks.refresh_seconds, rules),
        (None, Some(set)) => {
            if jwks.refresh_seconds.is_some() {
                let remedy = "a set that stands here is not fetched";
                return Err(at.field("refresh_seconds").error("does not belong here", remedy));
            }
            let at = at.field("inline");
            let document = document::read(set.get().as_bytes(), &rules)
                .map_err(|reason| at.error(format!("cannot be used ({reason})"), JWK_SET))?;
            warnings.extend(document.left_out.iter().map(|key| format!("{at}: left out: {key}")));
            if document.keys.is_empty() {
                let first = document.left_out.first().map(ToString::to_string);
                return Err(at.error("holds no key that can be used", first.unwrap_or_default()));
            }
            Ok(KeySource::Inline(document.keys))
        }
        (None, None) => Err(at.error("names no keys", "give `url` or `inline`")),
        (Some(_), Some(_)) => Err(at.error("names keys twice", "give `url` or `inline`, not both")),
    }
}

fn fetched(
    at: &At,
    url: &str,
    refresh_seconds: Option<u64>,
    rules: KeySetRules,
) -> Result<KeySource, ConfigError> {
    let refresh_at = at.field("refresh_seconds");
    let refresh = limits::number(&refresh_at, refresh_seconds, settings::REFRESH_SECONDS)?;
    let (name, at) = (at.to_string(), at.field("url"));
    let url = limits::text(&at, url, settings::TEXT_BYTES)?;
    let (origin, authority, path) =
        split(&url).ok_or_else(|| at.error("is no https address", HTTPS))?;
    let set = KeySetSettings {
        name,
        cluster: String::new(),
        authority,
        path,
        refresh_seconds: refresh.unwrap_or_default(),
        rules,
    };
    Ok(KeySource::Fetched { origin, set })
}

/// Splits an address into origin, authority and path. Returns `None` if it is neither `https`, nor
/// `http` to a loopback address.
fn split(url: &str) -> Option<(String, String, String)> {
    let parsed: ureq::http::Uri = url.parse().ok()?;
    let (scheme, authority) = (parsed.scheme_str()?, parsed.authority()?);
    let is_loopback = matches!(authority.host(), "localhost" | "127.0.0.1" | "[::1]");
    let is_trusted = scheme == "https" || (scheme == "http" && is_loopback);
    if !is_trusted || authority.as_str().contains('@') || url.contains('#') {
        return None;
    }
    let path = parsed.path_and_query().map_or("/", |path| path.as_str());
    Some((format!("{scheme}://{authority}"), authority.to_string(), path.to_owned()))
}

/// The places in the file that must hold objects.
const OBJECTS: [&str; 8] = [
    "issuers[]",
    "issuers[].jwks",
    "issuers[].jwks.inline",
    "issuers[].backchannel_logout",
    "issuers[].events",
    "issuers[].events.transmitter",
    "issuers[].events.transmitter.token",
    "issuers[].global_token_revocation",
];

/// The maximum number of entries. Each needs a thread if its keys are fetched.
pub(super) const ISSUERS: usize = 64;

/// The maximum number of values of `iss` in the access tokens of one issuer. Each sign-out stores
/// one record per value.
pub(super) const TOKEN_ISSUERS: usize = 8;

/// `max_lifetime_seconds`: by default 30 days, the longest lifetime that the consoles of the usual
/// providers offer; up to ten years.
pub const MAX_LIFETIME_SECONDS: Whole =
    Whole { default: Some(2_592_000), least: 60, most: 315_360_000 };

const HTTPS: &str = "like https://id.example.com/path; http is only for loopback addresses, because \
                     anybody on the way could change what is sent, and an IPv6 address needs \
                     brackets: http://[::1]/path";

const JWK_SET: &str = "a JWK Set is an object with a list `keys` (RFC 7517 §5)";

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
