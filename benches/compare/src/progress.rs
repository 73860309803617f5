//! What is going on?

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Instant;

use crate::sample::Sample;
use crate::statistics::median;

/// Tells on standard error: on a terminal in place, else a line now and then.
pub(crate) struct Progress {
    start: Instant,
    terminal: bool,
}

impl Progress {
    /// From now on.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), terminal: stderr().is_terminal() }
    }

    /// Something new begins.
    pub(crate) fn step(&mut self, what: &str) {
        self.end_line();
        eprintln!("{} {what} …", self.time());
    }

    /// A round is done.
    pub(crate) fn round(&mut self, round: usize, rounds: usize, samples: &[Sample]) {
        let of = |peer: &str| {
            let costs = samples.iter().filter(|sample| sample.peer == peer);
            median(&costs.map(Sample::microseconds).collect::<Vec<_>>())
        };
        let line = format!(
            "{} round {round} of {rounds}: bare {:.1} µs, jwt_authn {:.1} µs, warm {:.1} µs",
            self.time(),
            of("bare"),
            of("jwt_authn_hs256"),
            of("warm_1m"),
        );
        if self.terminal {
            eprint!("\r{line}  ");
            let _ = stderr().flush();
        } else if round.is_multiple_of(10) || round == rounds {
            eprintln!("{line}");
        }
        if round == rounds {
            self.end_line();
        }
    }

    fn end_line(&self) {
        if self.terminal {
            eprintln!();
        }
    }

    fn time(&self) -> String {
        let seconds = self.start.elapsed().as_secs();
        format!("[{:02}:{:02}]", seconds / 60, seconds % 60)
    }
}
