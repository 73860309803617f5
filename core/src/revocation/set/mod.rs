//! The revocation set: looks up tokens and adds revocations.
//!
//! The set consists of all shards in one [key space](KeySpace). Adding records is a union, which
//! removes only records that the [horizon](Horizon) has passed. Writes may therefore come in any
//! order, twice or at the same time. After writing its shards, every writer renews the
//! [generation](Generations). While the generation is unchanged, every verdict stays the same.
//!
//! A shard that is not well-formed is [damaged](Damaged). The set only returns that error. The
//! [feed](crate::feed::repair) then starts a full reload.

use std::cmp::Ordering;

use crate::revocation::generation::{Generations, Mark, ShardVersions, Standing};
use crate::revocation::horizon::Horizon;
use crate::revocation::name::{NamePair, TokenNames};
use crate::revocation::record::{Kind, Record, RecordId};
use crate::revocation::shard::{self, Damaged, Shard, ShardSlot};
use crate::shared::names::KeySpace;
use crate::shared::swap::swap;
use crate::shared::{SharedData, Version};

/// The revocations that all VMs of this process enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationSet {
    space: KeySpace,
    all: RecordId,
    on_damage: OnDamage,
}

/// Why a change of the set failed. Some of the records may be in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetError {
    /// Other VMs kept writing the same shard.
    Contended,
    /// A shard is damaged, and the records do not replace all of it.
    Damaged,
}

/// How a change treats a damaged shard if its records do not replace the whole shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnDamage {
    Fail,
    Overwrite,
}

/// The verdict on a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationVerdict {
    /// The token is revoked.
    Revoked,
    /// The token is not revoked. Contains the mark to store with this verdict, or `None` if the set
    /// has never been written.
    Live(Option<Mark>),
}

impl RevocationSet {
    /// Returns the set in this key space, with the cutoff for all of this realm.
    #[must_use]
    pub fn new(space: KeySpace, realm: &str) -> Self {
        Self { space, all: RecordId::of_all(realm), on_damage: OnDamage::Fail }
    }

    /// Returns the same set for a caller that has marked it as not loaded. Changes through it
    /// replace a damaged shard instead of failing.
    #[must_use]
    pub fn overwriting_damage(&self) -> Self {
        Self { on_damage: OnDamage::Overwrite, ..*self }
    }

    /// Returns the key space that holds the set.
    #[must_use]
    pub fn space(&self) -> &KeySpace {
        &self.space
    }

    /// Returns the generations, which show whether an earlier verdict still holds.
    #[must_use]
    pub fn generations(&self) -> Generations {
        Generations::of(self.space)
    }

    /// Returns the verdict on a token. `last` is the mark that came with the token's last verdict, if
    /// it has one. The token is looked up only if one of its shards has been written since.
    ///
    /// # Errors
    ///
    /// [`Damaged`]: a shard cannot be read. The feed must be reloaded.
    pub fn judge(
        &self,
        shared: &dyn SharedData,
        names: &TokenNames,
        iat: Option<u64>,
        last: Option<Mark>,
    ) -> Result<RevocationVerdict, Damaged> {
        let marked = self.generations().mark(shared, names, last);
        if let (Some((mark, standing)), Some(last)) = (marked, last)
            && (standing == Standing::AsBefore || self.has_shards_at(shared, names, last.shards()))
        {
            return Ok(RevocationVerdict::Live(Some(mark)));
        }
        let mut shards = ShardVersions::default();
        Ok(match self.look_up(shared, names, iat, &mut shards)? {
            true => RevocationVerdict::Revoked,
            false => RevocationVerdict::Live(marked.map(|(mark, _)| mark.with_shards(shards))),
        })
    }

    /// Returns whether a token is revoked: by its own record, or by the cutoff of its session, of
    /// its user, or for all. `names` contains its ids with and without the issuer.
    ///
    /// # Errors
    ///
    /// [`Damaged`]: a shard cannot be read. The feed must be reloaded.
    pub fn is_revoked(
        &self,
        shared: &dyn SharedData,
        names: &TokenNames,
        iat: Option<u64>,
    ) -> Result<bool, Damaged> {
        self.look_up(shared, names, iat, &mut ShardVersions::default())
    }

    /// Returns whether a token is revoked. Sets the versions of the shards that it reads.
    fn look_up(
        &self,
        shared: &dyn SharedData,
        names: &TokenNames,
        iat: Option<u64>,
        versions: &mut ShardVersions,
    ) -> Result<bool, Damaged> {
        for (place, version) in self.places(names).into_iter().zip(versions) {
            let Some((kind, names)) = place else { continue };
            let latest = |shard: Shard<'_>, found: Version| {
                *version = Some(found);
                shard.find_pair(names).map(|record| record.issued_before).max()
            };
            let slot = ShardSlot::of((names.own(), kind));
            let found = self.read(shared, slot, latest)?.flatten();
            let applies = |issued_before| match kind {
                Kind::Token => true,
                Kind::User | Kind::All => iat.is_none_or(|iat| iat < issued_before),
            };
            if found.is_some_and(applies) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns whether the token's shards still have these versions.
    fn has_shards_at(
        &self,
        shared: &dyn SharedData,
        names: &TokenNames,
        versions: &ShardVersions,
    ) -> bool {
        self.places(names).into_iter().zip(versions).all(|(place, version)| {
            place.is_none_or(|(kind, names)| {
                let slot = ShardSlot::of((names.own(), kind));
                shared.version(&slot.name(&self.space)) == *version
            })
        })
    }

    /// Returns the kinds and ids under which a token is looked up.
    fn places(&self, names: &TokenNames) -> [Option<(Kind, NamePair)>; 4] {
        let cutoff = |names: NamePair| (Kind::User, names);
        [
            Some((Kind::Token, names.token)),
            names.session.map(cutoff),
            names.user.map(cutoff),
            Some((Kind::All, self.all.into())),
        ]
    }

    /// Returns whether this credential is revoked. A credential has no `iat`, so cutoffs do not
    /// apply to it: a cutoff for all ends sessions, whose users can sign in again.
    ///
    /// # Errors
    ///
    /// [`Damaged`]: the shard cannot be read.
    pub fn is_credential_revoked(
        &self,
        shared: &dyn SharedData,
        credential: RecordId,
    ) -> Result<bool, Damaged> {
        let slot = ShardSlot::of((credential, Kind::Token));
        Ok(self.read(shared, slot, |shard, _| shard.find(credential))?.flatten().is_some())
    }

    /// Returns the record with this id and kind. Returns `None` if the set has none, or the shard
    /// is damaged.
    #[must_use]
    pub fn find(&self, shared: &dyn SharedData, id: RecordId, kind: Kind) -> Option<Record> {
        self.read(shared, ShardSlot::of((id, kind)), |shard, _| shard.find(id)).ok()??
    }

    /// Returns whether the set already revokes everything that the record revokes.
    ///
    /// # Errors
    ///
    /// [`Damaged`]: the shard cannot be read.
    pub fn covers(&self, shared: &dyn SharedData, record: &Record) -> Result<bool, Damaged> {
        let slot = ShardSlot::of(record.key());
        let held = self.read(shared, slot, |shard, _| shard.find(record.id))?.flatten();
        Ok(held.is_some_and(|held| held.covers(record)))
    }

    /// Returns what `find` finds in a shard; `None` if the shard was never written.
    fn read<T>(
        &self,
        shared: &dyn SharedData,
        slot: ShardSlot,
        mut find: impl FnMut(Shard<'_>, Version) -> T,
    ) -> Result<Option<T>, Damaged> {
        let mut found = Ok(None);
        shared.read(&slot.name(&self.space), &mut |value, version| {
            found = Shard::read(slot, Some(value)).map(|shard| Some(find(shard, version)));
        });
        found
    }

    /// Adds records, in any order, and then renews the generation of the tokens that they may revoke.
    ///
    /// # Errors
    ///
    /// [`SetError`].
    pub fn add(
        &self,
        shared: &dyn SharedData,
        records: &[Record],
        horizon: Horizon,
    ) -> Result<(), SetError> {
        let mut records = records.to_vec();
        records.sort_unstable_by_key(|record| (ShardSlot::of(record.key()), record.id));
        records.dedup_by(|later, kept| {
            let same = later.key() == kept.key();
            if same {
                *kept = kept.merge(*later);
            }
            same
        });
        let same_slot = |a: &Record, b: &Record| ShardSlot::of(a.key()) == ShardSlot::of(b.key());
        for piece in records.chunk_by(same_slot) {
            let Some(first) = piece.first() else { continue };
            self.merge(shared, ShardSlot::of(first.key()), piece, None, horizon)?;
        }
        self.generations().renew_for(shared, &records);
        Ok(())
    }

    /// Adds the records of one page of a reset, which are in strict order of id and kind and within
    /// the range. Returns the records that the set holds in that range and the page does not cover.
    ///
    /// The caller renews the generation, because it has more to write.
    ///
    /// # Errors
    ///
    /// [`SetError`].
    pub fn compare(
        &self,
        shared: &dyn SharedData,
        records: &[Record],
        range: (RecordId, RecordId),
        horizon: Horizon,
    ) -> Result<Vec<Record>, SetError> {
        let same_slot = |a: &Record, b: &Record| ShardSlot::of(a.key()) == ShardSlot::of(b.key());
        let mut lacking = Vec::new();
        for kind in Kind::ALL {
            let of_kind: Vec<_> = records.iter().filter(|r| r.kind == kind).copied().collect();
            let mut pieces = of_kind.chunk_by(same_slot);
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

    /// Removes from one shard the records that may be removed, because no proxy can accept their
    /// tokens any more (see [`Horizon::has_passed`]). Returns the number of records that are left.
    /// If other VMs keep writing the shard, changes nothing and returns 0.
    ///
    /// # Errors
    ///
    /// [`Damaged`]: the shard was not changed. The whole feed must be reloaded.
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
        pruned.unwrap_or(Ok(0)) // another VM keeps writing this shard: the next round counts it
    }

    /// Returns the records of one shard. Returns none if the shard is damaged.
    #[must_use]
    pub fn records(&self, shared: &dyn SharedData, slot: ShardSlot) -> Vec<Record> {
        let mut records = Vec::new();
        shared.read(&slot.name(&self.space), &mut |value, _| {
            records =
                Shard::read(slot, Some(value)).map_or(Vec::new(), |it| it.records().collect());
        });
        records
    }

    /// Replaces a shard by its union with `new`, whose records belong there. If `covered` is the
    /// range of ids that `new` covers, returns the shard's records in that range that `new` lacks.
    fn merge(
        &self,
        shared: &dyn SharedData,
        slot: ShardSlot,
        new: &[Record],
        covered: Option<(RecordId, RecordId)>,
        horizon: Horizon,
    ) -> Result<Vec<Record>, SetError> {
        let in_range = |id| covered.is_some_and(|(first, last)| first <= id && id <= last);
        let replaces_all = || [slot.ids().0, slot.ids().1].into_iter().all(in_range);
        let merged = swap(shared, &slot.name(&self.space), |value| {
            if value.is_none() && new.is_empty() {
                return (None, Ok(Vec::new())); // most shards of a page, while the set is small
            }
            let (held, mut changed) = match Shard::read(slot, value) {
                Ok(held) => (held, false),
                Err(Damaged) if self.on_damage == OnDamage::Overwrite || replaces_all() => {
                    (Shard::empty(slot), true)
                }
                Err(Damaged) => return (None, Err(SetError::Damaged)),
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
            (changed.then(|| shard::write(slot, &merged)), Ok(lacking))
        });
        merged.unwrap_or(Err(SetError::Contended))
    }
}

fn union(held: Option<Record>, new: Option<Record>) -> Option<Record> {
    match (held, new) {
        (Some(held), Some(new)) => Some(held.merge(new)),
        (held, new) => held.or(new),
    }
}

/// Walks through two lists in strict order of id at the same time. Each id comes once, with the
/// records that the two lists have for it.
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
