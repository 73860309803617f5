//! The signout service: accepts revocations, keeps them durably, serves the feed.
//!
//! # Path of a revocation
//!
//! ```text
//! POST ─ access ─ request ─▶ writer ─▶ store     durable
//!                              │
//!                              ▼
//! GET ── access ─ poll ◀─ page ◀─ log            in memory
//! ```
//!
//! 1. [`access`] checks the API token before anything else of a call is read.
//! 2. [`request`] parses the body into records: strictly, with checked times.
//! 3. [`writer`] is the one thread that owns the store. It takes all waiting records as one commit,
//!    appends them to the store, then to the [`log`], and then responds to the callers.
//! 4. [`store`] keeps entries and records. The set is the join of all of them, so nothing in a
//!    store can contradict it.
//! 5. [`poll`] waits for changes and responds with the [`page`] that follows a proxy's [`cursor`].
//!
//! Identity providers report sign-outs to the [`receivers`], which turn them into records for the
//! writer. The [`issuers`] are the identity providers from which they accept messages.
//!
//! Proxies that ask another server about each request send a check to [`forward_auth`], which
//! decides with the code of the filter.
//!
//! Several services may share one store. Then a [`follower`] appends the records of the other
//! services to the log, [`freshness`] tells whether this service knows all of them, and
//! [`recovery`] restores a store that has lost records.
//!
//! # Layers
//!
//! A module uses only modules below it. A test compares this list with the `use` lines.
//!
//! 1. [`forward_auth`][]: decides about requests for NGINX, Caddy, Traefik and Envoy
//! 2. [`http::server`][]: accepts connections and serves them
//! 3. [`app`](mod@app): the routes of the HTTP interface
//! 4. [`operator`][]: what operators ask: audit, look-up, status
//! 5. [`receivers`][]: messages of identity providers
//! 6. [`http::tls`][]: the listener's certificate
//! 7. [`http::body`][]: the body of a request
//! 8. [`http::connections`][]: limits on connections
//! 9. [`poll`][]: the response to a poll of the feed
//! 10. [`service`][]: the running service
//! 11. [`follower`][]: the entries that other services append
//! 12. [`writer`][]: the thread that makes batches durable
//! 13. [`copy`][]: from one store to another
//! 14. [`recovery`][]: reads a store, and restores it after a loss
//! 15. [`explain`][]: why the filter accepts or refuses a request
//! 16. [`page`][]: the pages of the feed
//! 17. [`request`][]: the bodies of calls
//! 18. [`plan`][]: what a commit adds
//! 19. [`accounts`][]: accounts that make most of the records
//! 20. [`access`][]: API tokens
//! 21. [`issuers`][]: identity providers and their keys
//! 22. [`metrics`][]: counters and gauges for Prometheus
//! 23. [`capacity`][]: the largest numbers of live records
//! 24. [`proxies`][]: the proxies that poll this service
//! 25. [`rate`][]: revocations per minute
//! 26. [`error`][]: rejections of calls
//! 27. [`access::right`][]: the rights of an API token
//! 28. [`log`][]: the live set and its newest changes
//! 29. [`store`][]: redb and Redis
//! 30. [`freshness`][]: whether everything in a shared store is known
//! 31. [`cursor`][]: the position of a proxy in the feed
//! 32. [`entry`][]: an entry of the log
//! 33. [`audit`][]: who revoked what, when, from where and why
//! 34. [`agent`][]: the program that calls
//! 35. [`check`][]: what a configuration of the filter means
//! 36. [`http::client`][]: calls of identity providers
//! 37. [`json_file`][]: schemas and errors of the JSON files of the service
//! 38. [`secret`][]: generated secrets
//! 39. [`log_limit`][]: at most one log line a minute for each cause
//! 40. [`random`][]: random numbers
//! 41. [`clock`][]: the wall clock
//!
//! # Promises
//!
//! A revocation that was acknowledged with 200 or 201 survives a crash of the process. With the
//! embedded store, or a Redis that is configured for it, it also survives a crash of the machine.
//! No live revocation is ever dropped to make room: a full service responds 507, keeps serving what
//! it has, and still accepts cutoffs. A proxy that names an entry that this store does not hold
//! receives the whole set, and sends back what the store has lost.
#![deny(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

pub mod access;
pub mod app;
pub mod check;
pub mod clock;
pub mod copy;
pub mod error;
pub mod explain;
pub mod forward_auth;
pub mod http;
pub mod issuers;
pub mod receivers;
pub mod secret;
pub mod service;
pub mod store;

mod accounts;
mod agent;
mod audit;
mod capacity;
mod cursor;
mod entry;
mod follower;
mod freshness;
mod json_file;
mod log;
mod log_limit;
mod metrics;
mod operator;
mod page;
mod plan;
mod poll;
mod proxies;
mod random;
mod rate;
mod recovery;
mod request;
mod writer;

pub use app::app;
pub use service::{Service, ServiceSettings};
