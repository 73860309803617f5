//! The thread that decides about checks.
//!
//! The core's state belongs to one thread, as a worker of a proxy. Connections are served on the
//! threads of the service; each check is sent to this thread, which needs only a few microseconds
//! for it. A check that waits (a sign-out, until it is durable) delays no other.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{io, thread};

use axum::Router;
use axum::http::{HeaderMap, HeaderName};
use session_guard_core::call::{Call, Response};
use session_guard_core::clock::Clock;
use session_guard_core::exchange::{Exchange, Half, Next};
use session_guard_core::headers::Headers;
use session_guard_core::keys::host::NoHost;
use session_guard_core::refusal::LocalResponse;
use session_guard_core::root::{Destination, Effects, Host, Question, Root};
use session_guard_core::severity::Severity;
use session_guard_core::shared::InMemory;
use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep_until;

use crate::forward_auth::calls::{self, KeyOrigins};
use crate::forward_auth::metrics::GuardMetrics;
use crate::forward_auth::response::carried;
use crate::forward_auth::settings::GuardSettings;

/// The decision about one request.
#[derive(Debug)]
pub(super) enum CheckVerdict {
    /// The proxy forwards it, with these headers.
    Admitted(HeaderMap),
    /// The client gets this response.
    Refused(LocalResponse),
}

/// Why a proxy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckPurpose {
    /// It decides about the request.
    Decide,
    /// The request is refused already, and its client needs the response. It is not counted again.
    Refuse,
}

/// The connection to the thread.
#[derive(Clone)]
pub(super) struct EngineHandle {
    checks: mpsc::Sender<PendingCheck>,
    is_ready: Arc<AtomicBool>,
}

struct PendingCheck {
    headers: Headers<'static>,
    purpose: CheckPurpose,
    answer: oneshot::Sender<CheckVerdict>,
}

impl EngineHandle {
    /// Returns the decision about a request with these headers; `None` if the thread has ended.
    pub(super) async fn check(
        &self,
        headers: Headers<'static>,
        purpose: CheckPurpose,
    ) -> Option<CheckVerdict> {
        let (answer, verdict) = oneshot::channel();
        self.checks.send(PendingCheck { headers, purpose, answer }).await.ok()?;
        verdict.await.ok()
    }

    /// Returns whether the thread runs.
    pub(super) fn is_alive(&self) -> bool {
        !self.checks.is_closed()
    }

    /// Returns whether keys and revocations have been loaded. If they are too old later, protected
    /// requests get 503 and all others still work, so this stays true.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }
}

/// The state of the thread.
pub(super) struct Engine {
    root: RefCell<Root>,
    shared: InMemory,
    clock: GuardClock,
    /// The identity headers.
    names: Vec<HeaderName>,
    /// The service's HTTP interface, called without HTTP.
    api: Router,
    keys: KeyOrigins,
    metrics: GuardMetrics,
    is_ready: Arc<AtomicBool>,
    /// The checks whose response is held, by context.
    held: RefCell<HashMap<u32, oneshot::Sender<()>>>,
    last_context: Cell<u32>,
    tick_at: Cell<Instant>,
    period: Cell<Duration>,
    /// Notified when the next tick is due earlier than before.
    sooner: Notify,
}

impl Engine {
    /// Starts the thread. It ends when the last handle is dropped.
    pub(super) fn start(
        settings: GuardSettings,
        api: Router,
        metrics: GuardMetrics,
    ) -> io::Result<EngineHandle> {
        let (sender, checks) = mpsc::channel(WAITING_CHECKS);
        let is_ready = Arc::new(AtomicBool::new(false));
        let handle = EngineHandle { checks: sender, is_ready: Arc::clone(&is_ready) };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("forward-auth".to_owned()).spawn(move || {
            match Self::new(settings, api, metrics, is_ready) {
                Ok(engine) => LocalSet::new().block_on(&runtime, Rc::new(engine).run(checks)),
                Err(error) => tracing::error!(%error, "forward auth cannot start: checks get 503"),
            }
        })?;
        Ok(handle)
    }

    fn new(
        settings: GuardSettings,
        api: Router,
        metrics: GuardMetrics,
        is_ready: Arc<AtomicBool>,
    ) -> Result<Self, session_guard_core::config::ConfigError> {
        let GuardSettings { text, names, origins, client } = settings;
        let (shared, clock) = (InMemory::default(), GuardClock { began: Instant::now() });
        let environment = |name: &str| std::env::var(name).ok();
        let host = Host { shared: &shared, clock: &clock, random };
        let root = Root::configure(&text, &environment, &NoHost, &random_id, host)?;
        Ok(Self {
            root: RefCell::new(root),
            shared,
            clock,
            names,
            api,
            keys: KeyOrigins { origins, client },
            metrics,
            is_ready,
            held: RefCell::default(),
            last_context: Cell::new(0),
            tick_at: Cell::new(Instant::now()),
            period: Cell::new(LONGEST_PERIOD),
            sooner: Notify::new(),
        })
    }

    async fn run(self: Rc<Self>, mut checks: mpsc::Receiver<PendingCheck>) {
        loop {
            tokio::select! {
                check = checks.recv() => match check {
                    Some(check) => drop(spawn_local(Rc::clone(&self).answer(check))),
                    None => return,
                },
                () = sleep_until(self.tick_at.get().into()) => {
                    self.tick_at.set(Instant::now() + self.period.get());
                    let effects = self.root.borrow_mut().tick(self.host());
                    self.apply(effects);
                }
                () = self.sooner.notified() => {}
            }
        }
    }

    fn host(&self) -> Host<'_> {
        Host { shared: &self.shared, clock: &self.clock, random }
    }

    /// Applies the effects of one step of the root.
    fn apply(self: &Rc<Self>, effects: Effects) {
        let Effects { gauges, resume, calls, .. } = effects;
        for (gauge, value) in gauges {
            self.metrics.set(gauge, value);
        }
        for context in resume {
            if let Some(held) = self.held.borrow_mut().remove(&context) {
                let _is_gone = held.send(());
            }
        }
        for (question, call) in calls {
            let destination = self.root.borrow().destination(question).cloned();
            let engine = Rc::clone(self);
            spawn_local(async move {
                let response = match (question, destination) {
                    (Question::Keys(_), Some(issuer)) => engine.keys.fetch(issuer, call).await,
                    (_, service) => engine.send(service, call).await,
                };
                let root = || engine.root.borrow_mut();
                let effects = root().call_response(question, response.as_ref(), engine.host());
                engine.apply(effects);
            });
        }
        self.write(CheckPurpose::Decide);
    }

    async fn send(&self, destination: Option<Destination>, call: Call) -> Option<Response> {
        calls::send(self.api.clone(), destination?, call).await
    }

    async fn answer(self: Rc<Self>, check: PendingCheck) {
        let context = self.last_context.get().wrapping_add(1);
        self.last_context.set(context);
        let mut exchange = Exchange::new(context);
        let verdict = self.decide(&mut exchange, context, &check).await;
        exchange.end(&mut self.root.borrow_mut());
        self.held.borrow_mut().remove(&context);
        let _proxy_is_gone = check.answer.send(verdict);
    }

    /// Passes one request through the core. A response that the core would hold holds the check
    /// instead: the application then gets the request later.
    async fn decide(
        &self,
        exchange: &mut Exchange,
        context: u32,
        check: &PendingCheck,
    ) -> CheckVerdict {
        let mut headers = HeaderMap::new();
        let mut next = exchange.request_headers(
            &mut self.root.borrow_mut(),
            Some(&check.headers),
            self.host(),
        );
        loop {
            next = match next {
                Next::Change(forward) => {
                    let carried = carried(&self.names, &forward.edits);
                    let is_carried = carried.is_some();
                    headers = carried.unwrap_or_default();
                    let root = &mut self.root.borrow_mut();
                    exchange.changed(root, forward, is_carried, self.host())
                }
                Next::Call(call) => {
                    let service = self.root.borrow().service().cloned();
                    let response = self.send(service, call).await;
                    let root = &mut self.root.borrow_mut();
                    exchange.call_response(root, response.as_ref(), self.host())
                }
                Next::Continue(Half::Request) => {
                    exchange.response_headers(&mut self.root.borrow_mut(), None, self.host())
                }
                Next::Hold => {
                    let (resume, resumed) = oneshot::channel();
                    self.held.borrow_mut().insert(context, resume);
                    self.write(check.purpose);
                    let _engine_ends = resumed.await;
                    Next::Continue(Half::Response)
                }
                Next::Continue(Half::Response) => {
                    self.write(check.purpose);
                    return CheckVerdict::Admitted(headers);
                }
                Next::Respond(response) => {
                    self.write(check.purpose);
                    return CheckVerdict::Refused(response);
                }
            };
        }
    }

    /// Writes the core's counts and log lines, and plans the next tick.
    fn write(&self, purpose: CheckPurpose) {
        let root = &mut self.root.borrow_mut();
        for (counter, amount) in root.take_counts() {
            if purpose == CheckPurpose::Decide {
                self.metrics.add(counter, amount);
            }
        }
        for (severity, line) in root.take_log() {
            match severity {
                Severity::Info => tracing::info!("forward auth: {line}"),
                Severity::Warning => tracing::warn!("forward auth: {line}"),
                Severity::Error => tracing::error!("forward auth: {line}"),
            }
        }
        if let Some(milliseconds) = root.take_tick_period() {
            self.period.set(Duration::from_millis(milliseconds).min(LONGEST_PERIOD));
            self.tick_at.set(Instant::now() + self.period.get());
            self.sooner.notify_one();
        }
        if root.knows_revocations() && !root.lacks_keys() {
            self.is_ready.store(true, Ordering::Release);
        }
    }
}

/// The clocks of the system.
struct GuardClock {
    began: Instant,
}

impl Clock for GuardClock {
    /// A clock before 1970 reads as 0; no token with a past `iat` is valid then.
    fn unix_milliseconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn monotonic_milliseconds(&self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        since.saturating_add(STARTED_AT_MILLISECONDS)
    }
}

/// Returns a random identifier of this process.
fn random_id() -> [u8; 16] {
    let mut id = [0; 16];
    let _ = getrandom::fill(&mut id); // the kernel has random bytes once it has started
    id
}

fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

/// The monotonic clock at the beginning. It is not 0, which some parts of the core read as *never*.
const STARTED_AT_MILLISECONDS: u64 = 1_000_000;

/// Checks that wait for the thread. More wait on their connections.
const WAITING_CHECKS: usize = 1_024;

/// The core's tick comes at least this often.
const LONGEST_PERIOD: Duration = Duration::from_secs(1);
