//! The work of one configuration on Envoy's main thread.
//!
//! The main thread polls the feed, delivers revocations and fetches keys, all through calls to
//! Envoy's clusters. The core's state belongs to this thread, so it is kept in a thread-local list
//! with one entry per configuration. A panic removes the entry of its configuration, and the next
//! tick creates a new one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration as Period, Instant};

use session_guard_core::call::{Call, Response};
use session_guard_core::metrics::Duration;
use session_guard_core::root::{Effects, Question, Root};
use session_guard_core::shared::Version;

use crate::abi::ConfigurationHandle;
use crate::configuration::Loaded;
use crate::host::host;
use crate::{log, outgoing, wake};

thread_local! {
    static ALL: RefCell<Vec<Rc<MainThread>>> = const { RefCell::new(Vec::new()) };
}

/// The state of one configuration on the main thread.
pub(crate) struct MainThread {
    loaded: Arc<Loaded>,
    root: RefCell<Root>,
    /// The pending calls: the question behind each, by Envoy's number for the call.
    calls: RefCell<HashMap<u64, Question>>,
    /// Responses that arrived before Envoy had returned from sending their calls.
    early: RefCell<HashMap<u64, Option<Response>>>,
    /// The generation of the revocation set at which the workers were last woken.
    rung_for: Cell<Option<Version>>,
}

/// Runs `act` with the main thread's state of a configuration. A panic removes that state.
pub(crate) fn with(loaded: &Arc<Loaded>, act: impl FnOnce(&MainThread)) {
    if let Some(main) = find(loaded).or_else(|| MainThread::new(loaded)) {
        let _kept = DropsOnPanic(loaded);
        act(&main);
    }
}

/// Removes the state of a configuration that Envoy drops, and releases its leases.
pub(crate) fn unload(loaded: &Arc<Loaded>) {
    if let Some(main) = find(loaded) {
        remove(loaded);
        main.root.borrow_mut().release(host());
    }
}

fn find(loaded: &Arc<Loaded>) -> Option<Rc<MainThread>> {
    ALL.with_borrow(|all| all.iter().find(|main| Arc::ptr_eq(&main.loaded, loaded)).cloned())
}

fn remove(loaded: &Arc<Loaded>) {
    let gone = ALL.with_borrow_mut(|all| {
        all.extract_if(.., |main| Arc::ptr_eq(&main.loaded, loaded)).collect::<Vec<_>>()
    });
    drop(gone); // dropped only after the borrow of the list has ended
}

struct DropsOnPanic<'a>(&'a Arc<Loaded>);

impl Drop for DropsOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            remove(self.0);
        }
    }
}

impl MainThread {
    fn new(loaded: &Arc<Loaded>) -> Option<Rc<Self>> {
        let main = Rc::new(Self {
            loaded: loaded.clone(),
            root: RefCell::new(loaded.root()?),
            calls: RefCell::default(),
            early: RefCell::default(),
            rung_for: Cell::new(None),
        });
        ALL.with_borrow_mut(|all| all.push(main.clone()));
        Some(main)
    }

    /// Does the periodic work.
    pub(crate) fn tick(&self, envoy: ConfigurationHandle<'_>) {
        if let Some(ticker) = &self.loaded.ticker {
            ticker.note_tick();
        }
        #[cfg(feature = "panic-drill")]
        crate::drill::at_tick();
        let began = Instant::now();
        let secret = |index| envoy.secret(self.loaded.secret(index)?);
        // Only this thread logs the changes. It verifies no token itself.
        let notices = self.root.borrow_mut().read_secrets(secret);
        notices.iter().for_each(|(severity, line)| log::write(*severity, line));
        self.step(envoy, |root| root.tick(host()));
        wake::ring_all(); // an open request's token may have expired
        self.loaded.metrics.took(envoy, Duration::Tick, began);
    }

    /// Handles the response to a call. `None` means that the call failed.
    pub(crate) fn answered(
        &self,
        envoy: ConfigurationHandle<'_>,
        id: u64,
        response: Option<Response>,
    ) {
        #[cfg(feature = "panic-drill")]
        crate::drill::in_reader();
        let question = self.calls.borrow_mut().remove(&id);
        let Some(question) = question else {
            self.early.borrow_mut().insert(id, response);
            return;
        };
        let began = Instant::now();
        self.step(envoy, |root| root.call_response(question, response.as_ref(), host()));
        if let Question::Poll = question {
            self.loaded.metrics.took(envoy, Duration::Page, began);
        }
    }

    /// Runs one step of the root and applies its effects. If the outcome of a call is known at
    /// once, passes it to the root and also applies the effects of that.
    fn step(&self, envoy: ConfigurationHandle<'_>, take: impl FnOnce(&mut Root) -> Effects) {
        let mut pending = vec![take(&mut self.root.borrow_mut())];
        while let Some(effects) = pending.pop() {
            for (gauge, value) in effects.gauges {
                self.loaded.metrics.set(envoy, gauge, value);
            }
            for (question, call) in effects.calls {
                if let Some(response) = self.send(envoy, question, &call) {
                    let mut root = self.root.borrow_mut();
                    pending.push(root.call_response(question, response.as_ref(), host()));
                }
            }
        }
        let root = &mut self.root.borrow_mut();
        root.take_log().iter().for_each(|(severity, line)| log::write(*severity, line));
        self.loaded.metrics.write_on_main(envoy, root);
        if let (Some(period), Some(ticker)) = (root.take_tick_period(), &self.loaded.ticker) {
            ticker.set_period(Period::from_millis(period));
        }
        if root.take_key_change() {
            self.loaded.note_keys();
        }
        let changed = root.generation(host());
        if self.rung_for.replace(changed) != changed {
            wake::ring_all();
        }
    }

    /// Sends a call. Returns its outcome if it is already known: `Some(None)` if Envoy could not
    /// send the call, or the response if Envoy delivered it while sending.
    fn send(
        &self,
        envoy: ConfigurationHandle<'_>,
        question: Question,
        call: &Call,
    ) -> Option<Option<Response>> {
        let destination = self.root.borrow().destination(question).cloned();
        let send = |it| outgoing::send(&it, call, |outgoing| envoy.call(outgoing));
        let Some(id) = destination.and_then(send) else { return Some(None) };
        let early = self.early.borrow_mut().remove(&id);
        if early.is_none() {
            self.calls.borrow_mut().insert(id, question);
        }
        early
    }
}
