//! `GET /v1/status`: how the service is.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::Value;
use session_guard_core::revocation::record::Kind;

use super::audit;
use crate::access::Caller;
use crate::capacity::used;
use crate::clock::unix_seconds;
use crate::cursor::ProxyPosition;
use crate::error::Error;
use crate::proxies::ProxyStatus;
use crate::service::Service;

/// The state of the service, for `signout status` and the status page.
#[derive(Debug, Serialize)]
pub(crate) struct ServiceStatus {
    pub(crate) version: &'static str,
    pub(crate) now: u64,
    pub(crate) uptime_seconds: u64,
    pub(crate) ready: bool,
    pub(crate) store_up: bool,
    pub(crate) store_durable: bool,
    pub(crate) store_problem: Option<String>,
    pub(crate) accepts_revocations: bool,
    pub(crate) revocations: RevocationCounts,
    /// Largest number of live revocations of single tokens.
    pub(crate) capacity: usize,
    /// Used share of the limits, from 0 to 1.
    pub(crate) capacity_used: UsedCapacity,
    pub(crate) log_entries: usize,
    pub(crate) revocations_per_minute: u64,
    pub(crate) waiting_polls: i64,
    pub(crate) head: String,
    /// The proxies that poll this service, those that follow the feed least first.
    pub(crate) proxies: Vec<ProxyStatus>,
}

/// Live revocations by kind.
#[derive(Debug, Serialize)]
pub(crate) struct RevocationCounts {
    pub(crate) token: u64,
    pub(crate) user: u64,
    pub(crate) all: u64,
}

/// Used shares of the limits for tokens and for cutoffs.
#[derive(Debug, Serialize)]
pub(crate) struct UsedCapacity {
    pub(crate) tokens: f64,
    pub(crate) cutoffs: f64,
}

impl ServiceStatus {
    /// Returns the present state. A caller that is limited to some realms sees only the proxies there.
    pub(crate) fn of(service: &Service, caller: &Caller) -> Self {
        let (log, durability) = (service.log(), service.durability());
        let (parts, head) = (&service.parts, log.head());
        let mut proxies = parts.proxies.list(head.sequence);
        proxies.retain(|proxy| caller.sees(&proxy.realm));
        let share = |kind| used(&log, kind) as f64 / parts.capacity.limit(kind).max(1) as f64;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now: unix_seconds(),
            uptime_seconds: parts.began.elapsed().as_secs(),
            ready: service.is_ready(),
            store_up: parts.metrics.store_up.get() == 1,
            store_durable: durability.problem().is_none(),
            store_problem: durability.problem().map(str::to_owned),
            accepts_revocations: durability.refusal().is_none(),
            revocations: RevocationCounts {
                token: log.count_of(Kind::Token),
                user: log.count_of(Kind::User),
                all: log.count_of(Kind::All),
            },
            capacity: parts.capacity.tokens,
            capacity_used: UsedCapacity { tokens: share(Kind::Token), cutoffs: share(Kind::User) },
            log_entries: log.entry_count(),
            revocations_per_minute: parts.rate.per_minute(head.sequence),
            waiting_polls: parts.metrics.waiting_polls.get(),
            head: ProxyPosition::After(head).cursor().as_str().to_owned(),
            proxies,
        }
    }
}

/// The response: the state, and the last revocations.
#[derive(Serialize)]
struct StatusResponse {
    #[serde(flatten)]
    status: ServiceStatus,
    /// The newest entries of the audit; `None` if the store cannot be read.
    last_revocations: Option<Vec<Value>>,
}

/// `GET /v1/status`.
pub(crate) async fn status(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Error> {
    let last = audit::newest(&service, &caller, LAST_REVOCATIONS).await.ok();
    let last_revocations = last.map(|entries| entries.iter().map(audit::shown).collect());
    let status = ServiceStatus::of(&service, &caller);
    Ok(Json(StatusResponse { status, last_revocations }).into_response())
}

/// Number of audit entries in the response and on the status page.
pub(super) const LAST_REVOCATIONS: usize = 10;
