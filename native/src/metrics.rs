//! Writes counters, gauges and durations to Envoy.

use std::time::Instant;

use session_guard_core::metrics::{Counter, Duration, Gauge};
use session_guard_core::root::Root;

use crate::abi::{ConfigurationHandle, Metric, MetricKind, RequestHandle};

/// The metrics of one configuration, each with the id that Envoy has given it. Envoy keeps one value per name for the
/// whole process, so a later configuration continues the same counters.
pub(crate) struct FilterMetrics {
    counters: Vec<(Counter, Metric)>,
    gauges: Vec<(Gauge, Metric)>,
    durations: Vec<(Duration, Metric)>,
}

impl FilterMetrics {
    /// Defines every metric of this configuration. Each counter is created with the value 0, so
    /// that a rate over it is never absent.
    pub(crate) fn define(envoy: ConfigurationHandle<'_>, root: &Root) -> Self {
        let counter = |it: Counter| Some((it, envoy.define(MetricKind::Counter, &it.name())?));
        let gauge = |it: Gauge| Some((it, envoy.define(MetricKind::Gauge, &it.name())?));
        let duration = |it: Duration| Some((it, envoy.define(MetricKind::Histogram, &it.name())?));
        let metrics = Self {
            counters: Counter::all().filter_map(counter).collect(),
            gauges: root.gauges().filter_map(gauge).collect(),
            durations: Duration::ALL.into_iter().filter_map(duration).collect(),
        };
        metrics.counters.iter().for_each(|(_, metric)| envoy.add(*metric, 0));
        metrics.set(envoy, Gauge::Build, 1);
        metrics
    }

    /// Adds the core's counts to Envoy's counters, inside a hook of a request.
    pub(crate) fn write(&self, request: &RequestHandle<'_>, root: &mut Root) {
        for (counter, amount) in root.take_counts() {
            if let Some(metric) = self.counter(counter) {
                request.add(metric, amount);
            }
        }
    }

    /// Adds the core's counts to Envoy's counters, on the main thread.
    pub(crate) fn write_on_main(&self, envoy: ConfigurationHandle<'_>, root: &mut Root) {
        for (counter, amount) in root.take_counts() {
            if let Some(metric) = self.counter(counter) {
                envoy.add(metric, amount);
            }
        }
    }

    /// Sets a gauge.
    pub(crate) fn set(&self, envoy: ConfigurationHandle<'_>, gauge: Gauge, value: u64) {
        if let Some((_, metric)) = self.gauges.iter().find(|(known, _)| *known == gauge) {
            envoy.set(*metric, value);
        }
    }

    /// Records the time elapsed since `began` in a histogram.
    pub(crate) fn took(&self, envoy: ConfigurationHandle<'_>, duration: Duration, began: Instant) {
        if let Some((_, metric)) = self.durations.iter().find(|(known, _)| *known == duration) {
            envoy.record(*metric, u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn counter(&self, counter: Counter) -> Option<Metric> {
        let found = self.counters.iter().find(|(known, _)| *known == counter);
        found.map(|(_, metric)| *metric)
    }
}
