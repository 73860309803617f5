//! `signout list`: lists the live revocations.

use std::io::Write;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::{CommandError, Target};

/// List all revocations.
#[derive(Args)]
#[command(
    after_help = "Tokens and users are listed by a hash, because the service stores no names.\n\n\
    Example:\n  signout list --json | jq -r 'select(.kind == \"user\") | .id'"
)]
pub(super) struct ListCommand {
    /// Print one JSON object per line.
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

impl ListCommand {
    /// Prints the live set in order of id, from the pages of one reset.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let client = Client::new(&self.target)?;
        let mut page: ListPage = client.get("/v1/revocations")?.json()?;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        if !self.json {
            print(writeln!(
                out,
                "{:<6} {:<32} {:>14} {:>12}",
                "kind", "id", "issued before", "exp"
            ))?;
        }
        while page.reset {
            for revocation in &page.revocations {
                print(self.line(&mut out, revocation))?;
            }
            if !page.more {
                break;
            }
            page = client.get(&format!("/v1/revocations?after={}", page.cursor))?.json()?;
        }
        print(out.flush())
    }

    fn line(&self, out: &mut impl Write, revocation: &ListedRevocation) -> std::io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut *out, revocation)?;
            return writeln!(out);
        }
        let time = |time: Option<u64>, none: &str| time.map_or(none.to_owned(), |t| t.to_string());
        let ListedRevocation { kind, id, issued_before, exp } = revocation;
        let (before, exp) = (time(*issued_before, "-"), time(*exp, "never"));
        writeln!(out, "{kind:<6} {id:<32} {before:>14} {exp:>12}")
    }
}

fn print(written: std::io::Result<()>) -> Result<(), CommandError> {
    written.map_err(|error| CommandError::Refused(format!("cannot print: {error}")))
}
