//! What do the requests of one configuration share on one worker?
//!
//! The verifier, its cache and the registry of open requests belong to one thread, so that a request
//! waits for no other worker. A worker makes them when its first request of a configuration begins.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use session_guard_core::root::Root;

use crate::configuration::Loaded;
use crate::host::host;
use crate::request::{RESUME, end_event};
use crate::wake::Mailbox;

thread_local! {
    static ALL: RefCell<Vec<Rc<Worker>>> = const { RefCell::new(Vec::new()) };
}

/// One configuration on one worker.
pub(crate) struct Worker {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) root: RefCell<Root>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// Which of the fetched keys this worker has.
    keys: Cell<u64>,
    /// When it last read how old the set is; monotonic milliseconds.
    read_at: Cell<u64>,
    last_context: Cell<u32>,
}

impl Worker {
    /// Returns this thread's part of a configuration; `None` if it cannot be made.
    pub(crate) fn of(loaded: &Arc<Loaded>) -> Option<Rc<Self>> {
        let find = |all: &Vec<Rc<Self>>| {
            all.iter().find(|worker| Arc::ptr_eq(&worker.loaded, loaded)).cloned()
        };
        ALL.with_borrow(find).or_else(|| Self::new(loaded))
    }

    /// From now on every request finds a worker that is made anew.
    pub(crate) fn forget_all() {
        drop(ALL.take());
    }

    fn new(loaded: &Arc<Loaded>) -> Option<Rc<Self>> {
        let keys = Cell::new(loaded.keys());
        let worker = Rc::new(Self {
            loaded: loaded.clone(),
            root: RefCell::new(loaded.root()?),
            mailbox: Mailbox::new(),
            keys,
            read_at: Cell::new(0),
            last_context: Cell::new(0),
        });
        let gone = ALL.with_borrow_mut(|all| {
            let gone: Vec<_> = all.extract_if(.., |worker| worker.loaded.is_over()).collect();
            all.push(worker.clone());
            gone
        });
        drop(gone); // not while the list is borrowed
        Some(worker)
    }

    /// Returns a number for a request that no other open request of this worker has.
    pub(crate) fn next_context(&self) -> u32 {
        let context = self.last_context.get().wrapping_add(1);
        self.last_context.set(context);
        context
    }

    /// Learns from other threads what a request is judged by: fetched keys, and once a second how old
    /// the set is.
    pub(crate) fn refresh(&self) {
        let keys = self.loaded.keys();
        if self.keys.replace(keys) != keys {
            self.root.borrow_mut().reload_keys(host());
        }
        let now = host().clock.monotonic_milliseconds();
        if now.abs_diff(self.read_at.get()) >= REFRESH_MILLISECONDS {
            self.read_at.set(now);
            self.root.borrow_mut().refresh(host());
        }
    }

    /// Tells the main thread if a request has missed a key.
    pub(crate) fn note_missed_key(&self) {
        let has_missed = self.root.borrow().note_missed_key(host());
        if let (true, Some(ticker)) = (has_missed, &self.loaded.ticker) {
            ticker.tick_now();
        }
    }

    /// Checks the open requests if another thread has asked for it.
    pub(crate) fn check_if_asked(&self) {
        if self.mailbox.take() {
            self.check();
        }
    }

    /// Checks the open requests and the held responses. Each that must end or continue is woken, and
    /// does so in a hook of its own.
    pub(crate) fn check(&self) {
        let effects = self.root.borrow_mut().check_requests(host());
        for context in effects.resume {
            self.mailbox.wake(context, RESUME);
        }
        for ending in effects.end {
            self.mailbox.wake(ending.context, end_event(&ending));
        }
        if self.root.borrow().has_more_to_check() {
            self.mailbox.ring(); // others have their turn before
        }
    }
}

/// How long a worker relies on what it knew about the age of the set, as a VM does on its tick.
const REFRESH_MILLISECONDS: u64 = 1_000;

/// How often a worker checks whether a held response may continue.
pub(crate) const HOLD_PERIOD: Duration = Duration::from_millis(20);
