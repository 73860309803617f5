//! What is wrong with a configuration, and what helps?

use std::fmt;

/// One thing that is wrong, for the operator's eyes: where, what, and the way out. Holds no secret
/// and no part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field, like `keys[0].secret`; empty: the whole text.
    pub path: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl ConfigError {
    /// An error from its three parts.
    pub(crate) fn new(
        path: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { path: path.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "configuration" } else { &self.path };
        write!(f, "{path}: {}", self.problem)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl std::error::Error for ConfigError {}
