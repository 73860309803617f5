//! A signout service as the feed relies on it, in memory: a log, and the live set made of it.
//!
//! Everything it has is durable, so a restart changes nothing; who restores a backup takes a clone
//! and gives it new tags. It is a second reading of the protocol, written apart from the real one.

use std::collections::BTreeMap;

use session_guard_core::call::{Call, Response};
use session_guard_core::feed::wire::{CONTENT_TYPE, Cursor, Page, PageKey, RESET_PAGE_PREFIX_BITS};
use session_guard_core::headers::Headers;
use session_guard_core::revocation::horizon::{KEPT_AFTER_EXP_SECONDS, is_past_for_service};
use session_guard_core::revocation::record::{Kind, NEVER, Record, RecordId};

/// Records by what they are merged by.
pub(super) type RecordMap = BTreeMap<(RecordId, Kind), Record>;

/// The upstream.
#[derive(Clone)]
pub(super) struct ModelService {
    /// What it holds.
    pub(super) live: RecordMap,
    /// Refuses these, alone or in a batch.
    pub(super) refuses: Vec<Record>,
    /// Tag and record of each entry; the first holds none.
    log: Vec<(u64, Option<Record>)>,
    /// Entries before this one are forgotten.
    oldest: usize,
    tag: u64,
    page_records: usize,
    log_entries: usize,
}

/// An entry of the log: its place, from 1 on, and its tag.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ModelPosition(usize, u64);

impl ModelService {
    /// An empty one whose entries have that tag; a page holds so many records, and the log so many
    /// entries.
    pub(super) fn new(tag: u64, page_records: usize, log_entries: usize) -> Self {
        let log = vec![(tag, None)];
        let (live, refuses) = (RecordMap::new(), Vec::new());
        Self { live, refuses, log, oldest: 1, tag, page_records, log_entries }
    }

    /// The same, restored from a backup: what it writes from now on has another tag.
    pub(super) fn restored(&self, tag: u64) -> Self {
        Self { tag, ..self.clone() }
    }

    /// Stores a record; says whether it adds anything.
    pub(super) fn revoke(&mut self, record: Record) -> bool {
        let held = self.live.get(&record.key()).copied();
        if held.is_some_and(|held| held.covers(&record)) {
            return false;
        }
        let merged = held.map_or(record, |held| held.merge(record));
        self.live.insert(merged.key(), merged);
        self.log.push((self.tag, Some(merged)));
        self.oldest = self.oldest.max(self.log.len().saturating_sub(self.log_entries) + 1);
        true
    }

    /// Whether a proxy that knows what it holds refuses what the record revokes.
    pub(super) fn refuses(&self, record: &Record) -> bool {
        let cutoff = |held: &&Record| held.kind == Kind::All || held.key() == record.key();
        match record.kind {
            Kind::Token => self.live.contains_key(&record.key()),
            _ => (self.live.values().filter(cutoff))
                .any(|held| held.issued_before >= record.issued_before),
        }
    }

    /// Drops what has been past for a day.
    pub(super) fn sweep(&mut self, unix_seconds: u64) {
        self.live
            .retain(|_, record| record.exp.saturating_add(KEPT_AFTER_EXP_SECONDS) >= unix_seconds);
    }

    /// Whether it would let the poll wait.
    pub(super) fn has_no_news(&self, call: &Call) -> bool {
        call.method == "GET" && after(call) == self.head().to_string()
    }

    /// The response to a call.
    ///
    /// It claims to have held a poll for `held_milliseconds`.
    pub(super) fn response(
        &mut self,
        call: &Call,
        held_milliseconds: u32,
        unix_seconds: u64,
    ) -> Response {
        match call.method {
            "GET" => {
                let page = Page { held_milliseconds, ..self.page(&after(call), unix_seconds) };
                response(200, CONTENT_TYPE, page.encode(&page_key()))
            }
            "POST" => self.take(&call.body, unix_seconds),
            method => panic!("{method}"),
        }
    }

    fn take(&mut self, body: &[u8], now: u64) -> Response {
        let records = told(body);
        let refused = |r: &Record| self.refuses.contains(r) || r.issued_before > now + 300;
        if records.iter().any(refused) {
            return response(422, JSON, br#"{"code":"unacceptable","detail":""}"#.to_vec());
        }
        let mut added = false;
        for record in records.into_iter().filter(|record| !is_past_for_service(record, now)) {
            added |= self.revoke(record);
        }
        let body = format!(r#"{{"cursor":"{}"}}"#, self.head());
        response(if added { 201 } else { 200 }, JSON, body.into_bytes())
    }

    fn page(&self, after: &str, now: u64) -> Page {
        self.changes(after, now).unwrap_or_else(|| self.reset(after, now))
    }

    fn changes(&self, after: &str, now: u64) -> Option<Page> {
        let (from, seen) = self.read_after(after)?;
        let end = self.log.len().min(from.0 + self.page_records);
        let cursor = spell(self.at(end), seen);
        let records = self.log[from.0..end].iter().filter_map(|entry| entry.1).collect();
        let more = end < self.log.len();
        let range = (RecordId::FIRST, RecordId::LAST);
        Some(self.envelope(false, more, cursor, range, records, now))
    }

    fn reset(&self, after: &str, now: u64) -> Page {
        let head = self.head();
        let (began, first) = self.read_reset(after).unwrap_or((head, RecordId::FIRST));
        let first_number = u128::from_be_bytes(first.0);
        let end = RecordId((first_number | u128::MAX >> RESET_PAGE_PREFIX_BITS).to_be_bytes());
        let piece = self.live.range((first, Kind::Token)..=(end, Kind::All));
        let mut records: Vec<_> = piece.map(|(_, record)| *record).collect();
        let cut = records.get(self.page_records).map(|record| record.id).filter(|&id| id > first);
        records.retain(|record| cut.is_none_or(|cut| record.id < cut));
        let before = |id: RecordId| RecordId((u128::from_be_bytes(id.0) - 1).to_be_bytes());
        let last = cut.map_or(end, before);
        let (cursor, more) = match u128::from_be_bytes(last.0).checked_add(1) {
            Some(next) => (format!("r{began}-{head}.{next:032x}"), true),
            None => (spell(began, head), began != head),
        };
        self.envelope(true, more, cursor, (first, last), records, now)
    }

    fn envelope(
        &self,
        reset: bool,
        more: bool,
        cursor: String,
        range: (RecordId, RecordId),
        records: Vec<Record>,
        now: u64,
    ) -> Page {
        let cursor = Cursor::new(&cursor).expect("printable");
        let head = Cursor::new(&self.head().to_string()).expect("printable");
        Page { reset, more, now, held_milliseconds: 0, cursor, head, range, records }
    }

    fn at(&self, place: usize) -> ModelPosition {
        ModelPosition(place, self.log[place - 1].0)
    }

    fn head(&self) -> ModelPosition {
        self.at(self.log.len())
    }

    /// The entry that is spelled like this, if the log holds it.
    fn held(&self, text: &str) -> Option<ModelPosition> {
        let place = text.split_once('.')?.0.parse().ok()?;
        let known = (self.oldest..=self.log.len()).contains(&place);
        known.then(|| self.at(place)).filter(|position| position.to_string() == text)
    }

    /// Up to where everything is known, and the newest entry of which anything may be.
    fn read_after(&self, text: &str) -> Option<(ModelPosition, ModelPosition)> {
        let (after, seen) = text.split_once('-').unwrap_or((text, text));
        Some((self.held(after)?, self.held(seen)?))
    }

    /// Where the reset began, and the id that it goes on with.
    fn read_reset(&self, text: &str) -> Option<(ModelPosition, RecordId)> {
        let (entries, next) = text.strip_prefix('r')?.rsplit_once('.')?;
        Some((self.read_after(entries)?.0, next.parse().ok()?))
    }
}

impl std::fmt::Display for ModelPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:x}", self.0, self.1)
    }
}

fn spell(after: ModelPosition, seen: ModelPosition) -> String {
    if after.0 < seen.0 { format!("{after}-{seen}") } else { after.to_string() }
}

/// The key that the service and the proxies share.
pub(super) fn page_key() -> PageKey {
    PageKey::new(b"the API token of the simulation")
}

/// An response of that status and type.
pub(super) fn response(status: u16, content_type: &str, body: Vec<u8>) -> Response {
    let status = status.to_string();
    let pairs = [(":status", status.as_str()), ("content-type", content_type)];
    Response { headers: Headers::from_pairs(&pairs), body }
}

/// The cursor that a poll names; empty where it names none.
pub(super) fn after(call: &Call) -> String {
    let after = call.path.split_once("&after=").map_or("", |(_, after)| after);
    percent_encoding::percent_decode_str(after).decode_utf8_lossy().into_owned()
}

/// The records that such a body tells the service.
pub(super) fn told(body: &[u8]) -> Vec<Record> {
    let list: Vec<serde_json::Value> = serde_json::from_slice(body).expect("a list");
    list.iter().map(read_record).collect()
}

fn read_record(value: &serde_json::Value) -> Record {
    let kind = Kind::ALL.into_iter().find(|kind| value["kind"] == kind.name()).expect("a kind");
    Record {
        id: value["id"].as_str().expect("an id").parse().expect("hex"),
        kind,
        issued_before: value["issued_before"].as_u64().unwrap_or(0),
        exp: value["exp"].as_u64().unwrap_or(NEVER),
    }
}

const JSON: &str = "application/json";
