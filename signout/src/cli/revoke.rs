//! `signout revoke`: revokes a token, all tokens of a user, or all tokens.

use std::io::{IsTerminal, Read};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::{Map, Value, json};
use session_guard_core::revocation::record::RecordId;
use signout::clock::unix_seconds;

use super::client::Client;
use super::{CommandError, Target};

/// Revoke a token, all of a user's tokens, or all tokens.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Revoke {
    #[command(flatten)]
    what: What,
    /// Revoke only tokens issued before this time (seconds since 1970 UTC; default: now).
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["token", "jti"])]
    issued_before: Option<u64>,
    /// When the last revoked token expires (seconds since 1970 UTC). The revocation is deleted some
    /// time after it. Default: the token's own `exp`, or never.
    #[arg(long, value_name = "SECONDS")]
    exp: Option<u64>,
    /// The realm of the application (`revocation.realm` of the filter).
    #[arg(long)]
    realm: Option<String>,
    /// Print a JSON object instead of a sentence: {"revoked": true, "new": …, "cursor": …}.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The token itself. Without a value, or with `-`, the token is read from standard input, so
    /// that it appears in no process list and no shell history.
    #[arg(long, num_args = 0..=1, default_missing_value = "-")]
    token: Option<String>,
    /// The id of one token (its `jti` claim).
    #[arg(long)]
    jti: Option<String>,
    /// All tokens of this user.
    #[arg(long, value_name = "USER_ID")]
    user: Option<String>,
    /// All tokens of all users.
    #[arg(long)]
    all: bool,
}

impl Revoke {
    /// Sends the revocation, and prints the result once it is durable.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let client = match self.what.all {
            true => Client::admin(&self.target)?,
            false => Client::new(&self.target)?,
        };
        let body = self.body()?;
        let answer = client.post("/v1/revocations", &body)?;
        if self.json {
            let cursor = answer.json::<Value>()?["cursor"].take();
            println!("{}", json!({"revoked": true, "new": answer.is_new, "cursor": cursor}));
        } else {
            let is_past = body["exp"].as_u64().is_some_and(|exp| exp < unix_seconds());
            println!(
                "{}",
                match (answer.is_new, is_past) {
                    (true, _) => "revoked",
                    (false, true) => "expired already: there is nothing to revoke",
                    (false, false) => "was revoked already",
                }
            );
        }
        Ok(())
    }

    fn body(&self) -> Result<Value, CommandError> {
        let What { token, jti, user, all: _ } = &self.what;
        let mut body = match (token, jti, user) {
            (Some(token), _, _) => return self.token_body(token),
            (_, Some(jti), _) => json!({"jti": jti}),
            (_, _, Some(user)) => json!({"user_id": user}),
            _ => json!({"kind": "all"}),
        };
        for (name, time) in [("issued_before", self.issued_before), ("exp", self.exp)] {
            if let Some(time) = time {
                body[name] = json!(time);
            }
        }
        if let Some(realm) = &self.realm {
            body["realm"] = json!(realm);
        }
        Ok(body)
    }

    /// Returns the revocation of this token. The signature is not checked: revoking a forged token
    /// does no harm.
    fn token_body(&self, token: &str) -> Result<Value, CommandError> {
        let token = if token == "-" { from_standard_input()? } else { token.to_owned() };
        let no_token = || CommandError::Usage("--token: this is not a JWT".to_owned());
        let token = token.trim();
        let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
        let (input, _) = token.rsplit_once('.').ok_or_else(no_token)?;
        let (_, payload) = input.split_once('.').ok_or_else(no_token)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| no_token())?;
        let claims: Map<String, Value> =
            serde_json::from_slice(&payload).map_err(|_| no_token())?;
        let realm = self.realm.as_deref().unwrap_or_default();
        let issuer = claims.get("iss").and_then(Value::as_str);
        let id = match claims.get("jti").and_then(Value::as_str) {
            Some(jti) => RecordId::of_token(realm, issuer, jti),
            None => RecordId::of_input(realm, issuer, input.as_bytes()),
        };
        let exp = self.exp.or_else(|| claims.get("exp").and_then(whole_seconds));
        let mut body = json!({"kind": "token", "id": id.to_string()});
        if let Some(exp) = exp {
            body["exp"] = json!(exp);
        }
        Ok(body)
    }
}

/// Returns a NumericDate as the filter reads it, without fractions of a second.
fn whole_seconds(date: &Value) -> Option<u64> {
    date.as_u64().or_else(|| date.as_f64().filter(|it| *it >= 0.0).map(|it| it as u64))
}

fn from_standard_input() -> Result<String, CommandError> {
    if std::io::stdin().is_terminal() {
        eprintln!("paste the token, then Enter and Ctrl-D:");
    }
    let mut token = String::new();
    std::io::stdin()
        .take(TOKEN_BYTES)
        .read_to_string(&mut token)
        .map_err(|error| CommandError::Usage(format!("--token -: {error}")))?;
    Ok(token)
}

/// Longest input; longer than any token that a proxy accepts.
const TOKEN_BYTES: u64 = 64 * 1024;

const EXAMPLES: &str = "\
From a token the command reads `jti`, `iss` and `exp`. If the token has no `jti`, the hash of its signed
text identifies it. The command does not check the signature.

Exit code 0: the revocation is durable; 1: the service rejected it; 2: wrong usage, or no token;
3: the service cannot be reached.

Examples:
  signout revoke --jti 4f1c --exp $(($(date +%s) + 3600))
  signout revoke --token < token.txt
  signout revoke --user alice
  signout revoke --all --issued-before 1795332120";
