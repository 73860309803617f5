//! Wakes the workers when open requests may have to end.
//!
//! Each worker checks its own open requests, because their tokens belong to its thread. Envoy can
//! wake a worker only through a request of that worker. Therefore each open request stores a
//! scheduler in its worker's [`Mailbox`], and a thread that has changed the revocation set wakes
//! one request of each mailbox.

mod mailbox;
mod sync;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::abi::RequestScheduler;

pub(crate) use mailbox::{CHECK, Mailbox, Wake};

impl Wake for RequestScheduler {
    fn wake(&self, event: u64) {
        RequestScheduler::wake(self, event);
    }
}

/// All mailboxes of this process.
static MAILBOXES: Mutex<Vec<Weak<Mailbox<RequestScheduler>>>> = Mutex::new(Vec::new());

/// Wakes every worker that has open requests, after the revocation set has changed.
pub(crate) fn ring_all() {
    let mut mailboxes = MAILBOXES.lock().unwrap_or_else(PoisonError::into_inner);
    mailboxes.retain(|mailbox| {
        let mailbox = mailbox.upgrade();
        mailbox.inspect(|mailbox| mailbox.ring()).is_some()
    });
}

/// Creates a mailbox that [`ring_all`] rings.
pub(crate) fn new_mailbox() -> Arc<Mailbox<RequestScheduler>> {
    let mailbox = Arc::new(Mailbox::default());
    let mut mailboxes = MAILBOXES.lock().unwrap_or_else(PoisonError::into_inner);
    mailboxes.push(Arc::downgrade(&mailbox));
    mailbox
}
