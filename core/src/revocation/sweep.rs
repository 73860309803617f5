//! Removes expired records from the set, and counts the live records.
//!
//! Rewriting a shard also removes its expired records. To clean shards that are not written, the
//! leader of the feed (the VM that holds the [lease](crate::shared::lease)) sweeps a few shards on
//! each maintenance run. The sweep also counts the live records. A record has expired here when its
//! [horizon](Horizon) allows to remove it, which is later than its `exp`.

use crate::revocation::horizon::Horizon;
use crate::revocation::record::Kind;
use crate::revocation::set::RevocationSet;
use crate::revocation::shard::{Damaged, ShardSlot};
use crate::shared::SharedData;

/// The number of shards that one step sweeps. A step takes a millisecond at a million records. A
/// sweep of all shards takes a little over two minutes.
pub const SHARDS_A_STEP: usize = 256;

/// The number of live records of each kind, in the order of [`Kind::ALL`].
pub type Counts = [u64; 3];

/// The position of the sweep.
pub struct Sweep {
    ahead: Box<dyn Iterator<Item = ShardSlot>>,
    counted: Counts,
    last: Option<Counts>,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { ahead: Box::new(ShardSlot::all()), counted: Counts::default(), last: None }
    }
}

impl Sweep {
    /// Sweeps the next shards.
    ///
    /// # Errors
    ///
    /// [`Damaged`] if one of them is damaged. The others have been swept.
    pub fn step(
        &mut self,
        shared: &dyn SharedData,
        set: &RevocationSet,
        horizon: Horizon,
    ) -> Result<(), Damaged> {
        let mut result = Ok(());
        for _ in 0..SHARDS_A_STEP {
            let Some(slot) = self.ahead.next() else {
                *self = Self { last: Some(self.counted), ..Self::default() };
                break;
            };
            let live = set.prune(shared, slot, horizon);
            result = result.and(live.map(|_| ()));
            let kinds = Kind::ALL.into_iter().zip(&mut self.counted);
            for (_, count) in kinds.filter(|(kind, _)| *kind == slot.kind()) {
                *count += live.unwrap_or(0) as u64;
            }
        }
        result
    }

    /// Returns the numbers of live records that the last complete sweep has counted; `None` before
    /// the first one is complete.
    #[must_use]
    pub fn counts(&self) -> Option<Counts> {
        self.last
    }
}
