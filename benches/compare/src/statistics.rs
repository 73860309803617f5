//! Statistics of noisy samples.
//!
//! The median is used, because a busy machine makes some slices slower but none faster. The
//! interval comes from bootstrap resampling, because the distribution of the samples is unknown.

/// Returns the quantile of the samples for that fraction; 0 if there are no samples.
pub(crate) fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = part * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// Returns the median of the samples.
pub(crate) fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// Returns the 95 % confidence interval of the median. The same samples give the same interval.
pub(crate) fn interval(count: usize, statistic: impl Fn(&[usize]) -> f64) -> (f64, f64) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = || {
        // xorshift64: a simple generator is random enough here
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % count.max(1) as u64) as usize
    };
    let drawn = (0..DRAWS).map(|_| statistic(&(0..count).map(|_| draw()).collect::<Vec<_>>()));
    let drawn: Vec<_> = drawn.collect();
    (quantile(&drawn, 0.025), quantile(&drawn, 0.975))
}

const DRAWS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_samples() {
        let samples = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(median(&samples), 2.5);
        assert_eq!((quantile(&samples, 0.0), quantile(&samples, 1.0)), (1.0, 4.0));
        assert_eq!((median(&[7.0]), median(&[])), (7.0, 0.0));
    }

    #[test]
    fn the_interval_holds_the_median_and_narrows_with_more_samples() {
        let width = |count: usize| {
            let samples: Vec<_> =
                (0..count).map(|n| (n * 37 % count) as f64 / count as f64).collect();
            let of =
                |drawn: &[usize]| median(&drawn.iter().map(|at| samples[*at]).collect::<Vec<_>>());
            let (low, high) = interval(count, of);
            assert!(low <= median(&samples) && median(&samples) <= high);
            high - low
        };
        assert!(width(1_000) < width(30));
    }
}
