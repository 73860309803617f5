//! All settings, their defaults and their limits.
//!
//! Every number that bounds the configuration is defined here, once. [`SETTINGS`] lists all
//! settings. Tests compare the list with the parser: writing out a default changes nothing, and
//! each limit is the last value that loads.

pub use crate::config::limits::Whole;
pub use crate::keys::KEYS_TRIED;

/// The maximum size of a configuration, in bytes. Envoy copies it into every VM.
pub const CONFIGURATION_BYTES: usize = 1 << 20;

/// The maximum length in bytes of a name: of a claim, cookie, header, query parameter, key or
/// cluster.
pub const NAME_BYTES: usize = 256;

/// The maximum length of a `pass_prefix`, in bytes. The minimum is two characters.
pub const PREFIX_BYTES: usize = 32;

/// The maximum length in bytes of other texts: path, issuer, audience, inline secret.
pub const TEXT_BYTES: usize = 4096;

/// The maximum number of keys in a configuration, including each key of its inline JWK Sets. Each
/// fetched set may have as many keys in addition.
pub const KEYS: usize = 64;

/// The maximum number of JWK Sets to fetch. Each VM checks each set on every tick.
pub const KEY_SETS: usize = 8;

/// The supported algorithms.
pub const ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA", "Ed25519",
];

/// The maximum number of audiences, of required claims, of forwarded claims, and of environment
/// variables of one secret.
pub const LIST_ITEMS: usize = 32;

/// The maximum number of names in the path of a claim. No provider nests its claims deeper than
/// three levels.
pub const CLAIM_NAMES: usize = 8;

/// The maximum number of token sources. Each is searched on every request.
pub const TOKEN_SOURCES: usize = 8;

/// The maximum number of route rules. They are tried one after the other.
pub const ROUTES: usize = 512;

/// `claims.clock_skew_seconds`. Every proxy keeps a record for at least the largest allowed value
/// after its `exp`.
pub const CLOCK_SKEW_SECONDS: Whole = Whole { default: Some(60), least: 0, most: 300 };

/// `claims.max_lifetime_seconds`: up to ten years.
pub const MAX_LIFETIME_SECONDS: Whole = Whole { default: None, least: 1, most: 315_360_000 };

/// `revocation.max_staleness_seconds`. The service may hold a poll for a third of it, in whole
/// seconds.
pub const MAX_STALENESS_SECONDS: Whole = Whole { default: Some(300), least: 3, most: 86_400 };

/// `revocation.signout.timeout_seconds`. A user waits for this long.
pub const SIGNOUT_TIMEOUT_SECONDS: Whole = Whole { default: Some(2), least: 1, most: 30 };

/// `keys[].jwks.refresh_seconds`. A key that the issuer has withdrawn is trusted for this long.
pub const REFRESH_SECONDS: Whole = Whole { default: Some(300), least: 5, most: 86_400 };

/// `forged_token_milliseconds_per_second`. A worker spends at most twice this time of each second:
/// once for admissions and once for sign-outs.
pub const FORGED_TOKEN_MILLISECONDS_PER_SECOND: Whole =
    Whole { default: Some(100), least: 1, most: 400 };

/// `max_token_bytes`. Entra's tokens with 150 groups have about 9 KiB. Envoy limits all headers of
/// a request to 60 KiB by default.
pub const MAX_TOKEN_BYTES: Whole = Whole { default: Some(16_384), least: 1_024, most: 65_536 };

/// The form of a setting's value.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number(Whole),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text with at most this number of bytes.
    Text(usize),
    /// A list with at most this number of texts, none of which is empty.
    Texts(usize),
    /// A list with at most this number of objects.
    Objects(usize),
    /// A claim: its name, or a list of names from the outermost object inwards.
    Claim,
    /// A list with at most this number of claims.
    Claims(usize),
    /// An object with at most this number of texts, by claim; or a list of objects with `claim` and
    /// `header`.
    PerClaim(usize),
    /// Another form, which the description explains.
    Other,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The path of the setting; `[]` stands for any item of a list.
    pub path: &'static str,
    /// The form of its value.
    pub form: Form,
    /// The default as JSON. `None` if the setting is required, or if its absence has another
    /// meaning.
    pub default: Option<&'static str>,
    /// The description, one sentence.
    pub about: &'static str,
    /// What `signout check` says of a value, by value as JSON. The first row that fits applies;
    /// [`ANY`] fits every value but null and the empty list. In a sentence, `{}` is the value.
    pub says: &'static [(&'static str, &'static str)],
}

/// Any value, in [`Setting::says`].
pub const ANY: &str = "any";

impl Setting {
    /// Returns the setting with this path, in which each item of a list may have its index.
    #[must_use]
    pub fn at(path: &str) -> Option<&'static Self> {
        let without_index = |piece: &str| {
            piece.trim_start_matches(|character: char| character.is_ascii_digit()).to_owned()
        };
        let general = path.split('[').map(without_index).collect::<Vec<_>>().join("[");
        SETTINGS.iter().find(|setting| setting.path == general)
    }

    /// Returns the address of its row in the documentation.
    #[must_use]
    pub fn anchor(&self) -> String {
        format!("setting-{}", self.path.replace("[]", "").replace('.', "-"))
    }

    const fn says(mut self, says: &'static [(&'static str, &'static str)]) -> Self {
        self.says = says;
        self
    }
}

/// All settings, in the order of the documentation.
pub const SETTINGS: &[Setting] = &[
    setting(
        "preset",
        Form::Choice(&["open-webui"]),
        None,
        "Fills in the settings that are not written, for that application.",
    ),
    setting(
        "keys",
        Form::Objects(KEYS),
        None,
        "The keys that verify tokens; at least one is required.",
    ),
    setting(
        "keys[].id",
        Form::Text(NAME_BYTES),
        None,
        "The key verifies tokens with this `kid` or without one; a key without id verifies any.",
    ),
    setting(
        "keys[].algorithm",
        Form::Choice(ALGORITHMS),
        None,
        "The algorithm of this key. With `jwks`: the algorithm of its RSA keys without `alg`.",
    ),
    setting(
        "keys[].secret.env",
        Form::Texts(LIST_ITEMS),
        None,
        "An environment variable, or a list: the first that is set and not empty is used.",
    ),
    setting(
        "keys[].secret.inline",
        Form::Text(TEXT_BYTES),
        None,
        "The secret itself, for tests only.",
    ),
    setting(
        "keys[].secret.sds.name",
        Form::Text(NAME_BYTES),
        None,
        "Dynamic module only: the name of a generic secret that Envoy discovers (SDS).",
    ),
    setting(
        "keys[].secret.sds.sds_config",
        Form::Other,
        None,
        "Envoy's `ConfigSource` of that secret. Absent: a secret of the bootstrap's `static_resources`.",
    ),
    setting(
        "keys[].secret.encoding",
        Form::Choice(&["utf8", "base64", "base64url", "hex"]),
        Some(r#""utf8""#),
        "The encoding of the secret. `utf8`: the text itself, including a newline at its end.",
    ),
    setting(
        "keys[].weak_secret",
        Form::Choice(&["refuse", "accept"]),
        Some(r#""refuse""#),
        "`accept` loads a secret that is shorter than the hash (RFC 7518 §3.2).",
    ),
    setting(
        "keys[].public_key_pem",
        Form::Text(TEXT_BYTES),
        None,
        "A PEM public key (`-----BEGIN PUBLIC KEY-----`): RSA of 2,048 to 4,096 bits, P-256, P-384, Ed25519.",
    ),
    setting(
        "keys[].jwks.inline",
        Form::Other,
        None,
        "A JWK Set. Each key is bound to its own `alg` or curve; invalid keys are ignored and logged.",
    ),
    setting(
        "keys[].jwks.cluster",
        Form::Text(NAME_BYTES),
        None,
        "Envoy's cluster that publishes a JWK Set.",
    ),
    setting(
        "keys[].jwks.authority",
        Form::Text(NAME_BYTES),
        None,
        "The `:authority` of the request for the JWK Set.",
    ),
    setting(
        "keys[].jwks.path",
        Form::Text(TEXT_BYTES),
        None,
        "The path of the JWK Set, with query: `/.well-known/jwks.json`.",
    ),
    setting(
        "keys[].jwks.refresh_seconds",
        Form::Number(REFRESH_SECONDS),
        Some("300"),
        "The interval between fetches, and the shortest interval between early fetches for an unknown `kid`.",
    ),
    setting(
        "keys[].issuer",
        Form::Text(TEXT_BYTES),
        None,
        "The required `iss` of tokens that this key verifies.",
    ),
    setting(
        "keys[].audiences",
        Form::Texts(LIST_ITEMS),
        Some("[]"),
        "If not empty: tokens that this key verifies need one of these in `aud`.",
    ),
    setting(
        "claims.issuer",
        Form::Text(TEXT_BYTES),
        Some("null"),
        "The required `iss` of every token.",
    )
    .says(&[(ANY, "iss must be {}")]),
    setting(
        "claims.audiences",
        Form::Texts(LIST_ITEMS),
        Some("[]"),
        "If not empty: every token needs one of these in `aud`.",
    )
    .says(&[(ANY, "aud must contain {or}")]),
    setting(
        "claims.user_id",
        Form::Claim,
        Some(r#""sub""#),
        "The claim with the user id; `null`: tokens need no user id.",
    ),
    setting(
        "claims.session_id",
        Form::Claim,
        Some(r#""sid""#),
        "The claim with the session id, if a token has one: a sign-out ends the whole session. `null`: none.",
    )
    .says(&[("null", "a sign-out ends the token, not its session"), (ANY, "a sign-out ends the session that the claim {} names")]),
    setting(
        "claims.required",
        Form::Claims(LIST_ITEMS),
        Some(r#"["exp", "jti"]"#),
        "Claims that a token must have; without `revocation` the default is `[\"exp\"]`.",
    )
    .says(&[("[]", "no claim is required: a token without exp never expires"), (ANY, "required claims: {and}")]),
    setting(
        "claims.values",
        Form::Other,
        Some("{}"),
        "Claims of which one of the listed values is required: `{\"token_use\": [\"access\"]}`.",
    ),
    setting(
        "claims.bound_tokens",
        Form::Choice(&["accept", "refuse"]),
        Some(r#""accept""#),
        "Whether a token that is bound to a key of its client (`cnf`) is accepted as a bearer token.",
    )
    .says(&[(r#""refuse""#, "a token that is bound to a key of its client (cnf) is refused")]),
    setting(
        "claims.clock_skew_seconds",
        Form::Number(CLOCK_SKEW_SECONDS),
        Some("60"),
        "The tolerated difference between the issuer's clock and the proxy's.",
    )
    .says(&[(ANY, "the clocks of issuer and proxy may differ by {} s")]),
    setting(
        "claims.max_lifetime_seconds",
        Form::Number(MAX_LIFETIME_SECONDS),
        Some("null"),
        "The longest time from `iat` to `exp`.",
    )
    .says(&[(ANY, "at most {} s from iat to exp")]),
    setting(
        "forged_token_milliseconds_per_second",
        Form::Number(FORGED_TOKEN_MILLISECONDS_PER_SECOND),
        Some("100"),
        "Time of each worker for checking wrong signatures, and again for sign-outs; beyond it 503.",
    )
    .says(&[(ANY, "each worker spends at most {} ms of a second on wrong signatures, and again as much on sign-outs")]),
    setting(
        "max_token_bytes",
        Form::Number(MAX_TOKEN_BYTES),
        Some("16384"),
        "The longest token; a longer one is malformed.",
    )
    .says(&[(ANY, "a token has at most {} bytes")]),
    setting(
        "token_sources",
        Form::Objects(TOKEN_SOURCES),
        Some(r#"[{"header": "authorization", "scheme": "Bearer"}]"#),
        "Where tokens may be. The filter checks every token in each of these places.",
    ),
    setting("token_sources[].header", Form::Text(NAME_BYTES), None, "Tokens are in this header."),
    setting(
        "token_sources[].scheme",
        Form::Text(NAME_BYTES),
        None,
        "The token follows this word, or any word if it is `*`. If absent, the whole value is the token.",
    ),
    setting("token_sources[].cookie", Form::Text(NAME_BYTES), None, "Tokens are in this cookie."),
    setting(
        "token_sources[].query",
        Form::Text(NAME_BYTES),
        None,
        "Tokens are in this query parameter.",
    ),
    setting(
        "token_sources[].pass_prefix",
        Form::Text(PREFIX_BYTES),
        None,
        "Values with this prefix are API keys, which the application checks; they are not tokens.",
    ),
    setting(
        "token_sources[].routes",
        Form::Objects(LIST_ITEMS),
        None,
        "Tokens of this source admit only these requests; each item has `path`, `prefix` or `template`. If absent: all.",
    ),
    setting(
        "token_sources[].routes[].path",
        Form::Text(TEXT_BYTES),
        None,
        "Matches exactly this path.",
    ),
    setting(
        "token_sources[].routes[].prefix",
        Form::Text(TEXT_BYTES),
        None,
        "Prefix match by segments: `/a` matches `/a` and `/a/…`, but not `/ab`.",
    ),
    setting(
        "token_sources[].routes[].template",
        Form::Text(TEXT_BYTES),
        None,
        "Matches paths with these segments; `{name}` matches any one segment.",
    ),
    setting(
        "token_sources[].routes[].upgrade",
        Form::Flag,
        None,
        "`true`: only upgrades (WebSocket), of HTTP/1 and HTTP/2.",
    ),
    setting(
        "token_sources[].routes[].methods",
        Form::Texts(LIST_ITEMS),
        None,
        "Matches only these methods. If absent: all methods.",
    ),
    setting(
        "token_sources[].routes[].hosts",
        Form::Texts(LIST_ITEMS),
        None,
        "Matches only these hosts, as in `routes[].hosts`.",
    ),
    setting(
        "forward.user_id",
        Form::Text(NAME_BYTES),
        Some(r#""x-user-id""#),
        "The header in which the application receives the user id; `null`: none.",
    ),
    setting(
        "forward.claims",
        Form::PerClaim(LIST_ITEMS),
        Some("{}"),
        "Claims that the application receives, each with its header.",
    ),
    setting(
        "forward.token",
        Form::Choice(&["keep", "strip"]),
        Some(r#""keep""#),
        "Whether the application receives the token; `strip` breaks Envoy's internal redirects.",
    )
    .says(&[(r#""strip""#, "does not receive the token, except on a sign-out"), (ANY, "receives the token, too")]),
    setting(
        "forward.filter_state",
        Form::Flag,
        Some("false"),
        "Whether access logs and other filters receive the user id, as `wasm.session_guard.user_id`.",
    )
    .says(&[("true", "access logs receive the user id as wasm.session_guard.user_id")]),
    setting(
        "answers.missing_token",
        Form::Text(NAME_BYTES),
        None,
        "The `detail` of a 401 for a request without a token.",
    ),
    setting(
        "answers.invalid_token",
        Form::Text(NAME_BYTES),
        None,
        "The `detail` of every other 401.",
    ),
    setting("answers.unavailable", Form::Text(NAME_BYTES), None, "The `detail` of a 503."),
    setting(
        "routes",
        Form::Objects(ROUTES),
        Some("[]"),
        "Rules for paths; the first that matches decides.",
    ),
    setting("routes[].path", Form::Text(TEXT_BYTES), None, "Matches exactly this path."),
    setting(
        "routes[].prefix",
        Form::Text(TEXT_BYTES),
        None,
        "Prefix match. For `public` and `optional` rules, `/a` matches `/a` and `/a/…`, but not `/ab`.",
    ),
    setting(
        "routes[].template",
        Form::Text(TEXT_BYTES),
        None,
        "Matches paths with these segments; `{name}` matches any one segment.",
    ),
    setting("routes[].preflight", Form::Flag, None, "`true` matches CORS preflights."),
    setting(
        "routes[].upgrade",
        Form::Flag,
        None,
        "`true`: only upgrades (WebSocket), of HTTP/1 and HTTP/2.",
    ),
    setting(
        "routes[].access",
        Form::Choice(&["public", "optional", "protected", "signout", "ready"]),
        None,
        "What the filter requires of requests that match.",
    ),
    setting(
        "routes[].methods",
        Form::Texts(LIST_ITEMS),
        None,
        "Matches only these methods. If absent: all methods, for `signout` only POST.",
    ),
    setting(
        "routes[].hosts",
        Form::Texts(LIST_ITEMS),
        None,
        "Matches only these hosts, in lower case, without port; `*.example.com` matches all subdomains.",
    ),
    setting(
        "routes[].cross_site",
        Form::Choice(&["forward", "revoke"]),
        Some(r#""forward""#),
        "Whether a sign-out that comes from another site's page revokes the token.",
    ),
    setting(
        "routes[].api_keys",
        Form::Choice(&["pass", "refuse"]),
        Some(r#""pass""#),
        "Whether an API key is accepted in place of a token; only for protected routes.",
    ),
    setting(
        "routes[].revoke_user",
        Form::Other,
        None,
        "A 2xx response signs a user out everywhere: `\"token\"`, or `{\"segment\": \"id\"}`.",
    ),
    setting(
        "default_access",
        Form::Choice(&["public", "optional", "protected"]),
        Some(r#""protected""#),
        "What the filter requires if no rule matches.",
    ),
    setting(
        "enforce",
        Form::Flag,
        Some("true"),
        "Whether requests are refused. `false` is a dry run: `would_refuse` counts the refusals.",
    )
    .says(&[("false", "DRY RUN: no request is refused; would_refuse counts the refusals")]),
    setting(
        "revocation.upstream.cluster",
        Form::Text(NAME_BYTES),
        Some(r#""signout""#),
        "Envoy's cluster of the signout service.",
    ),
    setting(
        "revocation.upstream.authority",
        Form::Text(NAME_BYTES),
        Some(r#""signout""#),
        "The `:authority` of calls to the signout service.",
    ),
    setting(
        "revocation.upstream.token",
        Form::Other,
        Some(r#"{"env": "SIGNOUT_TOKEN"}"#),
        "The service's API token, written like a secret; of several, the first is used.",
    ),
    setting(
        "revocation.realm",
        Form::Text(NAME_BYTES),
        Some(r#""""#),
        "Separates applications that use one signout service.",
    )
    .says(&[(r#""""#, ""), (ANY, "in the realm {}")]),
    setting(
        "revocation.max_staleness_seconds",
        Form::Number(MAX_STALENESS_SECONDS),
        Some("300"),
        "The age at which the revocation set is stale.",
    )
    .says(&[(ANY, "a set that was last updated {} s ago is stale")]),
    setting(
        "revocation.when_unknown",
        Form::Choice(&["refuse", "use_last"]),
        Some(r#""refuse""#),
        "What happens while the set is stale: 503, or the last set decides.",
    )
    .says(&[(r#""use_last""#, "while the set is stale: the last known set decides"), (ANY, "while the set is stale: 503 on protected routes; optional routes have no user")]),
    setting(
        "revocation.signout.timeout_seconds",
        Form::Number(SIGNOUT_TIMEOUT_SECONDS),
        Some("2"),
        "How long a sign-out waits for the signout service.",
    )
    .says(&[(ANY, "a sign-out waits {} s for the service")]),
    setting(
        "revocation.signout.when_unreachable",
        Form::Choice(&["forward", "refuse"]),
        Some(r#""forward""#),
        "What happens to a sign-out if the service does not respond in time: forward it, or respond 503.",
    )
    .says(&[(r#""refuse""#, "if the service does not respond: 503; the token stays revoked on this proxy"), (ANY, "if the service does not respond: the sign-out is forwarded; the token is revoked on this proxy, and the service receives the revocation later")]),
    setting(
        "revocation.streams.end_on_revocation",
        Form::Flag,
        Some("true"),
        "Whether open streams end when their token is revoked.",
    )
    .says(&[("true", "open requests (WebSocket, events, gRPC) end when their token is revoked"), (ANY, "open requests stay open when their token is revoked")]),
    setting(
        "revocation.streams.end_at_expiry",
        Form::Flag,
        Some("false"),
        "Whether open streams end when their token expires.",
    )
    .says(&[("true", "open requests end when their token expires")]),
];

const fn setting(
    path: &'static str,
    form: Form,
    default: Option<&'static str>,
    about: &'static str,
) -> Setting {
    Setting { path, form, default, about, says: &[] }
}
