//! `signout revoke`: revokes a token, all tokens of a user, or all tokens.

use std::io::{IsTerminal, Read};

use clap::Args;
use serde_json::{Value, json};

use super::client::Client;
use super::{CommandError, Target};

/// Revoke a token, a session, an API key, all of a user's tokens, or all tokens.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Revoke {
    #[command(flatten)]
    what: What,
    /// The issuer (`iss`) of the token, session or user. Default: every issuer.
    #[arg(long, conflicts_with_all = ["credential", "all"])]
    issuer: Option<String>,
    /// Revoke only tokens issued before this time (seconds since 1970 UTC, or RFC 3339; default:
    /// now).
    #[arg(long, value_name = "TIME", conflicts_with_all = ["token", "jti", "credential"])]
    issued_before: Option<String>,
    /// When the last revoked token expires (seconds since 1970 UTC, or RFC 3339). The revocation is
    /// deleted some time after it. Default: the token's own `exp`, or never.
    #[arg(long, value_name = "TIME")]
    exp: Option<String>,
    /// The realm of the application (`revocation.realm` of the filter).
    #[arg(long)]
    realm: Option<String>,
    /// The reason, in at most 256 bytes.
    #[arg(long)]
    reason: Option<String>,
    /// Print a JSON object instead of a sentence: {"revoked": true, "new": …, "cursor": …}.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The token itself, and its session if it names one (`sid`). Without a value, or with `-`, the
    /// token is read from standard input, so that it appears in no process list and no shell
    /// history.
    #[arg(long, num_args = 0..=1, default_missing_value = "-")]
    token: Option<String>,
    /// The id of one token (its `jti` claim).
    #[arg(long)]
    jti: Option<String>,
    /// All tokens of this session (their `sid` claim).
    #[arg(long, value_name = "SID")]
    session: Option<String>,
    /// An API key or another opaque value, read from standard input.
    #[arg(long)]
    credential: bool,
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
            println!(
                "{}",
                match answer.is_new {
                    true => "revoked",
                    false => "nothing new: it was revoked already, or it has expired",
                }
            );
        }
        Ok(())
    }

    fn body(&self) -> Result<Value, CommandError> {
        let What { token, jti, session, credential, user, all: _ } = &self.what;
        let mut body = match (token, jti, session, user) {
            (Some(token), ..) => json!({"token": token_text(token)?}),
            (_, Some(jti), ..) => json!({"jti": jti}),
            (_, _, Some(sid), _) => json!({"sid": sid}),
            (.., Some(user)) => json!({"user_id": user}),
            _ if *credential => json!({"credential": credential_text()?}),
            _ => json!({"kind": "all"}),
        };
        for (name, time) in [("issued_before", &self.issued_before), ("exp", &self.exp)] {
            if let Some(time) = time {
                body[name] = time.parse::<u64>().map_or_else(|_| json!(time), |it| json!(it));
            }
        }
        let texts = [("realm", &self.realm), ("issuer", &self.issuer), ("reason", &self.reason)];
        for (name, text) in texts {
            if let Some(text) = text {
                body[name] = json!(text);
            }
        }
        Ok(body)
    }
}

/// Returns the token as the service takes it. The word before it in a header may stay.
pub(super) fn token_text(argument: &str) -> Result<String, CommandError> {
    let text = if argument == "-" { from_standard_input("token")? } else { argument.to_owned() };
    let text = text.trim();
    let token = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    match token.split('.').count() {
        3 => Ok(token.to_owned()),
        _ => Err(CommandError::Usage("--token: this is not a JWT".to_owned())),
    }
}

/// Returns the credential: the first line, without the line break that `echo` adds.
pub(super) fn credential_text() -> Result<String, CommandError> {
    let text = from_standard_input("credential")?;
    match text.lines().next().unwrap_or_default() {
        "" => Err(CommandError::Usage("--credential: standard input is empty".to_owned())),
        line => Ok(line.to_owned()),
    }
}

fn from_standard_input(what: &str) -> Result<String, CommandError> {
    if std::io::stdin().is_terminal() {
        eprintln!("paste the {what}, then Enter and Ctrl-D:");
    }
    let mut text = String::new();
    std::io::stdin()
        .take(TOKEN_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| CommandError::Usage(format!("--{what}: {error}")))?;
    Ok(text)
}

/// Longest input; longer than any token that a proxy accepts.
const TOKEN_BYTES: u64 = 64 * 1024;

const EXAMPLES: &str = "\
From a token the service reads `jti`, `iss`, `sid`, `iat` and `exp`. If the token has no `jti`, the hash
of its signed text identifies it. A token that names its session ends the session, too. The service does
not check the signature.

Exit code 0: the revocation is durable; 1: the service rejected it; 2: wrong usage, or no token;
3: the service cannot be reached.

Examples:
  signout revoke --jti 4f1c --exp $(($(date +%s) + 3600))
  signout revoke --token < token.txt
  signout revoke --session 08a5019c --issuer https://id.example.com
  signout revoke --credential < api-key.txt
  signout revoke --user alice --reason 'left the company'
  signout revoke --all --issued-before 2026-11-29T12:00:00Z";
