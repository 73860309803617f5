//! Explains why the filter accepts or refuses a token or a request.
//!
//! The filter's own code decides. A [`Root`] in this process gets the configuration, the keys, the
//! revocations and then the request, as in a proxy. This module only prepares the input, and lists
//! the checks of each token in their order. A report contains neither a token nor a secret.
//!
//! # Offline
//!
//! Without a service the revocation set is empty, and the report says that revocations were not
//! checked. Published key sets can be given as files. The state machine gets the time as a value,
//! so no test or command waits for its timers.

pub mod facts;
mod near_miss;
pub mod pasted;
pub mod words;

use std::collections::{BTreeSet, VecDeque};

use serde::Serialize;
use session_guard_core::admission::{Decision, Forward};
use session_guard_core::call::{Call, Response};
use session_guard_core::clock::Now;
use session_guard_core::config::{Config, ConfigError};
use session_guard_core::feed::wire::{CONTENT_TYPE, PageKey};
use session_guard_core::headers::Headers;
use session_guard_core::keys::host::NoHost;
use session_guard_core::refusal::{Explanation, Objection, Refusal, RefusalRule};
use session_guard_core::request::sources::{SourceSet, Sources, TokenLocation};
use session_guard_core::root::{Destination, Host, Question, Root};
use session_guard_core::severity::Severity;
use session_guard_core::shared::InMemory;

use crate::check::{ProcessEnvironment, access_name};
use crate::cursor::ProxyPosition;
use crate::entry::{Entry, Position};
use crate::explain::facts::TokenFacts;
use crate::log::Log;
use crate::page;

/// Sends a call of the filter and returns the response, or `None` if none arrived.
pub type Send<'a> = &'a mut dyn FnMut(Question, &Destination, &Call) -> Option<Response>;

/// The request to explain.
pub struct ExplainInput<'a> {
    /// The JSON text of the filter's configuration.
    pub config: &'a [u8],
    /// The environment of the filter.
    pub environment: ProcessEnvironment<'a>,
    /// The request's headers with `:method`, `:authority` and `:path`.
    pub headers: &'a Headers<'a>,
    /// The time, in seconds since 1970 UTC.
    pub unix_seconds: u64,
    /// Sends the calls for keys and revocations.
    pub send: Send<'a>,
}

/// Why a request is accepted or refused.
#[derive(Debug, Serialize)]
pub struct ExplainReport {
    /// Method, host and path, without the query.
    pub request: String,
    /// The name of its route's access, as in the configuration.
    pub access: &'static str,
    /// Its tokens.
    pub tokens: Vec<TokenReport>,
    /// Whether the filter accepts it. In a dry run, whether it would accept it with enforcement.
    pub is_accepted: bool,
    /// The verdict, for example "continues with the token's user".
    pub outcome: String,
    /// The status, cause and remedy, if the request is refused.
    pub refusal: Option<RefusalReport>,
    /// Warnings and errors that the filter would log, for example keys that are left out.
    pub log: Vec<String>,
    /// The records that revoke its tokens, one line each, if a service was asked.
    pub revoked_by: Vec<String>,
}

/// The refusal of a request.
#[derive(Debug, Serialize)]
pub struct RefusalReport {
    /// HTTP status.
    pub status: u16,
    /// The name of the refusal. The access log shows it after `session_guard_`.
    pub name: String,
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub remedy: &'static str,
}

/// The checks of one token, in order.
#[derive(Debug, Serialize)]
pub struct TokenReport {
    /// The place where the token was found.
    pub place: String,
    /// The checks.
    pub steps: Vec<CheckStep>,
}

/// One check of a token.
#[derive(Debug, Serialize)]
pub struct CheckStep {
    /// Its name.
    pub stage: Stage,
    /// Its result.
    pub result: StepResult,
    /// The facts that were checked. If the check failed, the problem and its remedy come first.
    pub text: String,
}

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepResult {
    /// The token passes.
    Passed,
    /// The token fails, or the filter cannot decide.
    Failed,
    /// An earlier check failed.
    NotReached,
}

/// The checks of a token, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Form and header.
    Structure,
    /// A key of its algorithm and `kid`.
    Key,
    /// The signature.
    Signature,
    /// `exp`, `nbf`, `iat`.
    Times,
    /// `iss`.
    Issuer,
    /// `aud`.
    Audience,
    /// The other claims.
    Claims,
    /// The revocation set.
    Revocation,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 8] = [
        Self::Structure,
        Self::Key,
        Self::Signature,
        Self::Times,
        Self::Issuer,
        Self::Audience,
        Self::Claims,
        Self::Revocation,
    ];

    /// Returns the check that fails with this objection.
    fn of(objection: &Objection) -> Self {
        match (objection, objection.refusal()) {
            (Objection::Rule(RefusalRule::Keys), _) => Self::Key,
            (Objection::Rule(RefusalRule::SignatureChecks), _) => Self::Signature,
            (_, Refusal::MissingToken | Refusal::MalformedToken) => Self::Structure,
            (_, Refusal::UnsupportedAlgorithm | Refusal::UnknownKey) => Self::Key,
            (_, Refusal::BadSignature) => Self::Signature,
            (_, Refusal::Expired | Refusal::NotYetValid) => Self::Times,
            (_, Refusal::WrongIssuer) => Self::Issuer,
            (_, Refusal::WrongAudience) => Self::Audience,
            (_, Refusal::BadClaims | Refusal::ConflictingTokens) => Self::Claims,
            (_, Refusal::Revoked | Refusal::Unavailable) => Self::Revocation,
        }
    }
}

/// Explains one request.
///
/// # Errors
///
/// The configuration is invalid.
pub fn explain(input: ExplainInput<'_>) -> Result<ExplainReport, ConfigError> {
    let ExplainInput { config: text, environment, headers, unix_seconds, send } = input;
    let config = Config::parse(text, environment)?;
    let (shared, mut now) =
        (InMemory::default(), Now { unix_seconds, monotonic_milliseconds: STARTED_AT });
    let mut root = Root::configure(text, environment, &NoHost, &|| [0; 16], host(&shared, &now))?;
    let missing = load(&mut root, config.key_sets.len(), &shared, &mut now, send);
    let host = host(&shared, &now);
    let found = config.sources.find(headers);
    let candidates = found.as_deref().unwrap_or_default();
    let tokens = candidates.iter().map(|candidate| {
        let objection = root.examine(&candidate.bytes, host);
        let facts = TokenFacts::read(&candidate.bytes);
        let mut steps = steps(objection.as_ref(), &facts, unix_seconds);
        if objection.as_ref().map(Objection::refusal) == Some(Refusal::BadSignature) {
            let found = near_miss::find(text, environment, &candidate.bytes, unix_seconds);
            let failed = steps.iter_mut().find(|step| step.stage == Stage::Signature);
            if let (Some(found), Some(step)) = (found, failed) {
                step.text = format!("{} — {found}", step.text);
            }
        }
        TokenReport { place: place(&config.sources, candidate.exact, candidate.other), steps }
    });
    let tokens = tokens.collect();
    let log = root.take_log().into_iter();
    let log = log.filter(|(severity, _)| *severity > Severity::Info).map(|(_, line)| line);
    let not_given = config.key_sets.iter().enumerate().filter(|(set, _)| missing.contains(set));
    let log = log.chain(not_given.map(|(_, set)| {
        format!(
            "{}: not fetched by this command; download it and give it as `--jwks FILE`",
            set.name
        )
    }));
    let mut report = ExplainReport {
        request: shown_request(headers),
        access: access_name(config.routes.find(headers).access),
        tokens,
        is_accepted: true,
        outcome: String::new(),
        refusal: None,
        log: log.collect(),
        revoked_by: vec![],
    };
    match root.decide(headers, host) {
        Decision::Ready(_) => "the filter responds itself".clone_into(&mut report.outcome),
        Decision::Refuse { objection, .. } => report.refuse(&objection),
        Decision::Forward(forward) => match &forward.would_refuse {
            Some(objection) => {
                report.refuse(objection);
                let outcome = format!("dry run: it continues; with enforcement {}", report.outcome);
                report.outcome = outcome;
            }
            None => report.outcome = outcome(&forward),
        },
    }
    Ok(report)
}

impl ExplainReport {
    fn refuse(&mut self, objection: &Objection) {
        let Explanation { problem, remedy } = objection.explanation();
        let (status, name) = (objection.refusal().answer().status, objection.name());
        self.is_accepted = false;
        self.outcome = format!("refused: {status} session_guard_{name}");
        let problem = problem.into_owned();
        self.refusal = Some(RefusalReport { status, name, problem, remedy });
    }
}

fn host<'a>(shared: &'a InMemory, now: &'a Now) -> Host<'a> {
    Host { shared, clock: now, random: || 0 }
}

/// Runs the filter's timer until keys and revocations are loaded, or the calls for them have failed.
/// A real filter would wait and retry. Returns the key sets that `send` does not have.
fn load(
    root: &mut Root,
    sets: usize,
    shared: &InMemory,
    now: &mut Now,
    send: Send<'_>,
) -> BTreeSet<usize> {
    let mut feed_failed = false;
    let (mut missing, mut fetched) = (BTreeSet::new(), BTreeSet::new());
    let mut calls = VecDeque::new();
    while now.monotonic_milliseconds < STARTED_AT + LOADING_MILLISECONDS {
        let needs_feed = !feed_failed && !root.knows_revocations();
        let needs_keys = root.lacks_keys() && missing.len() + fetched.len() < sets;
        if !needs_feed && !needs_keys {
            break;
        }
        now.monotonic_milliseconds += TICK_MILLISECONDS;
        let Some((question, call)) = calls.pop_front() else {
            calls.extend(root.tick(host(shared, now)).calls);
            continue;
        };
        let Some(destination) = root.destination(question).cloned() else { continue };
        if question == Question::Poll && !needs_feed {
            continue; // the service would hold this poll until something is revoked
        }
        let response = send(question, &destination, &call);
        match question {
            // The filter would log that the issuer cannot be reached, but nobody has asked it.
            Question::Keys(index) if response.is_none() => {
                missing.insert(index);
                continue;
            }
            Question::Keys(index) => drop(fetched.insert(index)),
            Question::Poll | Question::Delivery => feed_failed |= response.is_none(),
        }
        let effects = root.call_response(question, response.as_ref(), host(shared, now));
        calls.extend(effects.calls);
    }
    missing
}

/// Returns the response to this poll from a service that has no revocations.
#[must_use]
pub fn empty_page(destination: &Destination, call: &Call, unix_seconds: u64) -> Response {
    let log = Log::new(Entry { position: Position { sequence: 1, tag: 0 }, record: None });
    let query = call.path.split_once('?').map_or("", |(_, query)| query);
    let after = query.split('&').find_map(|parameter| parameter.strip_prefix("after="));
    let position = after.map_or(ProxyPosition::Start, ProxyPosition::parse);
    let page = page::page(&log, position, usize::MAX, unix_seconds);
    let authorization = destination.authorization.as_deref().unwrap_or_default();
    let api_token = authorization.strip_prefix("Bearer ").unwrap_or_default();
    Response {
        headers: Headers::from_pairs(&[(":status", "200"), ("content-type", CONTENT_TYPE)]),
        body: page.encode(&PageKey::new(api_token.as_bytes())),
    }
}

fn place(sources: &Sources, exact: SourceSet, other: SourceSet) -> String {
    let name = |location: &TokenLocation| match location {
        TokenLocation::Header { name, .. } => format!("header {name}"),
        TokenLocation::Cookie(name) => format!("cookie {name}"),
        TokenLocation::Query(name) => format!("query parameter {name}"),
    };
    let exactly = sources.locations(exact).map(name);
    let otherwise = sources.locations(other).map(|it| {
        format!("{}, under another spelling or in a malformed field: it admits nobody", name(it))
    });
    exactly.chain(otherwise).collect::<Vec<_>>().join("; ")
}

fn steps(objection: Option<&Objection>, facts: &TokenFacts, now: u64) -> Vec<CheckStep> {
    let failed = objection.map(Stage::of);
    let step = |stage: Stage| {
        let (result, text) = match failed {
            Some(failed) if stage > failed => (StepResult::NotReached, String::new()),
            Some(failed) if stage == failed => {
                let explained = objection.map(|it| it.explanation().to_string());
                (StepResult::Failed, explained.unwrap_or_default())
            }
            _ => (StepResult::Passed, String::new()),
        };
        let facts = match result {
            StepResult::NotReached => String::new(),
            _ => facts.of(stage, now),
        };
        let texts = [text, facts].into_iter().filter(|text| !text.is_empty());
        CheckStep { stage, result, text: texts.collect::<Vec<_>>().join(" — ") }
    };
    Stage::ALL.map(step).into()
}

fn outcome(forward: &Forward) -> String {
    if let Some(reason) = forward.without_effect {
        return format!("continues, but {}", reason.line());
    }
    let revoked = forward.sign_out.len() + forward.signed_out.len();
    match (revoked, forward.credentials.tokens.first()) {
        (0, None) => "continues without a user".to_owned(),
        (0, Some(_)) if forward.cutoff.is_some() => {
            "continues; a 2xx response signs the user out everywhere".to_owned()
        }
        (0, Some(_)) => "continues with the token's user".to_owned(),
        (1, _) => "continues, and revokes its token".to_owned(),
        (count, _) => format!("continues, and revokes its {count} tokens"),
    }
}

/// Returns method, host and path for the report. The query is left out, because it may contain a
/// token.
fn shown_request(headers: &Headers) -> String {
    let text = |name: &[u8]| String::from_utf8_lossy(headers.first(name).unwrap_or_default());
    let target = text(b":path");
    if target.as_bytes().split(|byte| *byte == b'?').next() == Some(PROTECTED_PATH.as_bytes()) {
        return "none given, so as on a protected route".to_owned();
    }
    let path = target.split('?').next().unwrap_or_default();
    format!("{} {}{}", text(b":method"), text(b":authority"), path.escape_debug())
}

/// The path of a request that was not given. No rule matches this path, because it is not canonical.
/// It is protected in every configuration.
pub const PROTECTED_PATH: &str = "//";

/// The state machine's clock at the beginning. It is not 0, because 0 means *never* in some parts
/// of the core.
const STARTED_AT: u64 = 1_000_000;

/// The time by which the state machine's clock advances at each step.
const TICK_MILLISECONDS: u64 = 50;

/// Loading ends after this time of the state machine's clock. It suffices for a million
/// revocations, which have 400 pages.
const LOADING_MILLISECONDS: u64 = 200_000;
