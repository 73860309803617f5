//! Who takes part in a run?

use crate::peers::Peer;

/// When a peer is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BenchPart {
    /// Always.
    Always,
    /// With `--all`.
    Extra,
    /// With `--before`.
    Before,
}

/// Who takes part in a run.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Whether the extra peers do.
    pub(crate) all: bool,
    /// Whether another build of the filter does.
    pub(crate) before: bool,
    /// If any are named, these alone, beside what they are compared with.
    pub(crate) only: Vec<String>,
}

impl Selection {
    /// Whether that peer takes part.
    pub(crate) fn holds(&self, peer: &Peer) -> bool {
        let is_compared = ["bare", "bare_rs256", "jwt_authn_hs256", "jwt_authn_rs256"];
        let is_named = || self.only.iter().any(|name| name == peer.name);
        match peer.part {
            BenchPart::Before if !self.before => false,
            _ if !self.only.is_empty() => is_compared.contains(&peer.name) || is_named(),
            BenchPart::Extra => self.all,
            BenchPart::Always | BenchPart::Before => true,
        }
    }
}
