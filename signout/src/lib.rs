//! The signout service: takes revocations, keeps them durably, serves the feed.
//!
//! # A revocation's way
//!
//! ```text
//! POST ─ access ─ request ─▶ writer ─▶ store     durable
//!                              │
//!                              ▼
//! GET ── access ─ poll ◀─ page ◀─ book           in memory
//! ```
//!
//! 1. [`access`] asks for an API token, before anything else of a call is read.
//! 2. [`request`] turns the body into records: strict, with times checked.
//! 3. [`writer`] has one thread that owns the store. Whatever waits becomes one commit; then it is
//!    entered in the [`book`], and then the callers are answered.
//! 4. [`store`] keeps entries and records. An entry of the log is a piece of the set at once: the set
//!    is the join of everything, so there is nothing that could disagree with it.
//! 5. [`poll`] waits for news and answers with the [`page`] that follows a proxy's [`cursor`].
//!
//! Several services may share one store. Then a [`follower`] enters what the others have appended,
//! [`currency`] says whether that can be trusted to be everything, and [`reading`] puts back what a
//! store has lost.
//!
//! [`service`] holds these together, [`app`](mod@app) is its HTTP, [`http`] its connections, [`error`] all the ways in which
//! it says no, [`metrics`] what an operator sees. [`secret`] makes the secrets that a start needs, [`copy`]
//! moves revocations from one store to another, [`check`] tells what a configuration of the filter means.
//!
//! # What it promises
//!
//! What was answered with 200 or 201 survives a crash of the process and, with the embedded store
//! or a Redis that is set up for it, of the machine. Nothing
//! that is live is ever dropped for room: at its capacity the service says so (507) and goes on
//! serving what it has. A proxy that names an entry which this store does not hold, whatever the
//! reason, gets the whole set and may give back what the store has lost.
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
pub mod http;
pub mod secret;
pub mod service;
pub mod store;

mod book;
mod currency;
mod cursor;
mod follower;
mod metrics;
mod page;
mod poll;
mod reading;
mod request;
mod writer;

pub use app::app;
pub use service::{Service, Settings};
