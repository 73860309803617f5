//! Runs one schedule: processes and their service under random faults, followed by a quiet period.

use std::time::Duration;

use session_guard_core::call::Response;
use session_guard_core::feed::staleness::Knowledge;
use session_guard_core::feed::wire::Page;
use session_guard_core::revocation::horizon::{
    KEPT_AFTER_EXP_SECONDS, LARGEST_SKEW_SECONDS, is_past_for_service,
};
use session_guard_core::revocation::record::{Kind, NEVER, Record, RecordId};

use super::chance::Chance;
use super::memory::Memory;
use super::process::{MAX_STALENESS_SECONDS, SimulatedProcess, Which, sessions};
use super::service::{ModelService, after, page_key, response};

pub(super) struct World {
    chance: Chance,
    /// Whether each step is printed.
    aloud: bool,
    /// The true time since 1970, relative to which the clocks are wrong.
    time: Duration,
    service: ModelService,
    service_is_up: bool,
    service_ahead_seconds: i64,
    backups: Vec<ModelService>,
    processes: Vec<SimulatedProcess>,
    /// The records that may be revoked. `refused` stores, for each process, whether it has ever
    /// refused them.
    records: Vec<Record>,
    /// The cutoffs of sessions that sign-outs and the identity provider have set.
    session_cutoffs: Vec<Record>,
    /// By process, of the records and then of the cutoffs.
    refused: Vec<Vec<bool>>,
    /// Earlier responses to polls, for replays.
    responses: Vec<(String, Response)>,
    /// Whether clocks of proxies may jump by an hour.
    clocks_jump: bool,
    /// Whether configurations may rename the service's cluster.
    may_rename: bool,
    lives: u64,
}

/// The fault that affects a response.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Whole,
    Lost,
    Cut,
    Changed,
    /// An earlier response to the same poll arrives instead.
    Replayed,
    Foreign,
}

/// The initial state of all schedules: a process that has loaded the set of an empty service.
pub(super) struct InitialMemory {
    memory: Memory,
    service: ModelService,
}

impl InitialMemory {
    pub(super) fn new() -> Self {
        let service = ModelService::new(1, PAGE_RECORDS, LOG_ENTRIES);
        let ground = Self { memory: Memory::new(), service };
        let mut world = World::new(0, &ground, false);
        world.processes.truncate(1);
        world.records.clear();
        world.processes[0] = SimulatedProcess::new(Memory::new(), 1, BOOTED, 0);
        world.settle();
        Self { memory: world.processes.remove(0).memory, service: world.service }
    }
}

impl World {
    fn new(seed: u64, ground: &InitialMemory, aloud: bool) -> Self {
        let mut chance = Chance::new(seed);
        let count = if chance.one_in(4) { 3 } else { 2 };
        let time = Duration::from_secs(2_000_000_000);
        let processes: Vec<_> = (0..count)
            .map(|number| SimulatedProcess::new(ground.memory.clone(), 2, BOOTED, number + 1))
            .collect();
        let clocks_jump = chance.one_in(4);
        let records = some_records(&mut chance, time.as_secs(), clocks_jump);
        let refused = vec![vec![false; records.len()]; processes.len()];
        let service = ground.service.clone();
        Self {
            chance,
            aloud,
            // By then, the lease of the VM that loaded the initial state has ended.
            time: time + Duration::from_secs(20),
            backups: vec![service.clone()],
            service,
            service_is_up: true,
            service_ahead_seconds: 0,
            processes,
            records,
            session_cutoffs: Vec::new(),
            refused,
            responses: Vec::new(),
            clocks_jump,
            may_rename: false,
            lives: 10,
        }
    }

    /// Runs the schedule of this seed. Panics if a promise is broken.
    pub(super) fn live_through(seed: u64, ground: &InitialMemory, aloud: bool) {
        let mut world = Self::new(seed, ground, aloud);
        for process in 0..world.processes.len() {
            world.set_clock(process);
        }
        let mut restores = [0, 0, 0, 0, 0, 1, 2, 2][world.chance.below(8)];
        world.may_rename = restores == 0;
        for _ in 0..world.chance.between(10, 60) {
            // Restores are most dangerous during a full reload.
            let is_read = world.processes.iter().any(|process| process.cursor_text().contains('-'));
            if restores > 0 && world.chance.one_in(if is_read { 6 } else { 40 }) {
                restores -= 1;
                world.restore();
            }
            world.happen();
            world.check();
        }
        world.settle();
    }

    fn happen(&mut self) {
        let process = self.chance.below(self.processes.len());
        let vm = self.chance.below(2);
        match self.chance.below(100) {
            0..30 => self.let_time_pass(),
            30..52 => self.call_moves(process),
            52..62 => {
                for _ in 0..self.chance.between(1, 50) {
                    self.call_goes_well(process);
                }
            }
            62..74 => {
                let record = self.record();
                let session = self.session_cutoff(process, &record);
                self.say(|| format!("process {process} vm {vm}: sign-out {record:?} {session:?}"));
                self.processes[process].sign_out(vm, record, session, self.time);
            }
            74..78 if self.service_is_up => self.log_out_at_provider(),
            78..82 if self.service_is_up => {
                let record = self.record();
                let past = is_past_for_service(&record, self.service_unix_seconds());
                self.say(|| format!("service: revoke {record:?}"));
                let _ = !past && self.service.revoke(record);
            }
            82..85 => {
                self.service_is_up = !self.service_is_up;
                self.say(|| "service: stops or starts".to_owned());
            }
            85..88 => {
                self.lives += 1;
                self.say(|| format!("process {process} vm {vm}: dies"));
                self.processes[process].kill(vm, self.lives);
            }
            88 if self.chance.one_in(4) => self.restart(process),
            88 if self.may_rename => self.rename_service(process),
            89..93 => self.set_clock(process),
            93..97 => self.backups.push(self.service.clone()),
            _ => self.service.sweep(self.service_unix_seconds()),
        }
    }

    fn record(&mut self) -> Record {
        let record = self.chance.below(self.records.len());
        self.records[record]
    }

    /// The identity provider reports to the service that a session has ended, or repeats an earlier
    /// report.
    fn log_out_at_provider(&mut self) {
        let earlier = self.session_cutoffs.len();
        let cutoff = if earlier > 0 && self.chance.one_in(3) {
            self.session_cutoffs[self.chance.below(earlier)]
        } else {
            let session = sessions()[self.chance.below(2)];
            self.new_session_cutoff(session, self.service_unix_seconds())
        };
        self.say(|| format!("provider: logout {cutoff:?}"));
        self.service.revoke(cutoff);
    }

    /// Returns the cutoff of a session that ends at `now`, and notes it.
    fn new_session_cutoff(&mut self, session: RecordId, now: u64) -> Record {
        let cutoff = Record::session(session, now + 1, now + 1 + KEPT_AFTER_EXP_SECONDS);
        self.session_cutoffs.push(cutoff);
        self.refused.iter_mut().for_each(|of_process| of_process.push(false));
        cutoff
    }

    /// The cutoff that a sign-out with this token sets: every other token names a session.
    fn session_cutoff(&mut self, process: usize, record: &Record) -> Option<Record> {
        let names_session = record.kind == Kind::Token && record.id.0[0].is_multiple_of(2);
        if !names_session || self.clocks_jump {
            return None; // the service accepts no cutoff of a clock that is an hour ahead
        }
        let session = sessions()[usize::from(record.id.0[1] % 2)];
        let now = self.processes[process].now(self.time).unix_seconds;
        if self.processes[process].refuses(record) {
            return Some(Record::session(session, now + 1, now + 1 + KEPT_AFTER_EXP_SECONDS));
        }
        Some(self.new_session_cutoff(session, now))
    }

    /// Returns, for each session that has ended, the time of its last cutoff or of that for all: a
    /// sign-in from then on must work.
    fn new_sign_ins(&self) -> Vec<(RecordId, u64)> {
        let ended = |session: &RecordId| self.session_cutoffs.iter().any(|it| it.id == *session);
        let latest = |session: RecordId| {
            let applies = |it: &&Record| it.kind == Kind::All || it.id == session;
            let all = self.records.iter().chain(&self.session_cutoffs).filter(applies);
            (session, all.map(|it| it.issued_before).max().unwrap_or(0))
        };
        sessions().into_iter().filter(ended).map(latest).collect()
    }

    fn let_time_pass(&mut self) {
        let milliseconds = match self.chance.below(20) {
            0..10 => self.chance.between(0, 1_000),
            10..18 => self.chance.between(1_000, 3_000),
            18 => self.chance.between(3_000, 70_000),
            _ => self.chance.between(60_000, 700_000),
        };
        self.time += Duration::from_millis(milliseconds as u64);
        self.say(|| format!("{milliseconds} ms pass"));
        for process in 0..self.processes.len() {
            for vm in 0..2 {
                if !self.chance.one_in(4) {
                    self.processes[process].tick(vm, self.time);
                }
            }
        }
    }

    /// Lets one random call of the process reach the service or end.
    fn call_moves(&mut self, process: usize) {
        let flights = self.processes[process].flights();
        if flights.is_empty() {
            return;
        }
        let flight = flights[self.chance.below(flights.len())];
        if self.chance.one_in(2) {
            self.arrive(process, flight);
        } else {
            let fate = match self.chance.below(10) {
                0..5 => Fate::Whole,
                5 => Fate::Lost,
                6 => Fate::Cut,
                7 => Fate::Changed,
                8 => Fate::Replayed,
                _ => Fate::Foreign,
            };
            self.come_back(process, flight, fate);
        }
    }

    fn call_goes_well(&mut self, process: usize) {
        let flights = self.processes[process].flights();
        if flights.is_empty() {
            return;
        }
        let flight = flights[self.chance.below(flights.len())];
        self.arrive(process, flight);
        self.come_back(process, flight, Fate::Whole);
    }

    /// Delivers the call to the service, perhaps for a second time.
    fn arrive(&mut self, process: usize, (vm, which): (usize, Which)) {
        if !self.service_is_up {
            return;
        }
        let now = self.service_unix_seconds();
        let flight = self.processes[process].flight(vm, which);
        let under_way = (self.time - flight.left_at).as_millis() as u64;
        let held = match self.chance.below(8) {
            0 => u32::MAX, // a wrong value
            part => (under_way * part as u64 / 7) as u32,
        };
        let response = self.service.response(&flight.call, held, now);
        if which == Which::Poll {
            self.responses.push((flight.call.path.clone(), response.clone()));
        }
        flight.response = Some(response);
        self.say(|| format!("process {process} vm {vm}: {which:?} arrives"));
    }

    fn come_back(&mut self, process: usize, (vm, which): (usize, Which), fate: Fate) {
        let call = self.processes[process].flight(vm, which).call.clone();
        let path = call.path.clone();
        let is_at_cursor = self.processes[process].cursor_text() == after(&call);
        let mut response = self.processes[process].flight(vm, which).response.take();
        match (fate, &mut response) {
            (Fate::Whole, _) => {}
            (Fate::Cut, Some(response)) => drop(response.body.pop()),
            (Fate::Changed, Some(response)) => {
                let at = self.chance.below(response.body.len());
                response.body[at] ^= 1 << self.chance.below(8);
            }
            (Fate::Replayed, response) if which == Which::Poll => {
                let earlier: Vec<_> = self.responses.iter().filter(|(of, _)| *of == path).collect();
                if !earlier.is_empty() {
                    *response = Some(earlier[self.chance.below(earlier.len())].1.clone());
                }
            }
            (Fate::Foreign, response) => *response = Some(foreign(&mut self.chance)),
            (_, response) => *response = None,
        }
        self.say(|| format!("process {process} vm {vm}: {which:?} comes back, {fate:?}"));
        let random = self.chance.number() as u32;
        let left_at = self.processes[process].flight(vm, which).left_at;
        self.processes[process].end((vm, which), response.as_ref(), random, self.time);
        if which == Which::Poll && is_at_cursor {
            self.note_proof(process, response.as_ref(), left_at);
        }
        self.say(|| format!("process {process} is at {:?}", self.processes[process].cursor_text()));
        self.check();
    }

    /// A page that was applied and is the last one proves that the set is complete.
    fn note_proof(&mut self, process: usize, response: Option<&Response>, left_at: Duration) {
        let process = &mut self.processes[process];
        let page = response.and_then(|response| Page::decode(&response.body, &page_key()).ok());
        let complete = |page: &Page| !page.more && process.cursor_text() == page.cursor.as_str();
        if let Some(page) = page.filter(complete) {
            let held = Duration::from_millis(page.held_milliseconds.into());
            process.proved_at = process.proved_at.max((left_at + held).min(self.time));
        }
    }

    fn restore(&mut self) {
        self.lives += 1;
        self.service = match self.chance.below(8) {
            0 => ModelService::new(self.lives, PAGE_RECORDS, LOG_ENTRIES),
            1 | 2 => self.backups[self.chance.below(self.backups.len())].restored(self.lives),
            _ => {
                // The service loses the most recent entries.
                let before = self.service.clone();
                self.service_is_up = true;
                for _ in 0..self.chance.between(1, 8) {
                    self.happen();
                    self.check();
                }
                before.restored(self.lives)
            }
        };
        self.say(|| "service: restored".to_owned());
    }

    fn restart(&mut self, process: usize) {
        self.lives += 1;
        self.say(|| format!("process {process}: restarts"));
        self.processes[process] = SimulatedProcess::new(Memory::new(), 2, BOOTED, self.lives);
        self.refused[process].fill(false);
        self.set_clock(process);
    }

    /// Renames the service's cluster. The service loses nothing by that, so the process may forget
    /// only records that no service stores any more.
    fn rename_service(&mut self, process: usize) {
        self.lives += 1;
        self.say(|| format!("process {process}: its configuration renames the service"));
        self.processes[process].rename_service(self.lives);
        let early = self.service_unix_seconds() + 60;
        let records = self.records.iter().chain(&self.session_cutoffs);
        for (record, refused) in records.zip(&mut self.refused[process]) {
            *refused &= !is_past_for_service(record, early); // no service stores it any more
        }
    }

    fn set_clock(&mut self, process: usize) {
        let far = if self.clocks_jump && self.chance.one_in(3) { 3_600 } else { CLOCKS_APART };
        self.processes[process].ahead_seconds = self.chance.between(-far, far);
        self.service_ahead_seconds = self.chance.between(-CLOCKS_APART, CLOCKS_APART);
    }

    /// Ends all faults, sets the clocks to at most half a minute of error, and lets time pass until
    /// the system has converged.
    fn settle(&mut self) {
        self.say(|| "quiet".to_owned());
        self.service_is_up = true;
        for process in 0..self.processes.len() {
            let ahead = self.chance.between(-CLOCKS_APART, CLOCKS_APART);
            self.processes[process].ahead_seconds = ahead;
            while let Some(&flight) = self.processes[process].flights().first() {
                if self.chance.one_in(2) {
                    self.arrive(process, flight);
                }
                self.come_back(process, flight, Fate::Whole);
                if self.chance.one_in(40) {
                    break;
                }
            }
        }
        let end = self.time + QUIET;
        let mut step = Duration::from_millis(500);
        while let Some(what) = self.amiss() {
            assert!(self.time < end, "{QUIET:?} of quiet, and still {what}");
            self.time += step;
            step = (step * 5 / 4).min(Duration::from_secs(3));
            for process in 0..self.processes.len() {
                for vm in 0..self.processes[process].vms.len() {
                    self.processes[process].tick(vm, self.time);
                }
                self.answer_all(process);
            }
            self.check();
        }
    }

    /// Answers all calls, except polls that the service would hold.
    fn answer_all(&mut self, process: usize) {
        loop {
            let flights = self.processes[process].flights();
            let next = flights.into_iter().find(|&(vm, which)| {
                let flight = self.processes[process].flight(vm, which);
                let waits = self.service.has_no_news(&flight.call);
                !waits || self.time - flight.left_at >= LONGEST_WAIT
            });
            let Some(flight) = next else { return };
            self.arrive(process, flight);
            self.come_back(process, flight, Fate::Whole);
        }
    }

    /// Checks the promises that every process must keep at all times.
    fn check(&mut self) {
        let early = self.service_unix_seconds() + 60;
        let sign_ins = self.new_sign_ins();
        for (number, process) in self.processes.iter_mut().enumerate() {
            let knowledge = process.knowledge(self.time);
            for &(session, iat) in &sign_ins {
                let refuses = process.refuses_of_session(session, iat);
                assert!(!refuses, "process {number} refuses a new sign-in to {session}");
            }
            let records = self.records.iter().chain(&self.session_cutoffs);
            for (record, refused) in records.zip(&mut self.refused[number]) {
                // After its feed was renamed, a process loads only records that the service still
                // stores.
                *refused &= knowledge != Knowledge::Never || !is_past_for_service(record, early);
                // Before the set is loaded, every token is refused.
                let refuses = knowledge == Knowledge::Never || process.refuses(record);
                // A proxy reduces a cutoff that is too far ahead of its clock, and loads the set again
                // when its clock has got there. Until then the tokens in between are not valid yet.
                let latest = process.now(self.time).unix_seconds + LARGEST_SKEW_SECONDS;
                *refused &= refuses || record.issued_before <= latest;
                // A sliding session renews its token: the same `jti` with a later `exp`, at most a
                // day later. A record may be dropped only after both clocks have passed that time.
                let kept_seconds = match record.kind {
                    Kind::Token => KEPT_AFTER_EXP_SECONDS,
                    Kind::User | Kind::All => LARGEST_SKEW_SECONDS,
                };
                let end = record.exp.saturating_add(kept_seconds);
                let service_has_passed = self.time.as_secs() > end.saturating_sub(30);
                let we_have_passed = process.latest_unix_seconds > end;
                let may_forget = service_has_passed && we_have_passed;
                assert!(
                    refuses || !*refused || may_forget,
                    "process {number} accepts again what it refused: {record:?}"
                );
                *refused |= refuses && knowledge != Knowledge::Never;
            }
            let age = self.time.saturating_sub(process.proved_at);
            match knowledge {
                Knowledge::Current => process.has_loaded = true,
                Knowledge::Never => assert!(!process.has_loaded, "process {number} forgot the set"),
                Knowledge::Stale => assert!(
                    age > Duration::from_secs(MAX_STALENESS_SECONDS),
                    "process {number} calls a proof of {age:?} ago too old"
                ),
            }
        }
    }

    /// Returns what still differs: every revocation that the service or a process has must be known
    /// to all.
    fn amiss(&mut self) -> Option<String> {
        let (time, now) = (self.time, self.service_unix_seconds());
        let records = self.records.iter().chain(&self.session_cutoffs);
        for record in records.filter(|record| !is_past_for_service(record, now)) {
            // A session's cutoff must be there itself: one for all may end earlier.
            let held = self.service.live.get(&record.key());
            let there = match sessions().contains(&record.id) {
                true => held.is_some_and(|held| held.covers(record)),
                false => self.service.refuses(record),
            };
            if there && !self.processes.iter().all(|process| process.refuses(record)) {
                return Some(format!("not everybody refuses {record:?}"));
            }
            if !there && self.processes.iter().any(|process| process.holds(record)) {
                return Some(format!("the service lacks {record:?}"));
            }
        }
        for (number, process) in self.processes.iter_mut().enumerate() {
            if process.knowledge(time) != Knowledge::Current {
                return Some(format!("process {number} knows nothing current"));
            }
            if !process.waiting().is_empty() {
                return Some(format!("the outbox of process {number} is not empty"));
            }
        }
        None
    }

    fn service_unix_seconds(&self) -> u64 {
        self.time.as_secs().saturating_add_signed(self.service_ahead_seconds)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.aloud {
            println!("{:?} {}", self.time, what());
        }
    }
}

/// Returns random revocations. The cutoffs of one user differ only in their time, so that a verdict
/// shows which of them is known.
fn some_records(chance: &mut Chance, now: u64, clocks_jump: bool) -> Vec<Record> {
    let user = RecordId([7 << 5; 16]);
    let cutoffs_end = any_exp(chance, now);
    let ahead = if clocks_jump { 0 } else { 250 };
    let mut any_record = || {
        let issued_before = now.saturating_add_signed(chance.between(-1_000, ahead));
        match chance.below(8) {
            0 => Record::all("", issued_before, cutoffs_end),
            1 | 2 => Record::user(user, issued_before, cutoffs_end),
            _ => {
                let mut id = RecordId([0; 16]);
                id.0[..8].copy_from_slice(&chance.number().to_be_bytes());
                let long_ago = if chance.one_in(6) { KEPT_AFTER_EXP_SECONDS } else { 0 };
                let exp = any_exp(chance, now);
                Record::token(id, if exp == NEVER { NEVER } else { exp - long_ago })
            }
        }
    };
    let first = any_record();
    let mut records: Vec<_> = (0..6).map(|_| any_record()).collect();
    records.truncate(chance.below(7));
    records.push(first);
    records
}

/// Returns an `exp` during the schedule, later, or never.
fn any_exp(chance: &mut Chance, now: u64) -> u64 {
    match chance.below(4) {
        0 => NEVER,
        1 => now + chance.between(0, 300) as u64,
        _ => now + chance.between(300, 5_000) as u64,
    }
}

/// Returns a response that Envoy or another server might send in the service's place.
fn foreign(chance: &mut Chance) -> Response {
    let status = [200, 204, 400, 404, 500, 503, 504][chance.below(7)];
    response(status, "text/plain", b"upstream connect error".to_vec())
}

const PAGE_RECORDS: usize = 3;

/// So few that a proxy which was disconnected needs a full reload.
const LOG_ENTRIES: usize = 12;

/// The most by which synchronised clocks may differ.
const CLOCKS_APART: i64 = 25;

/// The longest time until the system has converged. It consists of the longest backoff, the longest
/// wait of a poll, and a reset that is delayed because there was another less than a minute ago.
const QUIET: Duration = Duration::from_secs(400);

const LONGEST_WAIT: Duration = Duration::from_secs(30);

const BOOTED: Duration = Duration::from_secs(50);
