//! What one slice of one peer has cost.

/// One slice of one peer.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Which round.
    pub(crate) round: usize,
    /// Which peer.
    pub(crate) peer: &'static str,
    /// Answers.
    pub(crate) requests: u64,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Processor time of the Envoy process.
    pub(crate) envoy_nanoseconds: u64,
    /// The same of the service behind ext_authz.
    pub(crate) authz_nanoseconds: u64,
    /// How long half of the requests were waited for at most.
    pub(crate) p50_milliseconds: f64,
    /// The same of 99 of 100.
    pub(crate) p99_milliseconds: f64,
}

impl Sample {
    /// Processor time of Envoy for each request, in microseconds.
    pub(crate) fn microseconds(&self) -> f64 {
        self.envoy_nanoseconds as f64 / self.requests.max(1) as f64 / 1_000.0
    }
}
