//! The values of a request that may be tokens, with the sources in which they were found.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;

use smallvec::SmallVec;

use crate::refusal::RefusalRule;
use crate::request::sources::{MOST_TOKENS, MOST_TOKENS_TO_SIGN_OUT};

/// How the location of a value is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// Exactly as configured, so every server finds the value there.
    Exact,
    /// Differently from the configuration, so that only some servers read it as the configured
    /// name. Such a value never admits a request.
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
/// The type dereferences to a slice.
#[derive(Clone, Debug, Default)]
pub struct Candidates<'a>(SmallVec<[Candidate<'a>; 1]>);

/// The distinct candidates of a sign-out in the order in which they were found.
///
/// There may be up to [`MOST_TOKENS_TO_SIGN_OUT`]. A keyed hash finds equal ones, so the work is
/// proportional to the number of bytes, and a client cannot choose values that make it slower.
pub(super) struct SignOutCandidates<'a, S = RandomState> {
    found: Vec<Candidate<'a>>,
    index: HashMap<Cow<'a, [u8]>, usize, S>,
}

impl SourceSet {
    /// Returns the set that contains only the source with this index.
    #[must_use]
    pub(super) fn of(index: usize) -> Self {
        Self(u32::try_from(index).ok().and_then(|index| 1_u8.checked_shl(index)).unwrap_or(0))
    }

    /// Returns the set of the sources in a list that fulfil a condition.
    pub(super) fn of_all<S>(sources: &[S], is_in: impl Fn(&S) -> bool) -> Self {
        let sources = sources.iter().enumerate().filter(|(_, source)| is_in(source));
        sources.map(|(index, _)| Self::of(index)).fold(Self::default(), Self::union)
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

    /// Returns whether a source is in both sets.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
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

    /// Returns all sources that contain the candidate, under any spelling.
    #[must_use]
    pub fn sources(&self) -> SourceSet {
        self.exact.union(self.other)
    }

    /// Adds the sources of an equal candidate.
    fn merge(&mut self, equal: &Self) {
        self.exact = self.exact.union(equal.exact);
        self.other = self.other.union(equal.other);
    }
}

impl<'a> Candidates<'a> {
    pub(super) fn add(&mut self, candidate: Candidate<'a>) -> Result<(), RefusalRule> {
        if let Some(known) = self.0.iter_mut().find(|known| known.bytes == candidate.bytes) {
            known.merge(&candidate);
            return Ok(());
        }
        if self.0.len() == MOST_TOKENS {
            return Err(RefusalRule::Count);
        }
        self.0.push(candidate);
        Ok(())
    }
}

impl<'a> IntoIterator for Candidates<'a> {
    type Item = Candidate<'a>;
    type IntoIter = smallvec::IntoIter<[Candidate<'a>; 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, S: BuildHasher + Default> SignOutCandidates<'a, S> {
    pub(super) fn new() -> Self {
        Self { found: vec![], index: HashMap::default() }
    }

    pub(super) fn add(&mut self, candidate: Candidate<'a>) -> Result<(), RefusalRule> {
        match self.index.entry(candidate.bytes.clone()) {
            Entry::Occupied(known) => {
                let known = self.found.get_mut(*known.get());
                known.into_iter().for_each(|known| known.merge(&candidate));
            }
            Entry::Vacant(_) if self.found.len() >= MOST_TOKENS_TO_SIGN_OUT => {
                return Err(RefusalRule::Count);
            }
            Entry::Vacant(place) => {
                place.insert(self.found.len());
                self.found.push(candidate);
            }
        }
        Ok(())
    }

    pub(super) fn into_vec(self) -> Vec<Candidate<'a>> {
        self.found
    }
}

impl<'a> Deref for Candidates<'a> {
    type Target = [Candidate<'a>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::hash::{DefaultHasher, Hasher};

    use super::*;

    thread_local!(static HASHED_BYTES: Cell<usize> = const { Cell::new(0) });

    /// Counts the bytes that are hashed.
    #[derive(Default)]
    struct Counting(DefaultHasher);

    impl Hasher for Counting {
        fn write(&mut self, bytes: &[u8]) {
            HASHED_BYTES.set(HASHED_BYTES.get() + bytes.len());
            self.0.write(bytes);
        }

        fn finish(&self) -> u64 {
            self.0.finish()
        }
    }

    type State = std::hash::BuildHasherDefault<Counting>;

    fn candidate<'a>(bytes: &'a [u8], index: usize) -> Candidate<'a> {
        Candidate::new(Cow::Borrowed(bytes), Spelling::Exact, index)
    }

    #[test]
    fn work_of_a_sign_out_grows_with_its_bytes() {
        for count in [16, 64, MOST_TOKENS_TO_SIGN_OUT] {
            let tokens: Vec<_> = (0..count).map(|n| format!("{:0199}{n:03}", 0)).collect();
            HASHED_BYTES.set(0);
            let mut found = SignOutCandidates::<State>::new();
            for round in 0..2 {
                for token in &tokens {
                    found.add(candidate(token.as_bytes(), round)).expect("room");
                }
            }
            let sent_bytes: usize = tokens.iter().map(|token| 2 * token.len()).sum();
            // Each is hashed once, and again as the table grows.
            assert!(HASHED_BYTES.get() < 3 * sent_bytes, "{} of {sent_bytes}", HASHED_BYTES.get());
            let both = SourceSet::of(0).union(SourceSet::of(1));
            let found = found.into_vec();
            assert_eq!(found.len(), count);
            assert!(found.iter().zip(&tokens).all(|(it, token)| *it.bytes == *token.as_bytes()));
            assert!(found.iter().all(|it| it.exact == both));
        }
    }

    #[test]
    fn a_full_list_takes_only_known_candidates() {
        let tokens: Vec<_> = (0..=MOST_TOKENS_TO_SIGN_OUT).map(|n| n.to_string()).collect();
        let mut found = SignOutCandidates::<RandomState>::new();
        let results: Vec<_> =
            tokens.iter().map(|token| found.add(candidate(token.as_bytes(), 0)).is_ok()).collect();
        assert_eq!(results.iter().filter(|is_ok| **is_ok).count(), MOST_TOKENS_TO_SIGN_OUT);
        assert!(!results[MOST_TOKENS_TO_SIGN_OUT]);
        assert_eq!(found.add(candidate(b"0", 1)), Ok(()));
        assert_eq!(found.into_vec().len(), MOST_TOKENS_TO_SIGN_OUT);
    }
}
