//! The issuers file as written.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuersFile {
    pub(super) issuers: Vec<WrittenIssuer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenIssuer {
    pub(super) issuer: String,
    #[serde(default)]
    pub(super) realm: String,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) token_issuers: Option<Vec<String>>,
    pub(super) jwks: WrittenJwks,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) algorithms: Option<Vec<String>>,
    #[serde(default)]
    pub(super) user_id: UserIdClaim,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) max_lifetime_seconds: Option<u64>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) backchannel_logout: Option<WrittenReceiver>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) events: Option<WrittenEvents>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) global_token_revocation: Option<WrittenReceiver>,
    #[serde(default)]
    pub(super) token_revocation: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenJwks {
    #[serde(default, deserialize_with = "not_null")]
    pub(super) url: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) refresh_seconds: Option<u64>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) inline: Option<Box<RawValue>>,
}

/// The claim of access tokens that is the user id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserIdClaim {
    /// The subject that the issuer has assigned.
    #[default]
    Sub,
    /// The user's e-mail address.
    Email,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenReceiver {
    pub(super) audiences: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenEvents {
    pub(super) audiences: Vec<String>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) types: Option<Vec<EventType>>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) transmitter: Option<WrittenTransmitter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenTransmitter {
    #[serde(default, deserialize_with = "not_null")]
    pub(super) metadata: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) token: Option<WrittenVariable>,
    #[serde(default, deserialize_with = "not_null")]
    pub(super) poll: Option<String>,
}

/// The name of an environment variable that holds a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenVariable {
    pub(super) env: String,
}

/// An event that ends sessions (CAEP 1.0 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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

/// Parses a member that may be absent but not `null`: a template without a value for it must not
/// disable a check.
fn not_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
