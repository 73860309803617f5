//! The path of the claim that a setting names.
//!
//! Most claims are members of the payload and have one name. Some providers nest them: Keycloak's
//! roles are `roles` inside `realm_access`. A path lists the names from the outermost object
//! inwards. It is a list and not a text with dots, because names of claims may contain dots:
//! `https://example.com/roles`.

use std::fmt;
use std::sync::Arc;

/// The name of a claim, or the names on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath {
    names: Arc<[String]>,
}

impl ClaimPath {
    /// Creates the path of the claim with the last of these names, inside the objects with the
    /// names before it. A path without a name finds no claim.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        Self { names: names.into() }
    }

    /// Returns the names, from the outermost object inwards.
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
    /// Formats the path for people: the names joined by dots.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join("."))
    }
}
