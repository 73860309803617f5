//! The issuers file as written. The comments of the fields are also the descriptions in the
//! [schema](super::schema).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::settings::{ISSUERS, MAX_LIFETIME_SECONDS, TOKEN_ISSUERS};
use crate::json_file::not_null;

/// The identity providers that may end sessions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuersFile {
    /// One entry for each identity provider and realm.
    #[schemars(length(min = 1, max = ISSUERS))]
    pub(super) issuers: Vec<WrittenIssuer>,
}

/// An identity provider in one realm.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenIssuer {
    /// `iss` of its messages, exactly.
    #[schemars(length(min = 1))]
    pub(super) issuer: String,
    /// `revocation.realm` of the filter whose sessions it ends; empty by default.
    #[serde(default)]
    pub(super) realm: String,
    /// `iss` of the access tokens, if they have another issuer than the messages.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "Vec<String>", length(min = 1, max = TOKEN_ISSUERS))]
    pub(super) token_issuers: Option<Vec<String>>,
    /// Its keys: `url` or `inline`.
    pub(super) jwks: WrittenJwks,
    /// The algorithms that may sign its messages; RS256 by default. RSA keys without `alg` are used
    /// if the list has exactly one RSA algorithm.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "Vec<String>", length(min = 1))]
    pub(super) algorithms: Option<Vec<String>>,
    /// The claim that is the user id in the filter's configuration.
    #[serde(default)]
    pub(super) user_id: UserIdClaim,
    /// The longest lifetime of its access tokens, for which a cutoff is kept; 30 days by default.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(
        with = "u64",
        range(min = MAX_LIFETIME_SECONDS.least, max = MAX_LIFETIME_SECONDS.most)
    )]
    pub(super) max_lifetime_seconds: Option<u64>,
    /// Its logout tokens (OpenID Connect Back-Channel Logout) are received.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "WrittenReceiver")]
    pub(super) backchannel_logout: Option<WrittenReceiver>,
    /// Its Security Event Tokens (Shared Signals, CAEP) are received.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "WrittenEvents")]
    pub(super) events: Option<WrittenEvents>,
    /// Its calls of Global Token Revocation (Okta's Universal Logout) are received.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "WrittenReceiver")]
    pub(super) global_token_revocation: Option<WrittenReceiver>,
    /// Whether the holder of one of its access tokens may revoke it (RFC 7009).
    #[serde(default)]
    pub(super) token_revocation: bool,
}

/// Where the keys of an issuer come from.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["url"]}, {"required": ["inline"]}]))]
pub(super) struct WrittenJwks {
    /// Where the keys are published: `https`, or `http` to this machine.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "String")]
    pub(super) url: Option<String>,
    /// The largest age of fetched keys; 300 s by default.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "u64", range(min = REFRESH.least, max = REFRESH.most))]
    pub(super) refresh_seconds: Option<u64>,
    /// The JWK Set itself (RFC 7517 §5).
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "BTreeMap<String, Value>")]
    pub(super) inline: Option<Box<RawValue>>,
}

/// The claim of access tokens that is the user id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserIdClaim {
    /// The subject that the issuer has assigned.
    #[default]
    Sub,
    /// The user's e-mail address.
    Email,
}

/// What a receiver accepts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenReceiver {
    /// `aud` of the messages for this service: the client id for logout tokens, the address of the
    /// endpoint for Okta's calls.
    #[schemars(length(min = 1))]
    pub(super) audiences: Vec<String>,
}

/// Which Security Event Tokens are received, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenEvents {
    /// `aud` of the events for this service.
    #[schemars(length(min = 1))]
    pub(super) audiences: Vec<String>,
    /// The events that end sessions; both by default. Others are acknowledged and change nothing.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "Vec<EventType>", length(min = 1, max = 2))]
    pub(super) types: Option<Vec<EventType>>,
    /// How the service reaches the provider's stream. Without it, the provider pushes.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "WrittenTransmitter")]
    pub(super) transmitter: Option<WrittenTransmitter>,
}

/// The provider's stream of events (SSF 1.0).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenTransmitter {
    /// The URL of the provider's metadata. Default: `/.well-known/ssf-configuration` at the issuer.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "String")]
    pub(super) metadata: Option<String>,
    /// What authorises the service at the provider.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "WrittenVariable")]
    pub(super) token: Option<WrittenVariable>,
    /// The address to poll, which `signout stream create` prints. Without it, the provider pushes.
    #[serde(default, deserialize_with = "not_null")]
    #[schemars(with = "String")]
    pub(super) poll: Option<String>,
}

/// An environment variable that holds a secret.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenVariable {
    /// The name of the variable that holds the bearer token.
    #[schemars(length(min = 1))]
    pub(super) env: String,
}

/// An event that ends sessions (CAEP 1.0 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventType {
    /// A session, or all sessions of a user, were revoked.
    SessionRevoked,
    /// A credential of a user was created, changed, revoked or deleted.
    CredentialChange,
}

impl EventType {
    /// The address that names the event in a token (CAEP 1.0 §3.1, §3.3).
    #[must_use]
    pub fn address(self) -> &'static str {
        match self {
            Self::SessionRevoked => {
                "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
            }
            Self::CredentialChange => {
                "https://schemas.openid.net/secevent/caep/event-type/credential-change"
            }
        }
    }
}

const REFRESH: session_guard_core::config::limits::Whole =
    session_guard_core::config::settings::REFRESH_SECONDS;
