//! Errors in a configuration, with the remedy.

use std::fmt;

/// One error, for the operator: the field, the problem and the remedy. Contains no secret and no
/// part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The path of the field, like `keys[0].secret`. Empty for the whole text.
    pub path: String,
    /// The problem.
    pub problem: String,
    /// The remedy; may be empty.
    pub remedy: String,
}

impl ConfigError {
    /// Creates an error for the field with this path.
    pub fn new(
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

/// The path of the field that is being checked.
#[derive(Clone, Debug)]
pub struct At(String);

impl At {
    /// Returns the path of the whole configuration.
    #[must_use]
    pub fn root() -> Self {
        Self(String::new())
    }

    /// Returns the path of a field of this object.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let dot = if self.0.is_empty() { "" } else { "." };
        Self(format!("{}{dot}{name}", self.0))
    }

    /// Returns the path of an item of this list.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// Creates an error for this field.
    #[must_use]
    pub fn error(&self, problem: impl Into<String>, remedy: impl Into<String>) -> ConfigError {
        ConfigError::new(self.0.clone(), problem, remedy)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
