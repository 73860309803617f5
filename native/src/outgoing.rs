//! Sends a call of the core to its cluster.

use session_guard_core::call::Call;
use session_guard_core::root::Destination;

use crate::abi::Outgoing;

/// Passes this call to `send`. Returns the number that Envoy gave it, or `None` if it cannot be
/// sent.
pub(crate) fn send(
    destination: &Destination,
    call: &Call,
    send: impl FnOnce(&Outgoing<'_>) -> Option<u64>,
) -> Option<u64> {
    let mut headers = vec![
        (":method", call.method),
        (":path", call.path.as_str()),
        (":authority", destination.authority.as_str()),
        (":scheme", "http"),
    ];
    let authorization = destination.authorization.as_deref();
    headers.extend(authorization.map(|value| ("authorization", value)));
    headers.extend(destination.headers.iter().map(|(name, value)| (*name, value.as_str())));
    headers.extend(call.headers.iter().map(|(name, value)| (*name, &**value)));
    send(&Outgoing {
        cluster: &destination.cluster,
        headers: &headers,
        body: &call.body,
        timeout_milliseconds: call.timeout_milliseconds,
    })
}
