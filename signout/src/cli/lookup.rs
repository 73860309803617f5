//! `signout lookup`: whether a token, session, user or API key is revoked, by whom and why.

use clap::{ArgGroup, Args};
use serde_json::Value;

use super::client::Client;
use super::subject::{SUBJECTS, SubjectArgs, add_texts};
use super::{CommandError, Target};

/// Look up whether a token, session, user or API key is revoked, by which record, since when, by whom
/// and why.
#[derive(Args)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("subject").required(true).args(SUBJECTS)))]
pub(super) struct LookupCommand {
    #[command(flatten)]
    subject: SubjectArgs,
    /// The issuer (`iss`) of the token, session or user. Without it only what was revoked under every
    /// issuer is found. A token names its own issuer.
    #[arg(long, conflicts_with = "credential")]
    issuer: Option<String>,
    /// The realm of the application (`revocation.realm` of the filter).
    #[arg(long)]
    realm: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl LookupCommand {
    /// Prints what the service knows.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let found = look_up(&Client::new(&self.target)?, &self.question()?)?;
        if self.json {
            super::print(format_args!("{found}\n"));
            return Ok(());
        }
        super::print(format_args!(
            "{}\n",
            if found["revoked"] == true { "revoked" } else { "not revoked" }
        ));
        lines(&found).iter().for_each(|line| super::print(format_args!("{line}\n")));
        Ok(())
    }

    fn question(&self) -> Result<Value, CommandError> {
        let mut question = self.subject.fields()?;
        add_texts(&mut question, &[("realm", &self.realm), ("issuer", &self.issuer)]);
        Ok(question)
    }
}

/// Asks the service.
pub(super) fn look_up(client: &Client, question: &Value) -> Result<Value, CommandError> {
    client.post("/v1/revocations/lookup", question)?.json()
}

/// Returns one line for each record that the service has found.
pub(super) fn lines(found: &Value) -> Vec<String> {
    let records = found["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    records.iter().map(line).collect()
}

fn line(record: &Value) -> String {
    let text = |value: &Value, none: &str| value.as_str().unwrap_or(none).to_owned();
    let kind = text(&record["kind"], "");
    let effect = match (record["issued_before"].as_str(), &record["applies"]) {
        (None, _) => "refused".to_owned(),
        (Some(before), Value::Bool(false)) => {
            format!("does not apply: the token was issued after {before}")
        }
        (Some(before), _) => format!("tokens issued before {before} are refused"),
    };
    let audit = &record["audit"];
    let by = format!("{} {}", text(&audit["origin"], "unknown"), text(&audit["by"], ""));
    let reason = text(&audit["reason"], "");
    let reason = if reason.is_empty() { reason } else { format!(" ({reason})") };
    let since = text(&record["since"], "an unknown time");
    let until = record["exp"].as_str().map_or("for ever".to_owned(), |exp| format!("until {exp}"));
    format!("{kind}: {effect}; since {since} by {}{reason}; {until}", by.trim())
}

const EXAMPLES: &str = "\
A token is revoked by its own record, by the cutoff of its session or its user (`sub`), or by the cutoff
for all. The service does not check its signature. Exit code 0: the service has responded, whatever the
response is; use --json in scripts.

Examples:
  signout lookup --token < token.txt
  signout lookup --user alice --issuer https://id.example.com
  signout lookup --credential < api-key.txt
  signout lookup --jti 4f1c --json | jq .revoked";
