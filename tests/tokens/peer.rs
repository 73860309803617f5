//! Promise: the table in `docs/jwt-authn.md` lists every token on which this filter and Envoy's own
//! jwt_authn disagree, with the reason.
//! Method: both check each token of the table, with equivalent settings as far as jwt_authn has
//! them. `UPDATE_DOCUMENTS=1 cargo test --workspace --test tokens` regenerates the table.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use testbed::{Configuration, Request, Testbed, Token, repository};

use crate::table::{A, B, C, TokenCase, cases, filter, times};
use crate::{in_one_second, unix_seconds};

/// Prefixes of the names of tokens on which the filters disagree, each with the reason.
const REASONS: &[(&str, &str)] = &[
    ("header typ", "A `typ` of another kind of token is refused (RFC 8725 §3.11)."),
    (
        "header crit",
        "The filter supports no critical extension, so it refuses `crit` (RFC 7515 §4.1.11).",
    ),
    ("header b64", "`b64` changes which bytes are signed (RFC 7797)."),
    ("header zip", "Only encrypted tokens may be compressed (RFC 7516 §4.1.3)."),
    ("the second key, an audience", "A key may have its own audiences."),
    (
        "claim aud",
        "An audience is compared exactly; jwt_authn ignores the scheme and the last slash.",
    ),
    ("claim tenant", "The configuration requires the claim."),
    ("claim jti", "Revocation needs the `jti`: a non-empty text of at most 256 bytes."),
    ("claim iat: 1099511627775", "A token cannot be issued in the future."),
    ("claim iat", "`max_lifetime_seconds` is counted from `iat`, which is then required."),
    ("claim sub", "The user id must be a text or a whole number that a header can carry."),
    ("claim deep", "JSON may be nested at most 16 levels deep."),
    ("a last dot", "A token has three parts (RFC 7515 §7.1), and nothing follows them."),
    ("a first dot", "A token has three parts (RFC 7515 §7.1), and nothing comes before them."),
    ("with ", "A token has one spelling (RFC 7515 §2)."),
    ("longer than that", "A token has at most `max_token_bytes`."),
    ("exp: now -60", "At the second `exp` plus skew the token has expired (RFC 7519 §4.1.4)."),
    ("exp: now +", "`max_lifetime_seconds` is counted from `iat`."),
    ("iat: now", "A token cannot be issued in the future."),
];

#[test]
fn every_disagreement_with_jwt_authn_is_documented_with_its_reason() {
    let (ours, theirs) = (Testbed::with(ours), Testbed::with(theirs));
    let (mut us, mut them) = (ours.envoy.connect(), theirs.envoy.connect());
    let mut judge = |(name, token, _): TokenCase| {
        let request = Request::get("/page").bearer(&Token::text(&token));
        (name, us.send(&request), them.send(&request))
    };
    let mut judgements: Vec<_> = cases(unix_seconds()).into_iter().map(&mut judge).collect();
    judgements.extend(in_one_second(&mut |now| {
        times(now).into_iter().map(&mut judge).collect::<Vec<_>>()
    }));
    let mut table = String::from("| token | here | jwt_authn | why |\n| --- | --- | --- | --- |\n");
    let (judged, mut unexplained) = (judgements.len(), Vec::new());
    for (name, us, them) in judgements {
        if (us.status == 200) == (them.status == 200) {
            continue;
        }
        let reason = REASONS.iter().find(|(begin, _)| name.starts_with(begin));
        let Some((_, reason)) = reason else {
            unexplained.push(name);
            continue;
        };
        let here = if us.status == 200 { "admitted".to_owned() } else { us.code() };
        let there = if them.status == 200 { "admitted".to_owned() } else { them.text() };
        let name = name.replace('|', "\\|");
        writeln!(table, "| `{name}` | {here} | {there} | {reason} |").unwrap();
    }
    assert_eq!(unexplained, [""; 0], "each needs a reason");
    println!("{judged} tokens, {} disagreements", table.lines().count() - 2);
    repository::compare("docs/jwt-authn.md", "disagreements", &table);
}

fn ours(configuration: &mut Configuration) {
    configuration.filter = filter();
}

fn theirs(configuration: &mut Configuration) {
    configuration.judge_by_jwt_authn(json!({
        "issuer": "https://id.example",
        "audiences": ["api", "web"],
        "forward": true,
        "require_expiration": true,
        "max_lifetime": "100000s",
        "local_jwks": {"inline_string": jwks().to_string()},
    }));
}

fn jwks() -> Value {
    let key = |id: Option<&str>, algorithm: &str, secret: &str| {
        let k = URL_SAFE_NO_PAD.encode(secret);
        let mut key = json!({"kty": "oct", "alg": algorithm, "k": k});
        if let Some(id) = id {
            key["kid"] = json!(id);
        }
        key
    };
    json!({"keys": [
        key(Some("a"), "HS256", A),
        key(Some("b"), "HS256", B),
        key(None, "HS384", C),
        key(Some("d"), "HS512", C),
    ]})
}
