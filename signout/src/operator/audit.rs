//! `GET /v1/audit`: who revoked what, when, from where and why.
//!
//! The newest entries come first. A query reads the store page by page and stops at its limit, at
//! the time `since`, or after [`EXAMINED_ROWS`]. The response then names the entry with which the
//! next query must continue.

use std::collections::HashMap;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use session_guard_core::revocation::record::{NEVER, RecordId};

use crate::access::Caller;
use crate::access::right::Right;
use crate::audit::{AuditEntry, AuditKey, AuditRange, AuditSubject};
use crate::clock::{rfc_3339, rfc_3339_milliseconds};
use crate::error::Error;
use crate::request::time::WrittenTime;
use crate::service::Service;

/// The query as written. All members are optional.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    /// Only entries of this time or later: seconds since 1970 UTC, or RFC 3339.
    since: Option<String>,
    /// Only entries before the one with this key: the `next` of the last response.
    before: Option<String>,
    /// Only entries about this user, and about tokens and sessions of this user.
    user: Option<String>,
    /// The issuer (`iss`) of the user's tokens.
    issuer: Option<String>,
    /// Only entries about the record with this id.
    id: Option<String>,
    realm: Option<String>,
    kind: Option<AuditSubject>,
    /// Only entries of this origin: `proxy`, `command_line`, `api`, or a protocol.
    origin: Option<String>,
    limit: Option<usize>,
}

/// The conditions for the entries that a query returns.
#[derive(Debug, Default)]
struct AuditFilter {
    since_milliseconds: u64,
    /// The records of which an entry must concern at least one, or `None` for all entries.
    ids: Option<Vec<RecordId>>,
    /// The realms of which an entry must have one, or `None` for all.
    realms: Option<Vec<String>>,
    kind: Option<AuditSubject>,
    origin: Option<String>,
}

/// `GET /v1/audit`.
pub(crate) async fn audit(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Response, Error> {
    let Query(query) = query.map_err(|error| Error::BadQuery(format!("{}.", error.body_text())))?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=LONGEST_LIMIT).contains(&limit) {
        return Err(Error::BadQuery(format!("`limit` is 1 to {LONGEST_LIMIT}.")));
    }
    let before = query.before.as_deref().map_or(Ok(AuditKey::LAST), str::parse);
    let before = before.map_err(|_| Error::BadQuery("`before` is no `next`.".to_owned()))?;
    let filter = AuditFilter::of(query, &caller)?;
    let (entries, next) = find(&service, &filter, before, limit).await?;
    let entries: Vec<_> = entries.iter().map(shown).collect();
    Ok(Json(json!({"entries": entries, "next": next.map(|key| key.to_string())})).into_response())
}

/// Returns the newest entries that the caller may see, at most `limit`.
pub(super) async fn newest(
    service: &Service,
    caller: &Caller,
    limit: usize,
) -> Result<Vec<AuditEntry>, Error> {
    let filter =
        AuditFilter { realms: caller.realms().map(<[_]>::to_vec), ..AuditFilter::default() };
    find(service, &filter, AuditKey::LAST, limit).await.map(|(entries, _)| entries)
}

/// Returns the newest entry about each of these records, if there is one that the caller may see.
pub(super) async fn newest_of_each(
    service: &Service,
    caller: &Caller,
    ids: &[RecordId],
) -> Result<HashMap<RecordId, AuditEntry>, Error> {
    let (mut found, mut before) = (HashMap::new(), Some(AuditKey::LAST));
    while let Some(key) = before
        && found.len() < ids.len()
    {
        let missing = ids.iter().copied().filter(|id| !found.contains_key(id)).collect();
        let realms = caller.realms().map(<[_]>::to_vec);
        let filter = AuditFilter { ids: Some(missing), realms, ..AuditFilter::default() };
        let (entries, next) = find(service, &filter, key, 1).await?;
        for entry in entries {
            let named = entry.revocations.iter().map(|it| it.id).filter(|id| ids.contains(id));
            for id in named.collect::<Vec<_>>() {
                found.entry(id).or_insert_with(|| entry.clone());
            }
        }
        before = next;
    }
    Ok(found)
}

/// Returns the entries before this key that the filter selects, and the key with which to continue.
async fn find(
    service: &Service,
    filter: &AuditFilter,
    mut before: AuditKey,
    limit: usize,
) -> Result<(Vec<AuditEntry>, Option<AuditKey>), Error> {
    let mut found = Vec::new();
    for _ in 0..EXAMINED_ROWS / PAGE_ROWS {
        let page_rows = if filter.selects_all() { limit.min(PAGE_ROWS) } else { PAGE_ROWS };
        let rows = service.read_audit(AuditRange::Before(before), page_rows).await?;
        if rows.is_empty() {
            return Ok((found, None));
        }
        for row in rows {
            before = row.key;
            if row.key.unix_milliseconds() < filter.since_milliseconds {
                return Ok((found, None));
            }
            match AuditEntry::of_row(&row) {
                Some(entry) if filter.selects(&entry) => found.push(entry),
                Some(_) => {}
                None => tracing::warn!(audit = %row.key, "an audit entry is damaged: left out"),
            }
            if found.len() >= limit {
                return Ok((found, Some(before)));
            }
        }
    }
    Ok((found, Some(before)))
}

impl AuditFilter {
    fn of(query: AuditQuery, caller: &Caller) -> Result<Self, Error> {
        let AuditQuery { since, user, issuer, id, realm, kind, origin, .. } = query;
        let wrong = |name: &str| Error::BadQuery(format!("`{name}` is not valid."));
        let since = since.map(|text| WrittenTime::of_query(&text).ok_or_else(|| wrong("since")));
        let since = since.transpose()?.map_or(0, WrittenTime::rounded_up);
        let in_realm = realm.as_deref().unwrap_or_default();
        let ids = match (user, id) {
            (None, None) => None,
            (Some(user), None) => {
                let under = |issuer| RecordId::of_user(in_realm, issuer, &user);
                Some(vec![under(None), under(issuer.as_deref())])
            }
            (None, Some(id)) => Some(vec![id.parse().map_err(|_| wrong("id"))?]),
            (Some(_), Some(_)) => {
                return Err(Error::BadQuery("Give either `user` or `id`.".to_owned()));
            }
        };
        if let Some(realm) = &realm {
            caller.require_in(Right::Read, realm)?;
        }
        let realms = realm.map(|realm| vec![realm]).or(caller.realms().map(<[_]>::to_vec));
        let since_milliseconds = since.saturating_mul(1_000);
        Ok(Self { since_milliseconds, ids, realms, kind, origin })
    }

    fn selects_all(&self) -> bool {
        self.ids.is_none() && self.realms.is_none() && self.kind.is_none() && self.origin.is_none()
    }

    fn selects(&self, entry: &AuditEntry) -> bool {
        let is_of_kind = |kind| entry.revocations.iter().any(|it| it.subject == kind);
        self.ids.as_ref().is_none_or(|ids| entry.concerns(ids))
            && self.realms.as_ref().is_none_or(|realms| realms.contains(&entry.note.realm))
            && self.origin.as_ref().is_none_or(|origin| *origin == entry.origin.via)
            && self.kind.is_none_or(is_of_kind)
    }
}

/// Returns an entry as JSON.
pub(super) fn shown(entry: &AuditEntry) -> Value {
    let revocations = entry.revocations.iter().take(SHOWN_REVOCATIONS).map(|it| {
        json!({
            "kind": it.subject.name(),
            "id": it.id.to_string(),
            "user": it.user.map(|user| user.to_string()),
        })
    });
    json!({
        "id": entry.key.to_string(),
        "time": rfc_3339_milliseconds(entry.key.unix_milliseconds()),
        "origin": entry.origin.via,
        "by": entry.origin.name,
        "api_token": entry.origin.api_token,
        "trace_id": entry.trace_id.map(|trace| trace.to_string()),
        "realm": entry.note.realm,
        "reason": entry.note.reason,
        "exp": (entry.exp != NEVER).then(|| rfc_3339(entry.exp)),
        "count": entry.revocations.len(),
        "revocations": revocations.collect::<Vec<_>>(),
    })
}

/// Entries of a response without `limit`.
const DEFAULT_LIMIT: usize = 100;

/// The maximum number of entries of a response.
const LONGEST_LIMIT: usize = 1_000;

/// The most revocations of an entry that a response shows. A call may have 10,000.
const SHOWN_REVOCATIONS: usize = 100;

/// Rows that are read at a time. Between two reads the writer thread does its other work.
const PAGE_ROWS: usize = 1_000;

/// The most rows that one request examines. This takes some hundred milliseconds.
const EXAMINED_ROWS: usize = 100_000;
