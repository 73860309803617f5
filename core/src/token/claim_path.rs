//! Which claim does a setting name?
//!
//! Most claims are members of the payload and have one name. Some providers nest them: Keycloak's
//! roles are `roles` inside `realm_access`. A path has the names from the outside in. It is a list
//! and not a text with dots, because names of claims contain dots: `https://example.com/roles`.

use std::fmt;
use std::sync::Arc;

/// The name of a claim, or the names on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath {
    names: Arc<[String]>,
}

impl ClaimPath {
    /// The claim with the last of these names, inside the objects with the others. Without a name
    /// there is no such claim.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        Self { names: names.into() }
    }

    /// The names, from the outside in.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl From<&str> for ClaimPath {
    fn from(name: &str) -> Self {
        Self::new(vec![name.to_owned()])
    }
}

impl fmt::Display for ClaimPath {
    /// For people: the names joined by dots.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join("."))
    }
}
