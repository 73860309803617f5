//! A random number generator whose seed repeats a run.

use std::env;

/// SplitMix64.
pub(crate) struct Dice(u64);

impl Dice {
    /// Returns a generator with the seed in `STREAMS_SEED` (default: 1).
    pub(crate) fn new() -> Self {
        Self(number("STREAMS_SEED", 1))
    }

    /// Returns a random number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).expect("a number below a usize")
    }

    /// Returns a random element.
    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Returns the number in that environment variable, or the default.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    let number = env::var(name).map(|text| text.parse().expect("a number"));
    number.unwrap_or(otherwise)
}
