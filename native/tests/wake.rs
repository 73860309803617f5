//! Promise: after each change of the revocation set, a worker with an open request checks its
//! requests. Method: loom runs a worker and threads that change the set, with the mailbox of the
//! module. It tries every interleaving, and every value that a read may return under the memory
//! model. The worker calls the mailbox in the order of `src/request.rs` and `src/worker.rs`.

use loom::sync::atomic::{AtomicU32, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread::{self, JoinHandle};

#[path = "../src/wake/mailbox.rs"]
mod mailbox;

/// The synchronisation primitives of [`mailbox`], replaced by those of loom.
mod sync {
    pub(super) use std::sync::PoisonError;

    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(super) use loom::sync::{Mutex, MutexGuard};
}

use mailbox::{CHECK, Mailbox, Wake};

/// The events that Envoy has not yet passed to a request.
type Events = Arc<Mutex<Vec<u64>>>;

struct LoomScheduler(Events);

impl Wake for LoomScheduler {
    fn wake(&self, event: u64) {
        self.0.lock().unwrap().push(event);
    }
}

/// What the threads share.
#[derive(Default)]
struct WakeBench {
    mailbox: Mailbox<LoomScheduler>,
    /// The revocation set: one bit for each change.
    set: AtomicU32,
}

/// The worker and its open requests.
struct LoomWorker {
    shared: Arc<WakeBench>,
    open: Vec<(u32, Events)>,
    /// The set at the last check.
    checked: u32,
}

impl LoomWorker {
    fn new() -> Self {
        Self { shared: Arc::default(), open: Vec::new(), checked: 0 }
    }

    /// Starts a thread that changes the set and then wakes the worker.
    fn change(&self, bit: u32) -> JoinHandle<()> {
        let shared = self.shared.clone();
        thread::spawn(move || {
            shared.set.fetch_or(bit, Ordering::Relaxed);
            shared.mailbox.ring();
        })
    }

    fn begin(&mut self, context: u32) {
        let events = Events::default();
        self.shared.mailbox.enter(context, LoomScheduler(events.clone()));
        self.open.push((context, events));
        self.check_if_asked();
    }

    /// Envoy drops the events of a request that has ended.
    fn end(&mut self, context: u32) {
        self.open.retain(|(open, _)| *open != context);
        self.shared.mailbox.leave(context);
        self.check_if_asked();
    }

    fn check_if_asked(&mut self) {
        if self.shared.mailbox.take() {
            self.checked = self.shared.set.load(Ordering::Relaxed);
        }
    }

    /// Handles the events that Envoy has for the open requests.
    fn run(&mut self) {
        let open = self.open.iter();
        let events: Vec<_> =
            open.flat_map(|(_, events)| std::mem::take(&mut *events.lock().unwrap())).collect();
        for event in events {
            assert_eq!(event, CHECK);
            self.check_if_asked();
        }
    }
}

#[test]
fn a_request_that_begins_during_a_change_is_checked() {
    loom::model(|| {
        let mut worker = LoomWorker::new();
        let change = worker.change(1);
        worker.begin(1);
        change.join().unwrap();
        worker.run();
        // The request may begin after the change, and then there is nothing to check.
        assert_eq!(worker.checked, 1);
    });
}

#[test]
fn the_end_of_the_woken_request_loses_no_check() {
    loom::model(|| {
        let mut worker = LoomWorker::new();
        worker.begin(1);
        worker.begin(2);
        let change = worker.change(1);
        worker.end(1);
        change.join().unwrap();
        worker.run();
        assert_eq!(worker.checked, 1);
    });
}

#[test]
fn a_change_while_an_earlier_one_is_checked_is_checked_too() {
    loom::model(|| {
        let mut worker = LoomWorker::new();
        worker.begin(1);
        let changes = [1, 2].map(|bit| worker.change(bit));
        worker.run();
        changes.into_iter().for_each(|change| change.join().unwrap());
        worker.run();
        assert_eq!(worker.checked, 3);
    });
}

#[test]
fn an_event_for_one_request_reaches_that_request() {
    loom::model(|| {
        let mut worker = LoomWorker::new();
        worker.begin(1);
        worker.begin(2);
        worker.shared.mailbox.wake(2, 7);
        let events = worker.open.iter().map(|(_, events)| events.lock().unwrap().clone());
        assert_eq!(events.collect::<Vec<_>>(), [vec![], vec![7]]);
    });
}
