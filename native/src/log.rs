//! How does the operator learn what happens?

use std::panic;

use session_guard_core::severity::Severity;

use crate::abi::{LogLevel, write_log};

/// Writes a line into Envoy's log. Never with a token or a secret in it.
pub(crate) fn write(severity: Severity, message: &str) {
    let level = match severity {
        Severity::Info => LogLevel::Info,
        Severity::Warning => LogLevel::Warning,
        Severity::Error => LogLevel::Error,
    };
    write_log(level, &format!("session-guard: {message}"));
}

/// From now on Envoy's log shows a panic of this module: where it happened and, if it has one, its
/// fixed text, never a value.
pub(crate) fn show_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let text = info.payload().downcast_ref::<&'static str>().unwrap_or(&"");
        let message = format!("panicked at {place}: {text}; a request in this hook gets 503");
        write(Severity::Error, &message);
    }));
}
