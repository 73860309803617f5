//! Wakes the main thread periodically, and single requests after a delay.
//!
//! Envoy has no timer for the configuration of an HTTP filter. So each configuration has a thread
//! that sleeps until something is due and then asks Envoy to call a hook. Dropping the
//! configuration ends the thread and waits for it.
//!
//! A scheduler must not be used after its request or configuration has ended. The thread therefore
//! uses a scheduler only while it holds the lock under which schedulers are removed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::abi::{ConfigurationScheduler, RequestScheduler};

/// The timer thread of one configuration.
pub(crate) struct Ticker {
    shared: Arc<TickerShared>,
    thread: Option<JoinHandle<()>>,
}

/// A pending wake-up of a request, for [`Ticker::cancel`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Alarm(u64);

struct TickerShared {
    state: Mutex<TickerState>,
    changed: Condvar,
}

struct TickerState {
    main_thread: Option<ConfigurationScheduler>,
    tick_at: Instant,
    period: Duration,
    /// Whether the main thread was woken and has not yet ticked.
    is_ticking: bool,
    alarms: Vec<PendingAlarm>,
    last_alarm: u64,
}

struct PendingAlarm {
    id: u64,
    at: Instant,
    request: RequestScheduler,
    event: u64,
}

impl Ticker {
    /// Starts the thread. Returns `None` if the system cannot create one.
    pub(crate) fn start(main_thread: ConfigurationScheduler) -> Option<Self> {
        let state = TickerState {
            main_thread: Some(main_thread),
            tick_at: Instant::now() + FIRST_PERIOD,
            period: LONGEST_PERIOD,
            is_ticking: false,
            alarms: Vec::new(),
            last_alarm: 0,
        };
        let shared = Arc::new(TickerShared { state: Mutex::new(state), changed: Condvar::new() });
        let thread = thread::Builder::new().name("session-guard".to_owned());
        let thread = thread.spawn({
            let shared = shared.clone();
            move || shared.run()
        });
        Some(Self { shared, thread: Some(thread.ok()?) })
    }

    /// Records that the main thread ticks now, so that it may be woken again.
    pub(crate) fn note_tick(&self) {
        self.shared.lock().is_ticking = false;
    }

    /// Sets the period of the main thread's tick. The next tick is one period from now.
    pub(crate) fn set_period(&self, period: Duration) {
        let mut state = self.shared.lock();
        state.period = period.min(LONGEST_PERIOD);
        state.tick_at = Instant::now() + state.period;
        self.shared.changed.notify_one();
    }

    /// Wakes the main thread for a tick now.
    pub(crate) fn tick_now(&self) {
        self.shared.lock().tick_at = Instant::now();
        self.shared.changed.notify_one();
    }

    /// Sends an event to a request after a delay.
    pub(crate) fn wake_in(&self, period: Duration, request: RequestScheduler, event: u64) -> Alarm {
        let mut state = self.shared.lock();
        state.last_alarm += 1;
        let id = state.last_alarm;
        state.alarms.push(PendingAlarm { id, at: Instant::now() + period, request, event });
        self.shared.changed.notify_one();
        Alarm(id)
    }

    /// Cancels a wake-up. A request must do this before it ends.
    pub(crate) fn cancel(&self, alarm: Alarm) {
        self.shared.lock().alarms.retain(|pending| pending.id != alarm.0);
    }
}

impl TickerShared {
    fn lock(&self) -> MutexGuard<'_, TickerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while state.main_thread.is_some() {
            let now = Instant::now();
            let next = state.wake_due(now);
            let wait = self.changed.wait_timeout(state, next.saturating_duration_since(now));
            state = wait.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

impl TickerState {
    /// Wakes everything that is due and returns the time of the next wake-up.
    fn wake_due(&mut self, now: Instant) -> Instant {
        if self.tick_at <= now {
            self.tick_at = now + self.period;
            if let (Some(main_thread), false) = (&self.main_thread, self.is_ticking) {
                self.is_ticking = true;
                main_thread.wake();
            }
        }
        for alarm in self.alarms.extract_if(.., |alarm| alarm.at <= now) {
            alarm.request.wake(alarm.event);
        }
        self.alarms.iter().map(|alarm| alarm.at).chain([self.tick_at]).min().unwrap_or(now)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        {
            let mut state = self.shared.lock();
            state.main_thread = None;
            state.alarms.clear();
        }
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// The first tick comes soon after the configuration is loaded, so that the proxy is ready soon.
const FIRST_PERIOD: Duration = Duration::from_millis(5);

/// The main thread ticks at least this often, even if its hook panics before it sets a period.
const LONGEST_PERIOD: Duration = Duration::from_secs(1);
