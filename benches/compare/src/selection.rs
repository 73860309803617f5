//! What is measured in a run?

use crate::peers::{BenchPart, PEERS, Peer};

/// Who takes part in a run.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Whether the extra peers do.
    pub(crate) all: bool,
    /// Whether another build of the filter does.
    pub(crate) before: bool,
    /// If any are named, only these parts and peers, and what the peers are compared with.
    pub(crate) only: Vec<String>,
}

/// A part of a run beside the contest of the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunPart {
    /// How many revocations a second the service accepts.
    Revocations,
    /// Loading a million revocations.
    ColdStart,
    /// From a sign-out to the refusal by another Envoy.
    Propagation,
    /// Requests with forged tokens.
    Forged,
    /// Requests through NGINX, which asks the service. Only if it is named.
    ForwardAuth,
}

impl RunPart {
    const ALL: [Self; 5] =
        [Self::Revocations, Self::ColdStart, Self::Propagation, Self::Forged, Self::ForwardAuth];

    fn name(self) -> &'static str {
        match self {
            Self::Revocations => "revocations",
            Self::ColdStart => "cold_start",
            Self::Propagation => "propagation",
            Self::Forged => "forged",
            Self::ForwardAuth => "forward_auth",
        }
    }
}

impl Selection {
    /// Checks the names of parts and peers.
    ///
    /// # Errors
    /// There is no part or peer of a name.
    pub(crate) fn check_names(&self) -> Result<(), String> {
        let parts = RunPart::ALL.map(RunPart::name);
        let known: Vec<_> = parts.into_iter().chain(PEERS.map(|peer| peer.name)).collect();
        match self.only.iter().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format!("no peer is named {name}; there are {}", known.join(", "))),
            None => Ok(()),
        }
    }

    /// Whether this part is measured.
    pub(crate) fn includes(&self, part: RunPart) -> bool {
        let is_named = self.only.iter().any(|name| name == part.name());
        is_named || self.only.is_empty() && part != RunPart::ForwardAuth
    }

    /// Whether any peer is measured.
    pub(crate) fn includes_peers(&self) -> bool {
        let is_peer = |name: &String| PEERS.iter().any(|peer| peer.name == name);
        self.only.is_empty() || self.only.iter().any(is_peer)
    }

    /// Whether that peer takes part.
    pub(crate) fn holds(&self, peer: &Peer) -> bool {
        let is_compared = ["bare", "bare_rs256", "bare_busy", "jwt_authn_hs256", "jwt_authn_rs256"];
        let is_named = || self.only.iter().any(|name| name == peer.name);
        match peer.part {
            BenchPart::Before if !self.before => false,
            _ if !self.only.is_empty() => is_compared.contains(&peer.name) || is_named(),
            BenchPart::Extra => self.all,
            BenchPart::Always | BenchPart::Before => true,
        }
    }
}
