//! A service of the shape that the feed relies on, and a process of several VMs that follows it.
//!
//! The service is a log and the live set made of it; restored from a backup it forgets what came
//! later and numbers anew. Calls wait until a test says what becomes of them.

use std::collections::BTreeMap;

use super::super::*;
use crate::feed::wire::{CONTENT_TYPE, Cursor};
use crate::headers::Headers;
use crate::outbox::Due;
use crate::revocation::horizon::Horizon;
use crate::revocation::record::{Kind, NEVER, Record};
use crate::revocation::shard::{Place, Shard};
use crate::shared_data::InMemory;

pub(super) type Model = BTreeMap<(RecordId, Kind), Record>;

pub(super) fn add(model: &mut Model, record: Record) {
    model.entry(record.key()).and_modify(|held| *held = held.merge(record)).or_insert(record);
}

/// An upstream with a log.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) live: Model,
    /// Tag and record of each entry; the first holds none.
    pub(super) log: Vec<(u64, Option<Record>)>,
    /// What it writes from now on has this tag.
    pub(super) tag: u64,
    pub(super) page_records: usize,
    /// Refuses these, alone or in a batch.
    pub(super) refuses: Vec<Record>,
}

impl Service {
    pub(super) fn new(page_records: usize) -> Self {
        let log = vec![(1, None)];
        Self { live: Model::new(), log, tag: 1, page_records, refuses: Vec::new() }
    }

    pub(super) fn revoke(&mut self, record: Record) {
        let before = self.live.clone();
        add(&mut self.live, record);
        if self.live != before {
            self.log.push((self.tag, Some(self.live[&record.key()])));
        }
    }

    /// Whether it goes on from there without beginning a reset.
    pub(super) fn knows(&self, cursor: &Cursor) -> bool {
        let in_reset = cursor.as_str().strip_prefix('r').and_then(|rest| rest.rsplit_once('.'));
        self.length_at(in_reset.map_or(cursor.as_str(), |(began, _)| began)).is_some()
    }

    /// The answer to a call.
    pub(super) fn answer(&mut self, call: &Call, unix_seconds: u64) -> Answer {
        match call.method {
            "GET" => {
                let after = call.path.split_once("&after=").map_or("", |(_, after)| after);
                let page = self.page(after, unix_seconds);
                answer(200, CONTENT_TYPE, page.encode())
            }
            "POST" => self.take(&call.body),
            method => panic!("{method}"),
        }
    }

    fn take(&mut self, body: &[u8]) -> Answer {
        let list: Vec<serde_json::Value> = serde_json::from_slice(body).expect("a list");
        let records: Vec<_> = list.iter().map(read_record).collect();
        if records.iter().any(|record| self.refuses.contains(record)) {
            return answer(422, "application/json", br#"{"code":"unacceptable"}"#.to_vec());
        }
        records.into_iter().for_each(|record| self.revoke(record));
        answer(201, "application/json", br#"{"cursor":"1.a"}"#.to_vec())
    }

    fn cursor(&self, length: usize) -> String {
        format!("{length}.{}", self.log[length - 1].0)
    }

    fn length_at(&self, cursor: &str) -> Option<usize> {
        (1..=self.log.len()).find(|&length| self.cursor(length) == cursor)
    }

    fn page(&self, after: &str, now: u64) -> Page {
        if let Some(length) = self.length_at(after) {
            let end = self.log.len().min(length + self.page_records);
            let records = self.log[length..end].iter().filter_map(|entry| entry.1).collect();
            let range = (RecordId::FIRST, RecordId::LAST);
            return self.envelope(
                false,
                end < self.log.len(),
                self.cursor(end),
                range,
                records,
                now,
            );
        }
        let place = after.strip_prefix('r').and_then(|rest| rest.rsplit_once('.'));
        let place = place.filter(|(began, _)| self.length_at(began).is_some());
        let began = place.map_or(self.cursor(self.log.len()), |place| place.0.to_owned());
        let first = place.map_or(RecordId::FIRST, |place| place.1.parse().expect("an id"));
        let mut records: Vec<_> = self.live.values().filter(|r| r.id >= first).copied().collect();
        let next = records.get(self.page_records).map(|record| record.id);
        let next = next.filter(|&next| next > first);
        records.retain(|record| next.is_none_or(|next| record.id < next));
        match next {
            Some(next) => {
                let last = RecordId((u128::from_be_bytes(next.0) - 1).to_be_bytes());
                self.envelope(true, true, format!("r{began}.{next}"), (first, last), records, now)
            }
            None => {
                let more = began != self.cursor(self.log.len());
                self.envelope(true, more, began, (first, RecordId::LAST), records, now)
            }
        }
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
        let head = Cursor::new(&self.cursor(self.log.len())).expect("printable");
        Page { reset, more, now, cursor, head, range, records }
    }
}

pub(super) fn answer(status: u16, content_type: &str, body: Vec<u8>) -> Answer {
    let status = status.to_string();
    let pairs = [(":status", status.as_str()), ("content-type", content_type)];
    Answer { headers: Headers::from_pairs(&pairs), body }
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

/// One VM and its calls.
pub(super) struct Vm {
    pub(super) feed: Feed,
    pub(super) poll: Option<Call>,
    pub(super) tell: Option<Call>,
    /// All that it asked its host to count and to log.
    pub(super) counts: Vec<Count>,
    pub(super) notices: Vec<Notice>,
    pub(super) tick_within_milliseconds: Option<u64>,
}

/// A process of several VMs.
pub(super) struct Process {
    pub(super) shared: InMemory,
    pub(super) vms: Vec<Vm>,
    pub(super) now: Now,
    owners: u8,
}

impl Process {
    pub(super) fn new(vms: usize) -> Self {
        let now = Now { unix_seconds: 2_000, monotonic_milliseconds: 50_000 };
        let mut process = Self { shared: InMemory::default(), vms: Vec::new(), now, owners: 0 };
        for _ in 0..vms {
            let vm = process.new_vm();
            process.vms.push(vm);
        }
        process
    }

    fn new_vm(&mut self) -> Vm {
        self.owners += 1;
        let settings = Settings {
            realm: String::new(),
            cluster: "signout".to_owned(),
            authority: "signout".to_owned(),
            max_staleness_seconds: 300,
            tell_timeout_milliseconds: 2_000,
        };
        Vm {
            feed: Feed::new(&settings, [self.owners; 16]),
            poll: None,
            tell: None,
            counts: Vec::new(),
            notices: Vec::new(),
            tick_within_milliseconds: None,
        }
    }

    /// A VM dies, and its calls with it; another takes its place.
    pub(super) fn kill(&mut self, vm: usize) {
        self.vms[vm] = self.new_vm();
    }

    pub(super) fn advance(&mut self, milliseconds: u64) {
        let seconds = (self.now.monotonic_milliseconds + milliseconds) / 1_000
            - self.now.monotonic_milliseconds / 1_000;
        self.now.monotonic_milliseconds += milliseconds;
        self.now.unix_seconds += seconds;
    }

    pub(super) fn tick(&mut self, vm: usize) {
        let effects = self.vms[vm].feed.tick(&self.shared, self.now);
        self.carry_out(vm, effects);
    }

    /// The poll of that VM is answered; `None` if there was none under way.
    pub(super) fn answer_poll(&mut self, vm: usize, answer: Option<&Answer>) {
        if self.vms[vm].poll.take().is_some() {
            let effects = self.vms[vm].feed.poll_answered(&self.shared, self.now, 0, answer);
            self.carry_out(vm, effects);
        }
    }

    pub(super) fn answer_tell(&mut self, vm: usize, answer: Option<&Answer>) {
        if self.vms[vm].tell.take().is_some() {
            let effects = self.vms[vm].feed.tell_answered(&self.shared, self.now, 0, answer);
            self.carry_out(vm, effects);
        }
    }

    fn carry_out(&mut self, vm: usize, effects: Effects) {
        let vm = &mut self.vms[vm];
        if let Some(call) = effects.poll {
            assert!(vm.poll.replace(call).is_none(), "two polls are under way");
        }
        if let Some(call) = effects.tell {
            assert!(vm.tell.replace(call).is_none(), "two tells are under way");
        }
        vm.counts.extend(effects.counts);
        vm.notices.extend(effects.notices);
        vm.tick_within_milliseconds = effects.tick_within_milliseconds;
    }

    /// What a request to a sign-out route does first.
    pub(super) fn sign_out(&self, record: Record) {
        let feed = &self.vms[0].feed;
        feed.set().add(&self.shared, &[record], Horizon::NONE).unwrap();
        let due = Due::AfterGraceFrom(self.now.monotonic_milliseconds);
        feed.outbox().put(&self.shared, &[record], due).unwrap();
    }

    /// Time passes, and every call is answered by the service.
    pub(super) fn settle(&mut self, service: &mut Service, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.advance(100);
            for vm in 0..self.vms.len() {
                self.tick(vm);
                if let Some(call) = self.vms[vm].tell.clone() {
                    let answer = service.answer(&call, self.now.unix_seconds);
                    self.answer_tell(vm, Some(&answer));
                }
                // A poll without anything new is left waiting for a while.
                if let Some(call) = self.vms[vm].poll.clone() {
                    let answer = service.answer(&call, self.now.unix_seconds);
                    self.answer_poll(vm, Some(&answer));
                }
            }
        }
    }

    /// All that the set holds.
    pub(super) fn held(&self) -> Model {
        self.held_at(Place::all())
    }

    /// What the set holds at the places of these records.
    pub(super) fn held_of<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Model {
        self.held_at(records.into_iter().map(|record| Place::of(record.key())))
    }

    fn held_at(&self, places: impl Iterator<Item = Place>) -> Model {
        let mut held = Model::new();
        for place in places {
            let stored = self.shared.get(&place.key(&self.vms[0].feed.identity));
            let value = stored.as_ref().map(|stored| stored.value.as_slice());
            let shard = Shard::read(place, value).expect("well-formed");
            held.extend(shard.records().map(|record| (record.key(), record)));
        }
        held
    }

    pub(super) fn state(&self) -> FeedState {
        FeedState::read(&self.shared, &self.vms[0].feed.identity).0
    }
}
