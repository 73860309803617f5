//! What does a host provide to the core, and what does the core ask of it?

use crate::call::Call;
use crate::clock::Clock;
use crate::metrics::Gauge;
use crate::open_requests::Ending;
use crate::shared::SharedData;

/// What a host provides to the state machines.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The map that all VMs of the process share.
    pub shared: &'a dyn SharedData,
    /// The proxy's clocks.
    pub clock: &'a dyn Clock,
    /// Returns any number, so that waits differ.
    pub random: fn() -> u32,
}

/// What the host does now, in the order of the fields.
#[derive(Debug, Default)]
pub struct Effects {
    /// Gauges to set.
    pub gauges: Vec<(Gauge, u64)>,
    /// Contexts whose held response continues. The host skips a context that is gone.
    pub resume: Vec<u32>,
    /// Open requests to end, each with [`Root::response_to`](super::Root::response_to) its refusal. The host skips a context
    /// that is gone and reports each of the others to [`Root::note_end`](super::Root::note_end).
    pub end: Vec<Ending>,
    /// Calls to send, each to [`Root::destination`](super::Root::destination) of its question. The host passes the response to
    /// [`Root::call_response`](super::Root::call_response), and `None` if the call cannot be sent.
    pub calls: Vec<(Question, Call)>,
}

/// What a call of the root asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// What was revoked since the last poll?
    Poll,
    /// Does the service accept the revocations of the outbox?
    Delivery,
    /// Which keys does the issuer with that index publish?
    Keys(usize),
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The cluster that the proxy knows.
    pub cluster: String,
    /// `:authority` of the request.
    pub authority: String,
    /// Value of `Authorization`: `Bearer <API token>` for the service, none for an issuer.
    pub authorization: Option<String>,
}
