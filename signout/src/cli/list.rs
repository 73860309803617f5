//! `signout list`: lists the live revocations.

use std::collections::HashMap;
use std::io::Write;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use signout::clock::{distance, rfc_3339, unix_seconds};

use super::client::Client;
use super::{CommandError, Target};

/// List all revocations.
#[derive(Args)]
#[command(
    after_help = "Tokens and users are listed by a hash, because the service stores no names. The \
    audit adds the realm, and whether a cutoff is that of a user or a session.\n\n\
    Example:\n  signout list --json | jq -r 'select(.kind == \"user\") | .id'"
)]
pub(super) struct ListCommand {
    /// Print one JSON object per line, with times in seconds since 1970 UTC.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Deserialize)]
struct ListPage {
    cursor: String,
    more: bool,
    reset: bool,
    revocations: Vec<ListedRevocation>,
}

#[derive(Deserialize, Serialize)]
struct ListedRevocation {
    kind: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<u64>,
}

/// The kind and the realm of records, by id, as far as the audit names them.
type KnownRecords = HashMap<String, (String, String)>;

impl ListCommand {
    /// Prints the live set in order of id, from the pages of one reset.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let client = Client::new(&self.target)?;
        let known = if self.json { KnownRecords::new() } else { known_records(&client)? };
        let mut page: ListPage = client.get("/v1/revocations")?.json()?;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        if !self.json {
            print(writeln!(out, "{}", line(TITLES)))?;
        }
        while page.reset {
            for revocation in &page.revocations {
                print(self.print(&mut out, revocation, &known))?;
            }
            if !page.more {
                break;
            }
            page = client.get(&format!("/v1/revocations?after={}", page.cursor))?.json()?;
        }
        print(out.flush())
    }

    fn print(
        &self,
        out: &mut impl Write,
        revocation: &ListedRevocation,
        known: &KnownRecords,
    ) -> std::io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut *out, revocation)?;
            return writeln!(out);
        }
        let ListedRevocation { kind, id, issued_before, exp } = revocation;
        let (kind, realm) = known.get(id).map_or((&**kind, ""), |(kind, realm)| (kind, realm));
        let now = unix_seconds();
        let before = issued_before.map_or(String::new(), rfc_3339);
        let exp = exp.map_or("never".to_owned(), |exp| distance(exp, now));
        writeln!(out, "{}", line([kind, id, &before, &exp, realm]))
    }
}

/// Reads what the audit knows, up to [`AUDIT_PAGES`].
fn known_records(client: &Client) -> Result<KnownRecords, CommandError> {
    let (mut known, mut before) = (KnownRecords::new(), String::new());
    for _ in 0..AUDIT_PAGES {
        let page: Value = client.get(&format!("/v1/audit?limit=1000{before}"))?.json()?;
        for entry in page["entries"].as_array().into_iter().flatten() {
            for record in entry["revocations"].as_array().into_iter().flatten() {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let about = (text(&record["kind"]), text(&entry["realm"]));
                known.entry(text(&record["id"])).or_insert(about);
            }
        }
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    Ok(known)
}

fn line([kind, id, before, exp, realm]: [&str; 5]) -> String {
    let line = format!("{kind:<10}  {id:<32}  {before:<20}  {exp:<14}  {realm}");
    line.trim_end().to_owned()
}

fn print(written: std::io::Result<()>) -> Result<(), CommandError> {
    written.map_err(|error| CommandError::Refused(format!("cannot print: {error}")))
}

const TITLES: [&str; 5] = ["kind", "id", "issued before", "expires", "realm"];

/// Pages of the audit that the table uses. The kind and realm of older records are not shown.
const AUDIT_PAGES: usize = 100;
