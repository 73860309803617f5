//! The core of session-guard: every decision of the filter, without any I/O.
//!
//! A JWT stays valid until it expires, even after its user has signed out. session-guard is a filter
//! for Envoy and Istio that verifies each request's token, passes the user id to the application in
//! a header that no client can forge, and refuses a token from the moment its user signs out: on
//! every worker of that proxy at once, and on every other proxy one feed round trip later.
//!
//! This crate takes bytes and [time](clock::Now) and returns values. Envoy's shared data is behind
//! the trait [`SharedData`](shared::SharedData). The proxy-wasm filter (crate `session-guard`) calls
//! Envoy and applies the effects that the core returns. The signout service uses the same records
//! and pages, and a simulation runs the state machines without a proxy.
//!
//! # The path of a request
//!
//! [`exchange`] is the life of one request, as a state machine that tells the host what to do. [`root`]
//! is the state that the requests of one VM share, and its periodic work. A request passes each stage
//! once, in one direction. [`admission`] connects the stages:
//!
//! 1. [`headers`] reads all header lines once, as bytes.
//! 2. [`request::routes`] finds what the path requires: public, optional, protected, sign-out or
//!    ready. A path that is not [canonical](request::path) is protected, regardless of the rules.
//! 3. [`request::sources`] finds the tokens in every configured place.
//! 4. [`token`] verifies each token: a strict parser of this crate reads it, and a library checks
//!    the signature. Each of the [`keys`] is bound to one algorithm. Only the verifier can make a
//!    [`token::VerifiedToken`].
//! 5. [`revocation`] tells whether a token is revoked, on every request.
//! 6. [`request::upstream`] decides which headers the application receives.
//!
//! [`key_sets`] fetches the keys that an issuer publishes, once for all VMs of the process.
//! [`refusal::Refusal`] is the one table of status, code, sentence and challenge.
//!
//! # The path of a revocation
//!
//! [`sign_out`] writes a revocation into the [outbox](feed::outbox) and into the
//! [set](revocation::set), which all VMs of the process share. It then calls the signout service and
//! forwards the request to the application. On the next tick the filter ends the
//! [open requests](open_requests) that were admitted with the token. The service stores the
//! revocation durably and sends it to every proxy through the [`feed`]: one long poll per process,
//! sent by the VM that holds the [leader lease](shared::lease). If the service has lost revocations
//! that a proxy still knows, the proxy sends them again through its outbox. A revocation therefore
//! survives as long as one store, or one proxy that saw it, survives.
//!
//! # Layers
//!
//! A module uses only modules below it, and itself. A test compares this list with the `use` lines.
//! A name stands for its submodules, too, unless they are listed themselves.
//!
//! 1. [`exchange`][]: the life of one request
//! 2. [`root`][]: the state of one configuration in one VM, and its tick
//! 3. [`admission`][]: decides whether a request may continue
//! 4. [`config`][]: the settings, raw and checked
//! 5. [`metrics`][]: the names of counters, gauges and histograms
//! 6. [`open_requests`][]: the requests that end with their token
//! 7. [`sign_out`][]: what happens when a user signs out
//! 8. [`key_sets`][]: published key sets: fetching and refreshing
//! 9. [`key_sets::notice`][]: messages about key sets
//! 10. `key_sets::stored`: key sets in shared data
//! 11. [`key_sets::document`][]: the keys in a published set
//! 12. [`key_sets::response`][]: which responses of an issuer are accepted
//! 13. [`feed`][]: polls the service for revocations
//! 14. [`feed::gauges`][]: the gauges of all feeds of the process
//! 15. [`feed::page`][]: applies one page
//! 16. [`feed::realm`][]: undelivered revocations of other feeds of the realm
//! 17. [`feed::repair`][]: what happens when shared data is damaged
//! 18. [`feed::delivery`][]: delivers revocations to the service
//! 19. [`feed::outbox`][]: revocations that the service may not have
//! 20. [`feed::notice`][]: messages about the feed
//! 21. [`feed::poll`][]: when and how the service is polled
//! 22. [`feed::staleness`][]: whether the set is recent enough
//! 23. [`feed::state`][]: the position in the feed
//! 24. [`feed::wire`][]: the binary form of a page
//! 25. [`request`][]: routes, sources of tokens, headers for the application
//! 26. [`token`][]: verifies tokens
//! 27. [`keys`][]: verification keys and signatures
//! 28. [`revocation`][]: the revocation set
//! 29. [`revocation::sweep`][]: removes expired records and counts live ones
//! 30. [`revocation::set`][]: all shards: lookups and changes
//! 31. [`revocation::generation`][]: whether an earlier verdict still holds
//! 32. [`revocation::shard`][]: the value that holds some records
//! 33. [`revocation::horizon`][]: when a record may be removed
//! 34. [`revocation::record`][]: one revocation
//! 35. [`revocation::name`][]: the ids of tokens, users and sessions
//! 36. [`call::poller`][]: pacing of calls, one at a time
//! 37. [`call::backoff`][]: waits after failures
//! 38. [`call`][]: calls and responses as values
//! 39. [`trace_context`][]: the trace of a request
//! 40. [`shared::aggregated_gauges`][]: gauges over all VMs of the process
//! 41. [`shared::lease`][]: the leader lease
//! 42. [`shared::swap`][]: compare-and-swap
//! 43. [`shared::store`][]: shared data of a process without a sandbox
//! 44. [`shared::names`][]: names in shared data
//! 45. [`shared`][]: the map that all VMs of a process share
//! 46. [`headers`][]: header lines as bytes
//! 47. [`json`][]: a strict JSON reader
//! 48. [`refusal`][]: the table of refusals
//! 49. [`severity`][]: how serious a log message is
//! 50. [`hash`][]: SHA-256 and hex digits
//! 51. [`clock`][]: the time as an argument
//!
//! # Fail closed
//!
//! Before the feed has been loaded, and when it is older than its limit, a valid token may have
//! been revoked without the filter's knowledge. The filter then responds 503; it never admits such
//! a request by accident. See [`admission`] and [`feed`].
#![forbid(unsafe_code)]
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

pub mod admission;
pub mod call;
pub mod clock;
pub mod config;
pub mod exchange;
pub mod feed;
pub mod hash;
pub mod headers;
pub mod json;
pub mod key_sets;
pub mod keys;
pub mod metrics;
pub mod open_requests;
pub mod refusal;
pub mod request;
pub mod revocation;
pub mod root;
pub mod severity;
pub mod shared;
pub mod sign_out;
pub mod token;
pub mod trace_context;

#[cfg(test)]
extern crate self as session_guard_core; // tests of the core share the simulation's model service
