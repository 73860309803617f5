//! `GET /v1/revocations`: a poll of the feed.
//!
//! The service responds at once if it has revocations that the caller does not know, or if the
//! caller does not want to wait. Otherwise it responds when the next revocation arrives, the wait
//! is over, or the service stops. Callers that accept the binary form of
//! [`wire`](session_guard_core::feed::wire) get that form. All others get JSON.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use session_guard_core::feed::delivery::JsonRecord;
use session_guard_core::feed::wire::{CONTENT_TYPE, Page, PageKey};
use tokio::time::Instant;

use crate::access::bearer;
use crate::agent::{self, Agent, PeerAddress};
use crate::clock::unix_seconds;
use crate::cursor::ProxyPosition;
use crate::error::Error;
use crate::page::{is_reset, page};
use crate::proxies::ProxyIdentity;
use crate::service::Service;

/// Longest wait of a poll. A longer `wait` in the query is shortened to this.
pub(crate) const WAIT_SECONDS: u64 = 60;

/// The query of a poll.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PollQuery {
    /// The caller's cursor.
    after: Option<String>,
    /// How long to wait for a revocation, in seconds.
    #[serde(default)]
    wait: u64,
    /// The maximum number of records in the response.
    limit: Option<usize>,
}

/// `GET /v1/revocations`.
pub(crate) async fn poll(
    State(service): State<Service>,
    query: Result<Query<PollQuery>, QueryRejection>,
    peer: Option<Extension<PeerAddress>>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let received = Instant::now();
    let Query(query) = query.map_err(|error| Error::BadQuery(format!("{}.", error.body_text())))?;
    let limit = query.limit.unwrap_or(usize::MAX);
    if limit == 0 {
        return Err(Error::BadQuery("`limit` is at least 1.".to_owned()));
    }
    let place = query.after.as_deref().map_or(ProxyPosition::Start, ProxyPosition::parse);
    let wait = Duration::from_secs(query.wait.min(WAIT_SECONDS));
    let form = ResponseForm::of(&headers);
    let proxy = proxy(&headers, peer.map(|Extension(PeerAddress(address))| address));
    let _poll = proxy.and_then(|proxy| service.parts.proxies.poll_begins(proxy, place));
    if place.newest().is_some_and(|newest| newest.sequence > service.log().head().sequence) {
        // Another service has sent the proxy an entry that this service has not yet read from the
        // store.
        service.catch_up().await?;
    }
    wait_for_change(&service, place, wait).await?;
    if !is_reset(&service.log(), place) {
        return current_page(&service, place, limit, received).map(|page| form.render(&page));
    }
    let herd = "Too many resets at a time; try again.";
    let _turn = service.parts.resets.try_acquire().map_err(|_| Error::Busy(herd))?;
    let at_work = service.clone();
    let response = tokio::task::spawn_blocking(move || {
        current_page(&at_work, place, limit, received).map(|page| form.render(&page))
    });
    service.parts.metrics.reset_pages.inc();
    response.await.map_err(|_| Error::Busy("The page could not be built; try again."))?
}

/// Returns the proxy that polls, if the caller is one.
fn proxy(headers: &HeaderMap, address: Option<IpAddr>) -> Option<ProxyIdentity> {
    let agent = Agent::of(headers);
    let (build, id) = agent.proxy()?;
    let (build, id) = (build.to_owned(), id.to_owned());
    let realm = agent::realm(headers).unwrap_or_default();
    Some(ProxyIdentity { id, version: agent.version, build, realm, address })
}

/// Returns the page for a proxy at this position. If this service may not know everything that the
/// other services have stored, the page says that more will follow, so that the proxy does not
/// consider its set complete.
///
/// # Errors
///
/// There is nothing to send, and the shared store cannot be read.
fn current_page(
    service: &Service,
    place: ProxyPosition,
    limit: usize,
    received: Instant,
) -> Result<Page, Error> {
    // The time is measured before the page is built. From it the proxy computes the time as of
    // which its set is complete, and the page may lack revocations that arrive later.
    let held_milliseconds = u32::try_from(received.elapsed().as_millis()).unwrap_or(u32::MAX);
    let mut page = page(&service.log(), place, limit, unix_seconds());
    page.held_milliseconds = held_milliseconds;
    if !service.is_current() {
        if page.records.is_empty() && !page.reset {
            return Err(Error::StoreUnreachable);
        }
        page.more = true;
    }
    Ok(page)
}

/// Returns when there are revocations after this position, the wait is over, or the service stops.
async fn wait_for_change(
    service: &Service,
    place: ProxyPosition,
    wait: Duration,
) -> Result<(), Error> {
    let up_to_date = || matches!(place, ProxyPosition::After(at) if at == service.log().head());
    let mut changes = service.changes();
    if wait.is_zero() || !up_to_date() {
        return Ok(());
    }
    let crowd = "Too many polls are waiting; try again.";
    let _place = service.parts.polls.try_acquire().map_err(|_| Error::Busy(crowd))?;
    let _waiting = Waiting::new(service);
    let time_is_up = tokio::time::sleep_until(Instant::now() + wait);
    tokio::pin!(time_is_up);
    while up_to_date() {
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return Ok(()) },
            () = service.closed() => return Ok(()),
            () = &mut time_is_up => return Ok(()),
        }
    }
    Ok(())
}

/// Counts a waiting poll in the metrics until it is dropped. A caller that disconnects drops it,
/// too.
struct Waiting<'a>(&'a Service);

impl<'a> Waiting<'a> {
    fn new(service: &'a Service) -> Self {
        service.parts.metrics.waiting_polls.inc();
        Self(service)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.parts.metrics.waiting_polls.dec();
    }
}

/// The form of a page in a response.
#[derive(Clone)]
enum ResponseForm {
    /// The binary form. Its checksum is keyed with the caller's API token.
    Binary(PageKey),
    /// JSON, without a checksum.
    Json,
}

impl ResponseForm {
    fn of(headers: &HeaderMap) -> Self {
        let accepts_binary = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|range| range.split(';').next())
            .any(|range| range.trim().eq_ignore_ascii_case(CONTENT_TYPE));
        match accepts_binary {
            true => Self::Binary(PageKey::new(bearer(headers).unwrap_or_default())),
            false => Self::Json,
        }
    }

    fn render(&self, page: &Page) -> Response {
        let vary = (header::VARY, "accept, authorization");
        match self {
            Self::Binary(key) => {
                ([(header::CONTENT_TYPE, CONTENT_TYPE), vary], page.encode(key)).into_response()
            }
            Self::Json => ([vary], Json(JsonPage::from(page))).into_response(),
        }
    }
}

/// A page in JSON. Unlike the binary form, it has no range and no checksum.
#[derive(Serialize)]
struct JsonPage<'a> {
    now: u64,
    cursor: &'a str,
    head: &'a str,
    reset: bool,
    more: bool,
    held_milliseconds: u32,
    revocations: Vec<JsonRecord>,
}

impl<'a> From<&'a Page> for JsonPage<'a> {
    fn from(page: &'a Page) -> Self {
        Self {
            now: page.now,
            cursor: page.cursor.as_str(),
            head: page.head.as_str(),
            reset: page.reset,
            more: page.more,
            held_milliseconds: page.held_milliseconds,
            revocations: page.records.iter().map(JsonRecord::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
