//! What do the samples say, and where is it written down?

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::peers::{PEERS, Peer};
use crate::sample::Sample;
use crate::statistics::{interval, median, quantile};

/// The costs of all peers, round by round.
pub(crate) struct Results {
    /// Microseconds for each request, by peer and round.
    costs: BTreeMap<&'static str, Vec<f64>>,
    /// The same of the service behind ext_authz.
    authz: BTreeMap<&'static str, Vec<f64>>,
}

/// A figure with the interval that holds it in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    /// The figure.
    pub(crate) value: f64,
    /// Its interval.
    pub(crate) interval: (f64, f64),
}

impl Results {
    /// Of these samples.
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let (mut costs, mut authz) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        for sample in samples {
            costs.entry(sample.peer).or_default().push(sample.microseconds());
            let nanoseconds = sample.authz_nanoseconds as f64 / sample.requests.max(1) as f64;
            authz.entry(sample.peer).or_default().push(nanoseconds / 1_000.0);
        }
        Self { costs, authz }
    }

    /// Microseconds that a peer adds to the bare Envoy, for each round.
    pub(crate) fn added(&self, peer: &Peer) -> Vec<f64> {
        self.beyond(peer.name, peer.baseline)
    }

    /// Microseconds that one peer takes beyond another, for each round.
    pub(crate) fn beyond(&self, name: &str, other: &str) -> Vec<f64> {
        let (own, other) = (&self.costs[name], &self.costs[other]);
        own.iter().zip(other).map(|(own, other)| own - other).collect()
    }

    /// How many times as much one peer adds as the cheapest of others.
    pub(crate) fn ratio(&self, name: &str, others: &[&str]) -> Figure {
        let own = self.added(find(name));
        let others: Vec<_> = others.iter().map(|name| self.added(find(name))).collect();
        let of = |drawn: &[usize]| {
            let middle =
                |added: &[f64]| median(&drawn.iter().map(|at| added[*at]).collect::<Vec<_>>());
            middle(&own) / others.iter().map(|other| middle(other)).fold(f64::INFINITY, f64::min)
        };
        let all: Vec<_> = (0..own.len()).collect();
        Figure { value: of(&all), interval: interval(own.len(), of) }
    }

    /// Whether that peer was measured.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.costs.contains_key(name)
    }

    /// The table for the terminal.
    pub(crate) fn table(&self) -> String {
        let mut table = format!(
            "{:48} {:>9} {:>9} {:>15} {:>11}\n",
            "CPU time of Envoy, µs a request", "whole", "added", "half of rounds", "× jwt_authn"
        );
        for peer in PEERS.iter().filter(|peer| self.has(peer.name)) {
            let added = self.added(peer);
            let whole = median(&self.costs[peer.name]);
            let _ = write!(table, "{:48} {whole:9.2} ", peer.title);
            if peer.name == peer.baseline {
                let _ = writeln!(table, "{:>9}", "–");
                continue;
            }
            let spread = format!("{:.2} … {:.2}", quantile(&added, 0.25), quantile(&added, 0.75));
            let ratio = self.ratio(peer.name, &[against(peer)]).value;
            let _ = write!(table, "{:9.2} {spread:>15} {ratio:11.2}", median(&added));
            if peer.name.starts_with("ext_authz") {
                let _ =
                    write!(table, "   and {:.1} in the service", median(&self.authz[peer.name]));
            }
            table.push('\n');
        }
        table
    }
}

/// The peer of that name.
pub(crate) fn find(name: &str) -> &'static Peer {
    PEERS.iter().find(|peer| peer.name == name).expect("a peer of that name")
}

/// jwt_authn without its cache, on tokens of the same algorithm.
fn against(peer: &Peer) -> &'static str {
    match peer.baseline {
        "bare_rs256" => "jwt_authn_rs256",
        _ => "jwt_authn_hs256",
    }
}

/// One line a sample.
pub(crate) fn write_samples(path: &Path, samples: &[Sample]) {
    let mut text = "round,peer,requests,seconds,envoy_nanoseconds,authz_nanoseconds,\
                    p50_milliseconds,p99_milliseconds\n"
        .to_owned();
    for sample in samples {
        let Sample { round, peer, requests, seconds, envoy_nanoseconds, .. } = sample;
        let Sample { authz_nanoseconds, p50_milliseconds, p99_milliseconds, .. } = sample;
        let _ = writeln!(
            text,
            "{round},{peer},{requests},{seconds:.6},{envoy_nanoseconds},{authz_nanoseconds},\
             {p50_milliseconds:.4},{p99_milliseconds:.4}"
        );
    }
    fs::write(path, text).expect("a file below target/");
}

/// One number a name.
pub(crate) fn write_summary(path: &Path, figures: &BTreeMap<&str, f64>) {
    let rounded = figures.iter().map(|(name, value)| (*name, json!((value * 1e4).round() / 1e4)));
    let summary: serde_json::Map<_, _> =
        rounded.map(|(name, value)| (name.to_owned(), value)).collect();
    let text = serde_json::to_string_pretty(&summary).expect("plain numbers");
    fs::write(path, text + "\n").expect("a file below target/");
}
