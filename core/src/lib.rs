//! Makes sign-out real at the edge.
//!
//! A JWT stays valid until it expires, whatever its user clicked. This crate decides for a filter
//! of Envoy and Istio that verifies each request's token, names the user to the application in a
//! header that no client can forge, and refuses a token from the moment its user signed out: on
//! every worker of that proxy at once, on every other proxy one feed round trip later.
//!
//! # The way of a request
//!
//! It passes each room once, in one direction. [`admission`] leads it through:
//!
//! 1. [`headers`]: all header lines, once, as bytes.
//! 2. [`routes`]: what is asked here? Public, optional, protected, sign-out or ready; a path that is
//!    not [canonical](path) is protected, whatever the rules say.
//! 3. [`sources`]: where are the tokens? Every one in every configured place.
//! 4. [`token`]: is each genuine? A strict parser of our own, signatures by a library, under
//!    [`keys`] that are bound to one algorithm each. Only the verifier can make a
//!    [`token::VerifiedToken`].
//! 5. [`revocation`]: is one revoked? Asked on every request.
//! 6. [`upstream`]: what does the application get to see?
//!
//! Where keys are published by an issuer, [`key_sets`] fetches them, for all VMs of the process.
//!
//! Every no is a [`refusal::Refusal`]: one table of status, code, sentence and challenge.
//!
//! # The way of a revocation
//!
//! [`signout`] puts it into the [`outbox`] and the [set](revocation::set), which all VMs of the
//! process share, tells the signout service, and lets the request go on to the application; what is
//! [open](streams) of the token ends on the next tick. The service stores the revocation durably and
//! hands it to every proxy through the [`feed`]: one long poll a process, by whoever holds the
//! [lease](feed::lease). What a proxy knows and the service has lost goes back to it through the
//! outbox, so a revocation lives as long as one store, or one proxy that saw it.
//!
//! # Pure: no I/O
//!
//! This crate takes bytes and [time](clock::Now) and returns values. The proxy's
//! [shared data](shared_data::SharedData) is behind a trait. The filter (`session-guard`) calls the
//! proxy and applies the effects that the core returns; the signout service uses the same code for
//! records and pages; a simulation runs the state machines without a proxy.
//!
//! # What is refused when something is not known
//!
//! No feed yet, or one older than its limit, means that a valid token may have been revoked: such
//! requests are answered 503, never let through by accident. See [`admission`] and
//! [`feed`].
#![forbid(unsafe_code)]
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

pub mod admission;
pub mod clock;
pub mod config;
pub mod feed;
pub mod headers;
mod json;
pub mod key_sets;
pub mod keys;
pub mod metrics;
pub mod notes;
pub mod outbox;
pub mod path;
pub mod refusal;
pub mod revocation;
pub mod routes;
pub mod shared_data;
pub mod signout;
pub mod sources;
pub mod streams;
pub mod token;
pub mod upstream;

#[cfg(test)]
extern crate self as session_guard_core; // tests of the core share the simulation's model service
