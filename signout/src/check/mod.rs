//! Does a configuration of the filter load, and what does it mean?
//!
//! The filter's own code answers: what loads here loads there. [`mod@find`] brings the configuration as
//! the filter would get it, out of whatever it stands in; [`words`] says what it means.
//!
//! # Variables that are not set here
//!
//! Secrets are where the proxy runs, and a configuration is checked where it is written. So a
//! variable that is not set here, and that the proxy passes on, gets a stand-in that every key
//! takes, and the report names it: everything is checked but that secret. On the proxy's own machine
//! ask for all to be set ([`Secrets::Required`]). A variable that the proxy does not pass on is an
//! error in any case: the filter could never see it.
#![allow(clippy::indexing_slicing)] // of JSON alone, which answers null for what is not there

pub mod find;
pub mod words;

mod plugin;

use serde::Serialize;
use serde_json::Value;
use session_guard_core::config::effective::{effective, variables};
use session_guard_core::config::variable::is_shown;
use session_guard_core::config::{Config, ConfigError};
use session_guard_core::hash::{SHA256_BYTES, hex, sha256};
use session_guard_core::headers::Headers;
use session_guard_core::request::path;
use session_guard_core::request::routes::{Access, RevokeUser};

pub use crate::check::find::{FoundConfiguration, find};

/// Answers for the environment variables of this process.
pub type ProcessEnvironment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What to do where a secret is not at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// A stand-in takes its place, and the report says so.
    StoodInFor,
    /// The configuration does not load.
    Required,
}

/// A request whose route somebody wants to know.
#[derive(Clone, Debug)]
pub struct Asked {
    method: String,
    authority: String,
    path: String,
}

/// What is to be said of one configuration.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where it stands; empty: it is the whole text.
    pub place: String,
    /// Whether it loads.
    pub good: bool,
    /// Why it does not.
    pub error: Option<Wrong>,
    /// What is odd without being wrong.
    pub warnings: Vec<String>,
    /// The environment variables that it names.
    pub variables: Vec<Variable>,
    /// What tokens may be signed with, as far as the configuration says it.
    pub algorithms: Vec<&'static str>,
    /// The configuration with all that it leaves unsaid; null where it cannot be read.
    pub configuration: Value,
    /// What becomes of the requests that were asked about.
    pub requests: Vec<Answered>,
}

/// What is wrong, as the filter's log says it.
#[derive(Debug, Serialize)]
pub struct Wrong {
    /// The field.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

/// A secret that comes from the environment: of these the first one that is set.
#[derive(Debug, Serialize)]
pub struct Variable {
    /// Their names; what may be a secret by mistake is not shown.
    pub names: Vec<String>,
    /// What is known of it here.
    pub state: SecretState,
}

/// What is known of a secret here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretState {
    /// It is set and was checked.
    Set,
    /// It is not set here. All else was checked.
    NotSetHere,
    /// The proxy does not pass it on to the filter.
    NotPassedOn,
}

/// What becomes of one request.
#[derive(Debug, Serialize)]
pub struct Answered {
    /// As asked.
    pub request: String,
    /// What its route asks of it.
    pub access: &'static str,
    /// Whether it revokes its own tokens.
    pub revokes: bool,
    /// Whose tokens a 2xx answer revokes.
    pub revokes_user: Option<String>,
    /// Whether its path is spelt so that no rule applies.
    pub is_canonical: bool,
}

/// Checks what was found.
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
        error: None,
        warnings: found.warnings.clone(),
        variables: vec![],
        algorithms: vec![],
        configuration: Value::Null,
        requests: vec![],
    };
    let text = match &found.text {
        Ok(text) => text,
        Err(error) => {
            report.error = Some(error.clone().into());
            return report;
        }
    };
    report.configuration = effective(text).unwrap_or_default();
    let visible = |name: &str| found.passed.value(name, environment);
    let mut standing_in = vec![];
    for names in variables(text).unwrap_or_default() {
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
        let shown = names.into_iter().map(|name| if is_shown(&name) { name } else { "…".into() });
        report.variables.push(Variable { names: shown.collect(), state });
    }
    let in_filter = |name: &str| {
        let stands_in = secrets == Secrets::StoodInFor && standing_in.iter().any(|it| it == name);
        if stands_in { Some(stand_in(name)) } else { visible(name) }
    };
    match Config::parse(text, &in_filter) {
        Ok(config) => report.of(&config, found, asked),
        Err(error) => report.error = Some(error.into()),
    }
    report
}

impl Report {
    fn of(&mut self, config: &Config, found: &FoundConfiguration, asked: &[Asked]) {
        self.good = true;
        self.algorithms = config.keys.algorithms();
        self.warnings.extend(config.warnings.iter().cloned());
        let sets = config.key_sets.iter().map(|set| &set.cluster);
        let service = config.revocation.iter().map(|revocation| &revocation.cluster);
        self.warnings.extend(sets.chain(service).filter_map(|cluster| found.lacks(cluster)));
        let routes = self.configuration["routes"].as_array().into_iter().flatten();
        let signs_out = routes.into_iter().any(|rule| {
            rule["access"] == "signout" || rule.get("revoke_user").is_some_and(|it| !it.is_null())
        });
        if config.revocation.is_none() {
            let warning = "revocation: missing, so tokens are only verified: nobody is signed out";
            self.warnings.push(warning.to_owned());
        } else if !signs_out {
            let warning = "routes: none signs out; only the service's own calls revoke tokens";
            self.warnings.push(warning.to_owned());
        }
        self.requests = asked.iter().map(|asked| asked.answered(config)).collect();
    }
}

impl Asked {
    /// Reads `METHOD TARGET`: a path, or an address with its host; the method may be left out.
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

    fn answered(&self, config: &Config) -> Answered {
        let pseudo =
            [(":method", &*self.method), (":authority", &*self.authority), (":path", &*self.path)];
        let headers = Headers::from_pairs(&pseudo);
        let route = config.routes.find(&headers);
        Answered {
            request: format!("{} {}{}", self.method, self.authority, self.path),
            access: match route.access {
                Access::Public => "public",
                Access::Optional => "optional",
                Access::Protected => "protected",
                Access::Signout => "signout",
                Access::Ready => "ready",
            },
            revokes: route.revokes(),
            revokes_user: route.revoke_user.map(|user| match user {
                RevokeUser::OfToken => "the user of its own token".to_owned(),
                RevokeUser::Named(user) => format!("the user {user}"),
            }),
            is_canonical: path::canonical(self.path.as_bytes()).is_some(),
        }
    }
}

impl From<ConfigError> for Wrong {
    fn from(ConfigError { path, problem, remedy }: ConfigError) -> Self {
        Self { path, problem, remedy }
    }
}

/// Long enough for every algorithm, and good in every encoding: hex digits are base64 as well.
fn stand_in(name: &str) -> String {
    hex(&sha256::<SHA256_BYTES>([name.as_bytes()])).repeat(2)
}
