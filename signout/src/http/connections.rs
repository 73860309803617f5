//! Limits on connections: how many may be open, and how long each may stay open without a request.
//!
//! A connection is *authenticated* from its first request with a valid API token until it is
//! closed. An unauthenticated connection may be an attacker's, so the limits differ:
//!
//! | | authenticated | unauthenticated |
//! | --- | --- | --- |
//! | largest number | `max_connections` | the rest of `max_connections`, at least [`RESERVE`] |
//! | above it | 503 to the request that would authenticate one more | the oldest is closed |
//! | closed if no request has begun for | `idle_timeout` | `head_timeout` |
//!
//! A new connection is therefore always accepted. If there are too many, the service closes the
//! oldest unauthenticated one. If an attacker opens many connections, these are the attacker's own,
//! because a genuine caller sends its token within a millisecond. `/healthz` and `/metrics` need no
//! token; they keep working because a new connection is served at once.
//!
//! # Why one deadline per connection
//!
//! hyper's `header_read_timeout` also runs between two requests, so it cannot tell an idle proxy
//! from a slow request head. No time-out of hyper ends a connection whose client does not read. One
//! deadline, counted from the beginning of the last request, covers all of these cases. A long poll
//! does not exceed it: the service responds within [`LONGEST_REQUEST_SECONDS`], and `idle_timeout`
//! is at least as long.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::error::Error;
use crate::metrics::{Closed, ServiceMetrics};
use crate::poll::WAIT_SECONDS;

/// The limits that an operator can set.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The maximum number of authenticated connections at a time.
    pub max_connections: usize,
    /// How long an unauthenticated connection may stay open without beginning a request.
    pub head_timeout: Duration,
    /// How long an authenticated connection may stay open without beginning a request.
    pub idle_timeout: Duration,
    /// How long a request body may take to arrive.
    pub body_timeout: Duration,
}

/// The number of unauthenticated connections that are always possible, regardless of the number of
/// authenticated ones: for health checks, Prometheus, and callers that are about to authenticate.
pub const RESERVE: usize = 64;

/// Longest `body_timeout`.
pub const LONGEST_BODY_SECONDS: u64 = 20;

/// The longest time from the beginning of a request to the end of its response: the time-out of the
/// body, the wait of a poll, and 10 s for everything else.
pub const LONGEST_REQUEST_SECONDS: u64 = LONGEST_BODY_SECONDS + WAIT_SECONDS + 10;

/// Returns the number of connections that this process can open, at most `connections`. First
/// raises the limit of open files as far as the system allows.
#[must_use]
pub fn fit_into_open_files(connections: usize) -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_ok() {
        limit.current = limit.maximum;
    }
    let files =
        limit.current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    connections.min(files.saturating_sub(OTHER_FILES).max(files / 2)).max(1)
}

/// All open connections of the service.
pub(crate) struct Connections {
    limits: Limits,
    metrics: Arc<ServiceMetrics>,
    open: Mutex<OpenConnection>,
}

#[derive(Default)]
struct OpenConnection {
    authenticated: usize,
    /// The unauthenticated connections by number, so the first is the oldest.
    unauthenticated: BTreeMap<u64, Arc<Notify>>,
    next_number: u64,
}

/// One open connection. It is removed from [`Connections`] when it is dropped.
pub(crate) struct ServiceConnection {
    number: u64,
    /// The address of the caller, or of a proxy in front of the service.
    pub(crate) peer: IpAddr,
    connections: Arc<Connections>,
    gives_way: Arc<Notify>,
    state: Mutex<ConnectionsState>,
}

#[derive(Clone, Copy)]
struct ConnectionsState {
    is_authenticated: bool,
    /// The time when the last request began or, before the first request, when the connection was
    /// opened.
    last_request_at: Instant,
}

impl Connections {
    /// Returns the state in which no connection is open.
    pub(crate) fn new(limits: Limits, metrics: Arc<ServiceMetrics>) -> Arc<Self> {
        Arc::new(Self { limits, metrics, open: Mutex::default() })
    }

    /// Registers a connection that was just accepted. If there are too many, closes the oldest
    /// unauthenticated one.
    pub(crate) fn accept(self: &Arc<Self>, peer: IpAddr) -> Arc<ServiceConnection> {
        let gives_way = Arc::new(Notify::new());
        let mut open = self.open();
        let room = self.limits.max_connections.saturating_sub(open.authenticated).max(RESERVE);
        while open.unauthenticated.len() >= room {
            open.close_oldest();
        }
        let number = open.next_number;
        open.next_number += 1;
        open.unauthenticated.insert(number, Arc::clone(&gives_way));
        self.show(&open);
        let state = Mutex::new(ConnectionsState {
            is_authenticated: false,
            last_request_at: Instant::now(),
        });
        let connections = Arc::clone(self);
        Arc::new(ServiceConnection { number, peer, connections, gives_way, state })
    }

    /// Closes the oldest unauthenticated connection, because the system cannot open another one.
    pub(crate) fn make_room(&self) {
        self.open().close_oldest();
    }

    fn open(&self) -> MutexGuard<'_, OpenConnection> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, open: &OpenConnection) {
        let show = |caller, count: usize| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.metrics.connections.with_label_values(&[caller]).set(count);
        };
        show("authenticated", open.authenticated);
        show("unauthenticated", open.unauthenticated.len());
    }
}

impl OpenConnection {
    fn close_oldest(&mut self) {
        if let Some((_, gives_way)) = self.unauthenticated.pop_first() {
            gives_way.notify_one();
        }
    }
}

impl ServiceConnection {
    /// Records that a request has begun.
    pub(crate) fn note_request(&self) {
        self.state().last_request_at = Instant::now();
    }

    /// Records that a request had a valid API token.
    ///
    /// # Errors
    ///
    /// The limit of authenticated connections is reached, or this connection is already being
    /// closed to make room. The caller must then close the connection after the response.
    pub(crate) fn authenticate(&self) -> Result<(), Error> {
        let mut state = self.state();
        if state.is_authenticated {
            return Ok(());
        }
        let mut open = self.connections.open();
        let has_room = open.authenticated < self.connections.limits.max_connections;
        if !has_room || open.unauthenticated.remove(&self.number).is_none() {
            self.count(Closed::Limit);
            return Err(Error::TooManyConnections);
        }
        open.authenticated += 1;
        state.is_authenticated = true;
        self.connections.show(&open);
        Ok(())
    }

    /// Returns how long a request body may take to arrive.
    pub(crate) fn body_timeout(&self) -> Duration {
        self.connections.limits.body_timeout
    }

    /// Returns when this connection must be closed to make room for another.
    pub(crate) async fn gives_way(&self) -> Closed {
        self.gives_way.notified().await;
        Closed::Limit
    }

    /// Returns when no request has begun within the time-out of this connection.
    pub(crate) async fn times_out(&self) -> Closed {
        loop {
            let (deadline, closed) = self.deadline();
            if deadline <= Instant::now() {
                return closed;
            }
            sleep_until(deadline).await;
        }
    }

    /// Counts this connection as one that the service closes.
    pub(crate) fn count(&self, closed: Closed) {
        self.connections.metrics.connections_closed.with_label_values(&[closed.name()]).inc();
    }

    fn deadline(&self) -> (Instant, Closed) {
        let ConnectionsState { is_authenticated, last_request_at } = *self.state();
        let limits = &self.connections.limits;
        match is_authenticated {
            true => (last_request_at + limits.idle_timeout, Closed::Idle),
            false => (last_request_at + limits.head_timeout, Closed::Slow),
        }
    }

    fn state(&self) -> MutexGuard<'_, ConnectionsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ServiceConnection {
    fn drop(&mut self) {
        let is_authenticated = self.state().is_authenticated;
        let mut open = self.connections.open();
        if is_authenticated {
            open.authenticated = open.authenticated.saturating_sub(1);
        } else {
            open.unauthenticated.remove(&self.number);
        }
        self.connections.show(&open);
    }
}

/// The number of files that are open besides authenticated connections: the [`RESERVE`], the store
/// and the log.
const OTHER_FILES: usize = RESERVE + 64;

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn connections(max_connections: usize) -> Arc<Connections> {
        let limits = Limits {
            max_connections,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            body_timeout: Duration::from_secs(10),
        };
        Connections::new(limits, Arc::new(ServiceMetrics::new().unwrap()))
    }

    fn must_close(connection: &ServiceConnection) -> bool {
        use std::future::Future;
        use std::task::{Context, Poll, Waker};
        let closed = std::pin::pin!(connection.gives_way());
        matches!(closed.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(_))
    }

    #[test]
    fn the_oldest_unauthenticated_connection_gives_way() {
        let connections = connections(100);
        let all: Vec<_> = (0..100).map(|_| connections.accept(PEER)).collect();
        all[0].authenticate().unwrap();
        let newest = [connections.accept(PEER), connections.accept(PEER)];
        // One of 100 connections is authenticated, so 99 unauthenticated ones fit.
        let closed: Vec<_> = (0..100).filter(|&at| must_close(&all[at])).collect();
        assert_eq!(closed, [1, 2]);
        assert!(newest.iter().all(|connection| !must_close(connection)));
        assert_eq!(all[1].authenticate(), Err(Error::TooManyConnections));
    }

    #[test]
    fn authenticated_connections_leave_the_reserve() {
        let connections = connections(3);
        let known: Vec<_> = (0..3).map(|_| connections.accept(PEER)).collect();
        assert!(known.iter().all(|connection| connection.authenticate().is_ok()));
        let strangers: Vec<_> = (0..=RESERVE).map(|_| connections.accept(PEER)).collect();
        assert!(must_close(&strangers[0]) && !must_close(&strangers[1]));
        assert_eq!(strangers[1].authenticate(), Err(Error::TooManyConnections));
        drop(known);
        assert!(strangers[2].authenticate().is_ok());
        drop(strangers);
        let open = connections.open();
        assert_eq!((open.authenticated, open.unauthenticated.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_moves_with_each_request() {
        let connections = connections(3);
        let (stranger, known) = (connections.accept(PEER), connections.accept(PEER));
        known.authenticate().unwrap();
        let start = Instant::now();
        tokio::time::sleep(Duration::from_secs(9)).await;
        stranger.note_request();
        known.note_request();
        assert_eq!(stranger.times_out().await, Closed::Slow);
        assert_eq!(start.elapsed().as_secs(), 19);
        assert_eq!(known.times_out().await, Closed::Idle);
        assert_eq!(start.elapsed().as_secs(), 309);
    }
}
