//! Is this token revoked, and how does a revocation get into the set?
//!
//! The set is all shards below one [space](KeySpace). Adding is a union: it never takes
//! anything away but what the [horizon](Horizon) has passed, so writers may come in any order, twice
//! or at once. After its shards are written, every writer renews the [generation](Generations): as
//! long as it stays the same, so does every verdict.

use std::cmp::Ordering;

use crate::feed::state;
use crate::revocation::generation::Generations;
use crate::revocation::horizon::Horizon;
use crate::revocation::record::{Kind, Record, RecordId};
use crate::revocation::shard::{self, Damaged, Shard, ShardSlot};
use crate::shared::SharedData;
use crate::shared::names::KeySpace;
use crate::shared::swap::{Contended, swap};

/// The revocations that all VMs of this process enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationSet {
    space: KeySpace,
    all: RecordId,
}

impl RevocationSet {
    /// The set of that feed, as seen by one realm.
    #[must_use]
    pub fn new(space: KeySpace, realm: &str) -> Self {
        Self { space, all: RecordId::of_all(realm) }
    }

    /// What tells whether a verdict still stands.
    #[must_use]
    pub fn generations(&self) -> Generations {
        Generations::of(self.space)
    }

    /// Whether the token is revoked: itself, with its user's tokens of that age, or with all of
    /// that age.
    ///
    /// # Errors
    ///
    /// [`Damaged`]: the set cannot tell. The feed is to be read again from its beginning.
    pub fn is_revoked(
        &self,
        shared: &dyn SharedData,
        token: RecordId,
        user: Option<RecordId>,
        iat: Option<u64>,
    ) -> Result<bool, Damaged> {
        if self.find(shared, token, Kind::Token)?.is_some() {
            return Ok(true);
        }
        for (kind, id) in [(Kind::User, user), (Kind::All, Some(self.all))] {
            let Some(id) = id else { continue };
            let cutoff = self.find(shared, id, kind)?.map_or(0, |record| record.issued_before);
            if cutoff > 0 && iat.is_none_or(|iat| iat < cutoff) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn find(
        &self,
        shared: &dyn SharedData,
        id: RecordId,
        kind: Kind,
    ) -> Result<Option<Record>, Damaged> {
        let slot = ShardSlot::of((id, kind));
        let Some(stored) = shared.get(&slot.name(&self.space)) else { return Ok(None) };
        let shard = Shard::read(slot, Some(&stored.value));
        Ok(shard.inspect_err(|_| state::report_damage(shared, &self.space))?.find(id))
    }

    /// Adds records in whatever order they come, then renews the generation of what they may revoke.
    ///
    /// # Errors
    ///
    /// [`Contended`]: some of them are not in the set.
    pub fn add(
        &self,
        shared: &dyn SharedData,
        records: &[Record],
        horizon: Horizon,
    ) -> Result<(), Contended> {
        let mut records = records.to_vec();
        records.sort_unstable_by_key(|record| (ShardSlot::of(record.key()), record.id));
        records.dedup_by(|later, kept| {
            let same = later.key() == kept.key();
            if same {
                *kept = kept.merge(*later);
            }
            same
        });
        for piece in records.chunk_by(|a, b| ShardSlot::of(a.key()) == ShardSlot::of(b.key())) {
            let Some(first) = piece.first() else { continue };
            self.merge(shared, ShardSlot::of(first.key()), piece, None, horizon)?;
        }
        self.generations().renew_for(shared, &records);
        Ok(())
    }

    /// Takes over a page of a reset: adds its records, which are in strict order of id and kind and
    /// within the range, and says what the set holds in that range and the page does not cover.
    ///
    /// The generation is left to the caller, who has more to write.
    ///
    /// # Errors
    ///
    /// [`Contended`]: some of them are not in the set.
    pub fn compare(
        &self,
        shared: &dyn SharedData,
        records: &[Record],
        range: (RecordId, RecordId),
        horizon: Horizon,
    ) -> Result<Vec<Record>, Contended> {
        let mut lacking = Vec::new();
        for kind in Kind::ALL {
            let of_kind: Vec<_> = records.iter().filter(|r| r.kind == kind).copied().collect();
            let mut pieces =
                of_kind.chunk_by(|a, b| ShardSlot::of(a.key()) == ShardSlot::of(b.key()));
            let mut next = pieces.next();
            for slot in ShardSlot::between(kind, range.0, range.1) {
                let here = |piece: &&[Record]| piece.iter().all(|r| ShardSlot::of(r.key()) == slot);
                let piece = next.take_if(|piece| here(piece));
                if piece.is_some() {
                    next = pieces.next();
                }
                let piece = piece.unwrap_or_default();
                lacking.append(&mut self.merge(shared, slot, piece, Some(range), horizon)?);
            }
        }
        Ok(lacking)
    }

    /// Drops from one shard what the horizon has passed; says how many records are left.
    ///
    /// # Errors
    ///
    /// [`Damaged`]: the shard was left as it is. The feed is to be read again from its beginning.
    pub fn prune(
        &self,
        shared: &dyn SharedData,
        slot: ShardSlot,
        horizon: Horizon,
    ) -> Result<usize, Damaged> {
        let pruned = swap(shared, &slot.name(&self.space), |value| {
            let Ok(held) = Shard::read(slot, value) else { return (None, Err(Damaged)) };
            let count = held.records().count();
            let live: Vec<_> = held.records().filter(|r| !horizon.has_passed(r)).collect();
            let value = (live.len() < count).then(|| shard::write(slot, &live));
            (value, Ok(live.len()))
        });
        let pruned = pruned.unwrap_or(Ok(0)); // another VM is at work there: the next round counts
        pruned.inspect_err(|_| state::report_damage(shared, &self.space))
    }

    /// The union of a shard and `new`, which belong there. Where `covered` says which ids `new`
    /// speaks for, the records of the shard that it lacks come back.
    ///
    /// A damaged shard is written anew. Unless `new` speaks for all that belongs there, something is
    /// missing from then on, so the feed is forgotten first: the set counts as never loaded.
    fn merge(
        &self,
        shared: &dyn SharedData,
        slot: ShardSlot,
        new: &[Record],
        covered: Option<(RecordId, RecordId)>,
        horizon: Horizon,
    ) -> Result<Vec<Record>, Contended> {
        let in_range = |id| covered.is_some_and(|(first, last)| first <= id && id <= last);
        let whole = || [slot.ids().0, slot.ids().1].into_iter().all(in_range);
        swap(shared, &slot.name(&self.space), |value| {
            if value.is_none() && new.is_empty() {
                return (None, Vec::new()); // most slots of a page, as long as the set is small
            }
            let (held, mut changed) = match Shard::read(slot, value) {
                Ok(held) => (held, false),
                Err(Damaged) => {
                    if !whole() {
                        state::forget(shared, &self.space);
                    }
                    (Shard::empty(slot), true)
                }
            };
            let mut merged = Vec::new();
            let mut lacking = Vec::new();
            for (held, new) in joined(held.records(), new.iter().copied()) {
                let Some(union) = union(held, new).filter(|union| !horizon.has_passed(union))
                else {
                    continue;
                };
                merged.push(union);
                changed |= held != Some(union);
                if new != Some(union) && in_range(union.id) {
                    lacking.push(union);
                }
            }
            (changed.then(|| shard::write(slot, &merged)), lacking)
        })
    }
}

fn union(held: Option<Record>, new: Option<Record>) -> Option<Record> {
    match (held, new) {
        (Some(held), Some(new)) => Some(held.merge(new)),
        (held, new) => held.or(new),
    }
}

/// Walks two lists in strict order of id at once: each id comes once, with what either list has.
fn joined(
    a: impl Iterator<Item = Record>,
    b: impl Iterator<Item = Record>,
) -> impl Iterator<Item = (Option<Record>, Option<Record>)> {
    let (mut a, mut b) = (a.peekable(), b.peekable());
    std::iter::from_fn(move || {
        let order = match (a.peek(), b.peek()) {
            (Some(a), Some(b)) => a.id.cmp(&b.id),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        Some((a.next_if(|_| order != Ordering::Greater), b.next_if(|_| order != Ordering::Less)))
    })
}

#[cfg(test)]
mod tests;
