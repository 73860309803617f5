//! What did the operator write?
//!
//! The configuration as it stands in the JSON text: names, nesting and types, nothing else. What it
//! means, and whether it is sound, is for the rest of [`config`](crate::config) to say. An unknown
//! name is an error at every level, so that a misspelt setting cannot be silently ignored.
//!
//! The JSON Schema for editors is derived from these types ([`schema`](crate::config)).

use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;

use crate::config::lists::{Names, Pairs};

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Preset"))]
    pub(super) preset: Option<Preset>,
    #[cfg_attr(feature = "schema", schemars(with = "Vec<Key>", default))]
    pub(super) keys: Option<Vec<Key>>,
    #[serde(default)]
    pub(super) claims: Claims,
    pub(super) forged_token_milliseconds_per_second: Option<u64>,
    pub(super) max_token_bytes: Option<u64>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<TokenSource>"))]
    pub(super) token_sources: Option<Vec<TokenSource>>,
    #[serde(default)]
    pub(super) forward: Forward,
    #[serde(default)]
    pub(super) answers: Answers,
    #[serde(default)]
    pub(super) routes: Vec<Rule>,
    #[serde(default)]
    pub(super) default_access: DefaultAccess,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Revocation"))]
    pub(super) revocation: Option<Revocation>,
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
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Option<String>,
    pub(super) secret: Option<Secret>,
    pub(super) weak_secret: Option<WeakSecret>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(super) public_key_pem: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "Jwks"))]
    pub(super) jwks: Option<Jwks>,
    pub(super) issuer: Option<String>,
    #[serde(default)]
    pub(super) audiences: Vec<String>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Jwks {
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
pub(super) struct Secret {
    pub(super) env: Option<Names>,
    pub(super) inline: Option<String>,
    #[serde(default)]
    pub(super) encoding: Encoding,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    #[default]
    Utf8,
    Base64,
    Base64Url,
    Hex,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum WeakSecret {
    Refuse,
    Accept,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Claims {
    pub(super) issuer: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) user_id: Option<String>,
    pub(super) required: Option<Vec<String>>,
    pub(super) clock_skew_seconds: Option<u64>,
    pub(super) max_lifetime_seconds: Option<u64>,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            issuer: None,
            audiences: vec![],
            user_id: Some("sub".to_owned()),
            required: None,
            clock_skew_seconds: None,
            max_lifetime_seconds: None,
        }
    }
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct TokenSource {
    pub(super) header: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(super) scheme: Option<String>,
    pub(super) cookie: Option<String>,
    pub(super) query: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(super) pass_prefix: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Forward {
    pub(super) user_id: Option<String>,
    pub(super) claims: Pairs,
    pub(super) token: ForwardToken,
    pub(super) filter_state: bool,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            user_id: Some("x-user-id".to_owned()),
            claims: Pairs(vec![]),
            token: ForwardToken::Keep,
            filter_state: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum ForwardToken {
    Keep,
    Strip,
}

#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    pub(super) missing_token: Option<String>,
    pub(super) invalid_token: Option<String>,
    pub(super) unavailable: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
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
    #[cfg_attr(feature = "schema", schemars(with = "RevokeUser"))]
    pub(super) revoke_user: Option<RevokeUser>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum Access {
    Public,
    Optional,
    Protected,
    Signout,
    Ready,
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
pub(super) enum RevokeUser {
    Token,
    Segment(String),
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Revocation {
    pub(super) upstream: Service,
    pub(super) realm: String,
    pub(super) max_staleness_seconds: Option<u64>,
    pub(super) when_unknown: WhenUnknown,
    pub(super) signout: Signout,
    pub(super) streams: Streams,
}

impl Default for Revocation {
    fn default() -> Self {
        Self {
            upstream: Service::default(),
            realm: String::new(),
            max_staleness_seconds: None,
            when_unknown: WhenUnknown::Refuse,
            signout: Signout::default(),
            streams: Streams::default(),
        }
    }
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Service {
    pub(super) cluster: String,
    pub(super) authority: String,
    pub(super) token: Secret,
}

impl Default for Service {
    fn default() -> Self {
        let env = Some(Names(vec!["SIGNOUT_TOKEN".to_owned()]));
        Self {
            cluster: "signout".to_owned(),
            authority: "signout".to_owned(),
            token: Secret { env, inline: None, encoding: Encoding::Utf8 },
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum WhenUnknown {
    Refuse,
    UseLast,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Signout {
    pub(super) timeout_seconds: Option<u64>,
    pub(super) when_unreachable: WhenUnreachable,
}

impl Default for Signout {
    fn default() -> Self {
        Self { timeout_seconds: None, when_unreachable: WhenUnreachable::Forward }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(super) enum WhenUnreachable {
    Forward,
    Refuse,
}

#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(super) struct Streams {
    pub(super) end_on_revocation: bool,
    pub(super) end_at_expiry: bool,
}

impl Default for Streams {
    fn default() -> Self {
        Self { end_on_revocation: true, end_at_expiry: false }
    }
}

/// For what may be absent but not null: a template that left a value out must not widen anything.
fn not_null<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
