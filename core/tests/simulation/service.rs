//! A model of the signout service, in memory: a log, and the live set derived from it.
//!
//! Everything it stores is durable, so a restart changes nothing. To restore a backup, a test
//! clones the service and gives the clone a new tag. The model implements the protocol
//! independently of the real service.

use std::collections::BTreeMap;

use session_guard_core::call::{Call, Response};
use session_guard_core::feed::wire::{CONTENT_TYPE, Cursor, Page, PageKey, RESET_PAGE_PREFIX_BITS};
use session_guard_core::headers::Headers;
use session_guard_core::revocation::horizon::{KEPT_AFTER_EXP_SECONDS, is_past_for_service};
use session_guard_core::revocation::record::{Kind, NEVER, Record, RecordId};

/// Records by the key under which they are merged.
pub(super) type RecordMap = BTreeMap<(RecordId, Kind), Record>;

/// The model of the service.
#[derive(Clone)]
pub(super) struct ModelService {
    /// The live records.
    pub(super) live: RecordMap,
    /// A request that contains one of these records is rejected as a whole.
    pub(super) refuses: Vec<Record>,
    /// The tag and the record of each entry. The first entry has no record.
    log: Vec<(u64, Option<Record>)>,
    /// Entries before this one have been deleted.
    oldest: usize,
    tag: u64,
    page_records: usize,
    log_entries: usize,
}

/// A position in the log: the number of an entry, counted from 1, and its tag.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ModelPosition(usize, u64);

impl ModelService {
    /// Creates an empty service whose entries have this tag. `page_records` limits the records of a
    /// page, and `log_entries` the entries of the log.
    pub(super) fn new(tag: u64, page_records: usize, log_entries: usize) -> Self {
        let log = vec![(tag, None)];
        let (live, refuses) = (RecordMap::new(), Vec::new());
        Self { live, refuses, log, oldest: 1, tag, page_records, log_entries }
    }

    /// Returns a clone that is restored from a backup. New entries have another tag.
    pub(super) fn restored(&self, tag: u64) -> Self {
        Self { tag, ..self.clone() }
    }

    /// Stores a record. Returns whether it adds anything.
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

    /// Returns whether a proxy with all records of the service refuses what this record revokes.
    pub(super) fn refuses(&self, record: &Record) -> bool {
        let cutoff = |held: &&Record| held.kind == Kind::All || held.key() == record.key();
        match record.kind {
            Kind::Token => self.live.contains_key(&record.key()),
            _ => (self.live.values().filter(cutoff))
                .any(|held| held.issued_before >= record.issued_before),
        }
    }

    /// Deletes records that have been expired for a day.
    pub(super) fn sweep(&mut self, unix_seconds: u64) {
        self.live
            .retain(|_, record| record.exp.saturating_add(KEPT_AFTER_EXP_SECONDS) >= unix_seconds);
    }

    /// Returns whether the service would hold this poll, because there is nothing new.
    pub(super) fn has_no_news(&self, call: &Call) -> bool {
        call.method == "GET" && after(call) == self.head().to_string()
    }

    /// Returns the response to a call.
    ///
    /// The response claims that the poll was held for `held_milliseconds`.
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

    /// Returns the position with this spelling, if the log still contains it.
    fn held(&self, text: &str) -> Option<ModelPosition> {
        let place = text.split_once('.')?.0.parse().ok()?;
        let known = (self.oldest..=self.log.len()).contains(&place);
        known.then(|| self.at(place)).filter(|position| position.to_string() == text)
    }

    /// Parses a cursor: all entries up to the first position are known, and some up to the second
    /// may be.
    fn read_after(&self, text: &str) -> Option<(ModelPosition, ModelPosition)> {
        let (after, seen) = text.split_once('-').unwrap_or((text, text));
        Some((self.held(after)?, self.held(seen)?))
    }

    /// Parses the cursor of a reset: the position where the reset began, and the next id.
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

/// Returns the key that the service and the proxies share.
pub(super) fn page_key() -> PageKey {
    PageKey::new(b"the API token of the simulation")
}

/// Creates a response with this status and content type.
pub(super) fn response(status: u16, content_type: &str, body: Vec<u8>) -> Response {
    let status = status.to_string();
    let pairs = [(":status", status.as_str()), ("content-type", content_type)];
    Response { headers: Headers::from_pairs(&pairs), body }
}

/// Returns the cursor that a poll sends, or an empty text if it sends none.
pub(super) fn after(call: &Call) -> String {
    let after = call.path.split_once("&after=").map_or("", |(_, after)| after);
    percent_encoding::percent_decode_str(after).decode_utf8_lossy().into_owned()
}

/// Returns the records in the body of a delivery.
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
