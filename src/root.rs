//! The context of one configuration in one VM: it passes Envoy's events to the core's [`Root`] and
//! applies the effects.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration as Time, Instant};

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};
use session_guard_core::metrics::Duration;
use session_guard_core::root::{Effects, Question, Root};
use session_guard_core::severity::Severity;

use crate::host::{host, uuid};
use crate::metrics::VmMetrics;
use crate::request::RequestContext;
use crate::signatures::HostSignatures;
use crate::{callout, raw};

/// The root context.
pub(crate) struct RootOfVm {
    id: u32,
    /// The configuration that is in use.
    active: Option<Active>,
    /// The pending calls: the question behind each, by Envoy's number for the call.
    calls: HashMap<u32, Question>,
}

struct Active {
    root: Rc<RefCell<Root>>,
    metrics: VmMetrics,
}

impl RootOfVm {
    pub(crate) fn new(id: u32) -> Self {
        Self { id, active: None, calls: HashMap::new() }
    }

    /// Runs one step of the root and applies its effects. If a call cannot be sent, reports the
    /// failure to the root and also applies the effects of that report.
    fn step(&mut self, take: impl FnOnce(&mut Root) -> Effects) {
        let Some(Active { root, metrics }) = &self.active else { return };
        let mut pending = vec![take(&mut root.borrow_mut())];
        while let Some(effects) = pending.pop() {
            effects.gauges.into_iter().for_each(|(gauge, value)| metrics.set(gauge, value));
            for context in effects.resume {
                if hostcalls::set_effective_context(context).is_ok() {
                    raw::resume(session_guard_core::exchange::Half::Response);
                }
            }
            for ending in effects.end {
                // If the context no longer exists, a response would go to the context that was
                // effective before.
                if hostcalls::set_effective_context(ending.context).is_ok() {
                    root.borrow_mut().note_end(ending);
                    let response = root.borrow().response_to(ending.refusal);
                    raw::respond(&response);
                }
            }
            // A call belongs to the effective context, and responses must come to the root context.
            let _ = hostcalls::set_effective_context(self.id);
            for (question, call) in effects.calls {
                let destination = root.borrow().destination(question).cloned();
                match destination.and_then(|destination| callout::send(&destination, &call)) {
                    Some(number) => {
                        self.calls.insert(number, question);
                    }
                    None => {
                        pending.push(root.borrow_mut().call_response(question, None, host()));
                    }
                }
            }
        }
        write_log_and_tick_period(&mut root.borrow_mut());
    }
}

impl Context for RootOfVm {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body: usize, _: usize) {
        #[cfg(feature = "panic-drill")]
        crate::drill::in_reader();
        let began = Instant::now();
        let Some(question) = self.calls.remove(&call) else { return };
        let response = callout::response(headers, body);
        self.step(|root| root.call_response(question, response.as_ref(), host()));
        if let (Question::Poll, Some(Active { metrics, .. })) = (question, &self.active) {
            metrics.took(Duration::Page, began);
        }
    }
}

impl RootContext for RootOfVm {
    fn on_configure(&mut self, size: usize) -> bool {
        let text = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size);
        let text = text.ok().flatten().unwrap_or_default();
        let environment = |name: &str| std::env::var(name).ok();
        match Root::configure(&text, &environment, &HostSignatures, &uuid, host()) {
            Ok(mut root) => {
                write_log_and_tick_period(&mut root);
                let metrics = VmMetrics::define(&root);
                self.active = Some(Active { root: Rc::new(RefCell::new(root)), metrics });
                true
            }
            Err(error) => {
                log(Severity::Error, &format!("the configuration does not load: {error}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        #[cfg(feature = "panic-drill")]
        crate::drill::at("tick");
        let began = Instant::now();
        if let Some(Active { root, metrics }) = &self.active {
            metrics.write(&mut root.borrow_mut());
        }
        self.step(|root| root.tick(host()));
        if let Some(Active { metrics, .. }) = &self.active {
            metrics.took(Duration::Tick, began);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        let root = self.active.as_ref().map(|active| Rc::clone(&active.root));
        Some(Box::new(RequestContext::new(id, root)))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Drop for RootOfVm {
    fn drop(&mut self) {
        let Some(Active { root, metrics }) = &self.active else { return };
        let root = &mut root.borrow_mut();
        metrics.write(root);
        root.release(host());
    }
}

/// Writes pending log lines, and sets the tick period if it has changed.
pub(crate) fn write_log_and_tick_period(root: &mut Root) {
    for (severity, line) in root.take_log() {
        log(severity, &line);
    }
    if let Some(milliseconds) = root.take_tick_period() {
        let _ = hostcalls::set_tick_period(Time::from_millis(milliseconds)); // cannot fail
    }
}

fn log(severity: Severity, line: &str) {
    let level = match severity {
        Severity::Info => LogLevel::Info,
        Severity::Warning => LogLevel::Warn,
        Severity::Error => LogLevel::Error,
    };
    let _ = hostcalls::log(level, &format!("session-guard: {line}")); // cannot be reported
}
