//! Leader election among the VMs of one process. The leader polls the service.
//!
//! The leader lease is a value in shared data that contains the owner's UUID and the time when the
//! lease ends. VMs change it by compare-and-swap. A VM takes the lease only on a tick, because
//! Envoy also configures a VM that never ticks. If the leader dies, another VM takes the lease when
//! it has ended.
//!
//! The best leader is the VM of the main thread, because it serves no requests. A VM cannot tell
//! which thread it runs on. A VM that has served a request therefore waits one extra term before it
//! competes for the lease. A VM may have become the leader before its first request. After that
//! request it offers the lease, and remains the leader until a VM that has served no request asks
//! for it. It transfers the lease to that VM when none of its own calls is pending. Until then the
//! other VM ticks fast, so it learns of a revocation at most one tick late.

use crate::shared::names::{KeySpace, SharedName};
use crate::shared::{Expect, SharedData};

/// How long the lease lasts without being renewed.
pub const TERM_MILLISECONDS: u64 = 6_000;

/// The identity of a VM in the lease: a random UUID.
pub type Owner = [u8; 16];

/// One VM's view of the lease.
#[derive(Clone, Debug)]
pub struct Lease {
    owner: Owner,
    key: SharedName,
    /// The end of the lease, if this VM holds it.
    held_until: Option<u64>,
    has_served: bool,
    /// Whether this VM became the leader before it had served a request. Once it serves requests,
    /// it offers the lease.
    taken_idle: bool,
    /// Whether this VM is the leader and, on the last tick, another VM had asked for the lease. If
    /// so, this VM transfers the lease as soon as none of its calls is pending.
    has_successor: bool,
    /// Whether this VM has asked for the lease.
    is_successor: bool,
    /// The time when this VM first saw that no VM has ever held the lease.
    vacant_since: Option<u64>,
    /// The time until which this VM does not compete for the lease.
    barred_until: u64,
}

impl Lease {
    /// Creates the view of a VM that does not hold the lease.
    #[must_use]
    pub fn new(space: &KeySpace, owner: Owner) -> Self {
        Self {
            owner,
            key: space.name("lease", None),
            held_until: None,
            has_served: false,
            taken_idle: false,
            has_successor: false,
            is_successor: false,
            vacant_since: None,
            barred_until: 0,
        }
    }

    /// Returns whether this VM is the leader at this time. All times of this type are monotonic
    /// milliseconds.
    #[must_use]
    pub fn is_held(&self, now: u64) -> bool {
        self.held_until.is_some_and(|end| now < end)
    }

    /// Notes that this VM has served a request.
    pub fn note_request(&mut self) {
        self.has_served = true;
    }

    /// Returns whether this VM should release the lease as soon as none of its calls is pending.
    #[must_use]
    pub fn should_let_go(&self, now: u64) -> bool {
        self.is_held(now) && (self.is_barred(now) || self.has_successor)
    }

    /// Returns whether this VM does not compete for the lease now, because the service rejects its
    /// API token.
    #[must_use]
    pub fn is_barred(&self, now: u64) -> bool {
        now < self.barred_until
    }

    /// Returns whether the lease may be transferred to this VM at any time. Such a VM must tick
    /// soon.
    #[must_use]
    pub fn is_successor(&self) -> bool {
        self.is_successor
    }

    /// Takes, renews, offers, or asks for the lease.
    pub fn tick(&mut self, shared: &dyn SharedData, now: u64) {
        let found = shared.get(&self.key);
        let expect = found.as_ref().map_or(Expect::Absent, |found| Expect::At(found.version));
        // A lease that ends more than one term from now was not written by this filter.
        let held = found.and_then(|found| LeaseValue::from_bytes(&found.value));
        let held = held.filter(|held| held.end <= now.saturating_add(TERM_MILLISECONDS));
        let had_it = self.held_until.is_some();
        self.held_until = held.filter(|held| held.owner == self.owner).map(|held| held.end);
        self.is_successor = false;
        self.has_successor = false;
        let vacant_since = match held {
            Some(held) if now < held.end => {
                self.vacant_since = None;
                if self.is_held(now) {
                    // If another VM has transferred it, this VM had not served a request before.
                    self.taken_idle = if had_it { self.taken_idle } else { !self.has_served };
                    self.keep(shared, now, held, expect);
                } else {
                    self.ask_for(shared, now, held, expect);
                }
                return;
            }
            Some(held) => held.end,
            None => *self.vacant_since.get_or_insert(now),
        };
        let wait = if self.has_served { TERM_MILLISECONDS } else { 0 };
        if !self.is_barred(now) && now >= vacant_since.saturating_add(wait) {
            self.taken_idle = !self.has_served;
            self.take(shared, now, NextLeader::Settled, expect);
        }
    }

    /// If this VM holds the lease, releases it: transfers it to the VM that asked for it, or else
    /// ends it at once, so that no VM has to wait for its end. If this VM has only asked for the
    /// lease, withdraws the request.
    pub fn release(&mut self, shared: &dyn SharedData, now: u64) {
        let found = shared.get(&self.key);
        let held = found.as_ref().and_then(|found| LeaseValue::from_bytes(&found.value));
        if let (Some(found), Some(held)) = (found, held) {
            let is_ours = self.is_held(now) && held.owner == self.owner;
            let next = match held.next {
                NextLeader::Successor(owner) if is_ours => {
                    let end = now.saturating_add(TRANSFERRED_MILLISECONDS);
                    Some(LeaseValue { owner, end, next: NextLeader::Settled })
                }
                _ if is_ours => Some(LeaseValue::vacant(now)),
                NextLeader::Successor(asked) if asked == self.owner => {
                    Some(LeaseValue { next: NextLeader::Offered, ..held })
                }
                _ => None,
            };
            // If the write fails, another VM has the lease already, or will have it soon.
            let _ = next.is_some_and(|next| {
                shared.set_if(&self.key, &next.to_bytes(), Expect::At(found.version))
            });
        }
        self.held_until = None;
        self.has_successor = false;
        self.is_successor = false;
    }

    /// Keeps this VM from competing for the lease for this long. If it holds the lease, it releases
    /// it as soon as none of its calls is pending.
    pub fn bar(&mut self, now: u64, milliseconds: u64) {
        self.barred_until = now.saturating_add(milliseconds);
    }

    /// Renews this VM's lease, and offers it if another VM would be a better leader.
    fn keep(&mut self, shared: &dyn SharedData, now: u64, held: LeaseValue, expect: Expect) {
        let offers = self.has_served && self.taken_idle;
        let next = match held.next {
            NextLeader::Settled if offers => NextLeader::Offered,
            next => next,
        };
        self.has_successor = matches!(next, NextLeader::Successor(_));
        let is_due = held.end - now <= TERM_MILLISECONDS * 2 / 3 || next != held.next;
        if is_due && !self.is_barred(now) {
            self.take(shared, now, next, expect);
        }
    }

    /// Asks for the lease if the leader offers it.
    fn ask_for(&mut self, shared: &dyn SharedData, now: u64, held: LeaseValue, expect: Expect) {
        self.is_successor = match held.next {
            NextLeader::Offered if !self.has_served && !self.is_barred(now) => {
                let asked = LeaseValue { next: NextLeader::Successor(self.owner), ..held };
                shared.set_if(&self.key, &asked.to_bytes(), expect)
            }
            next => next == NextLeader::Successor(self.owner),
        };
    }

    fn take(&mut self, shared: &dyn SharedData, now: u64, next: NextLeader, expect: Expect) {
        let end = now.saturating_add(TERM_MILLISECONDS);
        let held = LeaseValue { owner: self.owner, end, next };
        let taken = shared.set_if(&self.key, &held.to_bytes(), expect);
        self.held_until = taken.then_some(end);
        self.vacant_since = None;
    }
}

/// The lease in shared data: magic, owner (16 bytes), end (8 bytes, big endian), and the next leader
/// (16 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LeaseValue {
    owner: Owner,
    end: u64,
    next: NextLeader,
}

/// The next leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextLeader {
    /// The leader keeps the lease and does not offer it.
    Settled,
    /// The first VM that asks for it gets the lease.
    Offered,
    /// This VM gets the lease as soon as no call of the leader is pending.
    Successor(Owner),
}

impl LeaseValue {
    /// Creates a lease that ended at `end` and has no owner.
    fn vacant(end: u64) -> Self {
        Self { owner: NOBODY, end, next: NextLeader::Settled }
    }

    fn to_bytes(self) -> Vec<u8> {
        let next = match self.next {
            NextLeader::Settled => NOBODY,
            NextLeader::Offered => ANYBODY,
            NextLeader::Successor(owner) => owner,
        };
        [MAGIC, &self.owner, &self.end.to_be_bytes(), &next].concat()
    }

    fn from_bytes(value: &[u8]) -> Option<Self> {
        let (&owner, rest) = value.strip_prefix(MAGIC)?.split_first_chunk()?;
        let (&end, next) = rest.split_first_chunk()?;
        let next = match Owner::try_from(next).ok()? {
            NOBODY => NextLeader::Settled,
            ANYBODY => NextLeader::Offered,
            owner => NextLeader::Successor(owner),
        };
        Some(Self { owner, end: u64::from_be_bytes(end), next })
    }
}

const MAGIC: &[u8] = b"SGL1";

/// Owner values that no VM has, because VMs use random UUIDs.
const NOBODY: Owner = [0; 16];
const ANYBODY: Owner = [0xff; 16];

/// How long a transferred lease lasts. The new leader renews it on its next tick. If the new leader
/// has died, other VMs wait only this long.
const TRANSFERRED_MILLISECONDS: u64 = 2_000;

#[cfg(test)]
mod tests;
