//! Options of a Redis store, and the names of its keys.

use session_guard_core::hash::{hex, sha256};

use super::installation::Installation;

/// Options of a Redis store.
#[derive(Clone, Debug)]
pub struct Options {
    /// Prefix of the keys.
    pub prefix: String,
    /// What to do if Redis does not keep what it acknowledges.
    pub check: WhenNotDurable,
    /// Where a batch must be stored before it is acknowledged.
    pub wait: Wait,
    /// The installation that the keys must belong to. `None` for a copy, which may read and write
    /// the keys of any installation.
    pub installation: Option<Installation>,
}

/// What to do if a Redis does not keep what it acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenNotDurable {
    /// Do not start, and acknowledge nothing.
    Refuse,
    /// Write a log line and set a metric.
    Warn,
}

/// Where a batch must be stored before it is acknowledged, in addition to the primary's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wait {
    /// The number of replicas that must have the batch (`WAIT`).
    pub replicas: u32,
    /// Whether the batch must be on the disks of the primary and of these replicas (`WAITAOF`).
    pub fsync: bool,
}

/// Default prefix of the keys.
const DEFAULT_PREFIX: &str = "session-guard";

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: DEFAULT_PREFIX.to_owned(),
            check: WhenNotDurable::Refuse,
            wait: Wait::default(),
            installation: None,
        }
    }
}

/// Names of the keys. The braces make the prefix a hash tag, so all are on one node of a
/// Cluster.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) records: String,
    pub(super) log: String,
    pub(super) audit: String,
    lease_prefix: String,
}

impl Keys {
    /// Returns the name of the key for a lease. It contains a hash of the lease's own name, in
    /// which any character may occur.
    pub(super) fn lease(&self, name: &str) -> String {
        format!("{}{}", self.lease_prefix, hex(&sha256::<16>([name.as_bytes()])))
    }

    /// Returns the names with this prefix, or `None` if the prefix is not allowed.
    pub(super) fn new(prefix: &str) -> Option<Self> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        let is_valid = (1..=PREFIX_BYTES).contains(&prefix.len()) && prefix.chars().all(is_allowed);
        is_valid.then(|| Self {
            records: format!("{{{prefix}}}:records"),
            log: format!("{{{prefix}}}:log"),
            audit: format!("{{{prefix}}}:audit"),
            lease_prefix: format!("{{{prefix}}}:lease:"),
        })
    }
}

/// Longest prefix of the keys.
const PREFIX_BYTES: usize = 64;
