//! Writes the module's messages to Envoy's log.

use std::panic;

use session_guard_core::severity::Severity;

use crate::abi::{LogLevel, write_log};

/// Writes a line to Envoy's log. The message must not contain a token or a secret.
pub(crate) fn write(severity: Severity, message: &str) {
    let level = match severity {
        Severity::Info => LogLevel::Info,
        Severity::Warning => LogLevel::Warning,
        Severity::Error => LogLevel::Error,
    };
    write_log(level, &format!("session-guard: {message}"));
}

/// Installs a panic hook that logs each panic of this module: its location and, if the payload is a
/// fixed text, that text. It never logs a formatted value, which could contain a token.
pub(crate) fn show_panics() {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let text = info.payload().downcast_ref::<&'static str>().unwrap_or(&"");
        let message = format!("panicked at {place}: {text}; a request in this hook gets 503");
        write(Severity::Error, &message);
    }));
}
