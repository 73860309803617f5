//! Sends continuous requests during a fault and checks invariants.
//!
//! Every proxy gets continuous requests with good, revoked and forged tokens, and without a token.
//! The test fails on any wrong response, any unexpected 5xx, any refused token that reaches the
//! application, and any proxy that does not recover. The health of the process itself (dead VMs,
//! memory) is checked when an [`Envoy`](crate::Envoy) is dropped.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Application, Connection, Envoy, Request, Token, eventually, until};

/// Clients of several proxies of one application. Stops when dropped, and checks as
/// [`Load::end`] does.
#[derive(Debug)]
pub struct Load {
    shared: Arc<LoadState>,
    clients: Vec<JoinHandle<ResponseCounts>>,
    tripwire: Tripwire,
}

/// Whether a proxy may respond 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnavailablePolicy {
    /// Every request gets a response; good tokens get 200.
    Always,
    /// Some requests may get 503 or a broken connection.
    OrUnavailable,
}

/// Counts of the responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseCounts {
    /// Good tokens that were admitted.
    pub admitted: u64,
    /// Revoked, forged and missing tokens that were refused.
    pub refused: u64,
    /// Responses with 503, and broken connections.
    pub unavailable: u64,
    /// Time from the end of the scenario until the last proxy was ready again.
    pub current_after: Duration,
}

impl fmt::Display for ResponseCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { admitted, refused, unavailable, current_after } = self;
        let milliseconds = current_after.as_millis();
        write!(f, "{admitted} requests admitted, {refused} refused, ")?;
        write!(f, "{unavailable} answered 503 or not at all; judged again after {milliseconds} ms")
    }
}

#[derive(Debug)]
struct LoadState {
    addresses: Vec<Mutex<SocketAddr>>,
    answers: UnavailablePolicy,
    enforced: Mutex<Vec<Token>>,
    admitted: Vec<AtomicU64>,
    stop: AtomicBool,
}

/// Tokens and a path that must never reach the application with a request of a [`Load`].
///
/// Requests of the test itself do not count. A test asks whether a token is refused yet; a proxy that
/// learns of the revocation meanwhile ends that request with the response of a refusal, and the
/// application may receive it later.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tripwire {
    texts: Arc<Mutex<HashSet<String>>>,
    breaches: Arc<Mutex<Vec<String>>>,
}

impl Tripwire {
    /// Checks one request that has reached the application.
    pub(crate) fn look(&self, path: &str, authorization: Option<&str>) {
        let texts = locked(&self.texts);
        let token = authorization.unwrap_or_default().trim_start_matches("Bearer ");
        if path == WITHOUT_TOKEN || path == PAGE && texts.contains(token) {
            locked(&self.breaches).push(format!("{path} {token}"));
        }
    }

    fn forbid(&self, text: &str) {
        locked(&self.texts).insert(text.to_owned());
    }
}

/// Runs `change` while two clients call `check` again and again, before and after it. `check` sends
/// requests to Envoy, checks their responses and returns their number. Returns the sum.
#[track_caller]
pub fn under_load(
    envoy: &mut Envoy,
    check: impl Fn(SocketAddr) -> u64 + Sync,
    change: impl FnOnce(&mut Envoy),
) -> u64 {
    let (stop, sent, address) = (AtomicBool::new(false), AtomicU64::new(0), envoy.address());
    thread::scope(|scope| {
        let load = || {
            while !stop.load(Ordering::Relaxed) {
                sent.fetch_add(check(address), Ordering::Relaxed);
            }
        };
        let clients = [scope.spawn(load), scope.spawn(load)];
        eventually(CURRENT_WITHIN, || sent.load(Ordering::Relaxed) > 20);
        change(envoy);
        let before = sent.load(Ordering::Relaxed);
        eventually(CURRENT_WITHIN, || sent.load(Ordering::Relaxed) > before + 60);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no wrong verdict");
        }
    });
    sent.into_inner()
}

impl Load {
    /// Starts continuous requests to the proxies. `enforced` are tokens that every proxy already
    /// refuses; [`Load::enforced`] adds more of them later.
    #[must_use]
    pub fn start(
        application: &Application,
        proxies: impl IntoIterator<Item = SocketAddr>,
        answers: UnavailablePolicy,
        enforced: &[Token],
    ) -> Self {
        let tripwire = application.tripwire();
        let addresses: Vec<_> = proxies.into_iter().map(Mutex::new).collect();
        let admitted = addresses.iter().map(|_| AtomicU64::new(0)).collect();
        let (enforced_tokens, stop) = (Mutex::default(), AtomicBool::new(false));
        let shared = LoadState { addresses, answers, enforced: enforced_tokens, admitted, stop };
        let mut load = Self { shared: Arc::new(shared), clients: Vec::new(), tripwire };
        load.enforced(enforced);
        for proxy in 0..load.shared.addresses.len() {
            let (shared, tripwire) = (Arc::clone(&load.shared), load.tripwire.clone());
            load.clients.push(thread::spawn(move || shared.send(proxy, &tripwire)));
        }
        load.await_more();
        load
    }

    /// Declares that from now on every proxy must refuse these tokens.
    pub fn enforced(&self, tokens: &[Token]) {
        for token in tokens {
            self.tripwire.forbid(token.as_str());
        }
        locked(&self.shared.enforced).extend_from_slice(tokens);
    }

    /// Returns all tokens that must be refused.
    #[must_use]
    pub fn all_enforced(&self) -> Vec<Token> {
        locked(&self.shared.enforced).clone()
    }

    /// Sets the new address of a proxy.
    pub fn moved(&self, proxy: usize, to: SocketAddr) {
        *locked(&self.shared.addresses[proxy]) = to;
    }

    /// Waits until every proxy has admitted more good tokens.
    #[track_caller]
    pub fn await_more(&self) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let before: Vec<_> = self.shared.admitted.iter().map(count).collect();
        until(CURRENT_WITHIN, || {
            assert!(self.is_well(), "a verdict was wrong");
            let mut pairs = self.shared.admitted.iter().map(count).zip(&before);
            pairs.all(|(now, before)| now >= before + 3).then_some(())
        });
    }

    /// Returns whether no client has seen a wrong response so far.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.clients.iter().all(|client| !client.is_finished())
    }

    /// Ends the load. Checks that every proxy recovers without a restart and that no response was
    /// wrong.
    ///
    /// # Panics
    /// A check failed.
    #[track_caller]
    pub fn end(mut self) -> ResponseCounts {
        self.check()
    }

    #[track_caller]
    fn check(&mut self) -> ResponseCounts {
        let over = Instant::now();
        self.await_more();
        let current_after = over.elapsed();
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut sum = ResponseCounts { current_after, ..ResponseCounts::default() };
        for client in self.clients.drain(..) {
            let counts = client.join().expect("a load without a wrong verdict");
            sum.admitted += counts.admitted;
            sum.refused += counts.refused;
            sum.unavailable += counts.unavailable;
        }
        let breaches = locked(&self.tripwire.breaches).clone();
        assert!(breaches.is_empty(), "the application has seen {breaches:?}");
        sum
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.stop.store(true, Ordering::Relaxed);
        } else if !self.clients.is_empty() {
            self.check();
        }
    }
}

impl LoadState {
    fn send(&self, proxy: usize, tripwire: &Tripwire) -> ResponseCounts {
        let (mut counts, mut connection) = (ResponseCounts::default(), None);
        let forged = Token::of("root").forged();
        tripwire.forbid(forged.as_str());
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let (request, expected) = self.request(number, &forged);
            let address = *locked(&self.addresses[proxy]);
            let open: Option<Connection> =
                connection.take().or_else(|| Connection::try_to(address).ok());
            let answer = open.and_then(|mut open| {
                let answer = open.try_send(&request).ok()?;
                let closes = answer.header("connection") == Some("close");
                connection = (!closes).then_some(open);
                Some(answer)
            });
            match answer.as_ref().map(|answer| (answer.status, answer.code())) {
                Some((200, _)) if expected.is_none() => {
                    counts.admitted += 1;
                    self.admitted[proxy].fetch_add(1, Ordering::Relaxed);
                }
                Some((401, code)) if Some(code.as_str()) == expected => counts.refused += 1,
                Some((503, _)) | None if self.answers == UnavailablePolicy::OrUnavailable => {
                    counts.unavailable += 1;
                }
                other => panic!("proxy {proxy}: {expected:?} expected, {other:?} came"),
            }
            thread::sleep(BETWEEN_REQUESTS);
        }
        counts
    }

    /// Returns the next request and the code of the expected refusal.
    fn request(&self, number: usize, forged: &Token) -> (Request, Option<&'static str>) {
        let page = Request::get(PAGE);
        let enforced = locked(&self.enforced);
        match (number % 6, enforced.get(number / 6 % enforced.len().max(1))) {
            (1, Some(token)) => (page.bearer(token), Some("revoked")),
            (3, _) => (page.bearer(forged), Some("bad_signature")),
            (5, _) => (Request::get(WITHOUT_TOKEN), Some("missing_token")),
            _ => (page.bearer(&Token::of("ada")), None),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The page of the requests with a token. Only a [`Load`] adds this query.
const PAGE: &str = "/page?load";

/// The page of the requests without a token.
const WITHOUT_TOKEN: &str = "/page?load-without-token";

/// Pause between requests: several hundred requests a second to each proxy.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(1);

/// The longest backoff of a proxy, plus the time to recover.
const CURRENT_WITHIN: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a verdict was wrong")]
    fn an_unprotected_application_is_noticed() {
        let application = Application::start();
        let load =
            Load::start(&application, [application.address()], UnavailablePolicy::Always, &[]);
        load.await_more();
        load.end();
    }

    #[test]
    fn only_requests_of_the_load_are_checked() {
        let (tripwire, token) = (Tripwire::default(), Token::of("ada"));
        tripwire.forbid(token.as_str());
        let authorization = format!("Bearer {token}");
        let breaches = |path| {
            tripwire.look(path, Some(&authorization));
            locked(&tripwire.breaches).drain(..).count()
        };
        assert_eq!(["/page", PAGE, WITHOUT_TOKEN].map(breaches), [0, 1, 1]);
    }
}
