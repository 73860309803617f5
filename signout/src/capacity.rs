//! Capacity: how many live records the service may hold.

use session_guard_core::revocation::record::Kind;

use crate::log::Log;

/// Separate limits for tokens and cutoffs, so that a set full of tokens has room for cutoffs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Largest number of records of single tokens.
    pub(crate) tokens: usize,
    /// Largest number of cutoffs: the reserve.
    pub(crate) cutoffs: usize,
}

impl Capacity {
    /// No limit, for records that the service has already acknowledged.
    pub(crate) const UNLIMITED: Self = Self { tokens: usize::MAX, cutoffs: usize::MAX };

    /// Returns the limits for a `--capacity`.
    pub(crate) fn of(capacity: usize) -> Self {
        Self { tokens: capacity, cutoffs: capacity.max(CUTOFFS_AT_LEAST) }
    }

    /// Returns the limit for records of this kind.
    pub(crate) fn limit(self, kind: Kind) -> usize {
        match kind {
            Kind::Token => self.tokens,
            Kind::User | Kind::All => self.cutoffs,
        }
    }
}

/// Returns the number of live records that share a limit with records of this kind.
pub(crate) fn used(log: &Log, kind: Kind) -> usize {
    let tokens = usize::try_from(log.count_of(Kind::Token)).unwrap_or(usize::MAX);
    match kind {
        Kind::Token => tokens,
        Kind::User | Kind::All => log.len().saturating_sub(tokens),
    }
}

/// The smallest reserve for cutoffs: about 100 MB of memory. If `--capacity` is larger than this,
/// the reserve is as large as `--capacity`.
const CUTOFFS_AT_LEAST: usize = 1_000_000;
