//! Checks whether a configuration of the filter loads, and explains what it means.
//!
//! It uses the filter's own code, so a configuration that passes loads in the filter. [`mod@find`]
//! extracts the configuration from files of Envoy, Istio or Kubernetes, as the filter would get it.
//! [`words`] explains its meaning.
//!
//! # Variables that are not set here
//!
//! Secrets are set where the proxy runs, but a configuration is checked where it is written. If a
//! variable is not set here, but the proxy passes it to the filter, the check uses a placeholder
//! that every key accepts, and the report names the variable. Everything except that secret is then
//! checked. On the proxy's own machine, [`Secrets::Required`] demands all variables. A variable
//! that the proxy does not pass on is always an error, because the filter can never see it.
#![allow(clippy::indexing_slicing)] // only JSON is indexed, which returns null for a missing member

pub mod authorization_policy;
pub mod find;
pub mod words;

pub(crate) mod errors;

mod doubts;
mod plugin;
mod resource;
mod similar;

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use session_guard_core::config::effective::{effective, variables};
use session_guard_core::config::variable::is_shown;
use session_guard_core::config::{Config, ConfigError};
use session_guard_core::hash::{SHA256_BYTES, hex, sha256};
use session_guard_core::headers::Headers;
use session_guard_core::request::path;
use session_guard_core::request::routes::{Access, RevokeUser};

pub use crate::check::find::{FoundConfiguration, find, find_one};

/// Returns the value of an environment variable of this process.
pub type ProcessEnvironment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What to do if the variable of a secret is not set here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// The check uses a placeholder as its value, and the report names the variable.
    StoodInFor,
    /// The check reports that the configuration does not load.
    Required,
}

/// A request whose route is to be reported (`--request`).
#[derive(Clone, Debug)]
pub struct Asked {
    method: String,
    authority: String,
    path: String,
}

/// The report about one configuration.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Its place in the file. Empty if the configuration is the whole text.
    pub place: String,
    /// Whether the filter would load it.
    pub good: bool,
    /// Every error. The first one is the error that the filter reports. Empty if the configuration
    /// loads.
    pub errors: Vec<Wrong>,
    /// Settings that load and are probably not intended.
    pub warnings: Vec<Wrong>,
    /// The environment variables that it names.
    pub variables: Vec<Variable>,
    /// The accepted algorithms, except those of keys that are fetched.
    pub algorithms: Vec<&'static str>,
    /// The configuration with all defaults filled in, or null if it cannot be read.
    pub configuration: Value,
    /// The routes of the requests in question.
    pub requests: Vec<Answered>,
}

/// An error or warning, as the filter's log would contain it.
#[derive(Debug, Serialize)]
pub struct Wrong {
    /// The field.
    pub path: String,
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
}

/// A secret from the environment: the first of these variables that is set.
#[derive(Debug, Serialize)]
pub struct Variable {
    /// Names of the variables. A name that may be a secret, written there by mistake, is replaced
    /// by `…`.
    pub names: Vec<String>,
    /// Whether the secret could be checked here.
    pub state: SecretState,
}

impl Variable {
    pub(crate) fn named(names: Vec<String>, state: SecretState) -> Self {
        let shown = names.into_iter().map(|name| if is_shown(&name) { name } else { "…".into() });
        Self { names: shown.collect(), state }
    }
}

/// Whether a secret could be checked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretState {
    /// The variable is set and was checked.
    Set,
    /// The variable is not set here. Everything else was checked.
    NotSetHere,
    /// The proxy does not pass the variable to the filter.
    NotPassedOn,
}

/// The route of one request.
#[derive(Debug, Serialize)]
pub struct Answered {
    /// Method, host and path of the request.
    pub request: String,
    /// The access of its route.
    pub access: &'static str,
    /// The index of the rule that decides. `None` if the default access applies, or the path is not
    /// canonical.
    pub rule: Option<usize>,
    /// A method with which a request to the same path would revoke its tokens, if this one does not.
    pub signs_out_by: Option<&'static str>,
    /// Whether the request revokes its own tokens.
    pub revokes: bool,
    /// The user whose tokens a 2xx response revokes.
    pub revokes_user: Option<String>,
    /// Whether its path is canonical. If not, no rule applies to it.
    pub is_canonical: bool,
}

/// Checks a configuration that was found in a file.
#[must_use]
pub fn check(
    found: &FoundConfiguration,
    environment: ProcessEnvironment<'_>,
    secrets: Secrets,
    asked: &[Asked],
) -> Report {
    let mut report = Report {
        place: found.place.clone(),
        good: false,
        errors: vec![],
        warnings: found.warnings.iter().map(|warning| Wrong::read(warning)).collect(),
        variables: vec![],
        algorithms: vec![],
        configuration: Value::Null,
        requests: vec![],
    };
    let text = match &found.text {
        Ok(text) => text,
        Err(error) => {
            report.errors.push(error.clone().into());
            return report;
        }
    };
    report.configuration = effective(text).unwrap_or_default();
    let visible = |name: &str| found.passed.value(name, environment);
    let mut standing_in = vec![];
    let variables = variables(text);
    let is_readable = variables.is_ok();
    for names in variables.unwrap_or_default() {
        let passed_on = names.iter().find(|name| found.passed.holds(name));
        let is_set = names.iter().any(|name| visible(name).is_some_and(|text| !text.is_empty()));
        let state = match passed_on {
            _ if is_set => SecretState::Set,
            Some(_) => SecretState::NotSetHere,
            None => SecretState::NotPassedOn,
        };
        if state == SecretState::NotSetHere {
            standing_in.extend(passed_on.cloned());
        }
        report.variables.push(Variable::named(names, state));
    }
    let in_filter = |name: &str| {
        // While the text cannot be read, the names of its variables are unknown. They are needed
        // nevertheless, because the text is read again after a correction.
        let is_known = standing_in.iter().any(|it| it == name);
        let may_be_known = !is_readable && found.passed.holds(name) && visible(name).is_none();
        let stands_in = secrets == Secrets::StoodInFor && (is_known || may_be_known);
        if stands_in { Some(stand_in(name)) } else { visible(name) }
    };
    match Config::parse(text, &in_filter) {
        Ok(config) => report.of(&config, found, asked),
        Err(_) => {
            report.errors = errors::all(text, &in_filter).into_iter().map(Into::into).collect()
        }
    }
    report
}

impl Report {
    fn of(&mut self, config: &Config, found: &FoundConfiguration, asked: &[Asked]) {
        self.good = true;
        self.algorithms = config.algorithms();
        self.warnings.extend(config.warnings.iter().map(|warning| Wrong::read(warning)));
        let sets = config.key_sets.iter().map(|set| &set.cluster);
        let service = config.revocation.iter().map(|revocation| &revocation.cluster);
        self.warnings.extend(sets.chain(service).filter_map(|cluster| found.lacks(cluster)));
        self.warnings.extend(doubts::doubts(&self.configuration));
        self.requests = asked.iter().map(|asked| asked.answered(config)).collect();
    }
}

impl Asked {
    /// Parses `METHOD TARGET`, where the target is a path, or a URL with a host. Without a method,
    /// it is `GET`. Returns `None` for any other text.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (method, target) = text.trim().split_once(' ').unwrap_or(("GET", text.trim()));
        let target = target.trim();
        let (authority, path) = match target.split_once("://") {
            Some((_, rest)) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", target),
        };
        let path = if path.is_empty() { "/" } else { path };
        let is_method = method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
        (is_method && path.starts_with('/')).then(|| Self {
            method: method.to_owned(),
            authority: authority.to_owned(),
            path: path.to_owned(),
        })
    }

    /// Returns `:method`, `:authority` and `:path`.
    #[must_use]
    pub fn pseudo_headers(&self) -> [(&'static str, &str); 3] {
        [(":method", &self.method), (":authority", &self.authority), (":path", &self.path)]
    }

    /// Returns a method with which a request to the same address would sign out, if this request
    /// does not.
    #[must_use]
    pub fn signs_out_by(&self, config: &Config) -> Option<&'static str> {
        let signs_out = |method: &str| {
            let lines =
                [(":method", method), (":authority", &self.authority), (":path", &self.path)];
            config.routes.find(&Headers::from_pairs(&lines)).revokes()
        };
        let others = || ["POST", "DELETE", "GET", "PUT"].into_iter().find(|it| signs_out(it));
        if signs_out(&self.method) { None } else { others() }
    }

    fn answered(&self, config: &Config) -> Answered {
        let pseudo = self.pseudo_headers();
        let headers = Headers::from_pairs(&pseudo);
        let route = config.routes.find(&headers);
        Answered {
            request: format!("{} {}{}", self.method, self.authority, self.path),
            access: access_name(route.access),
            rule: config.routes.deciding_rule(&headers),
            signs_out_by: self.signs_out_by(config),
            revokes: route.revokes(),
            revokes_user: route.revoke_user.map(|user| match user {
                RevokeUser::OfToken => "the user of its own token".to_owned(),
                RevokeUser::Named(user) => format!("the user {user}"),
            }),
            is_canonical: path::canonical(self.path.as_bytes()).is_some(),
        }
    }
}

/// Returns the name of an access, as in the configuration.
pub(crate) fn access_name(access: Access) -> &'static str {
    match access {
        Access::Public => "public",
        Access::Optional => "optional",
        Access::Protected => "protected",
        Access::Signout => "signout",
        Access::Ready => "ready",
    }
}

impl Wrong {
    /// Reads `path: problem; remedy`.
    pub(crate) fn read(message: &str) -> Self {
        let is_path = |path: &&str| !path.contains(' ');
        let (path, rest) =
            message.split_once(": ").filter(|(path, _)| is_path(path)).unwrap_or(("", message));
        let (problem, remedy) = rest.rsplit_once("; ").unwrap_or((rest, ""));
        Self { path: path.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, problem, remedy } = self;
        let colon = if path.is_empty() { "" } else { ": " };
        let semicolon = if remedy.is_empty() { "" } else { "; " };
        write!(f, "{path}{colon}{problem}{semicolon}{remedy}")
    }
}

impl From<ConfigError> for Wrong {
    fn from(ConfigError { path, problem, remedy }: ConfigError) -> Self {
        Self { path, problem, remedy }
    }
}

/// Returns a placeholder for a secret: long enough for every algorithm and valid in every encoding,
/// because hex digits are valid base64, too.
#[must_use]
pub fn stand_in(name: &str) -> String {
    hex(&sha256::<SHA256_BYTES>([name.as_bytes()])).repeat(2)
}
