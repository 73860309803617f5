//! Metrics for Prometheus.

use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};
use session_guard_core::revocation::record::Kind;

use crate::capacity::{Capacity, used};
use crate::log::Log;

/// Media type of [`ServiceMetrics::render`].
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Counters and gauges of one service.
pub(crate) struct ServiceMetrics {
    registry: Registry,
    /// Live revocations by kind.
    revocations: IntGaugeVec,
    /// Largest number of live revocations of single tokens.
    pub(crate) capacity: IntGauge,
    /// Used share of the limits for tokens and for cutoffs, from 0 to 1.
    capacity_used: GaugeVec,
    /// Records that were rejected because the capacity was used up.
    pub(crate) without_room: IntCounter,
    /// Records that were replaced by a cutoff of their account.
    pub(crate) cut_off_accounts: IntCounter,
    /// Sequence number of the newest entry of the log.
    log_sequence: IntGauge,
    /// Received revocations, by result.
    pub(crate) received: IntCounterVec,
    /// Responses of `/v1`, by status.
    pub(crate) answers: IntCounterVec,
    /// Messages of identity providers, by protocol and result.
    pub(crate) receiver_messages: IntCounterVec,
    /// The time of the last successful poll for events, by issuer, in seconds since 1970 UTC.
    pub(crate) events_polled_at: IntGaugeVec,
    /// Failed polls for events, by issuer.
    pub(crate) event_polls_failed: IntCounterVec,
    /// Attempts to fetch the keys of an issuer, by issuer and result.
    pub(crate) key_fetches: IntCounterVec,
    /// Pages of resets that were sent.
    pub(crate) reset_pages: IntCounter,
    /// Open connections by caller.
    pub(crate) connections: IntGaugeVec,
    /// Connections that the service closed, by reason.
    pub(crate) connections_closed: IntCounterVec,
    /// Polls that are waiting.
    pub(crate) waiting_polls: IntGauge,
    /// Duration of a commit.
    pub(crate) commit_seconds: Histogram,
    /// 1 if the last commit succeeded, else 0.
    pub(crate) store_up: IntGauge,
    /// 1 if, with its settings, the store keeps what it acknowledges, else 0.
    pub(crate) store_durable: IntGauge,
    /// Number of times that the store had lost entries that the log holds.
    pub(crate) store_losses: IntCounter,
}

/// Why the service closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The connection is unauthenticated, and no request has begun within `--head-timeout`.
    Slow,
    /// The connection is authenticated, and no request has begun within `--idle-timeout`.
    Idle,
    /// There are too many connections.
    Limit,
}

impl Closed {
    /// Returns the label in `signout_connections_closed_total`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Idle => "idle",
            Self::Limit => "limit",
        }
    }

    /// Every reason.
    pub(crate) const ALL: [Self; 3] = [Self::Slow, Self::Idle, Self::Limit];
}

impl ServiceMetrics {
    /// Returns all metrics at zero.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let gauge = |name, what| registered(&registry, IntGauge::new(name, what)?);
        let gauges = |name, what, label| {
            registered(&registry, IntGaugeVec::new(Opts::new(name, what), &[label])?)
        };
        let counters = |name, what, label| {
            registered(&registry, IntCounterVec::new(Opts::new(name, what), &[label])?)
        };
        let pairs = |name, what, labels: &[&str; 2]| {
            registered(&registry, IntCounterVec::new(Opts::new(name, what), labels)?)
        };
        let version = Opts::new("signout_build_info", "Always 1; the version is its label")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        registered(&registry, IntGauge::with_opts(version)?)?.set(1);
        let reset_pages =
            IntCounter::new("signout_reset_pages_total", "Pages of resets that were sent")?;
        let capacity_used = GaugeVec::new(
            Opts::new("signout_capacity_used_ratio", "Used share of the capacity, from 0 to 1"),
            &["records"],
        )?;
        let without_room = IntCounter::new(
            "signout_revocations_without_room_total",
            "Revocations that were rejected with 507: the capacity is used up",
        )?;
        let cut_off_accounts = IntCounter::new(
            "signout_accounts_cut_off_total",
            "Records that were replaced by a cutoff of their account, to save room",
        )?;
        let store_losses = IntCounter::new(
            "signout_store_losses_total",
            "Number of times that the store had lost entries and was restored",
        )?;
        let commit_seconds = HistogramOpts::new("signout_commit_seconds", "Duration of a commit")
            .buckets(COMMIT_SECONDS.to_vec());
        let answers = counters("signout_answers_total", "Responses of /v1, by status", "status")?;
        for status in ["200", "201", "401", "403", "503", "507"] {
            answers.with_label_values(&[status]); // exists from the start: a rate needs a zero before the first
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
            capacity: gauge("signout_capacity", "Largest number of revoked tokens (--capacity)")?,
            capacity_used: registered(&registry, capacity_used)?,
            without_room: registered(&registry, without_room)?,
            cut_off_accounts: registered(&registry, cut_off_accounts)?,
            log_sequence: gauge("signout_log_sequence", "Sequence number of the newest log entry")?,
            received: counters(
                "signout_revocations_received_total",
                "Received revocations, by result",
                "result",
            )?,
            answers,
            receiver_messages: pairs(
                "signout_receiver_messages_total",
                "Messages of identity providers: accepted, ignored, or the reason of the rejection",
                &["protocol", "result"],
            )?,
            events_polled_at: gauges(
                "signout_events_polled_timestamp_seconds",
                "When an issuer's events were last polled with success",
                "issuer",
            )?,
            event_polls_failed: counters(
                "signout_event_polls_failed_total",
                "Failed polls for an issuer's events",
                "issuer",
            )?,
            key_fetches: pairs(
                "signout_issuer_keys_fetched_total",
                "Responses to requests for an issuer's keys: fetched, or why rejected",
                &["issuer", "result"],
            )?,
            reset_pages: registered(&registry, reset_pages)?,
            waiting_polls: gauge("signout_waiting_polls", "Polls that are waiting for a change")?,
            commit_seconds: registered(&registry, Histogram::with_opts(commit_seconds)?)?,
            store_up: gauge("signout_store_up", "1 if the last commit succeeded")?,
            store_durable: gauge(
                "signout_store_durable",
                "1 if the settings of the store keep what it acknowledges",
            )?,
            store_losses: registered(&registry, store_losses)?,
            registry,
        })
    }

    /// Sets the gauges that describe the log.
    pub(crate) fn observe(&self, log: &Log, capacity: Capacity) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for kind in Kind::ALL {
            self.revocations.with_label_values(&[kind.name()]).set(number(log.count_of(kind)));
        }
        for (sort, kind) in [("tokens", Kind::Token), ("cutoffs", Kind::User)] {
            let (used, limit) = (used(log, kind) as f64, capacity.limit(kind).max(1) as f64);
            self.capacity_used.with_label_values(&[sort]).set(used / limit);
        }
        self.log_sequence.set(number(log.head().sequence));
    }

    /// Adds a metric of another part of the service.
    pub(crate) fn register<C: prometheus::core::Collector + Clone + 'static>(
        &self,
        collector: C,
    ) -> Result<C, prometheus::Error> {
        registered(&self.registry, collector)
    }

    /// Returns all metrics in Prometheus' text format.
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

/// Buckets of `signout_commit_seconds`: from a commit on a fast disk to one on a failing disk.
const COMMIT_SECONDS: [f64; 9] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];
