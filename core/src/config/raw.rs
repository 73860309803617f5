//! The configuration as written in the JSON text.
//!
//! These types contain names, nesting and types, nothing else. The rest of
//! [`config`](crate::config) interprets and checks the values. An unknown name is an error at every
//! level, so that a misspelt setting is not silently ignored.
//!
//! The JSON Schema for editors is derived from these types ([`schema`](crate::config)).

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use crate::config::lists::{ClaimHeader, ClaimValues, Names, PerClaim};
use crate::feed::staleness::WhenUnknown;
use crate::request::routes::Access;
use crate::request::upstream::TokenForwarding;
use crate::sign_out::WhenUnreachable;
use crate::token::BoundTokens;

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Preset"))]
    pub(super) preset: Option<Preset>,
    #[cfg_attr(feature = "schema", schemars(with = "Vec<RawKey>", default))]
    pub(super) keys: Option<Vec<RawKey>>,
    #[serde(default)]
    pub(super) claims: RawClaims,
    pub(super) forged_token_milliseconds_per_second: Option<u64>,
    pub(super) max_token_bytes: Option<u64>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<RawTokenSource>"))]
    pub(super) token_sources: Option<Vec<RawTokenSource>>,
    #[serde(default)]
    pub(super) forward: RawForward,
    #[serde(default)]
    pub(super) answers: RawResponses,
    #[serde(default)]
    pub(super) routes: Vec<RawRoute>,
    #[serde(default)]
    pub(super) default_access: DefaultAccess,
    #[serde(default = "yes")]
    pub(super) enforce: bool,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "RawRevocation"))]
    pub(super) revocation: Option<RawRevocation>,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) enum Preset {
    OpenWebui,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawKey {
    pub(super) id: Option<String>,
    pub(super) algorithm: Option<String>,
    pub(super) secret: Option<RawKeySecret>,
    pub(super) weak_secret: Option<WeakSecret>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(super) public_key_pem: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "RawJwks"))]
    pub(super) jwks: Option<RawJwks>,
    pub(super) issuer: Option<String>,
    #[serde(default)]
    pub(super) audiences: Vec<String>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawJwks {
    pub(super) inline: Option<JwkSet>,
    pub(super) cluster: Option<String>,
    pub(super) authority: Option<String>,
    pub(super) path: Option<String>,
    pub(super) refresh_seconds: Option<u64>,
}

/// As the issuer published it; members that we do not know are to be ignored (RFC 7517 §5).
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct JwkSet {
    #[cfg_attr(feature = "schema", schemars(with = "Vec<serde_json::Value>"))]
    pub(super) keys: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawSecret {
    pub(super) env: Option<Names>,
    pub(super) inline: Option<String>,
    #[serde(default)]
    pub(super) encoding: Encoding,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawKeySecret {
    pub(super) env: Option<Names>,
    pub(super) inline: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "RawSds"))]
    pub(super) sds: Option<RawSds>,
    #[serde(default)]
    pub(super) encoding: Encoding,
}

/// Envoy's `SdsSecretConfig`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawSds {
    pub(super) name: String,
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>")
    )]
    pub(super) sds_config: Option<Box<RawValue>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    #[default]
    Utf8,
    Base64,
    Base64Url,
    Hex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum WeakSecret {
    Refuse,
    Accept,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawClaims {
    pub(super) issuer: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) user_id: Option<Names>,
    pub(super) session_id: Option<Names>,
    pub(super) required: Option<Vec<Names>>,
    pub(super) values: PerClaim<ClaimValues>,
    pub(super) bound_tokens: BoundTokens,
    pub(super) clock_skew_seconds: Option<u64>,
    pub(super) max_lifetime_seconds: Option<u64>,
}

impl Default for RawClaims {
    fn default() -> Self {
        Self {
            issuer: None,
            audiences: vec![],
            user_id: Some(Names(vec!["sub".to_owned()])),
            session_id: Some(Names(vec!["sid".to_owned()])),
            required: None,
            values: PerClaim::default(),
            bound_tokens: BoundTokens::default(),
            clock_skew_seconds: None,
            max_lifetime_seconds: None,
        }
    }
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawTokenSource {
    pub(super) header: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(super) scheme: Option<String>,
    pub(super) cookie: Option<String>,
    pub(super) query: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(super) pass_prefix: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<RawSourceRoute>"))]
    pub(super) routes: Option<Vec<RawSourceRoute>>,
}

/// A pattern of requests that a token source may admit.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawSourceRoute {
    pub(super) path: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) template: Option<String>,
    pub(super) upgrade: Option<bool>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub(super) methods: Option<Vec<String>>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub(super) hosts: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawForward {
    pub(super) user_id: Option<String>,
    pub(super) claims: PerClaim<ClaimHeader>,
    pub(super) token: TokenForwarding,
    pub(super) filter_state: bool,
}

impl Default for RawForward {
    fn default() -> Self {
        Self {
            user_id: Some("x-user-id".to_owned()),
            claims: PerClaim::default(),
            token: TokenForwarding::Keep,
            filter_state: false,
        }
    }
}

#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawResponses {
    pub(super) missing_token: Option<String>,
    pub(super) invalid_token: Option<String>,
    pub(super) unavailable: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) path: Option<String>,
    pub(super) prefix: Option<String>,
    pub(super) template: Option<String>,
    pub(super) preflight: Option<bool>,
    pub(super) upgrade: Option<bool>,
    pub(super) access: Option<Access>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub(super) methods: Option<Vec<String>>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub(super) hosts: Option<Vec<String>>,
    pub(super) cross_site: Option<CrossSite>,
    pub(super) api_keys: Option<ApiKeys>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "RawRevokeUser"))]
    pub(super) revoke_user: Option<RawRevokeUser>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum DefaultAccess {
    Public,
    Optional,
    #[default]
    Protected,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum CrossSite {
    Forward,
    Revoke,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum ApiKeys {
    Pass,
    Refuse,
}

/// `"token"` or `{"segment": "id"}`.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum RawRevokeUser {
    Token,
    Segment(String),
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRevocation {
    pub(super) upstream: RawUpstream,
    pub(super) realm: String,
    pub(super) max_staleness_seconds: Option<u64>,
    pub(super) when_unknown: WhenUnknown,
    pub(super) signout: RawSignout,
    pub(super) streams: RawStreams,
}

impl Default for RawRevocation {
    fn default() -> Self {
        Self {
            upstream: RawUpstream::default(),
            realm: String::new(),
            max_staleness_seconds: None,
            when_unknown: WhenUnknown::Refuse,
            signout: RawSignout::default(),
            streams: RawStreams::default(),
        }
    }
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawUpstream {
    pub(super) cluster: String,
    pub(super) authority: String,
    pub(super) token: RawSecret,
}

impl Default for RawUpstream {
    fn default() -> Self {
        let env = Some(Names(vec!["SIGNOUT_TOKEN".to_owned()]));
        Self {
            cluster: "signout".to_owned(),
            authority: "signout".to_owned(),
            token: RawSecret { env, inline: None, encoding: Encoding::Utf8 },
        }
    }
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawSignout {
    pub(super) timeout_seconds: Option<u64>,
    pub(super) when_unreachable: WhenUnreachable,
}

impl Default for RawSignout {
    fn default() -> Self {
        Self { timeout_seconds: None, when_unreachable: WhenUnreachable::Forward }
    }
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawStreams {
    pub(super) end_on_revocation: bool,
    pub(super) end_at_expiry: bool,
}

impl Default for RawStreams {
    fn default() -> Self {
        Self { end_on_revocation: true, end_at_expiry: false }
    }
}

/// Parses a field that may be absent but not null. A template that left a value out must not open
/// more than intended.
fn not_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
