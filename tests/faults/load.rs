//! Which requests come all the while? Good ones, revoked ones and forged ones, one after the other;
//! any wrong verdict ends the scenario.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use testbed::{Connection, Envoy, Request, Token, eventually};

/// Requests to one proxy, whose address may change.
pub(crate) struct Load<'a> {
    pub(crate) address: Mutex<SocketAddr>,
    revoked: &'a [Token],
    admitted: AtomicU64,
    stop: AtomicBool,
}

/// What came back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Good tokens that were admitted.
    pub(crate) admitted: u64,
    /// Revoked tokens that were refused.
    pub(crate) refused: u64,
    /// Answers 503, and connections that broke.
    pub(crate) unavailable: u64,
}

impl<'a> Load<'a> {
    /// Goes on while `during` runs; panics where a verdict was wrong.
    pub(crate) fn around<T>(
        envoy: SocketAddr,
        revoked: &'a [Token],
        during: impl FnOnce(&Self) -> T,
    ) -> (T, Counts) {
        let load = Self {
            address: Mutex::new(envoy),
            revoked,
            admitted: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        };
        thread::scope(|scope| {
            let client = scope.spawn(|| load.send());
            // Also where `during` panics: the client must not go on for ever.
            let ending = Ending(&load.stop);
            let value = during(&load);
            drop(ending);
            (value, client.join().expect("a load without a wrong verdict"))
        })
    }

    /// Returns when some more good tokens have been admitted, and so revoked ones been refused.
    pub(crate) fn await_more(&self) {
        let before = self.admitted.load(Ordering::Relaxed);
        let more = || self.admitted.load(Ordering::Relaxed) >= before + 3;
        eventually(Duration::from_secs(60), more);
    }

    fn send(&self) -> Counts {
        let mut counts = Counts::default();
        let mut connection = None;
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let address = *self.address.lock().expect("an address");
            let live = Token::of("ada");
            let (token, is_revoked) = match self.revoked.get(number % (self.revoked.len() + 1)) {
                Some(token) => (token, true),
                None => (&live, false),
            };
            let request = Request::get("/page").bearer(token);
            let open = connection.take().or_else(|| Connection::try_to(address).ok());
            let answer = open.and_then(|mut open| {
                let answer = open.try_send(&request).ok()?;
                connection = Some(open);
                Some(answer)
            });
            match answer.as_ref().map(|answer| (answer.status, answer.code())) {
                Some((200, _)) if !is_revoked => {
                    counts.admitted += 1;
                    self.admitted.fetch_add(1, Ordering::Relaxed);
                }
                Some((401, code)) if is_revoked && code == "revoked" => counts.refused += 1,
                Some((503, _)) | None => {
                    counts.unavailable += 1;
                    thread::yield_now();
                }
                Some(other) => panic!("revoked {is_revoked}: {other:?}"),
            }
        }
        counts
    }
}

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// No VM has died, whatever happened.
pub(crate) fn assert_no_vm_died(envoy: &Envoy) {
    let reloads = envoy.stats("vm_reload");
    assert!(reloads.iter().all(|(_, count)| *count == 0), "{reloads:?}");
    assert!(!envoy.log().contains("panicked"));
}

/// As often as `make faults` asks for it, or once for `make test`.
pub(crate) fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("FAULTS_LONG").is_some() { long } else { short }
}
