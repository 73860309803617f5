//! Promise: at most one VM holds the lease, and a live VM holds it at nearly all times.

use proptest::prelude::*;

use super::*;
use crate::shared::InMemory;

fn space() -> KeySpace {
    KeySpace::of_feed("", "signout", "signout")
}

fn leases(count: u8) -> Vec<Lease> {
    (1..=count).map(|owner| Lease::new(&space(), [owner; 16])).collect()
}

#[derive(Clone, Debug)]
enum LeaseEvent {
    Tick,
    Serve,
    Release,
    Bar,
    Die,
}

fn event() -> impl Strategy<Value = (usize, u64, LeaseEvent)> {
    let event = prop_oneof![
        10 => Just(LeaseEvent::Tick),
        1 => Just(LeaseEvent::Serve),
        1 => Just(LeaseEvent::Release),
        1 => Just(LeaseEvent::Bar),
        1 => Just(LeaseEvent::Die),
    ];
    (0..3usize, 0..2_000u64, event)
}

proptest! {
    #[test]
    fn at_most_one_vm_holds_the_lease(events in prop::collection::vec(event(), 0..100)) {
        let shared = InMemory::default();
        let (mut leases, mut now) = (leases(3), 10_000);
        for (index, (vm, time, event)) in events.into_iter().enumerate() {
            now += time;
            match event {
                LeaseEvent::Tick => leases[vm].tick(&shared, now),
                LeaseEvent::Serve => leases[vm].note_request(),
                LeaseEvent::Release => leases[vm].release(&shared, now),
                LeaseEvent::Bar => leases[vm].bar(now, 5_000),
                LeaseEvent::Die => leases[vm] = Lease::new(&space(), [10 + index as u8; 16]),
            }
            prop_assert!(leases.iter().filter(|lease| lease.is_held(now)).count() <= 1);
        }
    }

    #[test]
    fn a_dead_leader_is_replaced_within_two_terms(serving: [bool; 2], time in 0..10_000u64) {
        let shared = InMemory::default();
        let mut leases = leases(3);
        leases[0].tick(&shared, 10_000);
        prop_assert!(leases[0].is_held(10_000));
        for (lease, serves) in leases[1..].iter_mut().zip(serving) {
            if serves {
                lease.note_request();
            }
        }
        // The owner keeps the lease as long as it ticks. Then it dies.
        let died = 10_000 + time;
        for now in (10_000..=died).step_by(1_000) {
            leases.iter_mut().for_each(|lease| lease.tick(&shared, now));
            prop_assert!(leases[0].is_held(now));
        }
        let others = &mut leases[1..];
        for now in (died..).step_by(1_000).take_while(|now| *now <= died + 2 * TERM_MILLISECONDS + 1_000) {
            others.iter_mut().for_each(|lease| lease.tick(&shared, now));
        }
        prop_assert!(others.iter().any(|lease| lease.held_until.is_some()));
    }
}

#[test]
fn a_serving_vm_yields_to_an_idle_vm() {
    let shared = InMemory::default();
    let mut leases = leases(2);
    leases[0].note_request();
    for now in (10_000..40_000).step_by(1_000) {
        leases.iter_mut().for_each(|lease| lease.tick(&shared, now));
        assert!(!leases[0].is_held(now) && leases[1].is_held(now), "{now}");
    }
}

#[test]
fn a_transfer_leaves_no_time_without_a_leader() {
    let shared = InMemory::default();
    let mut leases = leases(2);
    leases.iter_mut().for_each(|lease| lease.tick(&shared, 10_000));
    assert!(leases[0].is_held(10_000) && !leases[0].should_let_go(10_000));
    leases[0].note_request();
    for now in [11_000, 12_000] {
        leases.iter_mut().for_each(|lease| lease.tick(&shared, now));
    }
    assert!(leases[1].is_successor() && leases[0].should_let_go(12_000));
    // While calls are pending, the leader keeps renewing the lease.
    for now in (13_000..30_000).step_by(1_000) {
        leases.iter_mut().for_each(|lease| lease.tick(&shared, now));
        assert!(leases[0].is_held(now) && leases[1].is_successor(), "{now}");
    }
    leases[0].release(&shared, 30_000);
    leases[1].tick(&shared, 30_020);
    assert!(!leases[0].is_held(30_020) && leases[1].is_held(30_020) && !leases[1].is_successor());
    leases[1].note_request();
    for now in (31_000..60_000).step_by(1_000) {
        leases.iter_mut().for_each(|lease| lease.tick(&shared, now));
        assert!(leases[1].is_held(now) && !leases[1].should_let_go(now), "nobody is better");
    }
}

#[test]
fn a_lease_that_nobody_asks_for_is_kept() {
    let shared = InMemory::default();
    let mut leases = leases(2);
    leases[0].tick(&shared, 10_000);
    leases.iter_mut().for_each(Lease::note_request);
    for now in (11_000..40_000).step_by(1_000) {
        leases.iter_mut().for_each(|lease| lease.tick(&shared, now));
        assert!(
            leases[0].is_held(now) && !leases[0].should_let_go(now) && !leases[1].is_successor()
        );
    }
}

#[test]
fn a_successor_that_ends_or_dies_is_replaced() {
    for (ends, within) in [(true, 1_000), (false, TRANSFERRED_MILLISECONDS)] {
        let shared = InMemory::default();
        let mut leases = leases(3);
        leases[0].tick(&shared, 10_000);
        leases[0].note_request();
        leases[0].tick(&shared, 11_000);
        leases[1].tick(&shared, 11_000);
        assert!(leases[1].is_successor());
        if ends {
            leases[1].release(&shared, 11_500);
        }
        leases[0].tick(&shared, 12_000);
        leases[2].tick(&shared, 12_000);
        leases[0].tick(&shared, 12_001);
        assert!(leases[0].should_let_go(12_001));
        leases[0].release(&shared, 12_500);
        leases[2].tick(&shared, 12_500 + within);
        assert!(leases[2].is_held(12_500 + within), "{ends}");
    }
}

#[test]
fn a_foreign_lease_value_is_ignored() {
    let end = 10_000 + TERM_MILLISECONDS + 1;
    let far = LeaseValue { owner: [9; 16], end, next: NextLeader::Settled }.to_bytes();
    for value in [b"".as_slice(), b"SGL1", b"SGL1 and something else", &far] {
        let shared = InMemory::default();
        let mut lease = leases(1).remove(0);
        assert!(shared.set_if(&lease.key, value, Expect::Absent));
        lease.tick(&shared, 10_000);
        assert!(lease.is_held(10_000), "{value:?}");
    }
}
