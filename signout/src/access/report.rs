//! Checks a tokens file, and explains what it means (`signout check`).
//!
//! It uses the service's own code: a file that passes is accepted by `signout serve --tokens` of the
//! same version. All errors are reported at once.

use serde::Serialize;

use super::right::Right;
use super::settings::{self, NamedToken};
use crate::access::schema;
use crate::check::Wrong;
use crate::check::errors::{FileReader, all_errors};
use crate::check::words::Lines;
use crate::json_file::{description, has_member};

/// The report about a tokens file.
#[derive(Debug, Serialize)]
pub struct TokensReport {
    /// Whether the service accepts it.
    pub good: bool,
    /// Every error.
    pub errors: Vec<Wrong>,
    /// The tokens that have no errors.
    pub tokens: Vec<TokenInWords>,
}

/// The meaning of one entry.
#[derive(Debug, Serialize)]
pub struct TokenInWords {
    /// Its name in the audit.
    pub name: String,
    /// Its rights.
    pub rights: Vec<Right>,
    /// The realms to which it is limited; `None` if it is not.
    pub realms: Option<Vec<String>>,
}

/// Returns whether the text is a tokens file: a JSON object with a list `tokens`.
#[must_use]
pub fn is_tokens_file(text: &[u8]) -> bool {
    has_member(text, "tokens")
}

/// Checks a tokens file.
#[must_use]
pub fn check(text: &[u8]) -> TokensReport {
    let read = |text: &[u8]| settings::read_all(text).1;
    let about = |path: &str| match description(&schema::schema(), path) {
        Some(description) if !path.is_empty() => format!("this setting: {description}"),
        _ => "see docs/operations.md#api-tokens for a complete example".to_owned(),
    };
    let errors = all_errors(text, &FileReader { read: &read, about: &about });
    let (tokens, _) = settings::read_all(text);
    TokensReport {
        good: errors.is_empty(),
        errors: errors.into_iter().map(Into::into).collect(),
        tokens: tokens.into_iter().map(TokenInWords::of).collect(),
    }
}

/// Returns the report as several lines.
#[must_use]
pub fn words(report: &TokensReport) -> String {
    let mut out = Lines::default();
    out.errors(&report.errors);
    for token in report.tokens.iter().filter(|_| report.good) {
        out.section("token", vec![token.line()]);
    }
    out.text
}

impl TokenInWords {
    fn of(token: NamedToken) -> Self {
        let NamedToken { name, rights, realms, .. } = token;
        Self { name, rights, realms }
    }

    fn line(&self) -> String {
        let rights: Vec<_> = self.rights.iter().map(|right| right.name()).collect();
        let realm = |realm: &String| match realm.as_str() {
            "" => "the default realm".to_owned(),
            realm => format!("realm {realm}"),
        };
        let place = match &self.realms {
            None => "all realms".to_owned(),
            Some(realms) => realms.iter().map(realm).collect::<Vec<_>>().join(", "),
        };
        format!("{}: {} in {place}", self.name, rights.join(", "))
    }
}
