//! `signout check`: checks a configuration of the filter, an issuers file or a tokens file, and explains
//! what it means.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::json;
use signout::access::report as tokens;
use signout::check::{Asked, Report, Secrets, check, find, words};
use signout::issuers::report as issuers;

use super::CommandError;
use super::authorization_policy::PolicyArguments;

/// Check a configuration of the filter, an issuers file or a tokens file, and explain what it means.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckCommand {
    /// The filter's JSON, or YAML or JSON of Envoy, Istio or Kubernetes that contains it; or an issuers
    /// file or a tokens file. `-` reads standard input.
    config: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Fail if a variable that contains a secret is not set here. Use it on the machine of the proxy
    /// or the service.
    #[arg(long)]
    require_env: bool,
    /// Print which route a request matches, for example 'POST /logout' or
    /// 'https://app.example.com/'. May be given several times.
    #[arg(long, value_name = "REQUEST", value_parser = asked)]
    request: Vec<Asked>,
    #[command(flatten)]
    policy: PolicyArguments,
}

impl CheckCommand {
    /// Prints a report for each configuration. Fails if one of them does not load.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let name = if self.is_standard_input() {
            "standard input".to_owned()
        } else {
            self.config.display().to_string()
        };
        let unusable = |why: &str| CommandError::Usage(format!("{name}: {why}"));
        let text = self.read().map_err(|error| unusable(&error.to_string()))?;
        if text.len() as u64 > TEXT_BYTES {
            return Err(unusable(&format!("longer than {TEXT_BYTES} bytes")));
        }
        let environment = |name: &str| std::env::var(name).ok();
        let secrets = if self.require_env { Secrets::Required } else { Secrets::StoodInFor };
        if self.policy.is_asked_for() {
            return self.policy.print(&self.config.display().to_string(), &text, secrets);
        }
        let (is_issuers, is_tokens) =
            (issuers::is_issuers_file(&text), tokens::is_tokens_file(&text));
        if (is_issuers || is_tokens) && !self.request.is_empty() {
            return Err(unusable("this file has no routes; leave out --request"));
        }
        if is_issuers {
            let report = issuers::check(&text, &environment, secrets);
            return self.report(&name, report.good, &report, &issuers::words(&report));
        }
        if is_tokens {
            let report = tokens::check(&text);
            return self.report(&name, report.good, &report, &tokens::words(&report));
        }
        let findings = find(&text).map_err(|why| unusable(&why))?;
        if findings.ours.is_empty() {
            let others = match findings.others.len() {
                0 => String::new(),
                _ => format!(" (Wasm plugins of others: {})", findings.others.join(", ")),
            };
            return Err(unusable(&format!("no configuration of this filter is in it{others}")));
        }
        let ours = findings.ours.iter();
        let reports: Vec<_> =
            ours.map(|found| check(found, &environment, secrets, &self.request)).collect();
        let bad = reports.iter().filter(|report| !report.good).count();
        if self.json {
            let good = bad == 0;
            super::print(format_args!(
                "{}\n",
                json!({"good": good, "version": VERSION, "configurations": reports})
            ));
        } else {
            reports.iter().for_each(|report| print(&name, report));
        }
        match bad {
            0 => Ok(()),
            _ => Err(CommandError::Refused(format!(
                "{name}: {bad} of {} does not load",
                reports.len()
            ))),
        }
    }

    /// Prints the report about a file of the service, as JSON or in words.
    fn report(
        &self,
        name: &str,
        good: bool,
        report: &impl Serialize,
        words: &str,
    ) -> Result<(), CommandError> {
        if self.json {
            let mut object = json!(report);
            object["version"] = json!(VERSION);
            super::print(format_args!("{object}\n"));
        } else {
            let verdict = if good { "is accepted" } else { "IS NOT ACCEPTED" };
            super::print(format_args!("{name}: {verdict} (version {VERSION})\n{words}\n"));
        }
        match good {
            true => Ok(()),
            false => Err(CommandError::Refused(format!("{name}: the service does not accept it"))),
        }
    }

    fn is_standard_input(&self) -> bool {
        self.config.as_os_str() == "-"
    }

    /// Reads at most one byte more than [`TEXT_BYTES`], so that the caller can reject a longer
    /// text.
    fn read(&self) -> std::io::Result<Vec<u8>> {
        let mut text = vec![];
        if self.is_standard_input() {
            if std::io::stdin().is_terminal() {
                eprintln!("reading a configuration from the terminal; end it with Ctrl-D");
            }
            std::io::stdin().take(TEXT_BYTES + 1).read_to_end(&mut text)?;
        } else {
            std::fs::File::open(&self.config)?.take(TEXT_BYTES + 1).read_to_end(&mut text)?;
        }
        Ok(text)
    }
}

fn print(name: &str, report: &Report) {
    let place = if report.place.is_empty() { String::new() } else { format!(": {}", report.place) };
    let verdict = if report.good { "loads" } else { "DOES NOT LOAD" };
    super::print(format_args!(
        "{name}{place}: {verdict} (version {VERSION})\n{}\n",
        words::words(report)
    ));
}

fn asked(text: &str) -> Result<Asked, String> {
    Asked::read(text).ok_or_else(|| "like 'GET /page' or 'POST https://host/page'".to_owned())
}

/// Longest text. A configuration has at most a megabyte; the output of `kustomize build` may
/// contain many other objects.
const TEXT_BYTES: u64 = 16 << 20;

/// The version of the filter whose code this program uses.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const EXAMPLES: &str = "\
The filter's own code decides. In YAML every Wasm filter (its StringValue) and dynamic module of Envoy,
every TrafficExtension, WasmPlugin and EnvoyFilter of Istio and EnvoyExtensionPolicy of Envoy Gateway
that is this filter is checked, ConfigMaps included; other plugins are not.

Secrets: a variable that the configuration names and that is set here is checked as well. One that is
not set here is reported, and all else is checked; with --require-env it is an error. One that the
proxy does not pass on to the filter (host_env_keys, vmConfig.env, env.hostKeys) is an error always.

A JSON object with a list `issuers` is an issuers file of `signout serve`: docs/sessions.md. One with a
list `tokens` is a tokens file: docs/operations.md#api-tokens.

Exit codes: 0 all load; 1 one does not; 2 wrong use, unreadable, or no configuration in it.

Examples:
  signout check envoy/envoy.yaml
  signout check --json filter.json | jq '.configurations[].warnings'
  signout check envoy/envoy.yaml --request 'POST /sign-out' --request '/page'
  kubectl kustomize envoy/istio/gateway | signout check -
  signout check issuers.json
  signout check tokens.json
  signout check plugin.yaml --authorization-policy --selector app=application \\
    --principal cluster.local/ns/session-guard/sa/edge > policy.yaml
  SESSION_SECRET=$(cat session.secret) signout check --require-env envoy/envoy.yaml";
