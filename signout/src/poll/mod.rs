//! How is a poll of the feed answered?
//!
//! At once where there is something to tell or no wish to wait, else when the log changes, the time
//! is up, or the service closes. The answer is the binary form of
//! [`wire`](session_guard_core::feed::wire) for those who accept it, and JSON for everybody else.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use session_guard_core::feed::delivery::JsonRecord;
use session_guard_core::feed::wire::{CONTENT_TYPE, Page};
use tokio::time::Instant;

use crate::clock::unix_seconds;
use crate::cursor::Place;
use crate::error::Error;
use crate::page::{is_reset, page};
use crate::service::Service;

/// Longest wait; who asks for more waits as long as this.
pub(crate) const WAIT_SECONDS: u64 = 60;

/// What a poll asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// Where the proxy is.
    after: Option<String>,
    /// How long it would wait for a change, in seconds.
    #[serde(default)]
    wait: u64,
    /// How many records it wants at most.
    limit: Option<usize>,
}

/// `GET /v1/revocations`.
pub(crate) async fn poll(
    State(service): State<Service>,
    wish: Result<Query<Wish>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let Query(wish) = wish.map_err(|error| Error::BadQuery(format!("{}.", error.body_text())))?;
    let limit = wish.limit.unwrap_or(usize::MAX);
    if limit == 0 {
        return Err(Error::BadQuery("`limit` is at least 1.".to_owned()));
    }
    let place = wish.after.as_deref().map_or(Place::Start, Place::parse);
    let wait = Duration::from_secs(wish.wait.min(WAIT_SECONDS));
    let form = Form::of(&headers);
    if place.newest().is_some_and(|newest| newest.sequence > service.log().head().sequence) {
        // Another service may have told the proxy what we have not heard of yet.
        service.catch_up().await?;
    }
    wait_for_change(&service, place, wait).await?;
    if !is_reset(&service.log(), place) {
        let page = page(&service.log(), place, limit, unix_seconds());
        return as_current(&service, page).map(|page| form.render(&page));
    }
    let herd = "Too many resets at a time; try again.";
    let _turn = service.parts.resets.try_acquire().map_err(|_| Error::Busy(herd))?;
    let at_work = service.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let page = page(&at_work.log(), place, limit, unix_seconds());
        as_current(&at_work, page).map(|page| form.render(&page))
    });
    service.parts.metrics.reset_pages.inc();
    answer.await.map_err(|_| Error::Busy("The page could not be made."))?
}

/// The page; not as a proof that there is no more, where we do not know what others have stored.
fn as_current(service: &Service, mut page: Page) -> Result<Page, Error> {
    if !service.is_current() {
        if page.records.is_empty() && !page.reset {
            return Err(Error::StoreUnreachable);
        }
        page.more = true;
    }
    Ok(page)
}

/// Returns as soon as there is something to tell, the time is up, or the service closes.
async fn wait_for_change(service: &Service, place: Place, wait: Duration) -> Result<(), Error> {
    let up_to_date = || matches!(place, Place::After(at) if at == service.log().head());
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

/// Counts a poll among the waiting ones as long as it lives: its caller may go at any time.
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

/// The two forms of an answer.
#[derive(Clone, Copy)]
enum Form {
    Binary,
    Json,
}

impl Form {
    fn of(headers: &HeaderMap) -> Self {
        let accepts_binary = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|range| range.split(';').next())
            .any(|range| range.trim().eq_ignore_ascii_case(CONTENT_TYPE));
        if accepts_binary { Self::Binary } else { Self::Json }
    }

    fn render(self, page: &Page) -> Response {
        let vary = (header::VARY, "accept");
        match self {
            Self::Binary => {
                ([(header::CONTENT_TYPE, CONTENT_TYPE), vary], page.encode()).into_response()
            }
            Self::Json => ([vary], Json(JsonPage::from(page))).into_response(),
        }
    }
}

/// A page in JSON. Unlike the binary form it has no range and no checksum.
#[derive(Serialize)]
struct JsonPage<'a> {
    now: u64,
    cursor: &'a str,
    head: &'a str,
    reset: bool,
    more: bool,
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
            revocations: page.records.iter().map(JsonRecord::from).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
