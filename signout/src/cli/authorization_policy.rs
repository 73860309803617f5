//! `signout check --authorization-policy`: prints an AuthorizationPolicy of Istio made from the
//! filter's routes.

use clap::Args;
use signout::check::authorization_policy::{PolicySettings, PolicyTarget, authorization_policy};
use signout::check::{Report, Secrets, check, find, words};

use super::CommandError;

/// The parts of the policy that the filter's configuration does not contain.
#[derive(Args)]
#[command(next_help_heading = "Authorization policy")]
pub(super) struct PolicyArguments {
    /// Print an AuthorizationPolicy of Istio instead: without the header of the user id, it admits only
    /// what the filter's routes open.
    #[arg(long, conflicts_with_all = ["json", "request"])]
    authorization_policy: bool,
    /// Name of the policy.
    #[arg(long, default_value = "session-guard", requires = "authorization_policy")]
    name: String,
    /// Namespace of the policy.
    #[arg(long, requires = "authorization_policy")]
    namespace: Option<String>,
    /// Label of the application's pods. May be given several times.
    #[arg(long, value_name = "LABEL=VALUE", value_parser = label, requires = "authorization_policy")]
    selector: Vec<(String, String)>,
    /// Object that the policy is for, in place of a selector: Service/NAME, Gateway/NAME or
    /// ServiceEntry/NAME. May be given several times.
    #[arg(
        long, value_name = "KIND/NAME", value_parser = target,
        requires = "authorization_policy", conflicts_with = "selector"
    )]
    target: Vec<PolicyTarget>,
    /// Identity of the gateway that runs the filter: only its requests are admitted. May be given
    /// several times. Leave it out only if the proxy that enforces the policy runs the filter.
    #[arg(long, requires = "authorization_policy")]
    principal: Vec<String>,
}

impl PolicyArguments {
    pub(super) fn is_asked_for(&self) -> bool {
        self.authorization_policy
    }

    /// Prints the policy for the only configuration in the text. Prints the report about a configuration
    /// that does not load, and all warnings, as errors.
    pub(super) fn print(
        &self,
        file: &str,
        text: &[u8],
        secrets: Secrets,
    ) -> Result<(), CommandError> {
        let unusable = |why: &str| CommandError::Usage(format!("{file}: {why}"));
        let findings = find(text).map_err(|why| unusable(&why))?;
        let [found] = &findings.ours[..] else {
            let number = findings.ours.len();
            return Err(unusable(&format!("{number} configurations of this filter, not one")));
        };
        let environment = |name: &str| std::env::var(name).ok();
        let report = check(found, &environment, secrets, &[]);
        if !report.good {
            eprint!("{}", words::words(&report));
            return Err(CommandError::Refused(format!("{file}: it does not load")));
        }
        let policy = authorization_policy(&report.configuration, &self.settings(file))
            .map_err(|why| CommandError::Refused(format!("{file}: {why}")))?;
        warn(file, &report);
        super::print(format_args!("{policy}"));
        Ok(())
    }

    fn settings(&self, file: &str) -> PolicySettings {
        PolicySettings {
            command: self.command(file),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            labels: self.selector.clone(),
            targets: self.target.clone(),
            principals: self.principal.clone(),
        }
    }

    /// Returns the command that prints the same policy.
    fn command(&self, file: &str) -> String {
        let mut words = vec![format!("signout check {} --authorization-policy", quoted(file))];
        let mut add = |option: &str, value: &str| words.push(format!("{option} {}", quoted(value)));
        add("--name", &self.name);
        self.namespace.iter().for_each(|name| add("--namespace", name));
        self.selector
            .iter()
            .for_each(|(name, value)| add("--selector", &format!("{name}={value}")));
        let targets = self.target.iter();
        targets.for_each(|target| add("--target", &format!("{}/{}", target.kind, target.name)));
        self.principal.iter().for_each(|name| add("--principal", name));
        words.join(" \\\n    ")
    }
}

fn warn(file: &str, report: &Report) {
    report.warnings.iter().for_each(|warning| eprintln!("{file}: warning: {warning}"));
}

/// Returns a word for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.=:@".contains(&byte);
    let text = text.replace(['\n', '\r'], " ");
    if !text.is_empty() && text.bytes().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("like app=application")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn target(text: &str) -> Result<PolicyTarget, String> {
    let (kind, name) = text.split_once('/').ok_or("like Service/application")?;
    let group = match kind {
        "Service" => "",
        "Gateway" => "gateway.networking.k8s.io",
        "ServiceEntry" => "networking.istio.io",
        _ => return Err("the kind is Service, Gateway or ServiceEntry".to_owned()),
    };
    Ok(PolicyTarget { group, kind: kind.to_owned(), name: name.to_owned() })
}
