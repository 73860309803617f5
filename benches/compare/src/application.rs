//! Measures the cost of the same check inside an application.
//!
//! Two processes run `application.py`. One checks nothing. The other verifies the token with PyJWT
//! and looks up its `jti` in a set of a million in its own memory. They are measured in turn, as in
//! the contest, by the CPU time of their processes.

use std::time::Duration;

use testbed::Script;

use crate::contest::{Circles, Extent};
use crate::load::ListenerLoad;
use crate::machine::{self, Processors, cpu_nanoseconds};
use crate::peers::PeerTokens;

/// Returns, for each round, the microseconds of a request without the check, and those that the
/// check adds.
///
/// # Errors
/// A response is not 200.
pub(crate) fn measure(
    revoked: usize,
    circles: &Circles,
    extent: &Extent,
    processors: Processors,
) -> Result<(Vec<f64>, Vec<f64>), String> {
    let revoked = revoked.to_string();
    let start = |variant| Script::start("bench-peers", SCRIPT, &[variant, &revoked]);
    let mut applications = ["bare", "guarded"].map(start);
    let mut loads = applications.each_mut().map(|application| {
        let address = application.address();
        machine::pin(application.process_id(), processors.proxy);
        ListenerLoad::to(address, CONNECTIONS)
    });
    let requests = circles.of(PeerTokens::Hs256);
    let (mut bare, mut added) = (Vec::new(), Vec::new());
    for round in 0..=extent.rounds {
        let mut slice = |at: usize| {
            let process = applications[at].process_id();
            let before = cpu_nanoseconds(process);
            let answered = loads[at].run_for(requests, extent.slice.max(LEAST))?;
            let nanoseconds = cpu_nanoseconds(process) - before;
            Ok::<_, String>(nanoseconds as f64 / answered.requests.max(1) as f64 / 1_000.0)
        };
        let (without, with) = (slice(0)?, slice(1)?);
        if round > 0 {
            bare.push(without);
            added.push(with - without);
        }
    }
    Ok((bare, added))
}

const SCRIPT: &str = "benches/compare/application.py";
const CONNECTIONS: usize = 16;
/// Length of a slice: hundreds of requests.
const LEAST: Duration = Duration::from_millis(200);
