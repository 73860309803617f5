//! Tells whether an earlier verdict about a token still holds.
//!
//! This is checked on every request, so it must cost almost nothing. It uses the versions of three
//! kinds of empty values, because Envoy does not copy an empty value into the VM:
//!
//! | name | is written |
//! | --- | --- |
//! | `gen` | last, after every change |
//! | `s…` | before `gen`, if a token, a session or a user of this stripe of ids was revoked |
//! | `whole` | before `gen`, for the cutoff for all or a reset, and once a second |
//!
//! If `gen` is unchanged, the verdict still holds. Otherwise the request reads `whole` and, if that
//! is unchanged, the `s…` of the token, its session and its user. Only if one of them has changed
//! does it read the versions of the token's shards, and only if one of those has changed does it
//! look up the token in them. While a thousand revocations a second arrive, nearly every token
//! therefore keeps its verdict. When a token is seen for the first time, it is looked up, and `whole`
//! and `s…` are not read. Its mark has no version of them, so unless they have never been written,
//! they differ on the next read, and the versions of the shards decide.
//!
//! # Why no change is missed
//!
//! Writers change shards, then `s…` or `whole`, then `gen`. Readers read in the opposite order. A
//! reader that has seen a generation therefore sees everything that was written before it. If a
//! writer dies before it has written `gen`, its change is noticed at most a second later, because
//! the leader writes `whole` and `gen` once a second.

use crate::revocation::name::TokenNames;
use crate::revocation::record::{Kind, Record, RecordId};
use crate::shared::names::{HexDigits, KeySpace, SharedName};
use crate::shared::{Expect, SharedData, Version};

/// The versions at which a token was looked up. Compare it for equality only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    generation: Version,
    whole: Option<Version>,
    /// The versions of the stripes of the token, its session and its user. If they are older than the
    /// verdict, the versions of the shards are compared once more than necessary.
    stripes: [Option<Version>; 3],
    /// The versions of the shards in which the token was looked up.
    shards: ShardVersions,
}

/// The versions of the shards for a token, its session, its user and all. `None` stands for a shard
/// that does not exist, or that the token does not need.
pub(crate) type ShardVersions = [Option<Version>; 4];

/// The generations of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generations {
    space: KeySpace,
}

impl Mark {
    pub(crate) fn shards(&self) -> &ShardVersions {
        &self.shards
    }

    pub(crate) fn with_shards(self, shards: ShardVersions) -> Self {
        Self { shards, ..self }
    }
}

impl Generations {
    pub(crate) fn of(space: KeySpace) -> Self {
        Self { space }
    }

    /// Returns the version of the last change, or `None` before the first change.
    #[must_use]
    pub fn current(&self, shared: &dyn SharedData) -> Option<Version> {
        written(shared, &self.space.name(GENERATION, None))
    }

    /// Returns the mark to store with the next verdict on a token, and whether the last verdict still
    /// holds. `names` are the token's names, and `last` is the mark of the last verdict. The returned
    /// mark has the shard versions of `last`; the caller compares or replaces them. Call this before
    /// reading any shard. Returns `None` before the first write.
    #[must_use]
    pub(crate) fn mark(
        &self,
        shared: &dyn SharedData,
        names: &TokenNames,
        last: Option<Mark>,
    ) -> Option<(Mark, Standing)> {
        let generation = self.current(shared)?;
        let Some(last) = last else {
            let (stripes, shards) = ([None; 3], ShardVersions::default());
            let mark = Mark { generation, whole: None, stripes, shards };
            return Some((mark, Standing::Unknown));
        };
        if last.generation == generation {
            return Some((last, Standing::AsBefore));
        }
        let whole = written(shared, &self.space.name(WHOLE, None));
        if last.whole != whole {
            return Some((Mark { generation, whole, ..last }, Standing::Unknown));
        }
        let names = [Some(names.token), names.session, names.user];
        let stripes = names.map(|names| written(shared, &self.of_stripe(stripe(names?.own()))));
        let same = last.stripes == stripes;
        let standing = if same { Standing::AsBefore } else { Standing::Unknown };
        Some((Mark { generation, stripes, ..last }, standing))
    }

    /// Invalidates the verdict of every token that these records may revoke. If the records are
    /// sorted by id, each stripe is written once.
    pub(crate) fn renew_for(&self, shared: &dyn SharedData, records: &[Record]) {
        let named = records.iter().filter(|record| record.kind != Kind::All);
        let mut stripes: Vec<_> = named.map(|record| stripe(record.id)).collect();
        stripes.dedup();
        for stripe in stripes {
            write(shared, &self.of_stripe(stripe));
        }
        if records.iter().any(|record| record.kind == Kind::All) {
            write(shared, &self.space.name(WHOLE, None));
        }
        write(shared, &self.space.name(GENERATION, None));
    }

    /// Invalidates the verdict of every token.
    pub fn renew(&self, shared: &dyn SharedData) {
        write(shared, &self.space.name(WHOLE, None));
        write(shared, &self.space.name(GENERATION, None));
    }

    fn of_stripe(&self, stripe: u16) -> SharedName {
        self.space.name(STRIPE, Some((stripe, HexDigits::Three)))
    }
}

/// Whether an earlier verdict still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The token is still live, because nothing that concerns it has been written since.
    AsBefore,
    /// The versions of the token's shards decide.
    Unknown,
}

/// Returns the stripe of an id, which is one of 1,024. A page of changes touches few stripes, and
/// there are far fewer stripes than shards.
fn stripe(id: RecordId) -> u16 {
    id.leading_bits() >> 6
}

fn written(shared: &dyn SharedData, key: &SharedName) -> Option<Version> {
    shared.version(key)
}

fn write(shared: &dyn SharedData, key: &SharedName) {
    let _always = shared.set_if(key, &[], Expect::Anything);
}

const GENERATION: &str = "gen";
const WHOLE: &str = "whole";
const STRIPE: &str = "s";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::InMemory;

    fn generations() -> Generations {
        Generations::of(KeySpace::of_feed("", "signout", "signout"))
    }

    fn mark(shared: &InMemory, token: RecordId, last: Option<Mark>) -> Option<Mark> {
        generations().mark(shared, &TokenNames::of(token), last).map(|(mark, _)| mark)
    }

    /// Returns the marks of tokens that were looked up twice.
    fn known<const N: usize>(shared: &InMemory, tokens: [RecordId; N]) -> [Option<Mark>; N] {
        generations().renew(shared);
        let once = tokens.map(|token| (token, mark(shared, token, None)));
        generations().renew(shared);
        once.map(|(token, first)| mark(shared, token, first))
    }

    fn standing(shared: &InMemory, token: RecordId, last: Option<Mark>) -> Option<Standing> {
        generations().mark(shared, &TokenNames::of(token), last).map(|(_, standing)| standing)
    }

    #[test]
    fn there_is_no_mark_before_the_first_write() {
        assert_eq!(mark(&InMemory::default(), RecordId::FIRST, None), None);
    }

    #[test]
    fn a_token_never_looked_up_is_unknown() {
        let shared = InMemory::default();
        generations().renew(&shared);
        assert_eq!(standing(&shared, RecordId::FIRST, None), Some(Standing::Unknown));
    }

    #[test]
    fn a_new_token_keeps_its_verdict_until_any_write() {
        let shared = InMemory::default();
        generations().renew(&shared);
        let first = mark(&shared, RecordId::FIRST, None);
        assert_eq!(standing(&shared, RecordId::FIRST, first), Some(Standing::AsBefore));
        generations().renew_for(&shared, &[Record::token(RecordId::LAST, 9)]);
        assert_eq!(standing(&shared, RecordId::FIRST, first), Some(Standing::Unknown));
    }

    #[test]
    fn a_revocation_changes_the_verdicts_of_its_stripe_only() {
        let shared = InMemory::default();
        let mut neighbour = RecordId::FIRST;
        neighbour.0[15] = 1;
        let [near, far] = known(&shared, [RecordId::FIRST, RecordId::LAST]);
        generations().renew_for(&shared, &[Record::token(neighbour, 9)]);
        assert_eq!(standing(&shared, RecordId::FIRST, near), Some(Standing::Unknown));
        assert_eq!(standing(&shared, RecordId::LAST, far), Some(Standing::AsBefore));
    }

    #[test]
    fn a_cutoff_changes_the_verdicts_of_its_session_and_user() {
        let [token, session, user] = [0x10, 0x20, 0x30].map(|high| RecordId([high; 16]));
        let names = TokenNames::of(token).and_session(session).and_user(user);
        for (id, expected) in [
            (session, Standing::Unknown),
            (user, Standing::Unknown),
            (RecordId([0x40; 16]), Standing::AsBefore),
        ] {
            let shared = InMemory::default();
            let mark = |last| generations().mark(&shared, &names, last).expect("written");
            generations().renew(&shared);
            let (first, _) = mark(None);
            generations().renew(&shared);
            let (second, _) = mark(Some(first));
            generations().renew_for(&shared, &[Record::user(id, 5, 9)]);
            assert_eq!(mark(Some(second)).1, expected, "{id}");
        }
    }

    #[test]
    fn a_cutoff_for_all_and_a_renewal_change_every_verdict() {
        let token = RecordId::of_token("", None, "a");
        let all = [Record::all("", 5, 9)];
        for renew in [
            &(|shared: &InMemory| generations().renew_for(shared, &all)) as &dyn Fn(&InMemory),
            &|shared| generations().renew(shared),
        ] {
            let shared = InMemory::default();
            let [last] = known(&shared, [token]);
            assert_eq!(standing(&shared, token, last), Some(Standing::AsBefore));
            renew(&shared);
            assert_eq!(standing(&shared, token, last), Some(Standing::Unknown));
        }
    }
}
