//! The metrics of forward auth: those of the filter, under the names that Prometheus gets from Envoy.

use std::collections::BTreeMap;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use session_guard_core::metrics::{Counter, Gauge};

use crate::metrics::ServiceMetrics;

/// The counters and gauges of forward auth.
pub(super) struct GuardMetrics {
    counters: Vec<(Counter, IntCounter)>,
    gauges: Vec<(Gauge, IntGauge)>,
}

impl GuardMetrics {
    /// Adds the metrics to those of the service, all at zero.
    pub(super) fn register(service: &ServiceMetrics) -> Result<Self, prometheus::Error> {
        let (mut counters, mut gauges) = (Vec::new(), Vec::new());
        let (mut of_counters, mut of_gauges) = (BTreeMap::new(), BTreeMap::new());
        for counter in Counter::all() {
            let name = MetricName::of(&counter.name());
            let make = || service.register(IntCounterVec::new(name.opts(), &name.labels())?);
            let family = find_or_make(&mut of_counters, &name.family, make)?;
            counters.push((counter, family.get_metric_with_label_values(&name.values())?));
        }
        // Only the filter can end open requests.
        for gauge in Gauge::all().filter(|gauge| *gauge != Gauge::StreamsOpen) {
            let name = MetricName::of(&gauge.name());
            let make = || service.register(IntGaugeVec::new(name.opts(), &name.labels())?);
            let family = find_or_make(&mut of_gauges, &name.family, make)?;
            gauges.push((gauge, family.get_metric_with_label_values(&name.values())?));
        }
        let metrics = Self { counters, gauges };
        metrics.set(Gauge::Build, 1);
        Ok(metrics)
    }

    /// Adds to a counter.
    pub(super) fn add(&self, counter: Counter, amount: u64) {
        if let Some((_, metric)) = self.counters.iter().find(|(known, _)| *known == counter) {
            metric.inc_by(amount);
        }
    }

    /// Sets a gauge.
    pub(super) fn set(&self, gauge: Gauge, value: u64) {
        if let Some((_, metric)) = self.gauges.iter().find(|(known, _)| *known == gauge) {
            metric.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}

/// The name of a metric for Prometheus.
struct MetricName {
    family: String,
    label: Option<(&'static str, String)>,
}

impl MetricName {
    /// Converts a name of the core as Envoy does: the part after the second dot is a label.
    fn of(name: &str) -> Self {
        let mut parts = name.splitn(3, '.');
        let family: Vec<_> = parts.by_ref().take(2).collect();
        let family = family.join("_");
        let label = parts.next().map(|value| (label_of(&family), value.to_owned()));
        Self { family, label }
    }

    fn opts(&self) -> Opts {
        Opts::new(&self.family, "A metric of the filter, for requests of forward auth")
    }

    fn labels(&self) -> Vec<&str> {
        self.label.iter().map(|(label, _)| *label).collect()
    }

    fn values(&self) -> Vec<&str> {
        self.label.iter().map(|(_, value)| value.as_str()).collect()
    }
}

/// Returns the name of a family's label, as in `stats_tags` of `envoy/envoy.yaml`.
fn label_of(family: &str) -> &'static str {
    match family {
        "session_guard_refused" | "session_guard_would_refuse" | "session_guard_streams_ended" => {
            "code"
        }
        "session_guard_revocations" => "kind",
        "session_guard_build_info" => "version",
        _ => "reason",
    }
}

fn find_or_make<'a, F>(
    families: &'a mut BTreeMap<String, F>,
    name: &str,
    make: impl FnOnce() -> Result<F, prometheus::Error>,
) -> Result<&'a F, prometheus::Error> {
    if !families.contains_key(name) {
        families.insert(name.to_owned(), make()?);
    }
    families.get(name).ok_or(prometheus::Error::AlreadyReg)
}
