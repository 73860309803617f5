//! Has anything been written that could revoke a token which was found live before?
//!
//! Asked on every request, so the answer must cost next to nothing. Three kinds of keys with empty
//! values say it, by the numbers of their last writes, and a value that is empty is not even copied
//! into the VM:
//!
//! | key | is written |
//! | --- | --- |
//! | `gen` | after every change, last |
//! | `s…` | before it, where tokens of that stripe of ids were revoked |
//! | `whole` | before it, where any other token may have been: a cutoff, a reset, and once a second |
//!
//! A request that finds `gen` as it was asks no further. One that does not looks at the other two,
//! and only if one of these has changed at the shards themselves: while a thousand revocations a
//! second come in, nearly every token keeps its verdict. A token that comes for the first time has
//! none to keep: the other two are asked about when it comes again.
//!
//! # Why no change is missed
//!
//! Writers change shards, then the stripe or the whole, then the generation. Readers go the other
//! way: generation, stripe and whole, shards. So a reader that has seen a generation sees all that
//! was written before it. A writer that dies half way is covered by the lease owner, who writes
//! `whole` and `gen` once a second.

use crate::revocation::record::{Kind, Record, RecordId};
use crate::shared::names::{HexDigits, KeySpace, SharedName};
use crate::shared::{Expect, SharedData, Version};

/// As of which writes a token was looked up. Equality is all that it is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    generation: Version,
    rest: Option<Rest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    whole: Option<Version>,
    stripe: Option<Version>,
}

/// The generations of one feed's set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generations {
    space: KeySpace,
}

impl Generations {
    pub(crate) fn of(space: KeySpace) -> Self {
        Self { space }
    }

    /// The number of the last change of anything; `None` while there was none.
    #[must_use]
    pub fn current(&self, shared: &dyn SharedData) -> Option<Version> {
        written(shared, &self.space.name(GENERATION, None))
    }

    /// Where that token stands, to be asked for before it is looked up; `None` while nothing was
    /// written. With the `last` mark that it was live at, says whether it must be looked up again.
    #[must_use]
    pub fn mark(
        &self,
        shared: &dyn SharedData,
        token: RecordId,
        last: Option<Mark>,
    ) -> Option<(Mark, Standing)> {
        let generation = self.current(shared)?;
        let Some(last) = last else {
            return Some((Mark { generation, rest: None }, Standing::Unknown));
        };
        if last.generation == generation {
            return Some((last, Standing::AsBefore));
        }
        let whole = written(shared, &self.space.name(WHOLE, None));
        let stripe = written(shared, &self.of_stripe(stripe(token)));
        let rest = Some(Rest { whole, stripe });
        let same = last.rest == rest;
        let standing = if same { Standing::AsBefore } else { Standing::Unknown };
        Some((Mark { generation, rest }, standing))
    }

    /// Makes the tokens that these records may revoke be looked up again. In order of id each
    /// stripe is written once.
    pub(crate) fn renew_for(&self, shared: &dyn SharedData, records: &[Record]) {
        let tokens = records.iter().filter(|record| record.kind == Kind::Token);
        let mut stripes: Vec<_> = tokens.map(|record| stripe(record.id)).collect();
        stripes.dedup();
        for stripe in stripes {
            write(shared, &self.of_stripe(stripe));
        }
        if records.iter().any(|record| record.kind != Kind::Token) {
            write(shared, &self.space.name(WHOLE, None));
        }
        write(shared, &self.space.name(GENERATION, None));
    }

    /// Makes every token be looked up again.
    pub fn renew(&self, shared: &dyn SharedData) {
        write(shared, &self.space.name(WHOLE, None));
        write(shared, &self.space.name(GENERATION, None));
    }

    fn of_stripe(&self, stripe: u16) -> SharedName {
        self.space.name(STRIPE, Some((stripe, HexDigits::Three)))
    }
}

/// What is known of a token that was live before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing that concerns it was written since: it is live.
    AsBefore,
    /// It must be looked up.
    Unknown,
}

/// Which of 1,024 stripes a token's id falls into: a page of changes touches a few, and their keys
/// are few beside those of the shards.
fn stripe(RecordId([high, low, ..]): RecordId) -> u16 {
    u16::from_be_bytes([high, low]) >> 6
}

fn written(shared: &dyn SharedData, key: &SharedName) -> Option<Version> {
    shared.get(key).map(|stored| stored.version)
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
        generations().mark(shared, token, last).map(|(mark, _)| mark)
    }

    /// The marks of tokens that were looked up a second time.
    fn known<const N: usize>(shared: &InMemory, tokens: [RecordId; N]) -> [Option<Mark>; N] {
        generations().renew(shared);
        let once = tokens.map(|token| (token, mark(shared, token, None)));
        generations().renew(shared);
        once.map(|(token, first)| mark(shared, token, first))
    }

    fn standing(shared: &InMemory, token: RecordId, last: Option<Mark>) -> Option<Standing> {
        generations().mark(shared, token, last).map(|(_, standing)| standing)
    }

    #[test]
    fn before_the_first_write_there_is_no_mark() {
        assert_eq!(generations().mark(&InMemory::default(), RecordId::FIRST, None), None);
    }

    #[test]
    fn a_token_never_looked_up_is_unknown() {
        let shared = InMemory::default();
        generations().renew(&shared);
        assert_eq!(standing(&shared, RecordId::FIRST, None), Some(Standing::Unknown));
    }

    #[test]
    fn a_token_looked_up_once_keeps_its_standing_until_anything_is_written() {
        let shared = InMemory::default();
        generations().renew(&shared);
        let first = mark(&shared, RecordId::FIRST, None);
        assert_eq!(standing(&shared, RecordId::FIRST, first), Some(Standing::AsBefore));
        generations().renew_for(&shared, &[Record::token(RecordId::LAST, 9)]);
        assert_eq!(standing(&shared, RecordId::FIRST, first), Some(Standing::Unknown));
    }

    #[test]
    fn a_revoked_token_changes_the_standing_of_its_stripe_and_no_other() {
        let shared = InMemory::default();
        let mut neighbour = RecordId::FIRST;
        neighbour.0[15] = 1;
        let [near, far] = known(&shared, [RecordId::FIRST, RecordId::LAST]);
        generations().renew_for(&shared, &[Record::token(neighbour, 9)]);
        assert_eq!(standing(&shared, RecordId::FIRST, near), Some(Standing::Unknown));
        assert_eq!(standing(&shared, RecordId::LAST, far), Some(Standing::AsBefore));
    }

    #[test]
    fn a_cutoff_and_a_renewal_change_every_standing() {
        let token = RecordId::of_token("", "a");
        let cutoff = [Record::user(RecordId::LAST, 5, 9)];
        let all = [Record::all("", 5, 9)];
        for renew in [
            &(|shared: &InMemory| generations().renew_for(shared, &cutoff)) as &dyn Fn(&InMemory),
            &|shared| generations().renew_for(shared, &all),
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
