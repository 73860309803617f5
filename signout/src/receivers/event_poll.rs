//! Polls a transmitter for Security Event Tokens (RFC 8936).
//!
//! Each transmitter that is polled has its own thread. A poll acknowledges the tokens of the poll
//! before, and reports the invalid ones as errors:
//!
//! - A token is acknowledged only after its records are durable. After a crash the transmitter
//!   sends it again, and a repeated token changes nothing.
//! - A token that cannot be verified or stored at the moment is neither acknowledged nor reported
//!   as an error, so the transmitter sends it again.
//!
//! If several services share a store, one of them polls: the holder of a lease in the store. If it
//! dies, another service takes the lease after its end and polls.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_guard_core::call::Response;
use session_guard_core::call::poller::Poller;
use tokio::runtime::Handle;
use ureq::http::Method;

use super::rejection::Rejection;
use super::report::ReceiverProtocol;
use super::routes::event_error;
use super::{ReceiverState, Receivers};
use crate::clock::unix_seconds;
use crate::http::client::{HttpClient, HttpRequest, NoResponse};
use crate::random::random_number;

/// Starts polling the transmitter of the issuer with this index. Does nothing if the issuer has no
/// address to poll.
///
/// # Errors
///
/// The operating system provides no thread or no random numbers.
pub(super) fn start(
    receivers: &Receivers,
    index: usize,
    client: &HttpClient,
) -> std::io::Result<()> {
    let Some(issuer) = receivers.state.issuers.get(index) else { return Ok(()) };
    let settings = &issuer.settings;
    let transmitter = settings.events.as_ref().and_then(|events| events.transmitter.as_ref());
    let Some((url, token)) = transmitter.and_then(|it| Some((it.poll.clone()?, it.token.clone())))
    else {
        return Ok(());
    };
    let thread = PollThread {
        lease: format!("poll {} {url}", settings.realm),
        issuer: settings.issuer.clone(),
        realm: settings.realm.clone(),
        authorization: token.map(|token| format!("Bearer {}", token.expose())),
        url,
        owner: random_number().map_err(std::io::Error::other)?,
        client: client.clone(),
        state: Arc::downgrade(&receivers.state),
        runtime: Handle::current(),
        began: Instant::now(),
        poller: Poller::default(),
        outcome: PollRequest::new(),
    };
    std::thread::Builder::new().name("event-poll".to_owned()).spawn(move || thread.run())?;
    Ok(())
}

/// The thread that polls one transmitter.
struct PollThread {
    issuer: String,
    realm: String,
    url: String,
    authorization: Option<String>,
    /// The name of the lease in the store.
    lease: String,
    owner: u64,
    client: HttpClient,
    /// The receivers. The thread ends when they have been dropped.
    state: Weak<ReceiverState>,
    runtime: Handle,
    began: Instant,
    poller: Poller<()>,
    /// The next poll, with the acknowledgements and errors for the tokens of the last one.
    outcome: PollRequest,
}

/// A poll (RFC 8936 §2.2).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PollRequest {
    max_events: usize,
    return_immediately: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ack: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    set_errs: BTreeMap<String, RejectedEvent>,
}

/// Why a token is rejected (RFC 8936 §2.6).
#[derive(Clone, Debug, PartialEq, Serialize)]
struct RejectedEvent {
    err: &'static str,
    description: String,
}

/// The response to a poll (RFC 8936 §2.3).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolledEvents {
    #[serde(default)]
    sets: BTreeMap<String, Value>,
    #[serde(default)]
    more_available: bool,
}

impl PollRequest {
    fn new() -> Self {
        Self {
            max_events: MAX_EVENTS,
            return_immediately: false,
            ack: Vec::new(),
            set_errs: BTreeMap::new(),
        }
    }
}

impl PollThread {
    fn run(mut self) {
        loop {
            let wait = Duration::from_millis(self.poller.wait_milliseconds(self.now()));
            std::thread::sleep(wait.min(LIVENESS_INTERVAL));
            let Some(state) = self.state.upgrade() else { return };
            if !self.poller.may_call(self.now()) {
                continue;
            }
            let receivers = Receivers { state };
            let service = receivers.state.service.clone();
            let lease = service.lease(self.lease.clone(), self.owner, LEASE);
            match self.runtime.block_on(lease) {
                Ok(true) => self.poll(&receivers),
                Ok(false) | Err(_) => self.pause(NOT_LEADER_INTERVAL),
            }
        }
    }

    fn poll(&mut self, receivers: &Receivers) {
        self.poller.begin(());
        let sent = self.client.send(self.request());
        self.poller.end();
        match sent {
            // The transmitter held the poll until the service's time limit, because it had nothing
            // to send.
            Err(NoResponse::TimedOut) => self.succeeded(receivers),
            Err(NoResponse::Failed(why)) => self.failed(receivers, None, &why),
            Ok(response) => match read(&response) {
                Ok(events) => self.take(receivers, events),
                Err(why) => self.failed(receivers, Some(&response), &why),
            },
        }
    }

    fn request(&self) -> HttpRequest {
        let json = "application/json".to_owned();
        let mut headers = vec![("content-type", json.clone()), ("accept", json)];
        headers.extend(self.authorization.clone().map(|value| ("authorization", value)));
        HttpRequest {
            method: Method::POST,
            url: self.url.clone(),
            headers,
            body: serde_json::to_vec(&self.outcome).unwrap_or_default(),
            timeout: POLL_TIMEOUT,
            longest_body: LONGEST_RESPONSE,
        }
    }

    /// Handles the events of a response, and prepares the next poll with their acknowledgements.
    fn take(&mut self, receivers: &Receivers, events: PolledEvents) {
        self.succeeded(receivers);
        self.outcome = PollRequest::new();
        let mut has_postponed = false;
        for (id, token) in events.sets.into_iter().take(MAX_EVENTS) {
            let token = token.as_str().unwrap_or_default().as_bytes();
            let taken = receivers.take_event(&self.realm, token, ReceiverProtocol::EventsPoll);
            match self.runtime.block_on(taken) {
                Ok(_) => self.outcome.ack.push(id),
                Err(rejection) => {
                    let protocol = ReceiverProtocol::EventsPoll;
                    receivers.state.reports.rejected(protocol, &self.realm, &rejection);
                    let Rejection { reason, detail } = rejection;
                    if reason.is_temporary() {
                        has_postponed = true;
                        continue;
                    }
                    let error =
                        RejectedEvent { err: event_error(reason), description: detail.into() };
                    self.outcome.set_errs.insert(id, error);
                }
            }
        }
        if has_postponed {
            self.poller.failed(None, self.now(), random());
        } else if !events.more_available && self.outcome == PollRequest::new() {
            self.pause(POLL_INTERVAL);
        }
    }

    fn succeeded(&mut self, receivers: &Receivers) {
        let time = i64::try_from(unix_seconds()).unwrap_or(i64::MAX);
        let gauge = &receivers.state.service.parts.metrics.events_polled_at;
        gauge.with_label_values(&[&self.issuer]).set(time);
        if self.poller.succeeded() {
            tracing::info!(issuer = self.issuer, "polling for events works again");
        }
    }

    fn failed(&mut self, receivers: &Receivers, response: Option<&Response>, why: &str) {
        let metrics = &receivers.state.service.parts.metrics;
        metrics.event_polls_failed.with_label_values(&[&self.issuer]).inc();
        if self.poller.failed(response, self.now(), random()) {
            tracing::error!(
                issuer = self.issuer,
                why,
                "polling for events failed: sign-outs at this issuer have no effect here until it \
                 works; check `poll` and `token` in the issuers file, and `signout stream status`"
            );
        }
    }

    fn pause(&mut self, pause: Duration) {
        let milliseconds = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.poller.pause(self.now(), milliseconds);
    }

    /// Returns the milliseconds since the thread began, on a monotonic clock.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Reads a response. Returns an error if its status is not 200 or its body is not the JSON of RFC
/// 8936 §2.3.
fn read(response: &Response) -> Result<PolledEvents, String> {
    match response.status() {
        Some(200) => {}
        Some(status) => return Err(format!("the response has status {status}")),
        None => return Err("the response has no status".to_owned()),
    }
    serde_json::from_slice(&response.body).map_err(|error| format!("the response: {error}"))
}

/// Returns a random number for the jitter of retries; 0 if the operating system provides none. Then
/// all services retry at the same time.
fn random() -> u32 {
    random_number().map_or(0, |number| number as u32)
}

/// The most events that one poll requests.
const MAX_EVENTS: usize = 100;

/// Longest response, in bytes: twice the size of [`MAX_EVENTS`] tokens of the longest size.
const LONGEST_RESPONSE: u64 = 4 << 20;

/// How long a transmitter may hold a poll until it has an event.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);

/// Duration of the lease: longer than a poll and the handling of its events, so that no other
/// service polls at the same time.
const LEASE: Duration = Duration::from_secs(90);

/// Time between two polls if the transmitter responds at once and has no events. With one second,
/// sign-outs take effect within about a second.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How often a service tries to take the lease while another service holds it.
const NOT_LEADER_INTERVAL: Duration = Duration::from_secs(5);

/// How often a waiting thread checks whether the receivers still exist.
const LIVENESS_INTERVAL: Duration = Duration::from_millis(500);
