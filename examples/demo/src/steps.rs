//! Prints a line for each step: the expected and the actual result, and the time.
//!
//! The output has colours if it goes to a terminal and `NO_COLOR` is not set
//! (<https://no-color.org>).

use std::env;
use std::io::{IsTerminal, stdout};
use std::time::Duration;

/// The steps so far.
pub(crate) struct Steps {
    /// Whether each result was the expected one.
    pub(crate) as_expected: bool,
    colours: bool,
}

impl Steps {
    /// Prints the titles of the columns.
    pub(crate) fn begin() -> Self {
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let steps = Self { as_expected: true, colours: stdout().is_terminal() && !no_colour };
        let titles = format!("  {:<38} {:<18} {:<18} {:>6}", "step", "expected", "actual", "ms");
        println!("\n{}", steps.painted(DIM, &titles));
        steps
    }

    /// Prints the title of a part.
    pub(crate) fn part(&self, title: &str) {
        println!("\n{}", self.painted(BOLD, title));
    }

    /// Compares the expected with the actual result and prints both.
    pub(crate) fn check(&mut self, step: &str, expected: &str, actual: &str, took: Duration) {
        let good = expected == actual;
        self.as_expected &= good;
        let (sign, colour) = if good { ("✓", GREEN) } else { ("✗", RED) };
        let (sign, actual) = (self.painted(colour, sign), format!("{actual:<18}"));
        let actual = self.painted(colour, &actual);
        let took = self.painted(DIM, &format!("{:>6}", milliseconds(took)));
        println!("{sign} {step:<38} {expected:<18} {actual} {took}");
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Formats a time with as many digits as are of interest.
fn milliseconds(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1_000.0;
    let decimals = usize::from(milliseconds < 10.0);
    format!("{milliseconds:.decimals$}")
}

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "1;31";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_times_have_one_decimal() {
        assert_eq!(milliseconds(Duration::from_micros(840)), "0.8");
        assert_eq!(milliseconds(Duration::from_micros(212_345)), "212");
    }
}
