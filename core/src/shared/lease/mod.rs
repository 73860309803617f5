//! Which VM of this process talks to the service?
//!
//! The one that holds the lease: a value in shared data with its owner's name and the moment of its
//! end, changed by compare-and-swap. It is taken on ticks alone, since Envoy configures a VM that
//! never ticks; whoever dies with it is replaced after its end.
//!
//! Best is the main thread, which serves no requests. It cannot be recognised, so those who have
//! served one stand back: they wait one more term, and offer once a lease that they took before. They
//! keep it until a VM that has served nothing asks for it, and hand it over between two calls; that
//! VM ticks fast meanwhile. Whatever comes in between would be learned a tick later.

use crate::shared::names::{KeySpace, SharedName};
use crate::shared::{Expect, SharedData};

/// How long the lease lasts without being renewed.
pub const TERM_MILLISECONDS: u64 = 6_000;

/// A VM's name in the lease: a random UUID.
pub type Owner = [u8; 16];

/// One VM's view of the lease.
#[derive(Clone, Debug)]
pub struct Lease {
    owner: Owner,
    key: SharedName,
    /// Until when this VM holds it, if it does.
    held_until: Option<u64>,
    has_served: bool,
    /// Whether it was taken before this VM had served a request.
    taken_idle: bool,
    /// Whether another VM has asked for it, as of the last tick, where this VM holds it.
    has_heir: bool,
    /// Whether this VM has asked for it.
    is_heir: bool,
    /// When this VM first saw that there is no lease.
    vacant_since: Option<u64>,
    /// Until when this VM does not want it.
    barred_until: u64,
}

impl Lease {
    /// A VM that does not hold the lease.
    #[must_use]
    pub fn new(space: &KeySpace, owner: Owner) -> Self {
        Self {
            owner,
            key: space.name("lease", None),
            held_until: None,
            has_served: false,
            taken_idle: false,
            has_heir: false,
            is_heir: false,
            vacant_since: None,
            barred_until: 0,
        }
    }

    /// Whether this VM holds the lease at that time; monotonic milliseconds here and below.
    #[must_use]
    pub fn is_held(&self, now: u64) -> bool {
        self.held_until.is_some_and(|end| now < end)
    }

    /// This VM serves requests.
    pub fn note_request(&mut self) {
        self.has_served = true;
    }

    /// Whether this VM had better let go, as soon as none of its calls is under way.
    #[must_use]
    pub fn should_let_go(&self, now: u64) -> bool {
        self.is_held(now) && (self.is_barred(now) || self.has_heir)
    }

    /// Whether this VM does not want the lease now: the service would refuse it.
    #[must_use]
    pub fn is_barred(&self, now: u64) -> bool {
        now < self.barred_until
    }

    /// Whether the lease may come to this VM at any moment, so that it had better tick soon.
    #[must_use]
    pub fn is_heir(&self) -> bool {
        self.is_heir
    }

    /// Takes, renews, offers or asks for the lease, whatever is due.
    pub fn tick(&mut self, shared: &dyn SharedData, now: u64) {
        let found = shared.get(&self.key);
        let expect = found.as_ref().map_or(Expect::Absent, |found| Expect::At(found.version));
        // An end further away than a term is not of our making.
        let held = found.and_then(|found| LeaseValue::from_bytes(&found.value));
        let held = held.filter(|held| held.end <= now.saturating_add(TERM_MILLISECONDS));
        let had_it = self.held_until.is_some();
        self.held_until = held.filter(|held| held.owner == self.owner).map(|held| held.end);
        self.is_heir = false;
        self.has_heir = false;
        let vacant_since = match held {
            Some(held) if now < held.end => {
                self.vacant_since = None;
                if self.is_held(now) {
                    // Where another VM has handed it over, nobody has served in between.
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
            self.take(shared, now, Next::Settled, expect);
        }
    }

    /// Lets go, if this VM holds the lease: it is the heir's or, where nobody asked for it, there to
    /// be taken, so that nobody has to wait for its end. Who asked for it does not any more.
    pub fn release(&mut self, shared: &dyn SharedData, now: u64) {
        let found = shared.get(&self.key);
        let held = found.as_ref().and_then(|found| LeaseValue::from_bytes(&found.value));
        if let (Some(found), Some(held)) = (found, held) {
            let is_ours = self.is_held(now) && held.owner == self.owner;
            let next = match held.next {
                Next::Heir(owner) if is_ours => {
                    let end = now.saturating_add(HANDED_OVER_MILLISECONDS);
                    Some(LeaseValue { owner, end, next: Next::Settled })
                }
                _ if is_ours => Some(LeaseValue::vacant(now)),
                Next::Heir(heir) if heir == self.owner => {
                    Some(LeaseValue { next: Next::Offered, ..held })
                }
                _ => None,
            };
            // Where the write fails, the lease is another's already, or soon.
            let _ = next.is_some_and(|next| {
                shared.set_if(&self.key, &next.to_bytes(), Expect::At(found.version))
            });
        }
        self.held_until = None;
        self.has_heir = false;
        self.is_heir = false;
    }

    /// This VM does not want the lease for that long, and lets go of it when it can.
    pub fn bar(&mut self, now: u64, milliseconds: u64) {
        self.barred_until = now.saturating_add(milliseconds);
    }

    /// Renews a lease of ours, and offers it where this VM had better not have it.
    fn keep(&mut self, shared: &dyn SharedData, now: u64, held: LeaseValue, expect: Expect) {
        let stands_back = self.has_served && self.taken_idle;
        let next = match held.next {
            Next::Settled if stands_back => Next::Offered,
            next => next,
        };
        self.has_heir = matches!(next, Next::Heir(_));
        let is_due = held.end - now <= TERM_MILLISECONDS * 2 / 3 || next != held.next;
        if is_due && !self.is_barred(now) {
            self.take(shared, now, next, expect);
        }
    }

    /// Asks for a lease that another VM offers.
    fn ask_for(&mut self, shared: &dyn SharedData, now: u64, held: LeaseValue, expect: Expect) {
        self.is_heir = match held.next {
            Next::Offered if !self.has_served && !self.is_barred(now) => {
                let asked = LeaseValue { next: Next::Heir(self.owner), ..held };
                shared.set_if(&self.key, &asked.to_bytes(), expect)
            }
            next => next == Next::Heir(self.owner),
        };
    }

    fn take(&mut self, shared: &dyn SharedData, now: u64, next: Next, expect: Expect) {
        let end = now.saturating_add(TERM_MILLISECONDS);
        let held = LeaseValue { owner: self.owner, end, next };
        let taken = shared.set_if(&self.key, &held.to_bytes(), expect);
        self.held_until = taken.then_some(end);
        self.vacant_since = None;
    }
}

/// The lease as it lies in shared data: magic, owner (16 bytes), end (8 bytes, big endian), and who
/// is next (16 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LeaseValue {
    owner: Owner,
    end: u64,
    next: Next,
}

/// To whom the lease goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It stays.
    Settled,
    /// To whoever asks for it.
    Offered,
    /// To that VM, as soon as no call is under way.
    Heir(Owner),
}

impl LeaseValue {
    /// A lease that is nobody's since then.
    fn vacant(end: u64) -> Self {
        Self { owner: NOBODY, end, next: Next::Settled }
    }

    fn to_bytes(self) -> Vec<u8> {
        let next = match self.next {
            Next::Settled => NOBODY,
            Next::Offered => ANYBODY,
            Next::Heir(owner) => owner,
        };
        [MAGIC, &self.owner, &self.end.to_be_bytes(), &next].concat()
    }

    fn from_bytes(value: &[u8]) -> Option<Self> {
        let (&owner, rest) = value.strip_prefix(MAGIC)?.split_first_chunk()?;
        let (&end, next) = rest.split_first_chunk()?;
        let next = match Owner::try_from(next).ok()? {
            NOBODY => Next::Settled,
            ANYBODY => Next::Offered,
            owner => Next::Heir(owner),
        };
        Some(Self { owner, end: u64::from_be_bytes(end), next })
    }
}

const MAGIC: &[u8] = b"SGL1";

/// Names that no VM has: theirs are random UUIDs.
const NOBODY: Owner = [0; 16];
const ANYBODY: Owner = [0xff; 16];

/// How long a lease lasts that was handed over: the heir renews it on its next tick, and should it
/// have died meanwhile, nobody waits for long.
const HANDED_OVER_MILLISECONDS: u64 = 2_000;

#[cfg(test)]
mod tests;
