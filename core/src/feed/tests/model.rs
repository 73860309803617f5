//! A process of several VMs that follows the feed. Its calls remain pending until a test responds
//! to them.

use super::super::*;
use super::service::{ModelService, RecordMap, page_key};
use crate::feed::outbox::DueTime;
use crate::revocation::horizon::Horizon;
use crate::revocation::record::Record;
use crate::revocation::shard::{Shard, ShardSlot};
use crate::shared::InMemory;

/// A VM and its calls.
pub(super) struct ModelVm {
    pub(super) feed: Feed,
    pub(super) poll: Option<Call>,
    pub(super) delivery: Option<Call>,
    /// All events that the VM asked its host to count and to log.
    pub(super) counts: Vec<FeedCount>,
    pub(super) notices: Vec<FeedNotice>,
    pub(super) tick_within_milliseconds: Option<u64>,
}

/// A process of several VMs.
pub(super) struct ModelProcess {
    pub(super) shared: InMemory,
    pub(super) vms: Vec<ModelVm>,
    pub(super) now: Now,
    /// The name of the service's cluster in the configuration.
    pub(super) cluster: String,
    owners: u8,
}

impl ModelProcess {
    pub(super) fn new(vms: usize) -> Self {
        let now = Now { unix_seconds: 2_000, monotonic_milliseconds: 50_000 };
        let mut process = Self {
            shared: InMemory::default(),
            vms: Vec::new(),
            now,
            cluster: "signout".to_owned(),
            owners: 0,
        };
        for _ in 0..vms {
            let vm = process.new_vm();
            process.vms.push(vm);
        }
        process
    }

    fn new_vm(&mut self) -> ModelVm {
        self.owners += 1;
        let settings = FeedSettings {
            realm: String::new(),
            cluster: self.cluster.clone(),
            authority: "signout".to_owned(),
            max_staleness_seconds: 300,
            delivery_timeout_milliseconds: 2_000,
        };
        ModelVm {
            feed: Feed::new(&settings, page_key(), [self.owners; 16]),
            poll: None,
            delivery: None,
            counts: Vec::new(),
            notices: Vec::new(),
            tick_within_milliseconds: None,
        }
    }

    /// Kills a VM with its calls, and starts another in its place.
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

    /// Responds to the poll of this VM, if one is pending. `None` means that the call failed.
    pub(super) fn answer_poll(&mut self, vm: usize, response: Option<&Response>) {
        if self.vms[vm].poll.take().is_some() {
            let effects = self.vms[vm].feed.poll_finished(&self.shared, self.now, 0, response);
            self.carry_out(vm, effects);
        }
    }

    pub(super) fn answer_tell(&mut self, vm: usize, response: Option<&Response>) {
        if self.vms[vm].delivery.take().is_some() {
            let effects = self.vms[vm].feed.delivery_finished(&self.shared, self.now, 0, response);
            self.carry_out(vm, effects);
        }
    }

    fn carry_out(&mut self, vm: usize, effects: FeedEffects) {
        let vm = &mut self.vms[vm];
        if let Some(call) = effects.poll {
            assert!(vm.poll.replace(call).is_none(), "two polls are under way");
        }
        if let Some(call) = effects.delivery {
            assert!(vm.delivery.replace(call).is_none(), "two tells are under way");
        }
        vm.counts.extend(effects.counts);
        vm.notices.extend(effects.notices);
        vm.tick_within_milliseconds = effects.tick_within_milliseconds;
    }

    /// Does the first steps of a request to a sign-out route.
    pub(super) fn sign_out(&self, record: Record) {
        let feed = &self.vms[0].feed;
        feed.set().add(&self.shared, &[record], Horizon::NONE).unwrap();
        let due = DueTime::AfterGraceFrom(self.now.monotonic_milliseconds);
        feed.outbox().put(&self.shared, &[record], due).unwrap();
    }

    /// Lets time pass while the service responds to every call.
    pub(super) fn settle(&mut self, service: &mut ModelService, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.advance(100);
            for vm in 0..self.vms.len() {
                self.tick(vm);
                if let Some(call) = self.vms[vm].delivery.clone() {
                    let response = service.response(&call, 0, self.now.unix_seconds);
                    self.answer_tell(vm, Some(&response));
                }
                // The service holds a poll for a while if there is nothing new.
                while let Some(call) = self.vms[vm].poll.clone() {
                    let response = service.response(&call, 0, self.now.unix_seconds);
                    self.answer_poll(vm, Some(&response));
                }
            }
        }
    }

    /// Returns all records of the set.
    pub(super) fn held(&self) -> RecordMap {
        self.held_at(ShardSlot::all())
    }

    /// Returns the records of the set in the shards of these records.
    pub(super) fn held_of<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> RecordMap {
        self.held_at(records.into_iter().map(|record| ShardSlot::of(record.key())))
    }

    fn held_at(&self, places: impl Iterator<Item = ShardSlot>) -> RecordMap {
        let mut held = RecordMap::new();
        for place in places {
            let stored = self.shared.get(&place.name(&self.vms[0].feed.space));
            let value = stored.as_ref().map(|stored| stored.value.as_slice());
            let shard = Shard::read(place, value).expect("well-formed");
            held.extend(shard.records().map(|record| (record.key(), record)));
        }
        held
    }

    pub(super) fn state(&self) -> FeedState {
        FeedState::read(&self.shared, &self.vms[0].feed.space).0
    }
}
