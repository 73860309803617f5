//! The configuration of the filter, checked.
//!
//! There are two layers. [`raw`] is the JSON text as written. [`Config`] is the checked form: keys
//! are ready to use, rules are compiled, and every value is within its [limits](settings). Each of
//! the other files checks one part. Everything is parsed once, and nothing is parsed again for a
//! request.

mod claim_paths;
mod discovered;
pub mod effective;
mod error;
mod header_name;
mod jwks;
mod key_entry;
mod keys;
mod known_secrets;
pub mod limits;
mod lists;
mod patterns;
pub mod preset;
mod raw;
mod routes;
#[cfg(feature = "schema")]
pub mod schema;
mod secret;
pub mod settings;
mod shape;
mod sources;
pub mod text;
pub mod variable;

pub use discovered::DiscoveredSecret;
pub use error::{At, ConfigError};
pub use secret::Secret;

pub use crate::feed::staleness::WhenUnknown;
pub use crate::sign_out::WhenUnreachable;

use crate::config::lists::Names;
use crate::headers::passes_for;
use crate::key_sets;
use crate::keys::KeyRing;
use crate::refusal::{Enforcement, Sentences};
use crate::request::routes::Routes;
use crate::request::sources::{Source, Sources, TokenLocation};
use crate::request::upstream::Upstream;
use crate::token::Policy;

/// A checked configuration.
#[derive(Debug)]
pub struct Config {
    /// The keys that verify tokens.
    pub keys: KeyRing,
    /// The keys whose secret the proxy discovers. [`Config::keys`] does not contain them.
    pub discovered: Vec<DiscoveredSecret>,
    /// The key sets to fetch.
    pub key_sets: Vec<key_sets::KeySetSettings>,
    /// The requirements for the claims of tokens.
    pub policy: Policy,
    /// The time of each second that a worker may spend on failed signature checks. Sign-outs may
    /// spend the same time again.
    pub forged_token_milliseconds_per_second: u64,
    /// The places where tokens may be.
    pub sources: Sources,
    /// The headers for the application.
    pub upstream: Upstream,
    /// The sentences in the responses to refused requests.
    pub sentences: Sentences,
    /// The routes.
    pub routes: Routes,
    /// Whether refusals take effect.
    pub enforcement: Enforcement,
    /// The settings of revocation. `None` if tokens are only verified and nobody is signed out.
    pub revocation: Option<RevocationSettings>,
    /// Messages about settings that are unusual but valid, for the operator's log. They contain no
    /// secrets.
    pub warnings: Vec<String>,
}

/// The settings of revocation.
#[derive(Debug)]
pub struct RevocationSettings {
    /// The name of the signout service's cluster.
    pub cluster: String,
    /// `:authority` of calls to the service.
    pub authority: String,
    /// The API token, sent as `authorization: Bearer …`: visible ASCII.
    pub token: Secret,
    /// Separates applications behind one service; may be empty.
    pub realm: String,
    /// The age at which the revocation set is stale.
    pub max_staleness_seconds: u64,
    /// What happens while the set is stale or not loaded.
    pub when_unknown: WhenUnknown,
    /// How long a sign-out waits for the service.
    pub signout_timeout_seconds: u64,
    /// What happens to a sign-out if the service does not respond in time.
    pub when_unreachable: WhenUnreachable,
    /// The settings for open requests.
    pub streams: Streams,
}

/// The settings for open requests (WebSocket, SSE, gRPC and others).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    /// Whether an open request ends when its token is revoked.
    pub end_on_revocation: bool,
    /// Whether an open request ends when its token expires.
    pub end_at_expiry: bool,
}

impl Config {
    /// Parses and checks the JSON text of the filter's configuration. `environment` returns the
    /// value of an environment variable of the VM.
    ///
    /// # Errors
    ///
    /// The first error in the configuration.
    pub fn parse(
        text: &[u8],
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut written = text::read(text)?;
        if let Some(preset) = written.preset {
            written = text::read(&preset::filled(preset, text))?;
        }
        let root = At::root();
        let mut warnings = vec![];
        let key_entry::FoundKeys { keys, discovered, sets: key_sets } =
            keys::check(written.keys.as_deref(), environment, &mut warnings)?;
        let lacks_some = !discovered.is_empty() || !key_sets.is_empty();
        let keys = KeyRing::new(keys).with(std::iter::empty(), lacks_some);
        let revocation = written
            .revocation
            .as_ref()
            .map(|revocation| check_revocation(revocation, environment))
            .transpose()?;
        let sources = sources::check(written.token_sources.as_deref())?;
        let upstream = upstream(&written.forward, &sources)?;
        let policy = policy(&written, &upstream, revocation.as_ref())?;
        let forged_token_milliseconds_per_second = limits::number(
            &root.field("forged_token_milliseconds_per_second"),
            written.forged_token_milliseconds_per_second,
            settings::FORGED_TOKEN_MILLISECONDS_PER_SECOND,
        )?
        .unwrap_or_default();
        let sentences = sentences(&written.answers)?;
        let given =
            routes::Given { revocation: revocation.is_some(), user: policy.user_id.is_some() };
        let routes = routes::check(&written.routes, written.default_access, given)?;
        let sources = Sources::new(sources);
        let enforcement = if written.enforce { Enforcement::On } else { Enforcement::DryRun };
        if enforcement == Enforcement::DryRun {
            warnings.push(DRY_RUN.to_owned());
        }
        Ok(Self {
            keys,
            discovered,
            key_sets,
            policy,
            forged_token_milliseconds_per_second,
            sources,
            upstream,
            sentences,
            routes,
            enforcement,
            revocation,
            warnings,
        })
    }
}

impl Config {
    /// Returns the algorithms of all keys that are not fetched, each once.
    #[must_use]
    pub fn algorithms(&self) -> Vec<&'static str> {
        let mut names = self.keys.algorithms();
        for secret in &self.discovered {
            let name = secret.algorithm();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

fn policy(
    written: &raw::RawConfig,
    upstream: &Upstream,
    revocation: Option<&RevocationSettings>,
) -> Result<Policy, ConfigError> {
    let (at, claims) = (At::root().field("claims"), &written.claims);
    let text = |name: &str, text: &Option<String>, most| {
        text.as_ref().map(|text| limits::text(&at.field(name), text, most)).transpose()
    };
    let texts = |name: &str, list: &[String], most| {
        limits::texts(&at.field(name), list, settings::LIST_ITEMS, most)
    };
    let claim = |name: &str, claim: &Option<Names>| {
        claim.as_ref().map(|claim| claim_paths::check(&at.field(name), claim)).transpose()
    };
    let required = match &claims.required {
        Some(required) => claim_paths::check_list(&at.field("required"), required)?,
        None if revocation.is_some() => vec!["exp".into(), "jti".into()],
        None => vec!["exp".into()],
    };
    let skew = limits::number(
        &at.field("clock_skew_seconds"),
        claims.clock_skew_seconds,
        settings::CLOCK_SKEW_SECONDS,
    )?;
    Ok(Policy {
        issuer: text("issuer", &claims.issuer, settings::TEXT_BYTES)?,
        audiences: texts("audiences", &claims.audiences, settings::TEXT_BYTES)?,
        user_id: claim("user_id", &claims.user_id)?,
        session_id: claim("session_id", &claims.session_id)?,
        required,
        values: claim_paths::check_values(&at.field("values"), &claims.values)?,
        bound_tokens: claims.bound_tokens,
        clock_skew_seconds: skew.unwrap_or_default(),
        max_lifetime_seconds: limits::number(
            &at.field("max_lifetime_seconds"),
            claims.max_lifetime_seconds,
            settings::MAX_LIFETIME_SECONDS,
        )?,
        max_token_bytes: limits::number(
            &At::root().field("max_token_bytes"),
            written.max_token_bytes,
            settings::MAX_TOKEN_BYTES,
        )?
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or_default(),
        forwarded: upstream.claims().cloned().collect(),
        realm: revocation.map(|revocation| revocation.realm.clone()).unwrap_or_default(),
    })
}

fn sentences(written: &raw::RawResponses) -> Result<Sentences, ConfigError> {
    let at = At::root().field("answers");
    let sentence = |name: &str, text: &Option<String>| {
        let text = text.as_ref();
        text.map(|text| limits::text(&at.field(name), text, settings::NAME_BYTES)).transpose()
    };
    Ok(Sentences {
        missing_token: sentence("missing_token", &written.missing_token)?,
        invalid_token: sentence("invalid_token", &written.invalid_token)?,
        unavailable: sentence("unavailable", &written.unavailable)?,
    })
}

fn upstream(forward: &raw::RawForward, sources: &[Source]) -> Result<Upstream, ConfigError> {
    let at = At::root().field("forward");
    let mut taken: Vec<String> = vec![];
    let mut free = |at: &At, written: &str| {
        let name = header_name::to_be_set(at, written)?;
        let is_it = |other: &str| passes_for(name.as_bytes(), other.as_bytes());
        if taken.iter().any(|other| is_it(other)) {
            return Err(at.error("another value already uses this header", "name another header"));
        }
        let carries = |source: &Source| matches!(&source.location, TokenLocation::Header { name, .. } if is_it(name));
        if sources.iter().any(carries) {
            return Err(at.error("carries tokens (`token_sources`)", "name another header"));
        }
        taken.push(name.clone());
        Ok(name)
    };
    let user_id = forward.user_id.as_ref();
    let user_id = user_id.map(|name| free(&at.field("user_id"), name)).transpose()?;
    let at = at.field("claims");
    limits::count(&at, forward.claims.0.len(), settings::LIST_ITEMS)?;
    let mut claims = vec![];
    for (claim, header) in &forward.claims.0 {
        let claim = claim_paths::check(&at, claim)?;
        let header = free(&at.field(&claim.to_string()), header)?;
        claims.push((claim, header));
    }
    Ok(Upstream::new(user_id, claims, forward.token).publishing_user(forward.filter_state))
}

fn check_revocation(
    written: &raw::RawRevocation,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<RevocationSettings, ConfigError> {
    let at = At::root().field("revocation");
    let (service, service_at) = (&written.upstream, at.field("upstream"));
    let authority_at = service_at.field("authority");
    let authority = limits::text(&authority_at, &service.authority, settings::NAME_BYTES)?;
    if !authority.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(authority_at.error("is no host", "like signout or signout:8090"));
    }
    if !written.realm.is_empty() {
        limits::text(&at.field("realm"), &written.realm, settings::NAME_BYTES)?;
    }
    let number =
        |at: At, written, whole| limits::number(&at, written, whole).map(Option::unwrap_or_default);
    Ok(RevocationSettings {
        cluster: limits::text(
            &service_at.field("cluster"),
            &service.cluster,
            settings::NAME_BYTES,
        )?,
        authority,
        token: secret::of_service(&service_at.field("token"), &service.token, environment)?,
        realm: written.realm.clone(),
        max_staleness_seconds: number(
            at.field("max_staleness_seconds"),
            written.max_staleness_seconds,
            settings::MAX_STALENESS_SECONDS,
        )?,
        when_unknown: written.when_unknown,
        signout_timeout_seconds: number(
            at.field("signout").field("timeout_seconds"),
            written.signout.timeout_seconds,
            settings::SIGNOUT_TIMEOUT_SECONDS,
        )?,
        when_unreachable: written.signout.when_unreachable,
        streams: Streams {
            end_on_revocation: written.streams.end_on_revocation,
            end_at_expiry: written.streams.end_at_expiry,
        },
    })
}

const DRY_RUN: &str = "enforce: false, a dry run: no request is refused; would_refuse counts the \
    requests that would be";

#[cfg(test)]
mod tests;
