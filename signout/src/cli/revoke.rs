//! `signout revoke`: revokes a token, all tokens of a user, or all tokens.

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::client::Client;
use super::subject::{SUBJECTS, SubjectArgs, add_texts};
use super::{CommandError, Target};

/// Revoke a token, a session, an API key, all of a user's tokens, or all tokens.
#[derive(Args)]
#[command(
    after_help = EXAMPLES,
    group(ArgGroup::new("subject").required(true).args(SUBJECTS).arg("all"))
)]
pub(super) struct Revoke {
    #[command(flatten)]
    subject: Option<SubjectArgs>,
    /// All tokens of all users.
    #[arg(long)]
    all: bool,
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

impl Revoke {
    /// Sends the revocation, and prints the result once it is durable.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let client = match self.all {
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
        let mut body = match &self.subject {
            Some(subject) => subject.fields()?,
            None => json!({"kind": "all"}),
        };
        for (name, time) in [("issued_before", &self.issued_before), ("exp", &self.exp)] {
            if let Some(time) = time {
                body[name] = time.parse::<u64>().map_or_else(|_| json!(time), |it| json!(it));
            }
        }
        let texts = [("realm", &self.realm), ("issuer", &self.issuer), ("reason", &self.reason)];
        add_texts(&mut body, &texts);
        Ok(body)
    }
}

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
