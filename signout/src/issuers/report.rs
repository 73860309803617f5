//! Checks an issuers file, and explains what it means (`signout check`).
//!
//! It uses the service's own code: a file that passes is accepted by `signout serve --issuers` of the
//! same version. All errors are reported at once.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use super::schema;
use super::settings::{self, IssuerSettings, KeySource, VariableLookup};
use crate::check::errors::{FileReader, all_errors};
use crate::check::words::{Lines, variable};
use crate::check::{SecretState, Secrets, Variable, Wrong};
use crate::json_file::{description, has_member};

/// The report about an issuers file.
#[derive(Debug, Serialize)]
pub struct IssuersReport {
    /// Whether the service accepts it.
    pub good: bool,
    /// Every error. The service reports only the first one.
    pub errors: Vec<Wrong>,
    /// Settings that are accepted and probably not intended.
    pub warnings: Vec<Wrong>,
    /// The environment variables that it names.
    pub variables: Vec<Variable>,
    /// The issuers, in sentences.
    pub issuers: Vec<IssuerInWords>,
}

/// The meaning of one issuer's entry.
#[derive(Debug, Serialize)]
pub struct IssuerInWords {
    /// `iss` of its messages.
    pub issuer: String,
    /// The realm whose sessions it ends.
    pub realm: String,
    /// The messages that the issuer may send, the routes for them, and the tokens that they end.
    pub lines: Vec<String>,
}

/// Returns whether the text is an issuers file: a JSON object with a list `issuers`.
#[must_use]
pub fn is_issuers_file(text: &[u8]) -> bool {
    has_member(text, "issuers")
}

/// Checks an issuers file.
#[must_use]
pub fn check(text: &[u8], environment: VariableLookup<'_>, secrets: Secrets) -> IssuersReport {
    let variables = variables(text, environment);
    let lookup = |name: &str| {
        let stands_in = (secrets == Secrets::StoodInFor).then(|| PLACEHOLDER.to_owned());
        environment(name).filter(|value| !value.is_empty()).or(stands_in)
    };
    let read = |text: &[u8]| settings::read_all(text, &lookup).1;
    let errors = all_errors(text, &FileReader { read: &read, about: &about });
    let (issuers, _) = settings::read_all(text, &lookup);
    let warnings = issuers.iter().flat_map(|issuer| &issuer.warnings);
    IssuersReport {
        good: errors.is_empty(),
        warnings: warnings.map(|warning| Wrong::read(warning)).collect(),
        issuers: issuers.iter().map(IssuerInWords::of).collect(),
        errors: errors.into_iter().map(Into::into).collect(),
        variables,
    }
}

/// Returns the report as several lines.
#[must_use]
pub fn words(report: &IssuersReport) -> String {
    let mut out = Lines::default();
    out.errors(&report.errors);
    for IssuerInWords { issuer, realm, lines } in report.issuers.iter().filter(|_| report.good) {
        let realm = if realm.is_empty() { "the default realm" } else { realm };
        out.section("issuer", vec![format!("{issuer}, {realm}")]);
        out.section("", lines.clone());
    }
    out.section("secrets", report.variables.iter().map(|it| variable(it, report.good)).collect());
    out.section("warnings", report.warnings.iter().map(Wrong::to_string).collect());
    out.text
}

impl IssuerInWords {
    fn of(settings: &IssuerSettings) -> Self {
        let IssuerSettings { issuer, realm, token_issuers, user_id, .. } = settings;
        let algorithms: Vec<_> = settings.algorithms.iter().map(|it| it.name()).collect();
        let keys = match &settings.keys {
            KeySource::Inline(keys) => format!("{} keys in the file", keys.len()),
            KeySource::Fetched { origin, set } => {
                format!("keys of {origin}{}, at most {} s old", set.path, set.refresh_seconds)
            }
        };
        let path = |name: &str| match realm.is_empty() {
            true => format!("POST /v1/{name}"),
            false => format!("POST /v1/realms/{realm}/{name}"),
        };
        let mut lines = vec![format!("{keys}; {}", algorithms.join(", "))];
        let mut receives = |what: &str, audiences: &[String], how: &str| {
            lines.push(format!("{what}: {how}, for {}", audiences.join(", ")));
        };
        if let Some(audiences) = &settings.backchannel_logout {
            receives("back-channel logout", audiences, &path("backchannel-logout"));
        }
        if let Some(events) = &settings.events {
            let poll = events.transmitter.as_ref().and_then(|it| it.poll.as_ref());
            let how = poll.map_or_else(|| path("events"), |url| format!("polled from {url}"));
            receives("events", &events.audiences, &how);
        }
        if let Some(audiences) = &settings.global_token_revocation {
            receives("global token revocation", audiences, &path("global-token-revocation"));
        }
        if settings.token_revocation {
            lines.push("token revocation by the holder of a token: POST /oauth/revoke".to_owned());
        }
        let mut ends = format!("ends tokens with iss {}", token_issuers.join(" or "));
        let claim = json!(user_id_name(*user_id));
        let lifetime = settings.max_lifetime_seconds;
        let _ = write!(ends, "; its users by {claim}; keeps a cutoff for {lifetime} s");
        lines.push(ends);
        Self { issuer: issuer.clone(), realm: realm.clone(), lines }
    }
}

fn user_id_name(claim: settings::UserIdClaim) -> &'static str {
    match claim {
        settings::UserIdClaim::Sub => "sub",
        settings::UserIdClaim::Email => "email",
    }
}

/// Returns the variables that the file names, if it can be read.
fn variables(text: &[u8], environment: VariableLookup<'_>) -> Vec<Variable> {
    let file: Value = serde_json::from_slice(text).unwrap_or_default();
    let issuers = file.get("issuers").and_then(Value::as_array).into_iter().flatten();
    let names = issuers.filter_map(|it| it.pointer("/events/transmitter/token/env")?.as_str());
    let variable = |name: &str| {
        let is_set = environment(name).is_some_and(|value| !value.is_empty());
        let state = if is_set { SecretState::Set } else { SecretState::NotSetHere };
        Variable::named(vec![name.to_owned()], state)
    };
    names.map(variable).collect()
}

fn about(path: &str) -> String {
    match description(&schema::schema(), path) {
        Some(description) if !path.is_empty() => format!("this setting: {description}"),
        _ => "see docs/sessions.md for a complete example".to_owned(),
    }
}

/// The value of a variable that is not set here.
const PLACEHOLDER: &str = "signout-check";
