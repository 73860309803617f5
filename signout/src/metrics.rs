//! What can an operator see in Prometheus?

use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};
use session_guard_core::revocation::record::Kind;

use crate::book::Book;
use crate::http::connections::Closed;

/// Media type of [`Metrics::render`].
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Counters and gauges of one service.
pub(crate) struct Metrics {
    registry: Registry,
    /// Live revocations by kind.
    revocations: IntGaugeVec,
    /// Most live revocations.
    pub(crate) capacity: IntGauge,
    /// Sequence number of the newest entry of the log.
    log_sequence: IntGauge,
    /// Revocations that came in, by what became of them.
    pub(crate) received: IntCounterVec,
    /// Answers of `/v1`, by status.
    pub(crate) answers: IntCounterVec,
    /// Pages of resets that were answered.
    pub(crate) reset_pages: IntCounter,
    /// Open connections by caller.
    pub(crate) connections: IntGaugeVec,
    /// Connections that the service closed, by reason.
    pub(crate) connections_closed: IntCounterVec,
    /// Polls that wait now.
    pub(crate) waiting_polls: IntGauge,
    /// What one commit took.
    pub(crate) commit_seconds: Histogram,
    /// Whether the last commit succeeded.
    pub(crate) store_up: IntGauge,
    /// Whether the store keeps what it is given, as far as its settings tell.
    pub(crate) store_durable: IntGauge,
    /// How often the store had lost entries that we knew.
    pub(crate) store_losses: IntCounter,
}

impl Metrics {
    /// All of them, at zero.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name, what| registered(&registry, IntGauge::new(name, what)?);
        let gauges = |name, what, label| {
            registered(&registry, IntGaugeVec::new(Opts::new(name, what), &[label])?)
        };
        let counters = |name, what, label| {
            registered(&registry, IntCounterVec::new(Opts::new(name, what), &[label])?)
        };
        let version = Opts::new("signout_build_info", "Always 1; the version is its label")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        registered(&registry, IntGauge::with_opts(version)?)?.set(1);
        let reset_pages = IntCounter::new("signout_reset_pages_total", "Pages of resets answered")?;
        let store_losses = IntCounter::new(
            "signout_store_losses_total",
            "Times that the store had lost what it had",
        )?;
        let commit_seconds = HistogramOpts::new("signout_commit_seconds", "Time of one commit")
            .buckets(COMMIT_SECONDS.to_vec());
        let answers = counters("signout_answers_total", "Answers of /v1, by status", "status")?;
        for status in ["200", "201", "401", "403", "503", "507"] {
            answers.with_label_values(&[status]); // from the start: a rate needs a zero before the first
        }
        let connections_closed = counters(
            "signout_connections_closed_total",
            "Connections that the service closed: slow (no request within --head-timeout), idle \
             (none within --idle-timeout), limit (--max-connections)",
            "reason",
        )?;
        for reason in Closed::ALL {
            connections_closed.with_label_values(&[reason.name()]);
        }
        Ok(Self {
            connections: gauges("signout_connections", "Open connections", "caller")?,
            connections_closed,
            revocations: gauges("signout_revocations", "Live revocations", "kind")?,
            capacity: gauge("signout_capacity", "Most live revocations (--capacity)")?,
            log_sequence: gauge("signout_log_sequence", "Number of the newest log entry")?,
            received: counters(
                "signout_revocations_received_total",
                "Revocations received, by what became of them",
                "result",
            )?,
            answers,
            reset_pages: registered(&registry, reset_pages)?,
            waiting_polls: gauge("signout_waiting_polls", "Polls that wait for a change")?,
            commit_seconds: registered(&registry, Histogram::with_opts(commit_seconds)?)?,
            store_up: gauge("signout_store_up", "1 if the last commit succeeded")?,
            store_durable: gauge(
                "signout_store_durable",
                "1 if the store's settings keep what is acknowledged",
            )?,
            store_losses: registered(&registry, store_losses)?,
            registry,
        })
    }

    /// Notes the size of the book.
    pub(crate) fn observe(&self, book: &Book) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for kind in Kind::ALL {
            self.revocations.with_label_values(&[kind.name()]).set(number(book.of_kind(kind)));
        }
        self.log_sequence.set(number(book.head().sequence));
    }

    /// Prometheus' text format.
    pub(crate) fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

fn registered<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

/// From a commit on a fast disk to one on a disk in trouble.
const COMMIT_SECONDS: [f64; 9] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];
