//! `signout audit`: shows who revoked what, when, from where and why.

use clap::Args;
use form_urlencoded::Serializer;
use serde::Deserialize;
use serde_json::Value;
use signout::clock::unix_seconds;

use super::client::Client;
use super::{CommandError, Target};

/// Show who revoked what, when, from where and why.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AuditCommand {
    /// Only revocations since this time: a duration such as 90s, 30m, 12h or 7d, seconds since 1970
    /// UTC, or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<String>,
    /// Only revocations of this user, and of tokens and sessions of this user.
    #[arg(long, value_name = "USER_ID", conflicts_with = "id")]
    user: Option<String>,
    /// The issuer (`iss`) of the user's tokens. Needed if the tokens have an `iss`.
    #[arg(long, requires = "user")]
    issuer: Option<String>,
    /// Only revocations of the record with this id, as `signout list` prints it.
    #[arg(long)]
    id: Option<String>,
    /// Only revocations in this realm.
    #[arg(long)]
    realm: Option<String>,
    /// Only revocations of this kind.
    #[arg(long, value_parser = ["token", "credential", "session", "user", "all"])]
    kind: Option<String>,
    /// Only revocations from this origin: proxy, command_line, api, or a protocol of an identity
    /// provider.
    #[arg(long)]
    origin: Option<String>,
    /// The maximum number of entries to show, the newest first.
    #[arg(long, default_value_t = 100)]
    limit: usize,
    /// Print one JSON object per line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct AuditResponse {
    entries: Vec<Value>,
    next: Option<String>,
}

impl AuditCommand {
    /// Prints the entries, the newest first.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let client = Client::new(&self.target)?;
        let (mut left, mut before) = (self.limit, None);
        if !self.json {
            super::print(format_args!("{}\n", line(TITLES)));
        }
        while left > 0 {
            let path = format!("/v1/audit?{}", self.query(left.min(PAGE_ENTRIES), before));
            let AuditResponse { entries, next } = client.get(&path)?.json()?;
            left = left.saturating_sub(entries.len());
            for entry in entries {
                self.print(&entry);
            }
            match next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        Ok(())
    }

    fn query(&self, limit: usize, before: Option<String>) -> String {
        let mut query = Serializer::new(String::new());
        query.append_pair("limit", &limit.to_string());
        for (name, value) in [
            ("since", &self.since),
            ("user", &self.user),
            ("issuer", &self.issuer),
            ("id", &self.id),
            ("realm", &self.realm),
            ("kind", &self.kind),
            ("origin", &self.origin),
            ("before", &before),
        ] {
            query.extend_pairs(value.iter().map(|value| (name, value)));
        }
        query.finish()
    }

    fn print(&self, entry: &Value) {
        if self.json {
            super::print(format_args!("{entry}\n"));
            return;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let first = &entry["revocations"][0];
        let what = match entry["count"].as_u64() {
            Some(1) => text(&first["id"]),
            count => format!("{} revocations", count.unwrap_or_default()),
        };
        let [by, realm, reason] = ["by", "realm", "reason"].map(|name| text(&entry[name]));
        let origin = format!("{} {by}", text(&entry["origin"]));
        let (time, kind) = (text(&entry["time"]), text(&first["kind"]));
        super::print(format_args!(
            "{}\n",
            line([&time, origin.trim(), &kind, &what, &realm, &reason])
        ));
    }
}

fn line([time, origin, kind, what, realm, reason]: [&str; 6]) -> String {
    let line = format!("{time:<24}  {origin:<24}  {kind:<10}  {what:<32}  {realm:<12}  {reason}");
    line.trim_end().to_owned()
}

/// Returns the time in the form of the query.
fn since(text: &str) -> Result<String, String> {
    let unit = |suffix: char| match suffix {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(86_400),
        _ => None,
    };
    let seconds = text.chars().next_back().and_then(unit).zip(
        text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<u64>().ok()),
    );
    Ok(match seconds {
        Some((unit, number)) => {
            unix_seconds().saturating_sub(number.saturating_mul(unit)).to_string()
        }
        None => text.to_owned(),
    })
}

const TITLES: [&str; 6] = ["time", "origin", "kind", "record", "realm", "reason"];

/// Entries of one response.
const PAGE_ENTRIES: usize = 1_000;

const EXAMPLES: &str = "\
The newest entries come first. An entry names tokens, sessions and users by the ids of their records,
because the service stores no names; --user computes the id. The origin is what the caller says of
itself; its API token was checked.

Examples:
  signout audit --user alice --since 1h
  signout audit --user alice --issuer https://id.example.com --realm shop
  signout audit --since 2026-11-29T12:00:00Z --origin command_line
  signout audit --since 1d --json | jq -r 'select(.reason != \"\") | .reason'";
