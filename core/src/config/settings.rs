//! Which settings are there, what are their defaults, and how far may they go?
//!
//! Every number that bounds the configuration stands here, once. [`SETTINGS`] lists all settings;
//! tests hold it against the parser: each default written out changes nothing, each limit is the
//! last value that loads.

pub use crate::config::limits::Whole;

/// Longest configuration, in bytes: Envoy copies it into every VM.
pub const CONFIGURATION_BYTES: usize = 1 << 20;

/// Longest name: of a claim, cookie, header, query parameter, key, cluster.
pub const NAME_BYTES: usize = 256;

/// Longest `pass_prefix`; the shortest has two signs.
pub const PREFIX_BYTES: usize = 32;

/// Longest other text: path, issuer, audience, inline secret.
pub const TEXT_BYTES: usize = 4096;

/// Most keys, those of inline JWK Sets counted one by one; a fetched set may have as many again.
pub const KEYS: usize = 64;

/// Most JWK Sets that are fetched: each VM looks at each on every tick.
pub const KEY_SETS: usize = 8;

/// Most keys without id of one algorithm: all are tried on one token. A `kid` picks its key.
pub const KEYS_TRIED: usize = 8;

/// All that a key may be bound to.
pub const ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA",
];

/// Most audiences, required claims, forwarded claims, environment variables of one secret.
pub const LIST_ITEMS: usize = 32;

/// Most places for tokens: each is searched on every request.
pub const TOKEN_SOURCES: usize = 8;

/// Most rules: they are tried one after the other.
pub const ROUTES: usize = 512;

/// `claims.clock_skew_seconds`: a record is kept for as long beyond `exp`, on every proxy.
pub const CLOCK_SKEW_SECONDS: Whole = Whole { default: Some(60), least: 0, most: 300 };

/// `claims.max_lifetime_seconds`: up to ten years.
pub const MAX_LIFETIME_SECONDS: Whole = Whole { default: None, least: 1, most: 315_360_000 };

/// `revocation.max_staleness_seconds`: a poll waits a third of it, in whole seconds.
pub const MAX_STALENESS_SECONDS: Whole = Whole { default: Some(300), least: 3, most: 86_400 };

/// `revocation.signout.timeout_seconds`: a person waits.
pub const SIGNOUT_TIMEOUT_SECONDS: Whole = Whole { default: Some(2), least: 1, most: 30 };

/// `keys[].jwks.refresh_seconds`: for so long a key that the issuer has withdrawn is trusted.
pub const REFRESH_SECONDS: Whole = Whole { default: Some(300), least: 5, most: 86_400 };

/// `forged_token_milliseconds_per_second`: twice that is the most of a worker's time.
pub const FORGED_TOKEN_MILLISECONDS_PER_SECOND: Whole =
    Whole { default: Some(250), least: 1, most: 400 };

/// `max_token_bytes`: Entra's tokens with 150 groups have about 9 KiB. Envoy limits all headers of a
/// request to 60 KiB by default.
pub const MAX_TOKEN_BYTES: Whole = Whole { default: Some(16_384), least: 1_024, most: 65_536 };

/// What may be written.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number(Whole),
    /// One of these.
    Choice(&'static [&'static str]),
    /// Text of at most so many bytes.
    Text(usize),
    /// A list of at most so many texts, not empty each.
    Texts(usize),
    /// A list of at most so many objects.
    Objects(usize),
    /// An object of texts: at most so many.
    Pairs(usize),
    /// Something else; the doc says what.
    Other,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Where it stands; `[]` for any item.
    pub path: &'static str,
    /// What may be written.
    pub form: Form,
    /// Its default as JSON; `None`: it must be written, or its absence means something of its own.
    pub default: Option<&'static str>,
    /// One sentence.
    pub about: &'static str,
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
        "keys[].secret.encoding",
        Form::Choice(&["utf8", "base64", "base64url", "hex"]),
        Some(r#""utf8""#),
        "The encoding of the secret. `utf8`: the text itself, without the last newline.",
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
    ),
    setting(
        "claims.audiences",
        Form::Texts(LIST_ITEMS),
        Some("[]"),
        "If not empty: every token needs one of these in `aud`.",
    ),
    setting(
        "claims.user_id",
        Form::Text(NAME_BYTES),
        Some(r#""sub""#),
        "The claim with the user id; `null`: tokens need no user id.",
    ),
    setting(
        "claims.required",
        Form::Texts(LIST_ITEMS),
        Some(r#"["exp", "jti"]"#),
        "Claims that a token must have; without `revocation` the default is `[\"exp\"]`.",
    ),
    setting(
        "claims.clock_skew_seconds",
        Form::Number(CLOCK_SKEW_SECONDS),
        Some("60"),
        "The tolerated difference between the issuer's clock and the proxy's.",
    ),
    setting(
        "claims.max_lifetime_seconds",
        Form::Number(MAX_LIFETIME_SECONDS),
        Some("null"),
        "The longest time from `iat` to `exp`.",
    ),
    setting(
        "forged_token_milliseconds_per_second",
        Form::Number(FORGED_TOKEN_MILLISECONDS_PER_SECOND),
        Some("250"),
        "Time of each worker for checking wrong signatures, and again for sign-outs; beyond it 503.",
    ),
    setting(
        "max_token_bytes",
        Form::Number(MAX_TOKEN_BYTES),
        Some("16384"),
        "The longest token; a longer one is malformed.",
    ),
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
        "forward.user_id",
        Form::Text(NAME_BYTES),
        Some(r#""x-user-id""#),
        "The header in which the application receives the user id; `null`: none.",
    ),
    setting(
        "forward.claims",
        Form::Pairs(LIST_ITEMS),
        Some("{}"),
        "Claims that the application receives, each with its header.",
    ),
    setting(
        "forward.token",
        Form::Choice(&["keep", "strip"]),
        Some(r#""keep""#),
        "Whether the application receives the token; `strip` breaks Envoy's internal redirects.",
    ),
    setting(
        "forward.filter_state",
        Form::Flag,
        Some("false"),
        "Whether access logs and other filters receive the user id, as `wasm.session_guard.user_id`.",
    ),
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
    ),
    setting(
        "revocation.max_staleness_seconds",
        Form::Number(MAX_STALENESS_SECONDS),
        Some("300"),
        "The age at which the revocation set is stale.",
    ),
    setting(
        "revocation.when_unknown",
        Form::Choice(&["refuse", "use_last"]),
        Some(r#""refuse""#),
        "What happens while the set is stale: 503, or the last set decides.",
    ),
    setting(
        "revocation.signout.timeout_seconds",
        Form::Number(SIGNOUT_TIMEOUT_SECONDS),
        Some("2"),
        "How long a sign-out waits for the signout service.",
    ),
    setting(
        "revocation.signout.when_unreachable",
        Form::Choice(&["forward", "refuse"]),
        Some(r#""forward""#),
        "What happens to a sign-out if the service does not respond in time: forward it, or respond 503.",
    ),
    setting(
        "revocation.streams.end_on_revocation",
        Form::Flag,
        Some("true"),
        "Whether open streams end when their token is revoked.",
    ),
    setting(
        "revocation.streams.end_at_expiry",
        Form::Flag,
        Some("false"),
        "Whether open streams end when their token expires.",
    ),
];

const fn setting(
    path: &'static str,
    form: Form,
    default: Option<&'static str>,
    about: &'static str,
) -> Setting {
    Setting { path, form, default, about }
}
