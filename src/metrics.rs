//! Writes counters, gauges and durations to Envoy.
//!
//! The core sums counters inside the VM, and the tick writes the sums to Envoy. A request therefore
//! makes no host call for its counters.

use std::time::Instant;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;
use session_guard_core::metrics::{Counter, Duration, Gauge};
use session_guard_core::root::Root;

/// The metrics of one VM. Envoy keeps one value per name for the whole process.
pub(crate) struct VmMetrics {
    counters: Vec<(Counter, u32)>,
    gauges: Vec<(Gauge, u32)>,
    durations: Vec<(Duration, u32)>,
}

impl VmMetrics {
    /// Defines every metric of this configuration. Defining a name again returns the same number.
    pub(crate) fn define(root: &Root) -> Self {
        let define = |kind, name: String| hostcalls::define_metric(kind, &name).ok();
        let counter = |it: Counter| Some((it, define(MetricType::Counter, it.name())?));
        let gauge = |it: Gauge| Some((it, define(MetricType::Gauge, it.name())?));
        let duration = |it: Duration| Some((it, define(MetricType::Histogram, it.name())?));
        let metrics = Self {
            counters: Counter::all().filter_map(counter).collect(),
            gauges: root.gauges().filter_map(gauge).collect(),
            durations: Duration::ALL.into_iter().filter_map(duration).collect(),
        };
        metrics.set(Gauge::Build, 1);
        metrics
    }

    /// Adds the counts collected since the last write to Envoy's counters.
    pub(crate) fn write(&self, root: &mut Root) {
        for (counter, amount) in root.take_counts() {
            let amount = i64::try_from(amount).unwrap_or(i64::MAX);
            if let Some((_, id)) = self.counters.iter().find(|(known, _)| *known == counter) {
                let _ = hostcalls::increment_metric(*id, amount); // a metric is no reason to fail
            }
        }
    }

    /// Records the time elapsed since `began` in a histogram.
    pub(crate) fn took(&self, duration: Duration, began: Instant) {
        if let Some((_, id)) = self.durations.iter().find(|(known, _)| *known == duration) {
            let microseconds = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            let _ = hostcalls::record_metric(*id, microseconds); // a metric is no reason to fail
        }
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, gauge: Gauge, value: u64) {
        if let Some((_, id)) = self.gauges.iter().find(|(known, _)| *known == gauge) {
            let _ = hostcalls::record_metric(*id, value); // a metric is no reason to fail
        }
    }
}
