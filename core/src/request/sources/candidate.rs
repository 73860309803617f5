//! The values of a request that may be tokens, with the sources in which they were found.

use std::borrow::Cow;
use std::ops::Deref;

use crate::refusal::Rule;
use crate::request::sources::MOST_TOKENS;

/// How the location of a value is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// Exactly as configured, so every server finds the value there.
    Exact,
    /// In a way that only some servers read as the configured name. Such a value never admits a
    /// request.
    Other,
}

/// A set of token sources, by index. A configuration has at most eight sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceSet(u8);

/// A value that some application may read as a token. It has not been verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The value as sent, percent-decoded in a query.
    pub bytes: Cow<'a, [u8]>,
    /// The sources that contain it, spelt exactly as configured.
    pub exact: SourceSet,
    /// The sources that contain it under another spelling.
    pub other: SourceSet,
}

/// The distinct candidates of one request, in the order in which they were found.
///
/// It dereferences to a slice. The fixed array avoids an allocation for most requests.
#[derive(Clone, Debug, Default)]
pub struct Candidates<'a> {
    found: [Candidate<'a>; MOST_TOKENS],
    count: usize,
}

impl SourceSet {
    /// The set of the source with that index.
    #[must_use]
    pub(super) fn of(index: usize) -> Self {
        Self(u32::try_from(index).ok().and_then(|index| 1_u8.checked_shl(index)).unwrap_or(0))
    }

    /// Returns the sources that are in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the sources of this set that are not in the other one.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns whether every source of this set is in the other one.
    #[must_use]
    pub fn is_within(self, other: Self) -> bool {
        self.without(other).is_empty()
    }

    /// Returns whether the set has no source.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl<'a> Candidate<'a> {
    pub(super) fn new(bytes: Cow<'a, [u8]>, spelling: Spelling, index: usize) -> Self {
        let (source, none) = (SourceSet::of(index), SourceSet::default());
        match spelling {
            Spelling::Exact => Self { bytes, exact: source, other: none },
            Spelling::Other => Self { bytes, exact: none, other: source },
        }
    }

    /// Returns all sources that hold it.
    #[must_use]
    pub fn sources(&self) -> SourceSet {
        self.exact.union(self.other)
    }

    /// Adds the sources of an equal candidate to one in the list. Returns the candidate if the list
    /// has no equal one.
    pub(super) fn merge_into(self, list: &mut [Self]) -> Option<Self> {
        let Some(known) = list.iter_mut().find(|known| known.bytes == self.bytes) else {
            return Some(self);
        };
        known.exact = known.exact.union(self.exact);
        known.other = known.other.union(self.other);
        None
    }
}

impl<'a> Candidates<'a> {
    pub(super) fn add(&mut self, candidate: Candidate<'a>) -> Result<(), Rule> {
        let known = self.found.get_mut(..self.count).unwrap_or_default();
        if let Some(candidate) = candidate.merge_into(known) {
            *self.found.get_mut(self.count).ok_or(Rule::Count)? = candidate;
            self.count += 1;
        }
        Ok(())
    }
}

impl<'a> Deref for Candidates<'a> {
    type Target = [Candidate<'a>];

    fn deref(&self) -> &Self::Target {
        self.found.get(..self.count).unwrap_or_default()
    }
}
