//! An AuthorizationPolicy of Istio that repeats the routes of the filter.
//!
//! # Why
//!
//! Behind a gateway, every workload of the mesh could send the header with the user id. The policy of
//! the application admits requests from the gateway only, and requests without a user only on the
//! paths that the filter opens. Written by hand, that list is a second copy of the routes, and forgets
//! what is added to them.
//!
//! For paths that are spelt as in the rules, the policy never admits more than the filter. Istio
//! compares paths and methods byte by byte, and does not know which paths are
//! [canonical](session_guard_core::request::path). The filter runs first and refuses other spellings
//! of a protected path.

mod open;
mod paths;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use serde_json::Value;

use crate::check::authorization_policy::open::{Opened, Operation, opened};

/// The parts of the policy that the filter's configuration does not contain.
#[derive(Clone, Debug, Default)]
pub struct PolicySettings {
    /// The command that generates the policy, for the comment at its top.
    pub command: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// Labels of the workloads (`spec.selector`).
    pub labels: Vec<(String, String)>,
    /// Objects to which the policy applies (`spec.targetRefs`).
    pub targets: Vec<PolicyTarget>,
    /// The identities from which requests are admitted. Empty if the proxy that enforces the policy
    /// runs the filter itself.
    pub principals: Vec<String>,
}

/// An object to which a policy applies.
#[derive(Clone, Debug)]
pub struct PolicyTarget {
    /// Its API group. Empty for a Service.
    pub group: &'static str,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Returns the policy for an [effective](session_guard_core::config::effective) configuration as YAML.
///
/// # Errors
///
/// The filter does not tell other filters the user id in a header.
pub fn authorization_policy(config: &Value, settings: &PolicySettings) -> Result<String, String> {
    let header = config["forward"]["user_id"].as_str();
    let Some(header) = header.filter(|_| !config["claims"]["user_id"].is_null()) else {
        return Err("a policy recognises users by the header that the filter sets; \
                    set `claims.user_id` and `forward.user_id`"
            .to_owned());
    };
    let opened = opened(config);
    let mut yaml = Yaml::default();
    comments(&mut yaml, config, header, settings, &opened);
    yaml.line("apiVersion: security.istio.io/v1");
    yaml.line("kind: AuthorizationPolicy");
    let namespace = settings.namespace.as_ref();
    let namespace = namespace.map(|name| format!(", namespace: {}", scalar(name)));
    let name = scalar(&settings.name);
    yaml.line(&format!("metadata: {{ name: {name}{} }}", namespace.unwrap_or_default()));
    yaml.line("spec:");
    if !settings.labels.is_empty() {
        let labels = settings.labels.iter();
        let labels = labels.map(|(name, value)| format!("{}: {}", scalar(name), scalar(value)));
        let labels = labels.collect::<Vec<_>>().join(", ");
        yaml.line(&format!("  selector: {{ matchLabels: {{ {labels} }} }}"));
    }
    if !settings.targets.is_empty() {
        let targets = settings.targets.iter().map(|PolicyTarget { group, kind, name }| {
            let (group, kind, name) = (scalar(group), scalar(kind), scalar(name));
            format!("{{ group: {group}, kind: {kind}, name: {name} }}")
        });
        yaml.line(&format!("  targetRefs: [{}]", targets.collect::<Vec<_>>().join(", ")));
    }
    yaml.line("  action: ALLOW");
    yaml.line("  rules:");
    let key = scalar(&format!("request.headers[{header}]"));
    let when = format!("[{{ key: {key}, values: [\"*\"] }}]");
    yaml.rule(settings, &[format!("when: {when}")]);
    for (operations, when) in rules(&opened) {
        let mut parts = vec!["to:".to_owned()];
        parts.extend(operations.iter().map(|one| format!("  - operation: {one}")));
        if let Some(when) = when {
            parts.push(format!("when: [{when}]"));
        }
        yaml.rule(settings, &parts);
    }
    Ok(yaml.text)
}

fn comments(
    yaml: &mut Yaml,
    config: &Value,
    header: &str,
    settings: &PolicySettings,
    opened: &[Opened],
) {
    yaml.comment(&format!(
        "Generated from the filter's routes. Generate it again after each change of them:\n  {}\n\
         Only the filter sets {header}. Requests without it are admitted only on the routes\n\
         that the filter opens.\n\
         Paths are compared as they are written: other spellings (letter case, `//`, `;`, escapes) of a\n\
         protected path are refused by the filter alone.",
        settings.command
    ));
    match settings.principals.is_empty() {
        true => yaml.comment(
            "It names no principal, so it is for the proxy that runs the filter. In any other proxy, every\n\
             workload of the mesh could send that header.",
        ),
        false => yaml.comment("The principals must be proxies with the filter, and nobody else."),
    }
    let mut sources = config["token_sources"].as_array().into_iter().flatten();
    if sources.any(|source| source["pass_prefix"].is_string()) {
        yaml.comment("A request with an API key has no user id: it gets 403 on protected routes.");
    }
    if config["enforce"] == false {
        yaml.comment("The filter refuses nothing yet (`enforce` is false), but this policy does.");
    }
    let missing = opened.iter().filter_map(|one| Some((&one.about, one.outcome.as_ref().err()?)));
    for (about, reason) in missing {
        yaml.comment(&format!("Not admitted without a user: {about}: {reason}."));
    }
    for one in opened.iter().filter(|one| one.outcome.is_ok() && !one.refused_more.is_empty()) {
        let paths = one.refused_more.join(", ");
        yaml.comment(&format!("Narrower than the filter: {}: not on {paths}.", one.about));
    }
}

/// Groups the operations by their conditions on headers. Returns each group with its conditions.
fn rules(opened: &[Opened]) -> Vec<(Vec<String>, Option<String>)> {
    let mut rules: Vec<(Vec<String>, Option<String>)> = vec![];
    for operation in opened.iter().filter_map(|one| one.outcome.as_ref().ok()) {
        let (text, when) = (operation.text(), operation.when());
        match rules.iter_mut().find(|(_, known)| *known == when) {
            Some((texts, _)) if texts.contains(&text) => {}
            Some((texts, _)) => texts.push(text),
            None => rules.push((vec![text], when)),
        }
    }
    rules
}

impl Operation {
    fn text(&self) -> String {
        let members = [
            ("paths", &self.paths),
            ("notPaths", &self.not_paths),
            ("methods", &self.methods),
            ("notMethods", &self.not_methods),
            ("hosts", &self.hosts),
        ];
        let members = members.iter().filter(|(_, list)| !list.is_empty());
        let members = members.map(|(name, list)| format!("{name}: {}", sequence(list)));
        format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
    }

    fn when(&self) -> Option<String> {
        let conditions = self.headers.iter().map(|condition| {
            let key = scalar(&format!("request.headers[{}]", condition.name));
            format!("{{ key: {key}, {}: {} }}", condition.member, sequence(condition.values))
        });
        let conditions: Vec<_> = conditions.collect();
        (!conditions.is_empty()).then(|| conditions.join(", "))
    }
}

/// Lines of YAML.
#[derive(Default)]
struct Yaml {
    text: String,
}

impl Yaml {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}"); // writing to a String cannot fail
    }

    fn comment(&mut self, text: &str) {
        text.lines().for_each(|line| self.line(&format!("# {line}")));
    }

    /// Writes a rule for the principals. Each part is a line of it.
    fn rule(&mut self, settings: &PolicySettings, parts: &[String]) {
        let from = match settings.principals.is_empty() {
            true => None,
            false => {
                let principals = sequence(&settings.principals);
                Some(format!("from: [{{ source: {{ principals: {principals} }} }}]"))
            }
        };
        for (index, line) in from.iter().chain(parts).enumerate() {
            let start = if index == 0 { "    - " } else { "      " };
            self.line(&format!("{start}{line}"));
        }
    }
}

fn sequence(texts: &[impl AsRef<str>]) -> String {
    let items: Vec<_> = texts.iter().map(|text| scalar(text.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// Returns a text as YAML: as it is if it can only be read as a text, else quoted as JSON, which every
/// reader of YAML understands.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.*".contains(&byte))
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_plain { text.to_owned() } else { Value::from(text).to_string() }
}

/// Words that readers of YAML take for something else than a text.
const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
