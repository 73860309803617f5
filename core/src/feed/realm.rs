//! Adopts undelivered revocations of other feeds of the same realm in this process.
//!
//! A feed is identified by realm, cluster and authority. If a configuration change renames the
//! service's cluster or authority, the new feed begins with an empty set and an empty outbox.
//! Revocations that the old feed could not deliver are then neither in a service nor in the new
//! set, and their tokens would be accepted again.
//!
//! Every feed therefore adds itself to a list, which all feeds of a realm share. The leader of a
//! feed [adopts](Adoption) the undelivered records of the other feeds of its realm: it adds them to
//! its own outbox and set. A record that its own set already covers is not adopted, because every
//! record in the set either came through the feed or is in the outbox. Adopting twice therefore has
//! no further effect, and two feeds do not pass a record back and forth. Nothing is removed from
//! the other outbox, because its feed may still be alive and use another service.
//!
//! The list contains `SGR1`, then 16 hex digits for each feed.

use crate::clock::Now;
use crate::feed::outbox::{DueTime, Outbox, OutgoingRecord, VALUES};
use crate::feed::repair;
use crate::revocation::horizon::Horizon;
use crate::revocation::set::RevocationSet;
use crate::shared::SharedData;
use crate::shared::names::{KeySpace, SharedName};
use crate::shared::swap::{Contended, swap};

/// The maximum number of feeds of one realm in the list. If there are more, the oldest feed with an
/// empty outbox is dropped from the list, or the oldest feed if no outbox is empty.
const FEEDS: usize = 64;

/// The number of entries after which the leader stops adopting. It continues a second later, so
/// that it does not block its thread for more than some milliseconds.
const ENTRIES_A_STEP: usize = 1_000;

/// The feeds of one realm, from the point of view of one of them.
#[derive(Clone, Copy, Debug)]
pub struct RealmFeeds {
    name: SharedName,
    own: KeySpace,
}

impl RealmFeeds {
    /// Creates the view of the feed with the key space `own`.
    #[must_use]
    pub fn new(realm: &str, own: KeySpace) -> Self {
        Self { name: KeySpace::of_realm(realm).name("feeds", None), own }
    }

    /// Adds this feed to the list.
    ///
    /// # Errors
    ///
    /// [`Contended`]: this feed is not in the list.
    pub fn register(&self, shared: &dyn SharedData) -> Result<(), Contended> {
        swap(shared, &self.name, |value| {
            let mut feeds = read(value.unwrap_or_default());
            if feeds.contains(&self.own) {
                return (None, ());
            }
            if feeds.len() >= FEEDS {
                let is_empty = |feed: &KeySpace| Outbox::new(*feed).len(shared) == 0;
                feeds.remove(feeds.iter().position(is_empty).unwrap_or(0));
            }
            feeds.push(self.own);
            (Some(write(&feeds)), ())
        })
    }

    /// Returns every record in the outboxes of the other feeds of the realm.
    #[must_use]
    pub fn records_of_others(&self, shared: &dyn SharedData) -> Vec<OutgoingRecord> {
        let outboxes = self.others(shared).into_iter().map(Outbox::new);
        outboxes.flat_map(|outbox| outbox.outgoing(shared)).collect()
    }

    fn others(&self, shared: &dyn SharedData) -> Vec<KeySpace> {
        let mut feeds = Vec::new();
        shared.read(&self.name, &mut |value, _| feeds = read(value));
        feeds.retain(|feed| *feed != self.own);
        feeds
    }
}

/// Adds the records that the set does not cover yet to the outbox and the set of a feed. Returns
/// their number.
///
/// # Errors
///
/// [`NotAdopted`]: some of the records have not been added.
pub fn adopt(
    shared: &dyn SharedData,
    set: &RevocationSet,
    outbox: &Outbox,
    mut outgoing: Vec<OutgoingRecord>,
    horizon: Horizon,
) -> Result<usize, NotAdopted> {
    outgoing.retain(|OutgoingRecord { record, .. }| {
        !horizon.has_passed(record) && set.covers(shared, record) != Ok(true)
    });
    if outgoing.is_empty() {
        return Ok(0);
    }
    // The outbox comes first, because a record that is only in the set would never be delivered.
    outbox.put(shared, &outgoing, DueTime::AtOnce).map_err(|_| NotAdopted)?;
    let records: Vec<_> = outgoing.iter().map(|outgoing| outgoing.record).collect();
    repair::add(shared, set, &records, Horizon::NONE).map_err(|_| NotAdopted)?;
    Ok(records.len())
}

/// The error when the outbox is full or other VMs keep writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAdopted;

/// The leader's position in the outboxes of the other feeds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Adoption {
    next: u16,
}

impl Adoption {
    /// Adopts due records of the other feeds, a bounded number at a time. Returns their number.
    pub fn step(
        &mut self,
        shared: &dyn SharedData,
        feeds: &RealmFeeds,
        (set, outbox): (&RevocationSet, &Outbox),
        horizon: Horizon,
        now: Now,
    ) -> usize {
        let others = feeds.others(shared);
        if others.is_empty() {
            return 0;
        }
        let (mut seen, mut adopted) = (0, 0);
        for _ in 0..VALUES {
            for other in &others {
                let (entries, due) = Outbox::new(*other).due_in(shared, now, self.next);
                seen += entries;
                // If this fails, the next step adopts the records, a second later.
                adopted += adopt(shared, set, outbox, due, horizon).unwrap_or(0);
            }
            self.next = (self.next + 1) % VALUES;
            if seen >= ENTRIES_A_STEP {
                break;
            }
        }
        adopted
    }
}

fn read(value: &[u8]) -> Vec<KeySpace> {
    let (feeds, rest) = value.strip_prefix(MAGIC).unwrap_or_default().as_chunks();
    let feeds: Option<Vec<_>> = feeds.iter().map(KeySpace::from_digits).collect();
    feeds.filter(|_| rest.is_empty()).unwrap_or_default()
}

fn write(feeds: &[KeySpace]) -> Vec<u8> {
    let digits: Vec<_> = feeds.iter().map(KeySpace::digits).collect();
    [MAGIC, digits.as_flattened()].concat()
}

const MAGIC: &[u8] = b"SGR1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::record::{NEVER, Record, RecordId};
    use crate::shared::{Expect, InMemory};

    const NOW: Now = Now { unix_seconds: 2_000, monotonic_milliseconds: 50_000 };

    struct RealmBench {
        feeds: RealmFeeds,
        set: RevocationSet,
        outbox: Outbox,
        adoption: Adoption,
    }

    impl RealmBench {
        fn new(shared: &InMemory, realm: &str, cluster: &str) -> Self {
            let space = KeySpace::of_feed(realm, cluster, "signout");
            let feeds = RealmFeeds::new(realm, space);
            feeds.register(shared).unwrap();
            let set = RevocationSet::new(space, realm);
            Self { feeds, set, outbox: Outbox::new(space), adoption: Adoption::default() }
        }

        fn sign_out(&self, shared: &InMemory, record: Record) {
            self.outbox.put(shared, &[record], DueTime::AfterGraceFrom(40_000)).unwrap();
            self.set.add(shared, &[record], Horizon::NONE).unwrap();
        }

        fn adopt(&mut self, shared: &InMemory) -> usize {
            let own = (&self.set, &self.outbox);
            self.adoption.step(shared, &self.feeds, own, Horizon::NONE, NOW)
        }
    }

    fn token(number: u8) -> Record {
        Record::token(RecordId([number; 16]), 9_000)
    }

    #[test]
    fn a_renamed_feed_adopts_undelivered_revocations() {
        let shared = InMemory::default();
        let old = RealmBench::new(&shared, "", "signout");
        old.sign_out(&shared, token(1));
        let mut new = RealmBench::new(&shared, "", "renamed");
        assert_eq!(new.adopt(&shared), 1);
        assert_eq!(new.outbox.due(&shared, NOW, 9), [token(1)]);
        assert_eq!(new.set.covers(&shared, &token(1)), Ok(true));
        assert_eq!(new.adopt(&shared), 0, "once");
        assert_eq!(
            old.outbox.due(&shared, NOW, 9),
            [token(1)],
            "its own leader may deliver it too"
        );
    }

    #[test]
    fn two_renames_lose_nothing_and_pass_nothing_back() {
        let shared = InMemory::default();
        let mut first = RealmBench::new(&shared, "", "a");
        first.sign_out(&shared, token(1));
        let mut second = RealmBench::new(&shared, "", "b");
        let mut third = RealmBench::new(&shared, "", "c");
        assert_eq!(second.adopt(&shared), 1);
        second.outbox.remove(&shared, &[token(1)]).unwrap(); // it was delivered and shown
        assert_eq!(third.adopt(&shared), 1);
        for _ in 0..3 {
            let adopted = [&mut first, &mut second, &mut third].map(|feed| feed.adopt(&shared));
            assert_eq!(adopted, [0; 3]);
        }
    }

    #[test]
    fn another_realm_adopts_nothing() {
        let shared = InMemory::default();
        RealmBench::new(&shared, "", "signout").sign_out(&shared, token(1));
        let mut other = RealmBench::new(&shared, "other", "signout");
        assert_eq!(other.adopt(&shared), 0);
        assert!(other.feeds.records_of_others(&shared).is_empty());
    }

    #[test]
    fn acknowledged_and_expired_records_are_not_adopted() {
        let shared = InMemory::default();
        let old = RealmBench::new(&shared, "", "signout");
        old.sign_out(&shared, token(1));
        old.outbox.acknowledged(&shared, &[token(1)], NOW).unwrap();
        old.sign_out(&shared, Record::user(RecordId::LAST, 5, 9));
        let mut new = RealmBench::new(&shared, "", "renamed");
        let horizon = Horizon::of(2_000, 2_000);
        let own = (&new.set, &new.outbox);
        assert_eq!(new.adoption.step(&shared, &new.feeds, own, horizon, NOW), 0);
        assert_eq!(new.feeds.records_of_others(&shared).len(), 2, "the first load looks at all");
    }

    #[test]
    fn a_large_outbox_is_adopted_in_steps() {
        let shared = InMemory::default();
        let old = RealmBench::new(&shared, "", "signout");
        let ids = (0..3_000u128).map(|number| RecordId(number.to_be_bytes()));
        let records: Vec<_> = ids.map(|id| Record::token(id, NEVER)).collect();
        old.outbox.put(&shared, &records, DueTime::AtOnce).unwrap();
        let mut new = RealmBench::new(&shared, "", "renamed");
        let steps: Vec<_> = (0..4).map(|_| new.adopt(&shared)).collect();
        assert!(steps.iter().all(|&adopted| adopted <= ENTRIES_A_STEP + 64), "{steps:?}");
        assert_eq!(steps.iter().sum::<usize>(), records.len());
    }

    #[test]
    fn the_list_keeps_feeds_with_undelivered_records() {
        let shared = InMemory::default();
        let owing = RealmBench::new(&shared, "", "owing");
        owing.sign_out(&shared, token(1));
        for number in 0..2 * FEEDS {
            RealmBench::new(&shared, "", &format!("signout-{number}"));
        }
        let mut last = RealmBench::new(&shared, "", "last");
        assert_eq!(last.feeds.others(&shared).len(), FEEDS - 1);
        assert_eq!(last.adopt(&shared), 1);
    }

    #[test]
    fn a_damaged_list_is_replaced() {
        for value in [&b""[..], b"SGR1", b"junk", b"SGR1junk", b"SGR10123456789abcdeF"] {
            let shared = InMemory::default();
            let space = KeySpace::of_feed("", "signout", "signout");
            let feeds = RealmFeeds::new("", space);
            assert!(shared.set_if(&feeds.name, value, Expect::Anything));
            assert_eq!(feeds.others(&shared), []);
            feeds.register(&shared).unwrap();
            let other = RealmFeeds::new("", KeySpace::of_feed("", "other", "signout"));
            assert_eq!(other.others(&shared), [space]);
        }
    }
}
