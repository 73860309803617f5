//! Arguments that name a token, a session, a user or an API key.

use std::io::{IsTerminal, Read};

use clap::Args;
use serde_json::{Value, json};

use super::CommandError;

/// One token, session, API key or user.
#[derive(Args)]
#[group(multiple = false)]
pub(super) struct SubjectArgs {
    /// The token itself, and its session if it names one (`sid`). Without a value, or with `-`, the
    /// token is read from standard input, so that it appears in no process list and no shell
    /// history.
    #[arg(long, num_args = 0..=1, default_missing_value = "-")]
    token: Option<String>,
    /// The id of one token (its `jti` claim).
    #[arg(long)]
    jti: Option<String>,
    /// The tokens of this session (their `sid` claim).
    #[arg(long, value_name = "SID")]
    session: Option<String>,
    /// An API key or another opaque value, read from standard input.
    #[arg(long)]
    credential: bool,
    /// The tokens of this user.
    #[arg(long, value_name = "USER_ID")]
    user: Option<String>,
}

/// The names of the arguments of [`SubjectArgs`].
pub(super) const SUBJECTS: [&str; 5] = ["token", "jti", "session", "credential", "user"];

impl SubjectArgs {
    /// Returns the fields of a call that name the subject. Reads standard input if the arguments say
    /// so.
    pub(super) fn fields(&self) -> Result<Value, CommandError> {
        let Self { token, jti, session, credential, user } = self;
        Ok(match (token, jti, session, user) {
            (Some(token), ..) => json!({"token": token_text(token)?}),
            (_, Some(jti), ..) => json!({"jti": jti}),
            (_, _, Some(sid), _) => json!({"sid": sid}),
            (.., Some(user)) => json!({"user_id": user}),
            _ if *credential => json!({"credential": credential_text()?}),
            _ => json!({}),
        })
    }
}

/// Adds the texts that are given to the body of a call.
pub(super) fn add_texts(body: &mut Value, texts: &[(&str, &Option<String>)]) {
    for (name, text) in texts {
        if let Some(text) = text {
            body[*name] = json!(text);
        }
    }
}

/// Returns the token as the service takes it. The word before it in a header may stay.
fn token_text(argument: &str) -> Result<String, CommandError> {
    let text = if argument == "-" { from_standard_input("token")? } else { argument.to_owned() };
    let text = text.trim();
    let token = text.strip_prefix("Bearer ").unwrap_or(text).trim();
    match token.split('.').count() {
        3 => Ok(token.to_owned()),
        _ => Err(CommandError::Usage("--token: this is not a JWT".to_owned())),
    }
}

/// Returns the credential: the first line, without the line break that `echo` adds.
fn credential_text() -> Result<String, CommandError> {
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
