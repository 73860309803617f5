//! How do workers learn that open requests may have to end?
//!
//! Each worker checks its own open requests: their tokens belong to its thread. Envoy wakes a worker
//! only through a request of that worker, so each open request leaves a scheduler in its worker's
//! [`Mailbox`], and a thread that has changed the revocation set wakes one request of each mailbox.
//!
//! # Why no wake-up is lost
//!
//! [`Mailbox::ring`] sets a flag before it looks for a request to wake. If it finds none, the next
//! request that enters sees the flag. If it finds one that ends before it is woken, that request leaves
//! the mailbox after the flag was set, and sees the flag as it leaves.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::abi::RequestScheduler;

/// What wakes the open requests of one worker and configuration.
#[derive(Default)]
pub(crate) struct Mailbox {
    is_wanted: AtomicBool,
    /// By the numbers that the worker gave them.
    requests: Mutex<BTreeMap<u32, RequestScheduler>>,
}

/// The mailboxes of this process.
static MAILBOXES: Mutex<Vec<Weak<Mailbox>>> = Mutex::new(Vec::new());

/// Wakes every worker that has open requests, after a change of the revocation set.
pub(crate) fn ring_all() {
    let mut mailboxes = MAILBOXES.lock().unwrap_or_else(PoisonError::into_inner);
    mailboxes.retain(|mailbox| {
        let mailbox = mailbox.upgrade();
        mailbox.inspect(|mailbox| mailbox.ring()).is_some()
    });
}

impl Mailbox {
    /// A mailbox that [`ring_all`] knows.
    pub(crate) fn new() -> Arc<Self> {
        let mailbox = Arc::new(Self::default());
        let mut mailboxes = MAILBOXES.lock().unwrap_or_else(PoisonError::into_inner);
        mailboxes.push(Arc::downgrade(&mailbox));
        mailbox
    }

    /// Adds an open request. Look at [`Mailbox::take`] after that.
    pub(crate) fn enter(&self, context: u32, request: RequestScheduler) {
        self.lock().insert(context, request);
    }

    /// Removes a request. Look at [`Mailbox::take`] after that.
    pub(crate) fn leave(&self, context: u32) {
        self.lock().remove(&context);
    }

    /// Returns whether the worker is to check its open requests, and takes note that it does.
    pub(crate) fn take(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed) && self.is_wanted.swap(false, Ordering::AcqRel)
    }

    /// Wakes one request of the worker, unless one was woken that has not run yet.
    pub(crate) fn ring(&self) {
        if self.is_wanted.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some((_, request)) = self.lock().first_key_value() {
            request.wake(CHECK);
        }
    }

    /// Wakes that request.
    pub(crate) fn wake(&self, context: u32, event: u64) {
        if let Some(request) = self.lock().get(&context) {
            request.wake(event);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, RequestScheduler>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The event that asks a worker to check its open requests. Others are those of `request.rs`.
pub(crate) const CHECK: u64 = 0;
