//! Measures the cost of a request that NGINX asks another server about.
//!
//! Three NGINX with one worker each, in front of the same application, are measured in turn:
//!
//! 1. one asks nobody,
//! 2. one asks `signout serve --guard`, which holds the revocations,
//! 3. one asks the service of `bench-authz`, which verifies the same tokens and looks for each in a
//!    Redis with as many keys.
//!
//! The cost is the CPU time of all processes that take part: NGINX, the service and Redis. NGINX and
//! its service share one processor, and the load and the application the other.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use testbed::{AskingBed, AskingProxy, Program, Redis, SESSION_SECRET, SignoutService};

use crate::contest::Extent;
use crate::fill;
use crate::load::{ListenerLoad, Requests};
use crate::machine::{self, Processors, cpu_nanoseconds};
use crate::tokens::{self, AUDIENCE, ISSUER};

/// What each round has cost.
#[derive(Debug, Default)]
pub(crate) struct AskedResults {
    /// Microseconds of a request about which NGINX asks nobody.
    pub(crate) bare_microseconds: Vec<f64>,
    /// Microseconds that a request costs more: with the guard, and with the look-up in Redis.
    pub(crate) added_microseconds: [Vec<f64>; 2],
    /// Latency of a request, likewise.
    pub(crate) milliseconds: [Vec<f64>; 2],
}

/// Measures requests with HS256 tokens that have been seen before.
///
/// # Errors
/// A response is not 200.
pub(crate) fn measure(
    revoked: usize,
    extent: &Extent,
    processors: Processors,
) -> Result<AskedResults, String> {
    let keys = json!([{"algorithm": "HS256", "secret": {"env": "SESSION_SECRET"}}]);
    let claims = json!({"issuer": ISSUER, "audiences": [AUDIENCE]});
    let edit = |filter: &mut serde_json::Value| {
        filter["keys"] = keys.clone();
        filter["claims"] = claims.clone();
    };
    let redis = Redis::start();
    let script = format!(
        "for i = 0, {} do redis.call('SET', 'revoked:revoked-' .. i, 1) end return 1",
        revoked - 1
    );
    redis.command(&["EVAL", &script, "0"]);
    let configuration = json!({"keys": keys, "claims": claims}).to_string();
    let arguments = ["127.0.0.1:0", &configuration, "0", "--redis", &redis.address().to_string()];
    let peer = Program::start("bench-authz", &arguments, &[("SESSION_SECRET", SESSION_SECRET)]);

    let bed = |edit_proxy: &dyn Fn(String) -> String| {
        AskingBed::with(AskingProxy::Nginx, SignoutService::setup(), edit, |text| {
            let text = text.replace("worker_processes auto;", "worker_processes 1;");
            // NGINX closes a connection after a thousand requests.
            edit_proxy(text.replace("http {\n", "http {\n    keepalive_requests 1000000000;\n"))
        })
    };
    let bare = bed(&|text| text.replace("auth_request /.session-guard/check;", ""));
    let guard = bed(&|text| text);
    let asks_peer = bed(&|text| to_peer(&text, peer.address()));
    fill::fill(guard.service.address(), revoked)?;

    let nginx = |bed: &AskingBed| [vec![bed.proxy_id()], children(bed.proxy_id())].concat();
    let processes = [
        nginx(&bare),
        [nginx(&guard), vec![guard.service.process_id()]].concat(),
        [nginx(&asks_peer), vec![peer.process_id(), redis.process_id()]].concat(),
    ];
    processes.iter().flatten().for_each(|process| machine::pin(*process, processors.proxy));
    machine::pin_this_thread(processors.load);
    let tokens: Vec<_> = (0..TOKENS).map(|_| tokens::hs256()).collect();
    let requests = Requests::with(&tokens, |token| format!("authorization: Bearer {token}\r\n"));
    let mut loads =
        [&bare, &guard, &asks_peer].map(|bed| ListenerLoad::to(bed.address(), CONNECTIONS));
    let mut results = AskedResults::default();
    for round in 0..=extent.rounds {
        let mut slice = |at: usize| {
            let used = || processes[at].iter().map(|it| cpu_nanoseconds(*it)).sum::<u64>();
            let before = used();
            let answered = loads[at].run_for(&requests, extent.slice.max(LEAST))?;
            let nanoseconds = used() - before;
            let each = nanoseconds as f64 / answered.requests.max(1) as f64 / 1_000.0;
            Ok::<_, String>((each, crate::statistics::median(&answered.milliseconds())))
        };
        let ((bare, _), guard, redis) = (slice(0)?, slice(1)?, slice(2)?);
        if round > 0 {
            results.bare_microseconds.push(bare);
            for (at, (microseconds, milliseconds)) in [guard, redis].into_iter().enumerate() {
                results.added_microseconds[at].push(microseconds - bare);
                results.milliseconds[at].push(milliseconds);
            }
        }
    }
    Ok(results)
}

/// Replaces the address of the guard by that of the other service.
fn to_peer(text: &str, peer: SocketAddr) -> String {
    let (before, rest) = text.split_once("upstream session_guard {").expect("the upstream");
    let (_, after) = rest.split_once(';').expect("its server");
    format!("{before}upstream session_guard {{ server {peer};{after}")
}

/// Returns the processes that this one has started.
fn children(process: u32) -> Vec<u32> {
    let path = format!("/proc/{process}/task/{process}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Tokens that are requested in turn.
const TOKENS: usize = 1_000;
const CONNECTIONS: usize = 16;
/// Length of a slice: thousands of requests.
const LEAST: Duration = Duration::from_millis(300);
