//! `/v1/revocations/lookup`: whether a token, session, user or API key is revoked, by which record,
//! since when, by whom and why.
//!
//! `GET` takes ids. Tokens and API keys are secrets and must not be in an address, so only the body of
//! a `POST` takes them. The signature of a token is not checked: the caller wants to know what the
//! service holds.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use session_guard_core::revocation::name::NamePair;
use session_guard_core::revocation::record::{Kind, NEVER, RecordId};
use session_guard_core::token::unverified::UnverifiedToken;

use super::audit;
use crate::access::Caller;
use crate::access::right::Right;
use crate::audit::{AuditEntry, AuditSubject};
use crate::clock::{rfc_3339, rfc_3339_milliseconds};
use crate::error::Error;
use crate::http::body;
use crate::service::Service;

/// The question as written. It names one of `jti`, `user_id`, `sid`, `credential` and `token`. A
/// token may come with its `user_id`, if that is not the claim `sub`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LookupQuery {
    pub(crate) jti: Option<String>,
    pub(crate) user_id: Option<String>,
    pub(crate) sid: Option<String>,
    pub(crate) credential: Option<String>,
    pub(crate) token: Option<String>,
    /// The issuer of the id. Without it only what was revoked under every issuer is found.
    pub(crate) issuer: Option<String>,
    #[serde(default)]
    pub(crate) realm: String,
}

/// The response.
#[derive(Debug, Serialize)]
pub(crate) struct LookupReport {
    /// Whether a proxy refuses it. For a user or a session: whether tokens that were issued before a
    /// cutoff are refused.
    pub(crate) revoked: bool,
    /// The records that concern it.
    pub(crate) records: Vec<FoundRecord>,
}

/// A record that concerns the subject of the question.
#[derive(Debug, Serialize)]
pub(crate) struct FoundRecord {
    /// What the record revokes: `token`, `credential`, `session`, `user` or `all`.
    pub(crate) kind: AuditSubject,
    pub(crate) id: String,
    /// Whether it revokes the subject; `None` if that depends on the token's `iat`, which is not known.
    pub(crate) applies: Option<bool>,
    /// Tokens that were issued before this time are revoked; `None` for one token or API key.
    pub(crate) issued_before: Option<String>,
    /// When the last of its tokens expires; `None`: it is kept for ever.
    pub(crate) exp: Option<String>,
    /// When it was revoked; `None` if the audit does not have it any more.
    pub(crate) since: Option<String>,
    /// Its newest entry in the audit.
    pub(crate) audit: Option<Value>,
}

/// The records under which the subject may be revoked.
struct LookupNames {
    own: Vec<(AuditSubject, NamePair)>,
    /// Whether the cutoff for all users also revokes this subject.
    has_all: bool,
    /// When the token was issued.
    issued: Issued,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Issued {
    /// The subject is a user, a session or an API key.
    NoToken,
    /// The subject is the id of a token.
    Unknown,
    /// `None`: the token has no `iat`, so every cutoff applies to it.
    At(Option<u64>),
}

/// `GET /v1/revocations/lookup`.
pub(crate) async fn lookup(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<LookupQuery>, QueryRejection>,
) -> Result<Response, Error> {
    let Query(query) = query.map_err(|error| Error::BadQuery(format!("{}.", error.body_text())))?;
    if query.token.is_some() || query.credential.is_some() {
        return Err(Error::BadQuery(NO_SECRETS.to_owned()));
    }
    Ok(Json(query.answer(&service, &caller).await?).into_response())
}

/// `POST /v1/revocations/lookup`.
pub(crate) async fn lookup_body(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Error> {
    let body = body::read(request, BODY_BYTES).await?;
    let query: LookupQuery = serde_json::from_slice(&body)
        .map_err(|error| Error::Unacceptable(format!("The body is no question: {error}.")))?;
    Ok(Json(query.answer(&service, &caller).await?).into_response())
}

impl LookupQuery {
    /// Returns what the service knows.
    ///
    /// # Errors
    ///
    /// The caller may not read in this realm, the question names none or several subjects, or the audit
    /// cannot be read.
    pub(crate) async fn answer(
        &self,
        service: &Service,
        caller: &Caller,
    ) -> Result<LookupReport, Error> {
        caller.require_in(Right::Read, &self.realm)?;
        let names = self.names()?;
        let all = names.has_all.then(|| RecordId::of_all(&self.realm));
        let mut records = {
            let log = service.log();
            let mut records = Vec::new();
            for (subject, pair) in names.own {
                let kind = match subject {
                    AuditSubject::Token | AuditSubject::Credential => Kind::Token,
                    AuditSubject::Session | AuditSubject::User | AuditSubject::All => Kind::User,
                };
                let (low, high) = pair.in_order();
                let ids = [Some(low), (low != high).then_some(high)];
                let found = ids.into_iter().flatten().filter_map(|id| log.find((id, kind)));
                records.extend(found.map(|record| (subject, record)));
            }
            let all = all.and_then(|id| log.find((id, Kind::All)));
            records.extend(all.map(|record| (AuditSubject::All, record)));
            records
        };
        records.sort_by_key(|(subject, record)| (*subject as u8, record.id));
        let ids: Vec<_> = records.iter().map(|(_, record)| record.id).collect();
        let mut entries = audit::newest_of_each(service, caller, &ids).await?;
        let records: Vec<_> = (records.into_iter())
            .map(|(kind, record)| {
                let cutoff = (record.kind != Kind::Token).then_some(record.issued_before);
                let entry: Option<AuditEntry> = entries.remove(&record.id);
                FoundRecord {
                    kind,
                    id: record.id.to_string(),
                    applies: cutoff.map_or(Some(true), |cutoff| names.issued.is_before(cutoff)),
                    issued_before: cutoff.map(rfc_3339),
                    exp: (record.exp != NEVER).then(|| rfc_3339(record.exp)),
                    since: (entry.as_ref())
                        .map(|entry| rfc_3339_milliseconds(entry.key.unix_milliseconds())),
                    audit: entry.as_ref().map(audit::shown),
                }
            })
            .collect();
        let revoked = records.iter().any(|record| record.applies == Some(true));
        Ok(LookupReport { revoked, records })
    }

    fn names(&self) -> Result<LookupNames, Error> {
        let (realm, issuer) = (&*self.realm, self.issuer.as_deref());
        let subjects = (&self.jti, &self.user_id, &self.sid, &self.credential, &self.token);
        let of = |subject, pair, issued| LookupNames {
            own: vec![(subject, pair)],
            has_all: subject != AuditSubject::Credential,
            issued,
        };
        match subjects {
            (Some(jti), None, None, None, None) => {
                let pair = NamePair::of_token(realm, issuer, jti);
                Ok(of(AuditSubject::Token, pair, Issued::Unknown))
            }
            (None, Some(user), None, None, None) => {
                Ok(of(AuditSubject::User, NamePair::of_user(realm, issuer, user), Issued::NoToken))
            }
            (None, None, Some(sid), None, None) => {
                let pair = NamePair::of_session(realm, issuer, sid);
                Ok(of(AuditSubject::Session, pair, Issued::NoToken))
            }
            (None, None, None, Some(credential), None) => {
                let id = RecordId::of_credential(realm, credential.as_bytes());
                Ok(of(AuditSubject::Credential, id.into(), Issued::NoToken))
            }
            (None, user, None, None, Some(token)) => {
                let read = UnverifiedToken::read(token.as_bytes(), realm, issuer);
                let read = read.ok_or_else(|| Error::Unacceptable(NO_TOKEN.to_owned()))?;
                let session = read.names.session.map(|pair| (AuditSubject::Session, pair));
                let user = match user {
                    Some(user) => Some(NamePair::of_user(realm, issuer, user)),
                    None => read.sub,
                };
                let user = user.map(|pair| (AuditSubject::User, pair));
                let own = [(AuditSubject::Token, read.names.token)];
                let own = own.into_iter().chain(session).chain(user).collect();
                Ok(LookupNames { own, has_all: true, issued: Issued::At(read.iat) })
            }
            _ => Err(Error::Unacceptable(SUBJECT.to_owned())),
        }
    }
}

impl FoundRecord {
    /// Returns what the record means for the subject, in words.
    pub(crate) fn effect(&self) -> String {
        match (&self.issued_before, self.applies) {
            (None, _) => "refused".to_owned(),
            (Some(_), Some(false)) => "does not apply: the token was issued later".to_owned(),
            (Some(before), _) => format!("tokens issued before {before} are refused"),
        }
    }
}

impl Issued {
    /// Returns whether a cutoff applies; `None` if that is not known.
    fn is_before(self, cutoff: u64) -> Option<bool> {
        match self {
            Self::NoToken => Some(true),
            Self::Unknown => None,
            Self::At(iat) => Some(iat.is_none_or(|iat| iat < cutoff)),
        }
    }
}

const SUBJECT: &str = "Name one of `jti`, `user_id`, `sid`, `credential` and `token`; a token may come \
    with its `user_id`.";

const NO_TOKEN: &str =
    "`token` is no JWT that a proxy accepts, or it names another issuer than `issuer`.";

const NO_SECRETS: &str =
    "A token or an API key must not be in an address: send it with POST, as JSON.";

/// Longest body: the longest token that a proxy reads, with escapes.
const BODY_BYTES: usize = 128 * 1024;
