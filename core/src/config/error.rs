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
    /// What to do about it; may be empty.
    pub remedy: String,
}

impl ConfigError {
    /// An error at this path.
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

/// A place in the configuration, while it is being checked.
#[derive(Clone, Debug)]
pub struct At(String);

impl At {
    /// The object itself.
    #[must_use]
    pub fn root() -> Self {
        Self(String::new())
    }

    /// A field of this object.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        let dot = if self.0.is_empty() { "" } else { "." };
        Self(format!("{}{dot}{name}", self.0))
    }

    /// An item of this list.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// What is wrong here, and what helps.
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
