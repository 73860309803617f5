//! The severity of a log message.
//!
//! The core returns notices as values; the host writes them into its log with this severity.

/// How urgently an operator must act on a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Normal operation.
    Info,
    /// Something is wrong, but users do not notice it yet.
    Warning,
    /// Requests are refused, or a revocation may be lost.
    Error,
}
