//! How do counts, gauges and durations get to Envoy?
//!
//! Counts are summed in the VM and written on the tick: a request costs no call for them.

use std::cell::Cell;
use std::time::Instant;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use session_guard_core::feed::gauges::Gauges;
use session_guard_core::metrics::{Counter, Duration, Gauge};
use session_guard_core::revocation::record::Kind;

/// The metrics of one VM. The numbers behind the names are the process's.
pub(crate) struct Metrics {
    counters: Vec<(Counter, u32, Cell<u64>)>,
    gauges: Vec<(Gauge, u32)>,
    durations: Vec<(Duration, u32)>,
}

impl Metrics {
    /// Defines every metric that this configuration has; defining one again gives the same.
    pub(crate) fn define(has_feed: bool, fetches_keys: bool) -> Self {
        let counter = |counter: Counter| {
            let id = hostcalls::define_metric(MetricType::Counter, &counter.name()).ok()?;
            Some((counter, id, Cell::new(0)))
        };
        let gauge = |gauge: Gauge| {
            let id = hostcalls::define_metric(MetricType::Gauge, &gauge.name()).ok()?;
            Some((gauge, id))
        };
        let duration = |duration: Duration| {
            let id = hostcalls::define_metric(MetricType::Histogram, &duration.name()).ok()?;
            Some((duration, id))
        };
        // One that stays 0 would raise the alarm for a feed or for keys that nobody asked for.
        let gauges = Gauge::all().filter(|gauge| match gauge {
            Gauge::Build => true,
            Gauge::KeysCurrent => fetches_keys,
            _ => has_feed,
        });
        let metrics = Self {
            counters: Counter::all().filter_map(counter).collect(),
            gauges: gauges.filter_map(gauge).collect(),
            durations: Duration::ALL.into_iter().filter_map(duration).collect(),
        };
        metrics.set(Gauge::Build, 1);
        metrics
    }

    /// Counts.
    pub(crate) fn add(&self, counter: Counter, amount: u64) {
        if let Some((_, _, sum)) = self.counters.iter().find(|known| known.0 == counter) {
            sum.set(sum.get().saturating_add(amount));
        }
    }

    /// Writes what was counted since the last time.
    pub(crate) fn write(&self) {
        for (_, id, sum) in &self.counters {
            let amount = i64::try_from(sum.take()).unwrap_or(i64::MAX);
            if amount > 0 {
                let _ = hostcalls::increment_metric(*id, amount); // a metric is no reason to fail
            }
        }
    }

    /// Shows what the lease owner knows.
    pub(crate) fn show(&self, gauges: &Gauges) {
        self.set(Gauge::FeedCurrent, gauges.feed_current_timestamp_seconds);
        self.set(Gauge::Outbox, gauges.outbox);
        self.set(Gauge::ClockDifference, gauges.clock_difference_seconds);
        for (kind, count) in Kind::ALL.into_iter().zip(gauges.revocations) {
            self.set(Gauge::Revocations(kind), count);
        }
    }

    /// Shows how long something has taken that began then.
    pub(crate) fn took(&self, duration: Duration, began: Instant) {
        if let Some((_, id)) = self.durations.iter().find(|known| known.0 == duration) {
            let microseconds = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let _ = hostcalls::record_metric(*id, microseconds); // a metric is no reason to fail
        }
    }

    /// Shows one number.
    pub(crate) fn set(&self, gauge: Gauge, value: u64) {
        if let Some((_, id)) = self.gauges.iter().find(|known| known.0 == gauge) {
            let _ = hostcalls::record_metric(*id, value); // a metric is no reason to fail
        }
    }
}
