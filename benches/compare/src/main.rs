//! What does session-guard cost, compared with its alternatives? `make bench` builds what it needs.
//!
//! 1. [`forged`]: processor time of requests with forged tokens, compared with valid ones.
//! 2. [`cold_start`]: a million revocations loaded into a new Envoy: time, memory, and the latency
//!    of requests meanwhile.
//! 3. [`contest`]: processor time of Envoy for each request, all peers interleaved in one process.
//! 4. [`propagation`]: from a sign-out on one Envoy to the refusal by another.
//!
//! [`forward_auth`] runs only if it is named: `make bench-forward-auth`.
//!
//! With `--all` also: ten million, the memory of a VM ([`memory`]), the contest with two workers, and
//! the same check in an [`application`].
//!
//! The results go to the terminal and to `target/bench/`: every sample, a summary, a picture.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use testbed::{Envoy, Program, SignoutService};

use cold_start::Start;
use contest::{Circles, Contest, Extent};
use forged::MeasuredFilter;
use machine::Processors;
use peers::{PEERS, Peer};
use progress::Progress;
use results::Results;
use sample::Sample;
use selection::{RunPart, Selection};
use statistics::{median, quantile};
use tokens::Rsa;

mod application;
mod check;
mod cold_start;
mod contest;
mod fill;
mod forged;
mod forward_auth;
mod listeners;
mod load;
mod machine;
mod memory;
mod peers;
mod picture;
mod progress;
mod propagation;
mod record;
mod results;
mod sample;
mod selection;
mod statistics;
mod tokens;
mod writer;

/// Measures what the filter costs, beside jwt_authn and ext_authz in the same Envoy.
#[derive(Parser)]
struct BenchArguments {
    /// Fewer rounds: 4 minutes instead of 10, wider intervals.
    #[arg(long)]
    quick: bool,
    /// More: 10 million revocations, 2 workers, memory, host calls, an application that checks for
    /// itself.
    #[arg(long)]
    all: bool,
    /// Another build of the filter, measured beside this one: what has a change brought?
    #[arg(long, value_name = "MODULE")]
    before: Option<PathBuf>,
    /// Only these peers (names as in samples.csv) and parts: revocations, cold_start, propagation,
    /// forged, forward_auth.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "record")]
    only: Vec<String>,
    /// Keeps this run in the repository: benches/results, docs/performance.md, the picture.
    #[arg(long)]
    record: bool,
}

fn main() -> ExitCode {
    let arguments = BenchArguments::parse();
    match Run::of(&arguments).and_then(|mut run| run.measure(arguments.record)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("bench: the measurement is void: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// One run and what it has found so far.
struct Run {
    extent: Extent,
    before: Option<PathBuf>,
    starts: usize,
    sign_outs: usize,
    processors: Processors,
    progress: Progress,
    figures: BTreeMap<&'static str, f64>,
    /// What is told, for the record.
    report: String,
}

impl Run {
    fn of(arguments: &BenchArguments) -> Result<Self, String> {
        fs::create_dir_all(OUT).map_err(|error| format!("{OUT}: {error}"))?;
        let selection = Selection {
            all: arguments.all,
            before: arguments.before.is_some(),
            only: arguments.only.clone(),
        };
        selection.check_names()?;
        let (rounds, milliseconds) = if arguments.quick { (15, 100) } else { (FULL_ROUNDS, 200) };
        Ok(Self {
            extent: Extent { rounds, slice: Duration::from_millis(milliseconds), selection },
            before: arguments.before.clone(),
            starts: if arguments.quick { 2 } else { 5 },
            sign_outs: if arguments.quick { 200 } else { 1_000 },
            processors: Processors::choose()?,
            progress: Progress::start(),
            figures: BTreeMap::new(),
            report: String::new(),
        })
    }

    fn measure(&mut self, record: bool) -> Result<(), String> {
        self.report = machine::description() + "\n";
        println!("{}", machine::description());
        let selection = self.extent.selection.clone();
        if selection.includes(RunPart::Forged) {
            self.forged()?;
        }
        let needs_million =
            [RunPart::Revocations, RunPart::ColdStart].map(|it| selection.includes(it));
        let mut samples = Vec::new();
        if selection.includes_peers() || needs_million.contains(&true) {
            samples = self.with_a_million()?;
        }
        if selection.includes(RunPart::Propagation) {
            self.propagation()?;
        }
        if selection.includes(RunPart::ForwardAuth) {
            self.forward_auth()?;
        }
        self.conclude(&samples);
        if record { record::keep(Path::new(OUT), &self.report) } else { Ok(()) }
    }

    /// The parts that need a service with a million revocations.
    fn with_a_million(&mut self) -> Result<Vec<Sample>, String> {
        let selection = self.extent.selection.clone();
        self.progress.step("filling a service with 1,000,000 revocations");
        let (none, million) = (SignoutService::start(), SignoutService::start());
        let per_second = fill::fill(million.address(), LIVE)?;
        self.tell("revocations_per_second", per_second);
        if !selection.includes_peers() && !selection.includes(RunPart::ColdStart) {
            return Ok(Vec::new());
        }
        let ten_million = self.ten_million()?;
        if selection.includes(RunPart::ColdStart) {
            self.cold_starts(&none, &million, ten_million.as_ref())?;
        }
        if !selection.includes_peers() {
            return Ok(Vec::new());
        }
        self.progress.step("signing RS256 tokens");
        let rsa = Rsa::generate();
        let circles = Circles::new(&rsa);
        self.progress.step("filling another service with 1,000,000 revocations");
        let native_million = SignoutService::start();
        fill::fill(native_million.address(), LIVE)?;
        let not_polled = SignoutService::start();
        let ground =
            PeerContext { none, not_polled, million, native_million, ten_million, rsa, circles };
        if selection.all && selection.only.is_empty() {
            self.memory(&ground);
            self.two_workers(&ground)?;
        }
        let samples = self.contest(&ground, 1)?;
        if selection.all && selection.only.is_empty() {
            self.application(&ground, &Results::of(&samples))?;
        }
        Ok(samples)
    }

    /// The matrix of forged requests.
    fn forged(&mut self) -> Result<(), String> {
        let rounds = if self.extent.rounds < FULL_ROUNDS { 2 } else { 5 };
        let results = forged::measure(rounds, self.processors, &mut self.progress, Path::new(OUT))?;
        println!("{}", results.table);
        self.report += &format!("{}\n", results.table);
        for worst in results.worst {
            let (steady, burst) = match worst.subject {
                MeasuredFilter::Wasm => {
                    ("forged_over_valid_worst", "forged_burst_over_valid_worst")
                }
                MeasuredFilter::Native => {
                    ("native_forged_over_valid_worst", "native_forged_burst_over_valid_worst")
                }
                MeasuredFilter::JwtAuthn => {
                    ("jwt_authn_forged_over_valid_worst", "jwt_authn_forged_burst_over_valid_worst")
                }
            };
            self.tell(steady, worst.steady);
            self.tell(burst, worst.burst);
        }
        Ok(())
    }

    /// A service with ten million, where a peer takes part that reads from it.
    fn ten_million(&mut self) -> Result<Option<SignoutService>, String> {
        let reads_it = |peer: &Peer| peer.listener == "ten_million";
        if !PEERS.iter().any(|peer| reads_it(peer) && self.extent.selection.holds(peer)) {
            return Ok(None);
        }
        self.progress.step("filling another with 10,000,000");
        let service = SignoutService::start();
        fill::fill(service.address(), 10 * LIVE)?;
        Ok(Some(service))
    }

    fn cold_starts(
        &mut self,
        none: &SignoutService,
        million: &SignoutService,
        ten_million: Option<&SignoutService>,
    ) -> Result<(), String> {
        self.progress.step("loading 1,000,000 revocations into a cold Envoy");
        let (mut seconds, mut bytes) = (Vec::new(), Vec::new());
        let (mut slower, mut pages) = (Vec::new(), Vec::new());
        for _ in 0..self.starts {
            let (with, bytes_each) = start_with(none, million, LIVE)?;
            pages.push(with.longest_page_milliseconds);
            seconds.push(with.load_seconds);
            slower.push(with.loading_p99_milliseconds - with.quiet_p99_milliseconds);
            bytes.push(bytes_each);
        }
        self.tell("load_1m_seconds", median(&seconds));
        self.tell("load_1m_p99_added_milliseconds", median(&slower));
        self.tell("load_1m_longest_page_milliseconds", quantile(&pages, 1.0));
        self.tell("bytes_per_revocation", median(&bytes));
        if let Some(ten_million) = ten_million {
            self.progress.step("loading 10,000,000");
            let (with, bytes_each) = start_with(none, ten_million, 10 * LIVE)?;
            self.tell("load_10m_seconds", with.load_seconds);
            self.tell("load_10m_longest_page_milliseconds", with.longest_page_milliseconds);
            self.tell("bytes_per_revocation_10m", bytes_each);
        }
        Ok(())
    }

    fn memory(&mut self, ground: &PeerContext) {
        self.progress.step("starting Envoys with one worker and with five");
        let added: Vec<_> =
            (0..self.starts).map(|_| memory::measure(ground.none.address())).collect();
        let middle =
            |of: fn(&memory::Added) -> f64| median(&added.iter().map(of).collect::<Vec<_>>());
        self.tell("filter_bytes", middle(|added| added.bytes));
        self.tell("filter_bytes_per_further_worker", middle(|added| added.bytes_per_worker));
        self.tell("filter_start_milliseconds", middle(|added| added.start_milliseconds));
        self.tell(
            "filter_start_milliseconds_per_further_worker",
            middle(|added| added.start_milliseconds_per_worker),
        );
    }

    /// The contest of few once more, with two workers that share both processors with the load.
    fn two_workers(&mut self, ground: &PeerContext) -> Result<(), String> {
        let whole = self.extent.selection.clone();
        self.extent.selection.only = TWO_WORKERS.map(str::to_owned).to_vec();
        let samples = self.contest(ground, 2);
        self.extent.selection = whole;
        let results = Results::of(&samples?);
        println!("\nwith two workers:\n{}", results.table());
        self.report += &format!("with two workers:\n{}\n", results.table());
        let ratio = |own, other| results.ratio(own, &[other]).value;
        self.tell("two_workers_warm_1m_over_jwt_authn", ratio("warm_1m", "jwt_authn_hs256"));
        self.tell("two_workers_warm_1m_over_warm_0", ratio("warm_1m", "warm_0"));
        let native = ratio("native_warm_1m", "jwt_authn_hs256");
        self.tell("two_workers_native_warm_1m_over_jwt_authn", native);
        Ok(())
    }

    fn application(&mut self, ground: &PeerContext, results: &Results) -> Result<(), String> {
        self.progress.step("the same check in an application");
        let (bare, added) =
            application::measure(LIVE, &ground.circles, &self.extent, self.processors)?;
        self.tell("fastapi_request_microseconds", median(&bare));
        self.tell("fastapi_check_microseconds", median(&added));
        let ours = median(&results.added(results::find("warm_1m")));
        self.tell("warm_1m_over_fastapi_check", ours / median(&added));
        Ok(())
    }

    fn propagation(&mut self) -> Result<(), String> {
        self.progress.step("signing out on one Envoy, asking another");
        let milliseconds = propagation::measure(self.sign_outs)?;
        self.tell("propagation_p50_ms", median(&milliseconds));
        self.tell("propagation_p99_ms", quantile(&milliseconds, 0.99));
        Ok(())
    }

    fn forward_auth(&mut self) -> Result<(), String> {
        self.progress.step("filling a service and a Redis, and asking them through NGINX");
        let asked = forward_auth::measure(LIVE, &self.extent, self.processors)?;
        let [guard, redis] = &asked.added_microseconds;
        self.tell("nginx_request_microseconds", median(&asked.bare_microseconds));
        self.tell("forward_auth_added_microseconds", median(guard));
        self.tell("redis_lookup_added_microseconds", median(redis));
        self.tell("forward_auth_over_redis_lookup", median(guard) / median(redis));
        let [guard, redis] = &asked.milliseconds;
        self.tell("forward_auth_p50_milliseconds", median(guard));
        self.tell("redis_lookup_p50_milliseconds", median(redis));
        Ok(())
    }

    /// One worker has a processor to itself; more share both with everything else.
    fn contest(&mut self, ground: &PeerContext, workers: usize) -> Result<Vec<Sample>, String> {
        self.progress.step("starting one Envoy with every peer");
        let PeerContext { none, not_polled, million, native_million, ten_million, rsa, circles } =
            ground;
        let authz = start_authz();
        let around = listeners::Surroundings {
            none: none.address(),
            million: million.address(),
            native_million: native_million.address(),
            ten_million: ten_million.as_ref().map(SignoutService::address),
            authz: authz.address(),
            rsa: (&rsa.public_key_pem(), &rsa.jwks()),
            empty_filter: Path::new("target/bench/empty_filter.wasm"),
            empty_module: Path::new("target/bench/libempty_module.so"),
            native: Path::new("target/libsession_guard_native.so"),
            before: self.before.as_deref(),
        };
        let envoy = Envoy::setup().workers(workers).log_levels("main:warning,wasm:warning");
        let envoy = envoy.edit(|configuration| listeners::configure(configuration, &around));
        let envoy = envoy.memory_mib(cold_start::MEMORY_MIB).start();
        if workers == 1 {
            let Processors { load, proxy } = self.processors;
            machine::pin(envoy.process_id(), proxy);
            for service in [none, not_polled, million, native_million] {
                machine::pin(service.process_id(), load);
            }
            machine::pin(authz.process_id(), load);
            machine::pin_this_thread(load);
        }
        let is_there = |listener: &str| match listener {
            "before" => self.before.is_some(),
            "ten_million" => ten_million.is_some(),
            _ => true,
        };
        for listener in listeners::LISTENERS_WITH_A_SET.into_iter().filter(|it| is_there(it)) {
            cold_start::await_ready(envoy.address_of(listener));
        }
        check::check(&envoy, &self.extent.selection)?;
        let [not_polled, million, native_million] =
            [not_polled, million, native_million].map(SignoutService::address);
        let (envoy, authz) = (&envoy, &authz);
        let contest = Contest { envoy, authz, million, native_million, not_polled, circles };
        contest.run(&self.extent, &mut self.progress)
    }

    fn conclude(&mut self, samples: &[Sample]) {
        let out = Path::new(OUT);
        let results = Results::of(samples);
        let mut report = String::new();
        if !samples.is_empty() {
            results::write_samples(&out.join("samples.csv"), samples);
            let _ = writeln!(report, "{}", results.table());
        }
        let is_measured = |own, others: &[&str]| {
            results.has(own) && others.iter().all(|other| results.has(other))
        };
        for (name, own, others) in RATIOS.into_iter().filter(|it| is_measured(it.1, it.2)) {
            let ratio = results.ratio(own, others);
            let (low, high) = ratio.interval;
            let _ = writeln!(report, "{name:34} {:10.3}   {low:.3} … {high:.3}", ratio.value);
            self.figures.insert(name, ratio.value);
        }
        for (name, peer) in CALLS.into_iter().filter(|call| results.has(call.1)) {
            self.figures.insert(name, median(&results.beyond(peer, "empty_filter")) / 10.0);
        }
        for (name, figure) in &self.figures {
            if !RATIOS.iter().any(|(ratio, ..)| ratio == name) {
                let _ = writeln!(report, "{name:34} {figure:10.3}");
            }
        }
        println!("\n{report}");
        self.report += &report;
        results::write_summary(&out.join("summary.json"), &self.figures);
        let machine = self.report.lines().next().unwrap_or_default();
        if let Some(picture) = picture::draw(&results, machine) {
            fs::write(out.join("comparison.svg"), picture).expect("a file below target/");
        }
        println!("\nThe samples and summary.json are in {OUT}/");
    }

    fn tell(&mut self, name: &'static str, figure: f64) {
        println!("  {name}: {figure:.2}");
        self.figures.insert(name, figure);
    }
}

/// What the peers read from, and what their requests carry.
struct PeerContext {
    none: SignoutService,
    not_polled: SignoutService,
    million: SignoutService,
    native_million: SignoutService,
    ten_million: Option<SignoutService>,
    rsa: Rsa,
    circles: Circles,
}

/// A start with so many revocations, and the bytes that each of them takes.
fn start_with(
    none: &SignoutService,
    full: &SignoutService,
    count: usize,
) -> Result<(Start, f64), String> {
    let without = cold_start::start(none.address())?;
    let with = cold_start::start(full.address())?;
    println!("  {}", with.report());
    let set = with.resident_bytes.saturating_sub(without.resident_bytes);
    Ok((with, set as f64 / count as f64))
}

fn start_authz() -> Program {
    let configuration = listeners::authz_configuration().to_string();
    let revoked = LIVE.to_string();
    let environment = [("SESSION_SECRET", testbed::SESSION_SECRET)];
    Program::start("bench-authz", &["127.0.0.1:0", &configuration, &revoked], &environment)
}

/// Rounds without `--quick`.
const FULL_ROUNDS: usize = 60;

const OUT: &str = "target/bench";
const LIVE: usize = 1_000_000;
const TWO_WORKERS: [&str; 4] = ["warm_0", "warm_1m", "calls_empty_value", "native_warm_1m"];

/// What one call of the host costs, and the peer that makes ten.
const CALLS: [(&str, &str); 4] = [
    ("microseconds_of_all_headers", "calls_headers"),
    ("microseconds_of_the_time", "calls_clock"),
    ("microseconds_of_an_empty_value", "calls_empty_value"),
    ("microseconds_of_a_header_added", "calls_add"),
];

/// What is compared with what: name, peer, and those of which the cheapest counts.
const RATIOS: [(&str, &str, &[&str]); 15] = [
    ("warm_1m_over_jwt_authn", "warm_1m", &["jwt_authn_hs256"]),
    ("warm_1m_over_jwt_authn_cached", "warm_1m", &["jwt_authn_hs256_cached"]),
    ("warm_1m_over_ext_authz", "warm_1m", &["ext_authz_http", "ext_authz_grpc"]),
    ("warm_1m_over_warm_0", "warm_1m", &["warm_0"]),
    ("warm_1m_busy_over_warm_0", "warm_1m_busy", &["warm_0"]),
    ("cold_hs256_over_jwt_authn", "cold_hs256", &["jwt_authn_hs256"]),
    ("cold_rs256_over_jwt_authn", "cold_rs256", &["jwt_authn_rs256"]),
    ("module_crossings_over_jwt_authn", "module_crossings", &["jwt_authn_hs256"]),
    ("native_warm_1m_over_jwt_authn", "native_warm_1m", &["jwt_authn_hs256"]),
    ("native_warm_1m_over_jwt_authn_cached", "native_warm_1m", &["jwt_authn_hs256_cached"]),
    ("native_warm_1m_over_ext_authz", "native_warm_1m", &["ext_authz_http", "ext_authz_grpc"]),
    ("native_warm_1m_over_warm_1m", "native_warm_1m", &["warm_1m"]),
    ("native_warm_1m_busy_over_jwt_authn", "native_warm_1m_busy", &["jwt_authn_hs256"]),
    ("native_cold_hs256_over_jwt_authn", "native_cold_hs256", &["jwt_authn_hs256"]),
    ("native_cold_rs256_over_jwt_authn", "native_cold_rs256", &["jwt_authn_rs256"]),
];
