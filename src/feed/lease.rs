//! Which VM of this process talks to the service?
//!
//! The one that holds the lease: a value in shared data with its owner's name and the moment of its
//! end, changed by compare-and-swap. It is taken on ticks alone, since Envoy configures a VM that
//! never ticks; whoever dies with it is replaced after its end.
//!
//! Best is the main thread, which serves no requests. It cannot be recognised, so those who have
//! served one stand back: they wait one more term, and let go once of a lease that they took before.

use crate::feed::identity::{FeedIdentity, Key};
use crate::shared_data::{Expect, SharedData};

/// How long the lease lasts without being renewed.
pub const TERM_MILLISECONDS: u64 = 6_000;

/// A VM's name in the lease: a random UUID.
pub type Owner = [u8; 16];

/// One VM's view of the lease.
#[derive(Clone, Debug)]
pub struct Lease {
    owner: Owner,
    key: Key,
    /// Until when this VM holds it, if it does.
    held_until: Option<u64>,
    has_served: bool,
    /// Whether it was taken before this VM had served a request.
    taken_idle: bool,
    /// When this VM first saw that there is no lease.
    vacant_since: Option<u64>,
    /// Until when this VM does not want it.
    barred_until: u64,
}

impl Lease {
    /// A VM that does not hold the lease.
    #[must_use]
    pub fn new(identity: &FeedIdentity, owner: Owner) -> Self {
        Self {
            owner,
            key: identity.key("lease", None),
            held_until: None,
            has_served: false,
            taken_idle: false,
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
        self.is_held(now) && (now < self.barred_until || self.has_served && self.taken_idle)
    }

    /// Takes or renews the lease where that is due.
    pub fn tick(&mut self, shared: &dyn SharedData, now: u64) {
        let found = shared.get(&self.key);
        let expect = found.as_ref().map_or(Expect::Absent, |found| Expect::At(found.version));
        // An end further away than a term is not of our making.
        let lease = found.and_then(|found| read(&found.value));
        let lease = lease.filter(|&(_, end)| end <= now.saturating_add(TERM_MILLISECONDS));
        self.held_until = lease.filter(|lease| lease.0 == self.owner).map(|lease| lease.1);
        let vacant_since = match lease {
            Some((_, end)) if now < end => {
                self.vacant_since = None;
                let is_due = end - now <= TERM_MILLISECONDS * 2 / 3;
                if self.is_held(now) && is_due && now >= self.barred_until {
                    self.take(shared, now, expect);
                }
                return;
            }
            Some((_, end)) => end,
            None => *self.vacant_since.get_or_insert(now),
        };
        let wait = if self.has_served { TERM_MILLISECONDS } else { 0 };
        if now >= self.barred_until && now >= vacant_since.saturating_add(wait) {
            self.taken_idle = !self.has_served;
            self.take(shared, now, expect);
        }
    }

    /// Lets go, if this VM holds the lease, so that nobody has to wait for its end.
    pub fn release(&mut self, shared: &dyn SharedData, now: u64) {
        if let Some(found) = shared.get(&self.key).filter(|_| self.is_held(now)) {
            let mine = read(&found.value).is_some_and(|lease| lease.0 == self.owner);
            // Where the write fails, the lease is another's already.
            let _ =
                mine && shared.set_if(&self.key, &write([0; 16], now), Expect::At(found.version));
        }
        self.held_until = None;
    }

    /// This VM does not want the lease for that long, and lets go of it when it can.
    pub fn bar(&mut self, now: u64, milliseconds: u64) {
        self.barred_until = now.saturating_add(milliseconds);
    }

    fn take(&mut self, shared: &dyn SharedData, now: u64, expect: Expect) {
        let end = now.saturating_add(TERM_MILLISECONDS);
        let taken = shared.set_if(&self.key, &write(self.owner, end), expect);
        self.held_until = taken.then_some(end);
        self.vacant_since = None;
    }
}

fn write(owner: Owner, end: u64) -> Vec<u8> {
    [MAGIC, &owner, &end.to_be_bytes()].concat()
}

fn read(value: &[u8]) -> Option<(Owner, u64)> {
    let (&owner, end) = value.strip_prefix(MAGIC)?.split_first_chunk()?;
    Some((owner, u64::from_be_bytes(end.try_into().ok()?)))
}

const MAGIC: &[u8] = b"SGL1";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shared_data::InMemory;

    fn identity() -> FeedIdentity {
        FeedIdentity::new("", "signout", "signout")
    }

    fn leases(count: u8) -> Vec<Lease> {
        (1..=count).map(|owner| Lease::new(&identity(), [owner; 16])).collect()
    }

    #[derive(Clone, Debug)]
    enum Event {
        Tick,
        Serve,
        Release,
        Bar,
        Die,
    }

    fn event() -> impl Strategy<Value = (usize, u64, Event)> {
        let event = prop_oneof![
            10 => Just(Event::Tick),
            1 => Just(Event::Serve),
            1 => Just(Event::Release),
            1 => Just(Event::Bar),
            1 => Just(Event::Die),
        ];
        (0..3usize, 0..2_000u64, event)
    }

    proptest! {
        #[test]
        fn at_most_one_holds_the_lease(events in prop::collection::vec(event(), 0..100)) {
            let shared = InMemory::default();
            let (mut leases, mut now) = (leases(3), 10_000);
            for (index, (vm, time, event)) in events.into_iter().enumerate() {
                now += time;
                match event {
                    Event::Tick => leases[vm].tick(&shared, now),
                    Event::Serve => leases[vm].note_request(),
                    Event::Release => leases[vm].release(&shared, now),
                    Event::Bar => leases[vm].bar(now, 5_000),
                    Event::Die => leases[vm] = Lease::new(&identity(), [10 + index as u8; 16]),
                }
                prop_assert!(leases.iter().filter(|lease| lease.is_held(now)).count() <= 1);
            }
        }

        #[test]
        fn the_dead_are_replaced_within_two_terms(serving: [bool; 2], time in 0..10_000u64) {
            let shared = InMemory::default();
            let mut leases = leases(3);
            leases[0].tick(&shared, 10_000);
            prop_assert!(leases[0].is_held(10_000));
            for (lease, serves) in leases[1..].iter_mut().zip(serving) {
                if serves {
                    lease.note_request();
                }
            }
            // The owner keeps it as long as it ticks, and is then heard of no more.
            let died = 10_000 + time;
            for now in (10_000..=died).step_by(1_000) {
                leases.iter_mut().for_each(|lease| lease.tick(&shared, now));
                prop_assert!(leases[0].is_held(now));
            }
            let heirs = &mut leases[1..];
            for now in (died..).step_by(1_000).take_while(|now| *now <= died + 2 * TERM_MILLISECONDS + 1_000) {
                heirs.iter_mut().for_each(|lease| lease.tick(&shared, now));
            }
            prop_assert!(heirs.iter().any(|lease| lease.held_until.is_some()));
        }
    }

    #[test]
    fn who_serves_stands_back_for_who_does_not() {
        let shared = InMemory::default();
        let mut leases = leases(2);
        leases[0].note_request();
        for now in (10_000..40_000).step_by(1_000) {
            leases.iter_mut().for_each(|lease| lease.tick(&shared, now));
            assert!(!leases[0].is_held(now) && leases[1].is_held(now), "{now}");
        }
    }

    #[test]
    fn a_lease_that_is_not_of_our_making_is_none() {
        let far = write([9; 16], 10_000 + TERM_MILLISECONDS + 1);
        for value in [b"".as_slice(), b"SGL1", b"SGL1 and something else", &far] {
            let shared = InMemory::default();
            let mut lease = leases(1).remove(0);
            assert!(shared.set_if(&lease.key, value, Expect::Absent));
            lease.tick(&shared, 10_000);
            assert!(lease.is_held(10_000), "{value:?}");
        }
    }
}
