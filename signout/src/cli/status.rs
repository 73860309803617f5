//! `signout status`: shows the state of the service.

use clap::Args;
use serde_json::Value;

use super::client::Client;
use super::{CommandError, Target};

/// Show the state of the service.
#[derive(Args)]
#[command(
    after_help = "Exit code 0: the service is ready and its store accepts revocations; 1: it is \
    not, or it refuses the token; 3: it cannot be reached.\n\nExample:\n  \
    signout status --json | jq .revocations"
)]
pub(super) struct StatusCommand {
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

impl StatusCommand {
    /// Prints the state. Fails if the service is not ready or its store rejects revocations.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let status: Value = Client::new(&self.target)?.get("/v1/status")?.json()?;
        if self.json {
            println!("{status}");
        } else {
            table(&status);
        }
        let takes_writes = ["store_up", "accepts_revocations"].map(|name| status[name] == true);
        match (status["ready"].as_bool(), takes_writes) {
            (Some(true), [true, true]) => Ok(()),
            (Some(true), _) => {
                let problem = status["store_problem"].as_str().unwrap_or("see the service's log");
                Err(CommandError::Refused(format!("the store rejects revocations: {problem}")))
            }
            _ => Err(CommandError::Refused("the service is not ready".to_owned())),
        }
    }
}

fn table(status: &Value) {
    let revocations = &status["revocations"];
    let rows = [
        ("version", &status["version"]),
        ("up (seconds)", &status["uptime_seconds"]),
        ("ready", &status["ready"]),
        ("store accepts writes", &status["store_up"]),
        ("store is durable", &status["store_durable"]),
        ("tokens revoked", &revocations["token"]),
        ("users cut off", &revocations["user"]),
        ("cutoffs for all", &revocations["all"]),
        ("capacity", &status["capacity"]),
        ("log entries", &status["log_entries"]),
        ("polls waiting", &status["waiting_polls"]),
        ("newest entry", &status["head"]),
    ];
    for (name, value) in rows {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        println!("{name:<20} {value:>12}");
    }
}
