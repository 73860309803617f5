//! What does a request with forged tokens cost, compared with a valid one?
//!
//! A client without an account can send any number of forged tokens. They must not cost more than a
//! user's requests. The matrix has these kinds of requests: an algorithm, a number of keys
//! without ids (the token's own key is the first), a number of tokens, HTTP/1.1 or HTTP/2, a page or
//! a sign-out. Of each kind, three slices are measured, round by round:
//!
//! - *valid*: requests with one valid token that was never sent before, and as many header bytes;
//! - *burst*: the first few forged requests after a pause, while the budget for failed signature
//!   checks is full;
//! - *forged*: forged requests as fast as one worker can process them.
//!
//! Every forged token has its own bytes, because repeated ones are not checked again. The figure of
//! a kind is the processor time of the worker for a forged request ÷ that for a valid one, medians
//! over the rounds. Three subjects get the same bytes: the wasm filter, the native filter, and
//! jwt_authn, which has no sign-out and checks the first token of a request only.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use testbed::{Envoy, SignoutService, TokenSigner, workers_nanoseconds};

use crate::machine::{self, Processors};
use crate::progress::Progress;
use crate::statistics::median;

use client::{ForgedClient, HttpVersion};
use requests::{MatrixRoute, RequestMaker, TokenNumbers};

mod client;
mod listeners;
mod requests;

/// What the matrix says of one subject.
pub(crate) struct WorstRatios {
    /// The subject.
    pub(crate) subject: MeasuredFilter,
    /// The highest ratio under a steady stream of forged requests.
    pub(crate) steady: f64,
    /// The highest ratio of the first requests after a pause.
    pub(crate) burst: f64,
}

/// The matrix as text, and the highest ratios of each subject.
pub(crate) struct ForgedResults {
    /// For the terminal and the record.
    pub(crate) table: String,
    /// One for each subject.
    pub(crate) worst: Vec<WorstRatios>,
}

/// What the requests are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MeasuredFilter {
    /// session-guard as a proxy-wasm filter.
    Wasm,
    /// session-guard as a dynamic module.
    Native,
    /// Envoy's own filter.
    JwtAuthn,
}

impl MeasuredFilter {
    const ALL: [Self; 3] = [Self::Wasm, Self::Native, Self::JwtAuthn];

    fn name(self) -> &'static str {
        match self {
            Self::Wasm => "wasm",
            Self::Native => "native",
            Self::JwtAuthn => "jwt_authn",
        }
    }
}

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RequestKind {
    algorithm: &'static str,
    keys: usize,
    tokens: usize,
    version: HttpVersion,
    target: MatrixRoute,
}

impl RequestKind {
    fn name(self) -> String {
        let Self { algorithm, keys, tokens, version, target } = self;
        format!("{algorithm}, {keys} keys, {tokens} tokens, {}, {}", version.name(), target.name())
    }

    fn listener(self, subject: MeasuredFilter) -> String {
        listeners::name(subject, self.algorithm, self.keys)
    }
}

/// Microseconds for each request.
#[derive(Clone, Copy, Debug)]
struct ForgedSample {
    round: usize,
    kind: RequestKind,
    subject: MeasuredFilter,
    valid: f64,
    burst: f64,
    forged: f64,
}

/// Measures the matrix, and writes each sample to `forged.csv`.
///
/// # Errors
/// A response had an unexpected status.
pub(crate) fn measure(
    rounds: usize,
    processors: Processors,
    progress: &mut Progress,
    out: &Path,
) -> Result<ForgedResults, String> {
    progress.step("generating keys");
    let signers: Vec<_> = ALGORITHMS.iter().map(|algorithm| signers(algorithm)).collect();
    let service = SignoutService::start();
    let envoy = Envoy::setup().workers(1).log_levels("main:warning,wasm:error");
    let envoy = envoy.memory_mib(listeners::MEMORY_MIB);
    let envoy = envoy
        .edit(|configuration| listeners::configure(configuration, &signers, service.address()))
        .start();
    machine::pin(envoy.process_id(), processors.proxy);
    machine::pin(service.process_id(), processors.load);
    listeners::await_ready(&envoy);
    progress.step("sending forged requests and valid ones");
    let stage = Matrix { envoy: &envoy, signers: &signers, numbers: TokenNumbers::default() };
    let mut samples = Vec::new();
    for round in 0..=rounds {
        for (tokens, version, target) in kinds() {
            for (index, algorithm) in ALGORITHMS.into_iter().enumerate() {
                // First sight for every listener, because each has its own cache and realm.
                let valid: Vec<_> = stage.valid_tokens(index);
                for keys in KEYS {
                    let kind = RequestKind { algorithm, keys, tokens, version, target };
                    for subject in MeasuredFilter::ALL {
                        let sample = stage.sample(round, kind, subject, &valid);
                        let name = || format!("{}, {}", subject.name(), kind.name());
                        let sample = sample.map_err(|problem| format!("{}: {problem}", name()))?;
                        if round > 0 {
                            samples.push(sample); // the first round warms everything up
                        }
                    }
                }
            }
        }
        progress.step(&format!("forged requests: round {round} of {rounds}"));
    }
    write_samples(&out.join("forged.csv"), &samples);
    Ok(ForgedResults { table: table(&samples), worst: worst(&samples) })
}

fn kinds() -> impl Iterator<Item = (usize, HttpVersion, MatrixRoute)> {
    TOKENS.into_iter().flat_map(|tokens| {
        HttpVersion::ALL.into_iter().flat_map(move |version| {
            MatrixRoute::ALL.into_iter().map(move |target| (tokens, version, target))
        })
    })
}

/// The key of the tokens, and others that are tried for a forged one.
fn signers(algorithm: &str) -> Vec<TokenSigner> {
    let most = KEYS.into_iter().max().unwrap_or_default();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..most).map(|_| scope.spawn(|| TokenSigner::new(algorithm))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a key")).collect()
    })
}

struct Matrix<'a> {
    envoy: &'a Envoy,
    signers: &'a [Vec<TokenSigner>],
    numbers: TokenNumbers,
}

impl Matrix<'_> {
    /// New tokens, signed on every processor.
    fn valid_tokens(&self, algorithm: usize) -> Vec<String> {
        let signer = &self.signers[algorithm][0];
        // A user for each, because many sign-outs of one user become one cutoff.
        let token = |_| signer.token_of(&self.numbers.next_user()).to_string();
        let sign = |count| (0..count).map(token).collect::<Vec<_>>();
        std::thread::scope(|scope| {
            let half = scope.spawn(|| sign(VALID_REQUESTS / 2));
            let other: Vec<_> = sign(VALID_REQUESTS - VALID_REQUESTS / 2);
            [half.join().expect("signed tokens"), other].concat()
        })
    }

    fn sample(
        &self,
        round: usize,
        kind: RequestKind,
        subject: MeasuredFilter,
        valid: &[String],
    ) -> Result<ForgedSample, String> {
        let listener = kind.listener(subject);
        let mut client = ForgedClient::to(self.envoy.address_of(&listener), kind.version);
        let requests = RequestMaker::new(kind.algorithm, kind.tokens, kind.target, &valid[0]);
        let [ok, refused] = [200..=200, 401..=503];
        let is_refused = kind.target == MatrixRoute::Page || subject == MeasuredFilter::JwtAuthn;
        let expected = if is_refused { refused } else { 200..=503 };

        let valid: Vec<_> = valid.iter().map(|token| requests.valid(token)).collect();
        let valid = self.slice(&listener, || client.send(&valid, &ok))?;
        let mut forged = |count: usize| {
            let batch: Vec<_> = (0..count).map(|_| requests.forged(&self.numbers)).collect();
            self.slice(&listener, || client.send(&batch, &expected))
        };
        let burst = forged(BURST_REQUESTS)?;
        let start = Instant::now();
        while start.elapsed() < SPENDING && subject != MeasuredFilter::JwtAuthn {
            forged(FORGED_REQUESTS)?;
        }
        let start = Instant::now();
        let mut slices = Vec::new();
        while slices.is_empty() || start.elapsed() < FORGED_SLICE {
            slices.push(forged(FORGED_REQUESTS)?);
        }
        let forged = slices.iter().sum::<f64>() / slices.len() as f64;
        Ok(ForgedSample { round, kind, subject, valid, burst, forged })
    }

    /// Microseconds of the worker for each of the requests that are sent.
    fn slice(
        &self,
        listener: &str,
        send: impl FnOnce() -> Result<client::Sent, String>,
    ) -> Result<f64, String> {
        let accepted = || self.envoy.stat(&format!("http.{listener}.downstream_rq_2xx"));
        let accepted_before = accepted();
        let before = workers_nanoseconds(self.envoy.process_id());
        let sent = send()?;
        let used = workers_nanoseconds(self.envoy.process_id()) - before;
        let accepted = accepted() - accepted_before;
        if !sent.expected_accepted.contains(&accepted) {
            return Err(format!("{accepted} of {} requests got 200", sent.requests));
        }
        Ok(used as f64 / sent.requests as f64 / 1_000.0)
    }
}

/// Medians of one kind and subject: forged ÷ valid, and burst ÷ valid.
fn ratios(
    samples: &[ForgedSample],
    kind: RequestKind,
    subject: MeasuredFilter,
) -> Option<(f64, f64)> {
    let of = |value: fn(&ForgedSample) -> f64| {
        let own = samples.iter().filter(|it| it.kind == kind && it.subject == subject);
        let own: Vec<_> = own.map(value).collect();
        (!own.is_empty()).then(|| median(&own))
    };
    let valid = of(|sample| sample.valid)?;
    Some((of(|sample| sample.forged)? / valid, of(|sample| sample.burst)? / valid))
}

fn worst(samples: &[ForgedSample]) -> Vec<WorstRatios> {
    let of = |subject| {
        let own = samples.iter().filter(move |sample| sample.subject == subject);
        let own: Vec<_> = own.filter_map(|sample| ratios(samples, sample.kind, subject)).collect();
        let most = |part: fn(&(f64, f64)) -> f64| own.iter().map(part).fold(0.0, f64::max);
        WorstRatios { subject, steady: most(|ratios| ratios.0), burst: most(|ratios| ratios.1) }
    };
    MeasuredFilter::ALL.map(of).into()
}

/// One line for each algorithm, number of keys and number of tokens. Each column holds wasm, native
/// and jwt_authn.
fn table(samples: &[ForgedSample]) -> String {
    let mut table = "Processor time of a forged request ÷ that of a valid one with as many header \
                     bytes\n(wasm, native, jwt_authn)\n"
        .to_owned();
    let columns: Vec<_> = HttpVersion::ALL
        .into_iter()
        .flat_map(|version| MatrixRoute::ALL.into_iter().map(move |target| (version, target)))
        .collect();
    let _ = write!(table, "{:9} {:>4} {:>6}", "", "keys", "tokens");
    for (version, target) in &columns {
        let _ = write!(table, "  {:>16}", format!("{} {}", version.name(), target.name()));
    }
    table.push('\n');
    for algorithm in ALGORITHMS {
        for keys in KEYS {
            for tokens in TOKENS {
                let shown = requests::tokens_that_fit(algorithm, tokens);
                let _ = write!(table, "{algorithm:9} {keys:4} {shown:6}");
                for (version, target) in &columns {
                    let (version, target) = (*version, *target);
                    let kind = RequestKind { algorithm, keys, tokens, version, target };
                    let of = |subject| ratios(samples, kind, subject).unwrap_or_default().0;
                    let cells = MeasuredFilter::ALL.map(of).map(|ratio| format!("{ratio:5.2}"));
                    let _ = write!(table, "  {:>16}", cells.join(" "));
                }
                table.push('\n');
            }
        }
    }
    table
}

fn write_samples(path: &Path, samples: &[ForgedSample]) {
    let mut text = "round,subject,algorithm,keys,tokens,version,target,valid_microseconds,\
                    burst_microseconds,forged_microseconds\n"
        .to_owned();
    for ForgedSample { round, kind, subject, valid, burst, forged } in samples {
        let RequestKind { algorithm, keys, tokens, version, target } = kind;
        let tokens = requests::tokens_that_fit(algorithm, *tokens);
        let _ = writeln!(
            text,
            "{round},{},{algorithm},{keys},{tokens},{},{},{valid:.2},{burst:.2},{forged:.2}",
            subject.name(),
            version.name(),
            target.name()
        );
    }
    fs::write(path, text).expect("a file below target/");
}

const ALGORITHMS: [&str; 4] = ["HS256", "RS256", "ES256", "EdDSA"];
const KEYS: [usize; 2] = [1, 8];
const TOKENS: [usize; 4] = [1, 8, 64, 256];

const VALID_REQUESTS: usize = 96;

/// Fewer than use up the budget for failed checks, at 3 ms each.
const BURST_REQUESTS: usize = 8;

/// The forged requests of one slice.
const FORGED_REQUESTS: usize = 64;

/// How long forged requests are sent first, to spend the budget for failed checks. It is full after a
/// pause, and one of 50 ms lasts for a tenth of a second if the worker does nothing but such checks.
const SPENDING: Duration = Duration::from_millis(200);

/// How long slices are measured.
const FORGED_SLICE: Duration = Duration::from_millis(40);
