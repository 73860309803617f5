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
        "Fills what is not written with what holds for that application.",
    ),
    setting("keys", Form::Objects(KEYS), None, "The keys that verify tokens; at least one."),
    setting(
        "keys[].id",
        Form::Text(NAME_BYTES),
        None,
        "Takes tokens of that `kid` or of none; a key without id takes any.",
    ),
    setting(
        "keys[].algorithm",
        Form::Choice(ALGORITHMS),
        None,
        "The one algorithm of this key; beside `jwks`: of its RSA keys without `alg`.",
    ),
    setting(
        "keys[].secret.env",
        Form::Texts(LIST_ITEMS),
        None,
        "An environment variable, or several: the first that is set and not empty.",
    ),
    setting("keys[].secret.inline", Form::Text(TEXT_BYTES), None, "The secret itself: for tests."),
    setting(
        "keys[].secret.encoding",
        Form::Choice(&["utf8", "base64", "base64url", "hex"]),
        Some(r#""utf8""#),
        "How the bytes are written; `utf8`: the text itself, to its last newline.",
    ),
    setting(
        "keys[].weak_secret",
        Form::Choice(&["refuse", "accept"]),
        Some(r#""refuse""#),
        "Whether a secret shorter than the hash loads (RFC 7518 §3.2).",
    ),
    setting(
        "keys[].public_key_pem",
        Form::Text(TEXT_BYTES),
        None,
        "`-----BEGIN PUBLIC KEY-----` and so on: RSA of 2,048 to 4,096 bits, P-256, P-384, Ed25519.",
    ),
    setting(
        "keys[].jwks.inline",
        Form::Other,
        None,
        "A JWK Set; each key is bound to its own `alg` or curve, bad ones are left out and logged.",
    ),
    setting(
        "keys[].jwks.cluster",
        Form::Text(NAME_BYTES),
        None,
        "Envoy's name of the cluster that publishes a JWK Set.",
    ),
    setting(
        "keys[].jwks.authority",
        Form::Text(NAME_BYTES),
        None,
        "The `:authority` of the request for it.",
    ),
    setting(
        "keys[].jwks.path",
        Form::Text(TEXT_BYTES),
        None,
        "Its path there, with query: `/.well-known/jwks.json`.",
    ),
    setting(
        "keys[].jwks.refresh_seconds",
        Form::Number(REFRESH_SECONDS),
        Some("300"),
        "How old it may get; also how often a token with an unknown `kid` fetches it early.",
    ),
    setting("keys[].issuer", Form::Text(TEXT_BYTES), None, "What `iss` of its tokens must be."),
    setting(
        "keys[].audiences",
        Form::Texts(LIST_ITEMS),
        Some("[]"),
        "`aud` of its tokens must name one of these, if there are any.",
    ),
    setting("claims.issuer", Form::Text(TEXT_BYTES), Some("null"), "What `iss` must be."),
    setting(
        "claims.audiences",
        Form::Texts(LIST_ITEMS),
        Some("[]"),
        "`aud` must name one of these, if there are any.",
    ),
    setting(
        "claims.user_id",
        Form::Text(NAME_BYTES),
        Some(r#""sub""#),
        "The claim that names the user; `null`: no user is asked for.",
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
        "How far the issuer's clock and ours may differ.",
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
        "Where tokens may be; every token in every place counts.",
    ),
    setting("token_sources[].header", Form::Text(NAME_BYTES), None, "In this header."),
    setting(
        "token_sources[].scheme",
        Form::Text(NAME_BYTES),
        None,
        "After this word, after any for `*`; without it the header's whole value is the token.",
    ),
    setting("token_sources[].cookie", Form::Text(NAME_BYTES), None, "In this cookie."),
    setting("token_sources[].query", Form::Text(NAME_BYTES), None, "In this query parameter."),
    setting(
        "token_sources[].pass_prefix",
        Form::Text(PREFIX_BYTES),
        None,
        "What begins so is an API key and no token: for the application to judge.",
    ),
    setting(
        "forward.user_id",
        Form::Text(NAME_BYTES),
        Some(r#""x-user-id""#),
        "The header that names the user to the application; `null`: none.",
    ),
    setting(
        "forward.claims",
        Form::Pairs(LIST_ITEMS),
        Some("{}"),
        "Claims that the application gets, each with its header.",
    ),
    setting(
        "forward.token",
        Form::Choice(&["keep", "strip"]),
        Some(r#""keep""#),
        "Whether the application gets the token; `strip` breaks Envoy's internal redirects.",
    ),
    setting(
        "forward.filter_state",
        Form::Flag,
        Some("false"),
        "Whether access logs and other filters get the user id, as `wasm.session_guard.user_id`.",
    ),
    setting(
        "answers.missing_token",
        Form::Text(NAME_BYTES),
        None,
        "The `detail` of a 401 where no token came, in the application's own words.",
    ),
    setting("answers.invalid_token", Form::Text(NAME_BYTES), None, "The same of every other 401."),
    setting("answers.unavailable", Form::Text(NAME_BYTES), None, "The same of a 503."),
    setting("routes", Form::Objects(ROUTES), Some("[]"), "Rules; the first that matches decides."),
    setting("routes[].path", Form::Text(TEXT_BYTES), None, "Matches this path."),
    setting(
        "routes[].prefix",
        Form::Text(TEXT_BYTES),
        None,
        "Matches paths that begin so; rules that open take `/a` for `/a` and `/a/…` alone.",
    ),
    setting(
        "routes[].template",
        Form::Text(TEXT_BYTES),
        None,
        "Matches paths of these segments; `{name}` stands for any one.",
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
        "What is asked of requests that match.",
    ),
    setting(
        "routes[].methods",
        Form::Texts(LIST_ITEMS),
        None,
        "Only these methods; absent: all, for `signout` only POST.",
    ),
    setting(
        "routes[].hosts",
        Form::Texts(LIST_ITEMS),
        None,
        "Only these hosts, lower case, without port; `*.example.com` for all below one.",
    ),
    setting(
        "routes[].cross_site",
        Form::Choice(&["forward", "revoke"]),
        Some(r#""forward""#),
        "Whether a sign-out that another site's page causes revokes.",
    ),
    setting(
        "routes[].api_keys",
        Form::Choice(&["pass", "refuse"]),
        Some(r#""pass""#),
        "Whether an API key stands for a token there; only on protected routes.",
    ),
    setting(
        "routes[].revoke_user",
        Form::Other,
        None,
        "A 2xx answer signs a user out everywhere: `\"token\"`, or `{\"segment\": \"id\"}`.",
    ),
    setting(
        "default_access",
        Form::Choice(&["public", "optional", "protected"]),
        Some(r#""protected""#),
        "What is asked where no rule matches.",
    ),
    setting(
        "revocation.upstream.cluster",
        Form::Text(NAME_BYTES),
        Some(r#""signout""#),
        "Envoy's name of the signout service's cluster.",
    ),
    setting(
        "revocation.upstream.authority",
        Form::Text(NAME_BYTES),
        Some(r#""signout""#),
        "The `:authority` of calls to it.",
    ),
    setting(
        "revocation.upstream.token",
        Form::Other,
        Some(r#"{"env": "SIGNOUT_TOKEN"}"#),
        "The service's API token, written like a secret; of several the first is used.",
    ),
    setting(
        "revocation.realm",
        Form::Text(NAME_BYTES),
        Some(r#""""#),
        "Separates applications behind one service.",
    ),
    setting(
        "revocation.max_staleness_seconds",
        Form::Number(MAX_STALENESS_SECONDS),
        Some("300"),
        "Age from which on the revocation set counts as unknown.",
    ),
    setting(
        "revocation.when_unknown",
        Form::Choice(&["refuse", "use_last"]),
        Some(r#""refuse""#),
        "What happens to requests then: 503, or the set that there was decides.",
    ),
    setting(
        "revocation.signout.timeout_seconds",
        Form::Number(SIGNOUT_TIMEOUT_SECONDS),
        Some("2"),
        "How long a sign-out waits for the service.",
    ),
    setting(
        "revocation.signout.when_unreachable",
        Form::Choice(&["forward", "refuse"]),
        Some(r#""forward""#),
        "What happens to a sign-out that the service does not answer in time.",
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
