//! Reads the filter's histograms.

use super::{Envoy, WITHIN};
use crate::{Request, until};

impl Envoy {
    /// Returns the median and the maximum of a histogram of the filter;
    /// waits until Envoy has merged it, which it does every five seconds.
    #[must_use]
    #[track_caller]
    pub fn half_and_all_below(&self, histogram: &str) -> [f64; 2] {
        let request = Request::get(&format!("/stats?format=json&filter={histogram}"));
        until(WITHIN, || {
            let stats = self.admin(&request).json();
            let found =
                stats["stats"].as_array()?.iter().find_map(|stat| stat.get("histograms"))?;
            let supported = found["supported_quantiles"].as_array()?;
            let half = supported.iter().position(|quantile| quantile.as_f64() == Some(50.0))?;
            let values = found["computed_quantiles"][0]["values"].as_array()?;
            Some([values[half]["cumulative"].as_f64()?, values.last()?["cumulative"].as_f64()?])
        })
    }
}
