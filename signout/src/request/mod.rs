//! The body of a revocation call.
//!
//! There are two layers: the JSON as written (no unknown names, no repeated names, no `null`), and
//! the records that it stands for. A list is one batch. [Times](time) are whole seconds since 1970
//! UTC, or RFC 3339. A time that can only be in milliseconds is rejected, and the message says so.
//! Read as seconds, it would lie in the year 58,000, and such a cutoff would sign out everybody for
//! ever.
//!
//! A token stands for the two records that a sign-out in the filter would write: its own, and the
//! cutoff of its session if it names one and has an `iat`.

pub(crate) mod time;

use std::collections::HashMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use session_guard_core::revocation::horizon::{LARGEST_SKEW_SECONDS, is_past_for_service};
use session_guard_core::revocation::name::NamePair;
use session_guard_core::revocation::record::{Kind, NEVER, Record, RecordId, TIME_LIMIT_SECONDS};
use session_guard_core::sign_out::of_session;
use session_guard_core::token::is_session_id;
use session_guard_core::token::unverified::UnverifiedToken;

use crate::audit::{AuditNote, AuditSubject};
use crate::error::Error;
use crate::json_file::not_null;
use crate::plan::PlannedRecord;
use crate::request::time::WrittenTime;

/// Longest body: a full list with the longest ids that need no escapes.
pub(crate) const BODY_BYTES: usize = 4 << 20;

/// Longest list: more records than a proxy sends in one request.
pub(crate) const LIST_RECORDS: usize = 10_000;

/// How far in the future a cutoff may be. Clocks usually differ by less, and a cutoff that is so
/// little ahead does no harm.
pub(crate) const CUTOFF_AHEAD_SECONDS: u64 = 60;

/// The same limit for a record in the form of the feed. A proxy sets a cutoff later than the `iat`
/// of the request's token, which may be ahead of the service's clock by the largest clock skew.
pub(crate) const RECORD_AHEAD_SECONDS: u64 = LARGEST_SKEW_SECONDS;

/// Longest jti, user id and realm: what a proxy accepts in a token.
const ID_BYTES: usize = 256;

/// Longest issuer: what a proxy's configuration may name.
const ISSUER_BYTES: usize = 4_096;

/// Longest token and credential: what a proxy may read.
const TOKEN_BYTES: usize = 64 * 1024;

/// The longest wait of a response for the second of its cutoff. A cutoff for a token from the
/// future may be further ahead.
const LONGEST_HOLD_SECONDS: u64 = 2;

/// Longest reason, in bytes: enough for a sentence.
const REASON_BYTES: usize = 256;

/// The revocations of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    /// The records to store, cutoffs first.
    pub(crate) records: Vec<PlannedRecord>,
    /// The realms and reasons of the records.
    pub(crate) notes: Vec<AuditNote>,
    /// For each of `records`, the number of records of the request that come before it, with
    /// cutoffs first and expired records included. The last element is the number of all records.
    ranks: Vec<usize>,
    /// The number of records that have expired and are therefore not stored.
    pub(crate) past: usize,
    /// The second (since 1970 UTC) from which on the response may be sent. If the service chose the
    /// time of a cutoff, every token issued before the response is then refused, and every later
    /// one is accepted.
    pub(crate) answer_at: u64,
    /// Whether the request contains a cutoff for all users.
    pub(crate) has_all: bool,
    /// Whether the request contains anything but cutoffs for all users.
    pub(crate) has_others: bool,
    /// Whether the request contains records in the feed's form, which name no realm.
    pub(crate) has_records: bool,
}

impl Batch {
    /// Parses a body at `now` (seconds since 1970 UTC).
    pub(crate) fn read(body: &[u8], now: u64) -> Result<Self, Error> {
        let Body { written, form } = serde_json::from_slice(body).map_err(refusal)?;
        if form == RevocationForm::LongList {
            let detail = format!("A list may contain at most {LIST_RECORDS} revocations.");
            return Err(Error::TooLarge(detail));
        }
        let mut batch = Self {
            records: Vec::new(),
            notes: Vec::new(),
            ranks: Vec::new(),
            past: 0,
            answer_at: now,
            has_all: false,
            has_others: false,
            has_records: false,
        };
        let mut all = Vec::with_capacity(written.len());
        let mut notes = HashMap::new();
        for (at, written) in written.into_iter().enumerate() {
            let made_here = written.issued_before.is_none();
            batch.has_records |= written.id.is_some();
            let count = u16::try_from(notes.len()).unwrap_or(u16::MAX); // a list is shorter
            let note = *notes.entry(written.note()).or_insert(count);
            let revocations = written.revocations(now).map_err(|detail| {
                Error::Unacceptable(match form {
                    RevocationForm::One => detail,
                    RevocationForm::List | RevocationForm::LongList => {
                        format!("Revocation {at}: {detail}")
                    }
                })
            })?;
            for mut revocation in revocations {
                revocation.note = note;
                let record = &revocation.record;
                batch.has_all |= record.kind == Kind::All;
                batch.has_others |= record.kind != Kind::All;
                let is_past = is_past_for_service(record, now);
                if made_here && !is_past {
                    let cutoff = record.issued_before.min(now + LONGEST_HOLD_SECONDS);
                    batch.answer_at = batch.answer_at.max(cutoff);
                }
                all.push((revocation, is_past));
            }
        }
        all.sort_by_key(|(revocation, _)| revocation.record.kind == Kind::Token);
        let size = all.len();
        for (rank, (revocation, is_past)) in all.into_iter().enumerate() {
            match is_past {
                true => batch.past += 1,
                false => {
                    batch.records.push(revocation);
                    batch.ranks.push(rank);
                }
            }
        }
        batch.ranks.push(size);
        let mut notes: Vec<_> = notes.into_iter().collect();
        notes.sort_by_key(|(_, index)| *index);
        batch.notes = notes.into_iter().map(|(note, _)| note).collect();
        Ok(batch)
    }

    /// Returns how many records of the request the caller need not send again if the first `stored`
    /// of [`records`](Self::records) are stored. The count covers the cutoffs first, then the
    /// others in their order.
    pub(crate) fn accepted(&self, stored: usize) -> usize {
        self.ranks.get(stored).copied().unwrap_or_default()
    }
}

/// The body as written: one revocation or a list.
struct Body {
    written: Vec<Written>,
    form: RevocationForm,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RevocationForm {
    One,
    List,
    /// A list of more than [`LIST_RECORDS`] revocations. The rest was skipped.
    LongList,
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Body;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a revocation or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Body, A::Error> {
                let one = Written::deserialize(MapAccessDeserializer::new(members))?;
                Ok(Body { written: vec![one], form: RevocationForm::One })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Body, A::Error> {
                let (mut written, mut form) = (Vec::new(), RevocationForm::List);
                while written.len() < LIST_RECORDS {
                    match list.next_element()? {
                        Some(WrittenObject(one)) => written.push(one),
                        None => break,
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {
                    form = RevocationForm::LongList;
                }
                Ok(Body { written, form })
            }
        }
        from.deserialize_any(OneOrMany)
    }
}

/// One revocation as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, deserialize_with = "not_null")]
    jti: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    sid: Option<String>,
    /// An API key, or another opaque bearer value.
    #[serde(default, deserialize_with = "not_null")]
    credential: Option<String>,
    /// The token itself. Its signature is not checked: to revoke a forged token does no harm.
    #[serde(default, deserialize_with = "not_null")]
    token: Option<String>,
    /// The `iss` under which the value is revoked. If it is absent, the value is revoked under
    /// every issuer.
    #[serde(default, deserialize_with = "not_null")]
    issuer: Option<String>,
    /// Why it is revoked, for people.
    #[serde(default, deserialize_with = "not_null")]
    reason: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    kind: Option<WrittenKind>,
    #[serde(default, deserialize_with = "not_null")]
    id: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    issued_before: Option<WrittenTime>,
    #[serde(default, deserialize_with = "not_null")]
    exp: Option<WrittenTime>,
    #[serde(default, deserialize_with = "not_null")]
    realm: Option<String>,
    /// The id of the user's records, if `id` names a token or a session of that user.
    #[serde(default, deserialize_with = "not_null")]
    user: Option<String>,
    /// The token's `iat`, together with `user`.
    #[serde(default, deserialize_with = "not_null")]
    iat: Option<u64>,
}

/// [`Written`], parsed from an object only: the code that serde derives also accepts a list of the
/// members' values.
struct WrittenObject(Written);

impl<'de> Deserialize<'de> for WrittenObject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct RevocationVisitor;
        impl<'de> Visitor<'de> for RevocationVisitor {
            type Value = WrittenObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a revocation")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<WrittenObject, A::Error> {
                Written::deserialize(MapAccessDeserializer::new(members)).map(WrittenObject)
            }
        }
        from.deserialize_map(RevocationVisitor)
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenKind {
    Token,
    User,
    All,
}

impl Written {
    /// Returns the records that this revocation stands for: one record, or those of a token and its
    /// session.
    fn revocations(self, now: u64) -> Result<Vec<PlannedRecord>, String> {
        self.check_texts()?;
        if self.token.is_some() {
            let records = self.records_of_token(now)?;
            let subject = |kind| match kind {
                Kind::Token => AuditSubject::Token,
                Kind::User | Kind::All => AuditSubject::Session,
            };
            let revocation = |record: Record| PlannedRecord {
                subject: subject(record.kind),
                ..PlannedRecord::from(record)
            };
            return Ok(records.into_iter().map(revocation).collect());
        }
        self.revocation(now).map(|revocation| vec![revocation])
    }

    fn note(&self) -> AuditNote {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        AuditNote { realm: text(&self.realm), reason: text(&self.reason) }
    }

    fn revocation(self, now: u64) -> Result<PlannedRecord, String> {
        let (user, iat) = (self.user.clone(), self.iat);
        if (user.is_some() && self.id.is_none()) || (iat.is_some() && user.is_none()) {
            return Err("`user` needs `id`, and `iat` needs `user`.".to_owned());
        }
        let (is_session, is_credential) = (self.sid.is_some(), self.credential.is_some());
        let record = self.record(now)?;
        let user = user.map(|id| id.parse().map_err(|_| HEX.to_owned())).transpose()?;
        let of_account = match (record.kind, user) {
            (_, None) => None,
            (Kind::All, Some(_)) => return Err("The cutoff for all has no `user`.".to_owned()),
            (Kind::User, Some(user)) => Some(Record::user(user, record.issued_before, record.exp)),
            (Kind::Token, Some(user)) => {
                let iat = iat.map_or(Ok(0), |iat| seconds("iat", iat))?;
                // A token with a later `iat` would survive the cutoff.
                let is_covered = iat <= now + RECORD_AHEAD_SECONDS;
                is_covered.then(|| Record::user(user, now.max(iat) + 1, record.exp))
            }
        };
        let is_other = |user: Record| user.id != record.id;
        let subject = match record.kind {
            Kind::Token if is_credential => AuditSubject::Credential,
            Kind::User if is_session || of_account.is_some_and(is_other) => AuditSubject::Session,
            kind => kind.into(),
        };
        Ok(PlannedRecord { record, of_account, subject, note: 0 })
    }

    fn record(self, now: u64) -> Result<Record, String> {
        let exp = self.exp()?;
        let (kind, id) = self.subject()?;
        let ahead = if self.id.is_some() { RECORD_AHEAD_SECONDS } else { CUTOFF_AHEAD_SECONDS };
        match (kind, self.issued_before) {
            (Kind::Token, None) => Ok(Record::token(id, exp.unwrap_or(NEVER))),
            (Kind::Token, Some(_)) => Err(NO_CUTOFF.to_owned()),
            (_, cutoff) => {
                let cutoff = cutoff.map(WrittenTime::rounded_up);
                let issued_before =
                    cutoff.map_or(Ok(now + 1), |time| cutoff_at(time, now, ahead))?;
                Ok(Record { id, kind, issued_before, exp: exp.unwrap_or(NEVER) })
            }
        }
    }

    fn exp(&self) -> Result<Option<u64>, String> {
        self.exp.map(|exp| seconds("exp", exp.rounded_up())).transpose()
    }

    /// The records of the token itself and of its session.
    fn records_of_token(&self, now: u64) -> Result<Vec<Record>, String> {
        let names_more = self.names_one_of_several()
            || self.kind.is_some()
            || self.id.is_some()
            || self.user.is_some()
            || self.iat.is_some();
        if names_more {
            return Err(SUBJECT.to_owned());
        }
        if self.issued_before.is_some() {
            return Err(NO_CUTOFF.to_owned());
        }
        let token = self.token.as_deref().unwrap_or_default();
        let (realm, issuer) = (self.realm(), self.issuer.as_deref());
        let token = Some(token.as_bytes()).filter(|token| token.len() <= TOKEN_BYTES);
        let token = token.and_then(|token| UnverifiedToken::read(token, realm, issuer));
        let token = token.ok_or(NO_TOKEN)?;
        let exp = self.exp()?.or(token.exp);
        let own = Record::token(token.names.token.own(), exp.unwrap_or(NEVER));
        let session = token.names.session.map(NamePair::own).zip(token.iat);
        let session = session.map(|(session, iat)| of_session(session, iat, exp, now, None));
        Ok([own].into_iter().chain(session).collect())
    }

    fn names_one_of_several(&self) -> bool {
        let names = [&self.jti, &self.user_id, &self.sid, &self.credential];
        names.into_iter().any(Option::is_some)
    }

    fn realm(&self) -> &str {
        self.realm.as_deref().unwrap_or_default()
    }

    /// Checks the texts that any revocation may have.
    fn check_texts(&self) -> Result<(), String> {
        for (name, text, most) in [
            ("realm", &self.realm, ID_BYTES),
            ("issuer", &self.issuer, ISSUER_BYTES),
            ("reason", &self.reason, REASON_BYTES),
        ] {
            let text = text.as_deref().unwrap_or_default();
            if text.len() > most || text.chars().any(char::is_control) {
                return Err(format!(
                    "`{name}` has at most {most} bytes and no control characters."
                ));
            }
        }
        let issuer_is_used = self.jti.is_some()
            || self.user_id.is_some()
            || self.sid.is_some()
            || self.token.is_some();
        if self.issuer.is_some() && !issuer_is_used {
            return Err("`issuer` needs `jti`, `user_id`, `sid` or `token`.".to_owned());
        }
        Ok(())
    }

    /// Returns the kind and id of the record. The request must name its subject in exactly one way.
    fn subject(&self) -> Result<(Kind, RecordId), String> {
        let (realm, issuer) = (self.realm(), self.issuer.as_deref());
        let named = (&self.jti, &self.user_id, &self.sid, &self.credential);
        match (named, self.kind, &self.id) {
            ((Some(jti), None, None, None), None, None) => {
                Ok((Kind::Token, RecordId::of_token(realm, issuer, id_text("jti", jti)?)))
            }
            ((None, Some(user), None, None), None, None) => {
                let user = id_text("user_id", user)?;
                if user.chars().any(char::is_control) {
                    return Err("`user_id` has control characters.".to_owned());
                }
                Ok((Kind::User, RecordId::of_user(realm, issuer, user)))
            }
            ((None, None, Some(sid), None), None, None) => match is_session_id(sid) {
                true => Ok((Kind::User, RecordId::of_session(realm, issuer, sid))),
                false => Err("`sid` is 1 to 512 bytes.".to_owned()),
            },
            ((None, None, None, Some(credential)), None, None) => {
                match (1..=TOKEN_BYTES).contains(&credential.len()) {
                    true => {
                        let id = RecordId::of_credential(realm, credential.as_bytes());
                        Ok((Kind::Token, id))
                    }
                    false => Err(format!("`credential` is 1 to {TOKEN_BYTES} bytes.")),
                }
            }
            ((None, None, None, None), None, None) if self.issued_before.is_some() => {
                Ok((Kind::All, RecordId::of_all(realm)))
            }
            ((None, None, None, None), Some(WrittenKind::All), None) => {
                Ok((Kind::All, RecordId::of_all(realm)))
            }
            ((None, None, None, None), Some(kind), Some(id)) if self.realm.is_none() => {
                let id = id.parse().map_err(|_| HEX.to_owned())?;
                Ok((kind.into(), id))
            }
            _ => Err(SUBJECT.to_owned()),
        }
    }
}

impl From<WrittenKind> for Kind {
    fn from(kind: WrittenKind) -> Self {
        match kind {
            WrittenKind::Token => Self::Token,
            WrittenKind::User => Self::User,
            WrittenKind::All => Self::All,
        }
    }
}

fn id_text<'a>(name: &str, text: &'a str) -> Result<&'a str, String> {
    let sound = (1..=ID_BYTES).contains(&text.len());
    sound.then_some(text).ok_or_else(|| format!("`{name}` must have 1 to {ID_BYTES} bytes."))
}

fn seconds(name: &str, time: u64) -> Result<u64, String> {
    if time < TIME_LIMIT_SECONDS {
        return Ok(time);
    }
    Err(format!("`{name}` is {time}: times are seconds since 1970 UTC; are these milliseconds?"))
}

fn cutoff_at(time: u64, now: u64, ahead: u64) -> Result<u64, String> {
    match seconds("issued_before", time)? {
        0 => Err("`issued_before` is 0: that revokes nothing.".to_owned()),
        time if time > now + ahead => Err(format!(
            "`issued_before` is {time}, more than {ahead} seconds after now, which is {now}: this \
             would refuse future sign-ins."
        )),
        time => Ok(time),
    }
}

fn refusal(error: serde_json::Error) -> Error {
    match error.classify() {
        serde_json::error::Category::Data => Error::Unacceptable(format!("{error}.")),
        _ => Error::NotJson(format!("The body is not JSON: {error}.")),
    }
}

const HEX: &str = "`id` and `user` are 32 lower-case hex digits.";

const SUBJECT: &str = "A revocation names one of: `jti`; `user_id`; `sid`; `credential`; `token`; `kind` \
    and `id` as the feed gives them (without `realm`); or, for the cutoff for all, `issued_before` or \
    `kind`: `all`.";

const NO_CUTOFF: &str = "A token or credential has no `issued_before`. A cutoff needs `user_id` or `sid`, \
    or revokes all.";

const NO_TOKEN: &str =
    "`token` is no JWT that a proxy accepts, or it names another issuer than `issuer`.";

#[cfg(test)]
mod tests;
