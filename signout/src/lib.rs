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
//! Several services may share one store. Then a [`follower`] appends the records of the other
//! services to the log, [`freshness`] tells whether this service knows all of them, and
//! [`recovery`] restores a store that has lost records.
//!
//! # Layers
//!
//! A module uses only modules below it. A test compares this list with the `use` lines.
//!
//! 1. [`http::server`][]: accepts connections and serves them
//! 2. [`app`](mod@app): the routes of the HTTP interface
//! 3. [`operator`][]: what operators ask: audit, look-up, status
//! 4. [`receivers`][]: messages of identity providers
//! 5. [`http::tls`][]: the listener's certificate
//! 6. [`http::body`][]: the body of a request
//! 7. [`http::connections`][]: limits on connections
//! 8. [`poll`][]: the response to a poll of the feed
//! 9. [`service`][]: the running service
//! 10. [`follower`][]: the entries that other services append
//! 11. [`writer`][]: the thread that makes batches durable
//! 12. [`copy`][]: from one store to another
//! 13. [`recovery`][]: reads a store, and restores it after a loss
//! 14. [`explain`][]: why the filter accepts or refuses a request
//! 15. [`page`][]: the pages of the feed
//! 16. [`request`][]: the bodies of calls
//! 17. [`plan`][]: what a commit adds
//! 18. [`accounts`][]: accounts that make most of the records
//! 19. [`access`][]: API tokens and their rights
//! 20. [`issuers`][]: identity providers and their keys
//! 21. [`metrics`][]: counters and gauges for Prometheus
//! 22. [`capacity`][]: the largest numbers of live records
//! 23. [`error`][]: rejections of calls
//! 24. [`log`][]: the live set and its newest changes
//! 25. [`store`][]: redb and Redis
//! 26. [`freshness`][]: whether everything in a shared store is known
//! 27. [`cursor`][]: the position of a proxy in the feed
//! 28. [`entry`][]: an entry of the log
//! 29. [`audit`][]: who revoked what, when, from where and why
//! 30. [`agent`][]: the program that calls
//! 30. [`check`][]: what a configuration of the filter means
//! 31. [`http::client`][]: calls of identity providers
//! 32. [`secret`][]: generated secrets
//! 33. [`random`][]: random numbers
//! 34. [`clock`][]: the wall clock
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
mod log;
mod metrics;
mod operator;
mod page;
mod plan;
mod poll;
mod random;
mod recovery;
mod request;
mod writer;

pub use app::app;
pub use service::{Service, ServiceSettings};
