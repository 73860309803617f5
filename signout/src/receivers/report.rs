//! Counts and logs the messages of issuers.
//!
//! Each accepted message is logged, because its issuer has signed it. This includes a repeated
//! message whose sessions have ended before. Other messages are logged at most once a minute for
//! each protocol and reason, because anybody can cause such lines: messages that are rejected, and
//! messages that are acknowledged without effect, such as the revocation of an unknown token. A
//! line never contains a token, a user or a session.

use std::sync::Arc;

use super::rejection::{Rejection, RejectionReason};
use crate::log_limit::LogLimit;
use crate::metrics::ServiceMetrics;

/// The protocol by which a message arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ReceiverProtocol {
    /// OpenID Connect Back-Channel Logout.
    BackchannelLogout,
    /// Security Event Tokens by push.
    EventsPush,
    /// Security Event Tokens by poll.
    EventsPoll,
    /// Global Token Revocation.
    GlobalTokenRevocation,
    /// Token revocation (RFC 7009).
    TokenRevocation,
}

impl ReceiverProtocol {
    /// Every protocol.
    pub(crate) const ALL: [Self; 5] = [
        Self::BackchannelLogout,
        Self::EventsPush,
        Self::EventsPoll,
        Self::GlobalTokenRevocation,
        Self::TokenRevocation,
    ];

    /// Returns the label in `signout_receiver_messages_total`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BackchannelLogout => "backchannel_logout",
            Self::EventsPush => "events_push",
            Self::EventsPoll => "events_poll",
            Self::GlobalTokenRevocation => "global_token_revocation",
            Self::TokenRevocation => "token_revocation",
        }
    }
}

/// Counts and reports messages.
pub(super) struct Reports {
    metrics: Arc<ServiceMetrics>,
    log_limit: LogLimit<(ReceiverProtocol, &'static str)>,
}

impl Reports {
    /// Creates all counters at zero: Prometheus needs a zero before the first event to compute a
    /// rate.
    pub(super) fn new(metrics: Arc<ServiceMetrics>) -> Self {
        for protocol in ReceiverProtocol::ALL {
            let reasons = RejectionReason::ALL.into_iter().map(RejectionReason::name);
            for result in reasons.chain([ACCEPTED, IGNORED]) {
                metrics.receiver_messages.with_label_values(&[protocol.name(), result]);
            }
        }
        Self { metrics, log_limit: LogLimit::new() }
    }

    /// Reports a message that was accepted: its sessions have ended now, or had ended before.
    pub(super) fn accepted(
        &self,
        protocol: ReceiverProtocol,
        issuer: &str,
        notes: &[&'static str],
    ) {
        self.count(protocol, ACCEPTED);
        tracing::info!(receiver = protocol.name(), issuer, "message accepted");
        for note in notes {
            if self.may_log(protocol, note) {
                tracing::warn!(receiver = protocol.name(), issuer, "accepted, although {note}");
            }
        }
    }

    /// Reports a message that was acknowledged and has changed nothing.
    pub(super) fn ignored(&self, protocol: ReceiverProtocol, issuer: &str, what: &'static str) {
        self.count(protocol, IGNORED);
        if self.may_log(protocol, what) {
            tracing::info!(receiver = protocol.name(), issuer, "message without effect: {what}");
        }
    }

    /// Reports a message that was rejected.
    pub(super) fn rejected(&self, protocol: ReceiverProtocol, realm: &str, rejection: &Rejection) {
        let Rejection { reason, detail } = rejection;
        self.count(protocol, reason.name());
        if self.may_log(protocol, reason.name()) {
            let (receiver, reason) = (protocol.name(), reason.name());
            tracing::warn!(
                receiver,
                realm,
                reason,
                "message rejected, nobody is signed out: {detail}"
            );
        }
    }

    fn count(&self, protocol: ReceiverProtocol, result: &str) {
        self.metrics.receiver_messages.with_label_values(&[protocol.name(), result]).inc();
    }

    fn may_log(&self, protocol: ReceiverProtocol, what: &'static str) -> bool {
        self.log_limit.admits((protocol, what))
    }
}

const ACCEPTED: &str = "accepted";
const IGNORED: &str = "ignored";
