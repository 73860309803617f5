//! `signout status`: shows the state of the service.

use clap::Args;
use serde_json::Value;
use signout::clock::{distance, rfc_3339};

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
            super::print(format_args!("{status}\n"));
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
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let yes = |value: &Value| if value == true { "yes" } else { "no" }.to_owned();
    let percent = |share: &Value| format!("{:.1} %", share.as_f64().unwrap_or_default() * 100.0);
    let (revocations, used) = (&status["revocations"], &status["capacity_used"]);
    let now = number(&status["now"]);
    let up = distance(now + number(&status["uptime_seconds"]), now);
    let rows = [
        ("version", status["version"].as_str().unwrap_or_default().to_owned()),
        ("time", rfc_3339(now)),
        ("up for", up.trim_start_matches("in ").to_owned()),
        ("ready", yes(&status["ready"])),
        ("store accepts writes", yes(&status["store_up"])),
        ("store is durable", yes(&status["store_durable"])),
        ("tokens revoked", revocations["token"].to_string()),
        ("users and sessions cut off", revocations["user"].to_string()),
        ("cutoffs for all", revocations["all"].to_string()),
        ("capacity", status["capacity"].to_string()),
        ("  used by tokens", percent(&used["tokens"])),
        ("  used by cutoffs", percent(&used["cutoffs"])),
        ("revocations per minute", status["revocations_per_minute"].to_string()),
        ("log entries", status["log_entries"].to_string()),
        ("polls waiting", status["waiting_polls"].to_string()),
        ("newest entry", status["head"].as_str().unwrap_or_default().to_owned()),
    ];
    for (name, value) in rows {
        super::print(format_args!("{name:<28} {value}\n"));
    }
    let proxies = status["proxies"].as_array().map(Vec::as_slice).unwrap_or_default();
    super::print(format_args!("{:<28} {}\n", "proxies", proxies.len()));
    if !proxies.is_empty() {
        super::print(format_args!(
            "\n{}\n",
            line(["proxy", "address", "version", "realm", "lag", "last poll"])
        ));
    }
    for proxy in proxies {
        let text = |name: &str| proxy[name].as_str().unwrap_or_default();
        let version = format!("{} {}", text("version"), text("build"));
        let lag = match proxy["behind"].as_u64() {
            Some(0) => "up to date".to_owned(),
            Some(behind) => format!("{behind} revocations"),
            None => "loading".to_owned(),
        };
        let last = match proxy["is_polling"] == true {
            true => "waiting now".to_owned(),
            false => format!("{} s ago", number(&proxy["seconds_since_poll"])),
        };
        super::print(format_args!(
            "{}\n",
            line([text("id"), text("address"), &version, text("realm"), &lag, &last])
        ));
    }
}

fn line([id, address, version, realm, lag, last]: [&str; 6]) -> String {
    format!("{id:<16}  {address:<15}  {version:<14}  {realm:<12}  {lag:<16}  {last}")
}
