//! Wakes the workers when open requests may have to end.
//!
//! Each worker checks its own open requests, because their tokens belong to its thread. Envoy can
//! wake a worker only through a request of that worker. Therefore each open request stores a
//! scheduler in its worker's [`Mailbox`], and a thread that has changed the revocation set wakes
//! one request of each mailbox.
//!
//! # Why no wake-up is lost
//!
//! [`Mailbox::ring`] sets a flag before it looks for a request to wake. If the mailbox is empty,
//! the next request that enters it sees the flag. If the request that was woken ends before its
//! event runs, it leaves the mailbox after the flag was set, so it sees the flag when it leaves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::abi::RequestScheduler;

/// The schedulers of the open requests of one worker and one configuration.
#[derive(Default)]
pub(crate) struct Mailbox {
    is_wanted: AtomicBool,
    /// The schedulers of the open requests, by the number that the worker gave to the request.
    requests: Mutex<BTreeMap<u32, RequestScheduler>>,
}

/// All mailboxes of this process.
static MAILBOXES: Mutex<Vec<Weak<Mailbox>>> = Mutex::new(Vec::new());

/// Wakes every worker that has open requests, after the revocation set has changed.
pub(crate) fn ring_all() {
    let mut mailboxes = MAILBOXES.lock().unwrap_or_else(PoisonError::into_inner);
    mailboxes.retain(|mailbox| {
        let mailbox = mailbox.upgrade();
        mailbox.inspect(|mailbox| mailbox.ring()).is_some()
    });
}

impl Mailbox {
    /// Creates a mailbox and registers it for [`ring_all`].
    pub(crate) fn new() -> Arc<Self> {
        let mailbox = Arc::new(Self::default());
        let mut mailboxes = MAILBOXES.lock().unwrap_or_else(PoisonError::into_inner);
        mailboxes.push(Arc::downgrade(&mailbox));
        mailbox
    }

    /// Adds an open request. The caller must call [`Mailbox::take`] afterwards.
    pub(crate) fn enter(&self, context: u32, request: RequestScheduler) {
        self.lock().insert(context, request);
    }

    /// Removes a request. The caller must call [`Mailbox::take`] afterwards.
    pub(crate) fn leave(&self, context: u32) {
        self.lock().remove(&context);
    }

    /// Returns whether the worker must check its open requests, and clears the flag.
    pub(crate) fn take(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed) && self.is_wanted.swap(false, Ordering::AcqRel)
    }

    /// Wakes one request of the worker, unless an earlier wake-up is still pending.
    pub(crate) fn ring(&self) {
        if self.is_wanted.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some((_, request)) = self.lock().first_key_value() {
            request.wake(CHECK);
        }
    }

    /// Sends an event to one request.
    pub(crate) fn wake(&self, context: u32, event: u64) {
        if let Some(request) = self.lock().get(&context) {
            request.wake(event);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, RequestScheduler>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The event that makes a worker check its open requests. `request.rs` defines the other events.
pub(crate) const CHECK: u64 = 0;
