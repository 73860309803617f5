//! How a thread that has changed the revocation set wakes a worker.
//!
//! # Why no wake-up is lost
//!
//! [`Mailbox::ring`] sets a flag before it looks for a request to wake. If the mailbox is empty,
//! the next request that enters it sees the flag. If the request that was woken ends before its
//! event runs, it leaves the mailbox after the flag was set, so it sees the flag when it leaves.
//! `native/tests/wake.rs` checks all interleavings with loom.

use std::collections::BTreeMap;

use super::sync::{AtomicBool, Mutex, MutexGuard, Ordering, PoisonError};

/// The open requests of one worker and one configuration that can be woken.
pub(crate) struct Mailbox<R> {
    is_wanted: AtomicBool,
    /// By the number that the worker gave to the request.
    requests: Mutex<BTreeMap<u32, R>>,
}

/// An open request that can be woken from any thread.
pub(crate) trait Wake {
    /// Sends an event to the request. Its worker handles it later.
    fn wake(&self, event: u64);
}

impl<R: Wake> Mailbox<R> {
    /// Adds an open request. The caller must call [`Mailbox::take`] afterwards.
    pub(crate) fn enter(&self, context: u32, request: R) {
        self.lock().insert(context, request);
    }

    /// Removes a request. The caller must call [`Mailbox::take`] afterwards.
    pub(crate) fn leave(&self, context: u32) {
        self.lock().remove(&context);
    }

    /// Returns whether the worker must check its open requests, and clears the flag.
    pub(crate) fn take(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed) && self.is_wanted.swap(false, Ordering::Acquire)
    }

    /// Wakes one request of the worker, unless an earlier wake-up is still pending.
    pub(crate) fn ring(&self) {
        if self.is_wanted.swap(true, Ordering::Release) {
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

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, R>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Default for Mailbox<R> {
    fn default() -> Self {
        Self { is_wanted: AtomicBool::new(false), requests: Mutex::new(BTreeMap::new()) }
    }
}

/// The event that makes a worker check its open requests. `request.rs` defines the other events.
pub(crate) const CHECK: u64 = 0;
