//! The interface between a host and the core: what the host provides, and what it must do.

use crate::call::Call;
use crate::clock::Clock;
use crate::metrics::Gauge;
use crate::open_requests::Ending;
use crate::shared::SharedData;

/// The functions of a host that the core uses.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The map that all VMs of the process share.
    pub shared: &'a dyn SharedData,
    /// The proxy's clocks.
    pub clock: &'a dyn Clock,
    /// Returns a random number. Waits contain one, so that proxies do not call at the same time.
    pub random: fn() -> u32,
}

/// The actions that a host must take now, in the order of the fields.
#[derive(Debug, Default)]
pub struct Effects {
    /// Gauges to set.
    pub gauges: Vec<(Gauge, u64)>,
    /// Contexts whose held response may continue. The host skips a context that no longer exists.
    pub resume: Vec<u32>,
    /// Open requests to end. The host responds to each with
    /// [`Root::response_to`](super::Root::response_to) for its refusal, and then calls
    /// [`Root::note_end`](super::Root::note_end). It skips a context that no longer exists.
    pub end: Vec<Ending>,
    /// Calls to send. Each goes to the [`Root::destination`](super::Root::destination) of its
    /// question. The host passes the response to
    /// [`Root::call_response`](super::Root::call_response), or `None` if the call cannot be sent.
    pub calls: Vec<(Question, Call)>,
}

/// The purpose of a call that the root makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Get the revocations since the last poll.
    Poll,
    /// Deliver revocations of the outbox to the service.
    Delivery,
    /// Fetch the published keys of the issuer with this index.
    Keys(usize),
}

/// The destination of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The cluster's name in the proxy's configuration.
    pub cluster: String,
    /// `:authority` of the request.
    pub authority: String,
    /// The value of `Authorization`: `Bearer <API token>` for the service, `None` for an issuer,
    /// which must not learn the API token.
    pub authorization: Option<String>,
    /// Further headers, which tell the service who calls.
    pub headers: Vec<(&'static str, String)>,
}
