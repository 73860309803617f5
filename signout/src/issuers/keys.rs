//! The public keys of an issuer: fetched, kept up to date, and read by the handlers of requests.
//!
//! The filter uses the same state machine, [`KeySets`]. It decides when to fetch, and keeps the
//! present keys while the issuer fails. If no key has the `kid` of a message, it fetches before the
//! next refresh is due, but only once between two refreshes. In the service, each issuer has its
//! own thread, which makes the calls, and its own shared data.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use session_guard_core::call::{Call, Response};
use session_guard_core::clock::Now;
use session_guard_core::key_sets::{KeySetCount, KeySetEffects, KeySets};
use session_guard_core::keys::KeyRing;
use session_guard_core::severity::Severity;
use session_guard_core::shared::store::SharedStore;
use tokio::sync::{oneshot, watch};

use super::settings::KeySource;
use crate::clock::unix_seconds;
use crate::http::client::HttpClient;
use crate::metrics::ServiceMetrics;
use crate::random::random_number;

/// The keys of an issuer, for the handlers of requests.
pub(crate) struct IssuerKeys {
    current: watch::Receiver<KeyRing>,
    /// The thread that fetches the keys. It ends when this sender is dropped.
    fetcher: Option<SyncSender<oneshot::Sender<()>>>,
}

impl IssuerKeys {
    /// Moves the inline keys out of `source`, or starts the thread that fetches keys from its
    /// address.
    pub(crate) fn start(
        issuer: &str,
        source: &mut KeySource,
        client: &HttpClient,
        metrics: &Arc<ServiceMetrics>,
    ) -> std::io::Result<Self> {
        let (origin, set) = match source {
            KeySource::Inline(keys) => {
                let ring = KeyRing::new(std::mem::take(keys));
                return Ok(Self { current: watch::channel(ring).1, fetcher: None });
            }
            KeySource::Fetched { origin, set } => (origin.clone(), set.clone()),
        };
        let mut owner = [0; 16];
        getrandom::fill(&mut owner).map_err(std::io::Error::other)?;
        let (fetcher, requests) = sync_channel(WAITING_REQUESTS);
        let client = client.clone();
        let (issuer, metrics) = (issuer.to_owned(), Arc::clone(metrics));
        let mut sets = KeySets::new(vec![set], KeyRing::default(), owner);
        let (shared, began) = (SharedStore::new(), Instant::now());
        let now = Now { unix_seconds: unix_seconds(), monotonic_milliseconds: 0 };
        let (keys, current) = watch::channel(sets.load(&shared, now, 0));
        let thread = KeyFetcher { issuer, sets, shared, client, origin, keys, metrics, began };
        let name = "issuer-keys".to_owned();
        std::thread::Builder::new().name(name).spawn(move || thread.run(&requests))?;
        Ok(Self { current, fetcher: Some(fetcher) })
    }

    /// Returns the present keys.
    pub(crate) fn current(&self) -> KeyRing {
        self.current.borrow().clone()
    }

    /// Fetches the keys if an early fetch is allowed now, and waits until the fetch has ended.
    /// Called if no key has the `kid` of a message, because the issuer may have just replaced its
    /// keys.
    pub(crate) async fn refresh(&self) {
        let Some(fetcher) = &self.fetcher else { return };
        let (done, is_done) = oneshot::channel();
        match fetcher.try_send(done) {
            Ok(()) => {
                let _ = tokio::time::timeout(REFRESH_TIMEOUT, is_done).await;
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// The thread that fetches the keys of one issuer.
struct KeyFetcher {
    issuer: String,
    sets: KeySets,
    shared: SharedStore,
    client: HttpClient,
    origin: String,
    keys: watch::Sender<KeyRing>,
    metrics: Arc<ServiceMetrics>,
    began: Instant,
}

impl KeyFetcher {
    fn run(mut self, requests: &Receiver<oneshot::Sender<()>>) {
        let mut wait = Duration::ZERO;
        loop {
            let mut waiting = vec![];
            match requests.recv_timeout(wait) {
                Ok(request) => {
                    waiting.push(request);
                    self.sets.note_missed_key(&self.shared, self.now());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            wait = self.tick();
            waiting.extend(requests.try_iter());
            for request in waiting {
                let _ = request.send(()); // a failed send means that the caller has given up
            }
        }
    }

    /// Fetches the keys if they are due. Returns the time until the next tick.
    fn tick(&mut self) -> Duration {
        let mut effects = self.sets.tick(&self.shared, self.now(), random());
        let mut wait = TICK;
        loop {
            self.apply(&mut effects);
            wait = effects
                .tick_within_milliseconds
                .map_or(wait, |milliseconds| wait.min(Duration::from_millis(milliseconds)));
            let Some((index, call)) = effects.fetch.pop() else { return wait };
            let response = self.fetch(call);
            effects = self.sets.fetch_finished(
                index,
                &self.shared,
                self.now(),
                random(),
                response.as_ref(),
            );
        }
    }

    fn fetch(&self, call: Call) -> Option<Response> {
        let response = self.client.fetch_keys(&self.origin, call);
        response
            .inspect_err(|error| {
                tracing::debug!(issuer = self.issuer, %error, "keys not fetched");
            })
            .ok()
    }

    fn apply(&mut self, effects: &mut KeySetEffects) {
        if let Some(ring) = effects.keys.take() {
            self.keys.send_replace(ring);
        }
        for count in effects.counts.drain(..) {
            let result = match count {
                KeySetCount::Fetched => "fetched",
                KeySetCount::Rejected(reason) => reason.name(),
            };
            self.metrics.key_fetches.with_label_values(&[&*self.issuer, result]).inc();
        }
        for notice in effects.notices.drain(..) {
            let issuer = &self.issuer;
            match notice.severity() {
                Severity::Info => tracing::info!(issuer, "{notice}"),
                Severity::Warning => tracing::warn!(issuer, "{notice}"),
                Severity::Error => tracing::error!(issuer, "{notice}"),
            }
        }
    }

    fn now(&self) -> Now {
        let milliseconds = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { unix_seconds: unix_seconds(), monotonic_milliseconds: milliseconds }
    }
}

/// Returns a random number for the jitter of fetches. If the system provides none, all services
/// fetch at the same time, which is harmless.
fn random() -> u32 {
    random_number().map_or(0, |number| number as u32)
}

/// Longest time between two ticks of the state machine, which holds a lease that it must renew.
const TICK: Duration = Duration::from_secs(1);

/// The most requests that wait for one fetch. Further requests are verified with the present keys.
const WAITING_REQUESTS: usize = 64;

/// How long a request waits for a fetch. The fetch itself takes at most five seconds.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(6);
