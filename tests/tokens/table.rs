//! The table of tokens and their verdicts: for our own verifier, for the module in Envoy, and for
//! Envoy's own filter.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use jwt_simple::algorithms::{HS256Key, HS384Key, HS512Key, MACLike};
use serde_json::json;
use session_guard_core::refusal::Refusal::{self, *};

/// The user id that the application receives, or the refusal.
pub(crate) type TokenVerdict = Result<&'static str, Refusal>;

pub(crate) const ADA: TokenVerdict = Ok("ada");

pub(crate) fn filter() -> serde_json::Value {
    json!({
        "keys": [
            {"id": "a", "algorithm": "HS256", "secret": {"inline": A}},
            {"id": "b", "algorithm": "HS256", "secret": {"inline": B}, "audiences": ["web"]},
            {"algorithm": "HS384", "secret": {"inline": C}},
            {"id": "d", "algorithm": "HS512", "secret": {"inline": C}},
        ],
        "claims": {
            "issuer": "https://id.example",
            "audiences": ["api", "web"],
            "required": ["exp", "jti", "tenant"],
            "max_lifetime_seconds": 100_000,
        },
        "routes": [{"path": "/.session-guard/ready", "access": "ready"}],
        "revocation": {},
    })
}

/// A name, a token and its verdict.
pub(crate) type TokenCase = (String, String, TokenVerdict);

/// Returns all tokens whose verdict does not depend on the exact second.
pub(crate) fn cases(now: u64) -> Vec<TokenCase> {
    let mut cases = headers(now);
    cases.extend(keys(now));
    cases.extend(claims(now));
    cases.extend(texts(now));
    cases.extend(lengths(now));
    cases
}

fn headers(now: u64) -> Vec<TokenCase> {
    let cases: &[(&str, &str, TokenVerdict)] = &[
        ("typ", "\"JWT\"", ADA),
        ("typ", "\"application/at+jwt\"", ADA),
        ("typ", "\"dpop+jwt\"", Err(MalformedToken)),
        ("typ", "7", Err(MalformedToken)),
        ("kid", "\"a\"", ADA),
        ("kid", "\"b\"", Err(BadSignature)),
        ("kid", "\"A\"", Err(UnknownKey)),
        ("kid", "\"../a\"", Err(UnknownKey)),
        ("kid", "null", Err(MalformedToken)),
        ("alg", "\"HS256\"", ADA),
        ("alg", "\"hs256\"", Err(UnsupportedAlgorithm)),
        ("alg", "\"none\"", Err(UnsupportedAlgorithm)),
        ("alg", "\"nOnE\"", Err(UnsupportedAlgorithm)),
        ("alg", "\"RS256\"", Err(UnsupportedAlgorithm)),
        ("alg", "\"HS999\"", Err(UnsupportedAlgorithm)),
        ("alg", "null", Err(MalformedToken)),
        ("alg", "[\"HS256\"]", Err(MalformedToken)),
        ("\\u0061lg", "\"none\"", Err(MalformedToken)), // a duplicate name
        ("crit", "[\"exp\"]", Err(MalformedToken)),
        ("crit", "[]", Err(MalformedToken)),
        ("b64", "true", Err(MalformedToken)),
        ("zip", "\"DEF\"", Err(MalformedToken)),
        ("cty", "\"JWT\"", ADA),
        ("jku", "\"https://evil.example/keys\"", ADA), // ignored
        ("x", "{\"a\":1,\"b\":1}", ADA),
        ("x", "{\"a\":1,\"a\":1}", Err(MalformedToken)),
    ];
    let draft = |(name, json, verdict): &(&str, &str, TokenVerdict)| {
        let token = Draft::new(now).header(name, json).sign();
        (format!("header {name}: {json}"), token, *verdict)
    };
    cases.iter().map(draft).collect()
}

fn keys(now: u64) -> Vec<TokenCase> {
    let draft = || Draft::new(now);
    let algorithm = |name: &str| draft().header("alg", &format!("{name:?}"));
    let cases = [
        ("the first key", draft().sign(), ADA),
        ("the second key", draft().claim("aud", "\"web\"").sign_with(B), ADA),
        ("the second key, an audience of the first", draft().sign_with(B), Err(WrongAudience)),
        ("a key of nobody", draft().sign_with(C), Err(BadSignature)),
        ("HS384", algorithm("HS384").sign_with(C), ADA),
        ("HS384 of another secret", algorithm("HS384").sign_with(A), Err(BadSignature)),
        ("HS384 of any kid", algorithm("HS384").header("kid", "\"z\"").sign_with(C), ADA),
        ("HS512", algorithm("HS512").sign_with(C), ADA),
        (
            "HS512 of another kid",
            algorithm("HS512").header("kid", "\"a\"").sign_with(C),
            Err(UnknownKey),
        ),
        ("a signature cut to 31 bytes", draft().sign_to(31), Err(BadSignature)),
        ("a signature of 33 bytes", draft().sign_to(33), Err(BadSignature)),
        ("no signature", format!("{}.", draft().input()), Err(MalformedToken)),
        (
            "none and no signature",
            format!("{}.", algorithm("none").input()),
            Err(UnsupportedAlgorithm),
        ),
    ];
    cases.map(|(name, token, verdict)| (name.to_owned(), token, verdict)).to_vec()
}

fn claims(now: u64) -> Vec<TokenCase> {
    let long = |length| format!("{:?}", "a".repeat(length));
    let cases: &[(&str, &str, TokenVerdict)] = &[
        ("iss", "\"https:\\/\\/id.example\"", ADA), // the same string, escaped
        ("iss", "\"https://id.example/\"", Err(WrongIssuer)),
        ("iss", "\"\"", Err(WrongIssuer)),
        ("iss", "", Err(WrongIssuer)),
        ("iss", "null", Err(BadClaims)),
        ("iss", "[\"https://id.example\"]", Err(BadClaims)),
        ("aud", "\"web\"", ADA),
        ("aud", "[\"x\",\"web\"]", ADA),
        ("aud", "[\"x\"]", Err(WrongAudience)),
        ("aud", "[]", Err(WrongAudience)),
        ("aud", "\"api/\"", Err(WrongAudience)),
        ("aud", "\"https://api\"", Err(WrongAudience)),
        ("aud", "", Err(WrongAudience)),
        ("aud", "[\"api\",7]", Err(BadClaims)),
        ("aud", "{\"api\":1}", Err(BadClaims)),
        ("tenant", "0", ADA),
        ("tenant", "null", Err(BadClaims)),
        ("tenant", "", Err(BadClaims)),
        ("exp", "", Err(BadClaims)),
        ("exp", "\"1795332120\"", Err(BadClaims)),
        ("exp", "null", Err(BadClaims)),
        ("exp", "1e400", Err(BadClaims)),
        ("exp", "-1", Err(BadClaims)),
        ("exp", "1099511627776", Err(BadClaims)), // 2^40
        ("exp", "0", Err(Expired)),
        ("nbf", "0", ADA),
        ("nbf", "1099511627775", Err(NotYetValid)),
        ("nbf", "\"0\"", Err(BadClaims)),
        ("iat", "", Err(BadClaims)), // needed for `max_lifetime_seconds`
        ("iat", "1", Err(BadClaims)),
        ("iat", "1099511627775", Err(NotYetValid)),
        ("jti", &long(256), ADA),
        ("jti", &long(257), Err(BadClaims)),
        ("jti", "\"\"", Err(BadClaims)),
        ("jti", "7", Err(BadClaims)),
        ("jti", "", Err(BadClaims)),
        ("sub", "42", Ok("42")),
        ("sub", "-7", Ok("-7")),
        ("sub", "42.0", Err(BadClaims)),
        ("sub", "4e1", Err(BadClaims)),
        ("sub", "true", Err(BadClaims)),
        ("sub", "\"m\\u00fcller\"", Ok("m\u{fc}ller")),
        ("sub", "\"a b\"", Ok("a b")),
        ("sub", "\" ada\"", Err(BadClaims)),
        ("sub", "\"a\\r\\nx-admin: 1\"", Err(BadClaims)),
        ("sub", "\"a\\u0000\"", Err(BadClaims)),
        ("sub", "\"\\ud800\"", Err(MalformedToken)), // half a surrogate pair
        ("sub", &long(257), Err(BadClaims)),
        ("sub", "\"\"", Err(BadClaims)),
        ("sub", "", Err(BadClaims)),
        ("\\u0073ub", "\"eve\"", Err(MalformedToken)), // a duplicate name
        ("role", "\"admin\"", ADA),
        ("role", "{}", ADA),
        ("role", "\"a\\nb\"", ADA),
        ("deep", &format!("{}{}", "[".repeat(16), "]".repeat(16)), ADA),
        ("deep", &format!("{}{}", "[".repeat(17), "]".repeat(17)), Err(MalformedToken)),
    ];
    let draft = |(name, json, verdict): &(&str, &str, TokenVerdict)| {
        let token = Draft::new(now).claim(name, json).sign();
        (format!("claim {name}: {}", &json[..json.len().min(40)]), token, *verdict)
    };
    cases.iter().map(draft).collect()
}

/// Returns texts that are not tokens, or other spellings of one.
fn texts(now: u64) -> Vec<TokenCase> {
    let sound = Draft::new(now).sign();
    let (input, signature) = sound.rsplit_once('.').expect("a signature");
    let (header, payload) = input.split_once('.').expect("a payload");
    let payload_of = |text: &str| Draft::new(now).payload(text).sign();
    let cases = [
        ("one part", header.to_owned()),
        ("two parts", input.to_owned()),
        ("four parts", format!("{sound}.{signature}")),
        ("a last dot", format!("{sound}.")),
        ("a first dot", format!(".{sound}")),
        ("no header", format!(".{payload}.{signature}")),
        ("no payload", format!("{header}..{signature}")),
        ("dots", ".".repeat(4_000)),
        ("a scheme more", format!("Bearer {sound}")),
        ("a payload of null", payload_of("null")),
        ("a payload in a list", payload_of("[{}]")),
        ("a payload of two objects", payload_of("{}{}")),
        ("a payload in single quotes", payload_of("{'sub':'ada'}")),
        ("a payload of nothing", payload_of("")),
    ];
    let cases = cases.into_iter().chain(spellings(&sound));
    cases.map(|(name, token)| (name.to_owned(), token, Err(MalformedToken))).collect()
}

/// Returns other spellings of a token, which lenient decoders read as the same token.
pub(crate) fn spellings(token: &str) -> Vec<(&'static str, String)> {
    let (input, signature) = token.rsplit_once('.').expect("a signature");
    let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let (shorter, last) = token.split_at(token.len() - 1);
    // 32 bytes leave two bits of the last character unused.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = &alphabet[alphabet.find(last).expect("base64url") + 1..][..1];
    let mut spellings = vec![
        ("with padding", format!("{input}.{}", URL_SAFE.encode(&bytes))),
        ("with trailing bits", format!("{shorter}{next}")),
        ("with a space inside", format!("{} {}", &token[..40], &token[40..])),
        ("with a tab inside", format!("{}\t{}", &token[..40], &token[40..])),
        ("with an escape", token.replacen('.', "%2E", 1)),
        ("in quotes", format!("\"{token}\"")),
    ];
    let other = STANDARD_NO_PAD.encode(&bytes);
    if other != signature {
        spellings.push(("in the other alphabet", format!("{input}.{other}")));
    }
    spellings
}

/// Returns a token of `max_token_bytes`, which is accepted, and longer ones, which are refused.
fn lengths(now: u64) -> Vec<TokenCase> {
    let of_length = |length: usize| {
        let token = |n: usize| Draft::new(now).claim("x", &format!("{:?}", "x".repeat(n))).sign();
        let short = (length - token(0).len()) * 3 / 4 - 8;
        (short..short + 16).map(token).find(|token| token.len() >= length).expect("a length")
    };
    let (longest, longer) = (of_length(16_383), of_length(16_385));
    assert!(
        longest.len() <= 16_384 && longer.len() <= 16_387,
        "{} {}",
        longest.len(),
        longer.len()
    );
    vec![
        ("as long as may be".to_owned(), longest, ADA),
        ("longer than that".to_owned(), longer, Err(MalformedToken)),
    ]
}

/// Returns tokens at the seconds at which verdicts change, with a clock skew of 60.
pub(crate) fn times(now: u64) -> Vec<TokenCase> {
    let cases = [
        ("exp", now - 59, ADA),
        ("exp", now - 60, Err(Expired)),
        ("nbf", now + 60, ADA),
        ("nbf", now + 61, Err(NotYetValid)),
        ("iat", now + 60, ADA),
        ("iat", now + 61, Err(NotYetValid)),
        ("exp", now - 60 + 100_000, ADA), // the longest lifetime
        ("exp", now - 59 + 100_000, Err(BadClaims)),
    ];
    let draft = |(name, seconds, verdict): (&str, u64, TokenVerdict)| {
        let token = Draft::new(now).claim(name, &seconds.to_string()).sign();
        (format!("{name}: now {:+}", seconds.cast_signed() - now.cast_signed()), token, verdict)
    };
    cases.map(draft).to_vec()
}

/// A valid token, of which a case changes one member.
pub(crate) struct Draft {
    header: Vec<(String, String)>,
    claims: Vec<(String, String)>,
    payload: Option<String>,
}

impl Draft {
    pub(crate) fn new(now: u64) -> Self {
        Self { header: Vec::new(), claims: Vec::new(), payload: None }
            .header("alg", "\"HS256\"")
            .claim("sub", "\"ada\"")
            .claim("jti", "\"one\"")
            .claim("iss", "\"https://id.example\"")
            .claim("aud", "\"api\"")
            .claim("tenant", "\"t\"")
            .claim("iat", &(now - 60).to_string())
            .claim("exp", &(now + 3_600).to_string())
    }

    fn header(mut self, name: &str, json: &str) -> Self {
        set(&mut self.header, name, json);
        self
    }

    /// Sets a claim; an empty text removes it.
    fn claim(mut self, name: &str, json: &str) -> Self {
        set(&mut self.claims, name, json);
        self
    }

    fn payload(mut self, text: &str) -> Self {
        self.payload = Some(text.to_owned());
        self
    }

    fn input(&self) -> String {
        let payload = self.payload.clone().unwrap_or_else(|| object(&self.claims));
        let [header, payload] = [object(&self.header), payload].map(|t| URL_SAFE_NO_PAD.encode(t));
        format!("{header}.{payload}")
    }

    pub(crate) fn sign(&self) -> String {
        self.sign_with(A)
    }

    fn sign_with(&self, secret: &str) -> String {
        format!("{}.{}", self.input(), URL_SAFE_NO_PAD.encode(self.tag(secret)))
    }

    fn sign_to(&self, length: usize) -> String {
        let mut tag = self.tag(A);
        tag.resize(length, 0);
        format!("{}.{}", self.input(), URL_SAFE_NO_PAD.encode(tag))
    }

    fn tag(&self, secret: &str) -> Vec<u8> {
        let (input, secret) = (self.input(), secret.as_bytes());
        let input = input.as_bytes();
        match self.header.iter().find(|(name, _)| name == "alg").map(|(_, json)| &**json) {
            Some("\"HS384\"") => HS384Key::from_bytes(secret).authentication_tag(input),
            Some("\"HS512\"") => HS512Key::from_bytes(secret).authentication_tag(input),
            _ => HS256Key::from_bytes(secret).authentication_tag(input),
        }
    }
}

fn set(members: &mut Vec<(String, String)>, name: &str, json: &str) {
    members.retain(|(known, _)| known != name);
    members.push((name.to_owned(), json.to_owned()));
}

fn object(members: &[(String, String)]) -> String {
    let members = members.iter().filter(|(_, json)| !json.is_empty());
    let members: Vec<_> = members.map(|(name, json)| format!("\"{name}\":{json}")).collect();
    format!("{{{}}}", members.join(","))
}

pub(crate) const A: &str = "a-secret-of-32-bytes-or-some-more";
pub(crate) const B: &str = "b-secret-of-32-bytes-or-some-more";
pub(crate) const C: &str = "c-secret-of-64-bytes-which-is-enough-for-each-of-the-three-hashes";
