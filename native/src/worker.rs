//! The state that the requests of one configuration share on one worker.
//!
//! The verifier, its cache and the registry of open requests belong to one thread, so a request
//! never waits for another worker. A worker creates them when its first request of a configuration
//! begins.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use session_guard_core::root::Root;

use crate::abi::{RequestHandle, RequestScheduler};
use crate::configuration::Loaded;
use crate::host::host;
use crate::request::{RESUME, end_event};
use crate::wake::{self, Mailbox};

thread_local! {
    static ALL: RefCell<Vec<Rc<Worker>>> = const { RefCell::new(Vec::new()) };
}

/// One configuration on one worker.
pub(crate) struct Worker {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) root: RefCell<Root>,
    pub(crate) mailbox: Arc<Mailbox<RequestScheduler>>,
    /// The version of the fetched keys that this worker uses.
    keys: Cell<u64>,
    /// When this worker last read the age of the revocation set, in monotonic milliseconds.
    read_at: Cell<u64>,
    last_context: Cell<u32>,
}

impl Worker {
    /// Returns this thread's state for a configuration. Returns `None` if it cannot be built.
    pub(crate) fn of(loaded: &Arc<Loaded>) -> Option<Rc<Self>> {
        let find = |all: &Vec<Rc<Self>>| {
            all.iter().find(|worker| Arc::ptr_eq(&worker.loaded, loaded)).cloned()
        };
        ALL.with_borrow(find).or_else(|| Self::new(loaded))
    }

    /// Drops the state of all configurations on this worker. The next requests build it again.
    pub(crate) fn forget_all() {
        drop(ALL.take());
    }

    fn new(loaded: &Arc<Loaded>) -> Option<Rc<Self>> {
        let keys = Cell::new(loaded.keys());
        let worker = Rc::new(Self {
            loaded: loaded.clone(),
            root: RefCell::new(loaded.root()?),
            mailbox: wake::new_mailbox(),
            keys,
            read_at: Cell::new(0),
            last_context: Cell::new(0),
        });
        let gone = ALL.with_borrow_mut(|all| {
            let gone: Vec<_> = all.extract_if(.., |worker| worker.loaded.is_over()).collect();
            all.push(worker.clone());
            gone
        });
        drop(gone); // dropped only after the borrow of the list has ended
        Some(worker)
    }

    /// Returns a new number for a request. No other open request of this worker has the same
    /// number.
    pub(crate) fn next_context(&self) -> u32 {
        let context = self.last_context.get().wrapping_add(1);
        self.last_context.set(context);
        context
    }

    /// Loads the state that other threads have changed: the fetched keys and, at most once a
    /// second, the age of the revocation set and the discovered secrets.
    pub(crate) fn refresh(&self, request: &RequestHandle<'_>) {
        let keys = self.loaded.keys();
        if self.keys.replace(keys) != keys {
            self.root.borrow_mut().reload_keys(host());
        }
        let now = host().clock.monotonic_milliseconds();
        let root = &mut self.root.borrow_mut();
        let is_time = now.abs_diff(self.read_at.get()) >= REFRESH_MILLISECONDS;
        if is_time {
            self.read_at.set(now);
            root.refresh(host());
        }
        if is_time || root.lacks_secrets() {
            let secret = |index| request.secret(self.loaded.secret(index)?);
            let _notices = root.read_secrets(secret); // the main thread logs them
        }
    }

    /// Wakes the main thread if a request named a key that is not known, so that it fetches the
    /// keys.
    pub(crate) fn note_missed_key(&self) {
        let has_missed = self.root.borrow().note_missed_key(host());
        if let (true, Some(ticker)) = (has_missed, &self.loaded.ticker) {
            ticker.tick_now();
        }
    }

    /// Checks the open requests if another thread has asked for that.
    pub(crate) fn check_if_asked(&self) {
        if self.mailbox.take() {
            self.check();
        }
    }

    /// Checks the open requests and the held responses. Each request that must end, and each
    /// response that may continue, is woken by an event, and ends or continues in the hook for that
    /// event.
    pub(crate) fn check(&self) {
        let effects = self.root.borrow_mut().check_requests(host());
        for context in effects.resume {
            self.mailbox.wake(context, RESUME);
        }
        for ending in effects.end {
            self.mailbox.wake(ending.context, end_event(&ending));
        }
        if self.root.borrow().has_more_to_check() {
            self.mailbox.ring(); // other requests run in between
        }
    }
}

/// How long a worker uses the age of the revocation set that it has read. A wasm VM reads it as
/// often, on its tick.
const REFRESH_MILLISECONDS: u64 = 1_000;

/// How often a worker checks whether a held response may continue.
pub(crate) const HOLD_PERIOD: Duration = Duration::from_millis(20);
