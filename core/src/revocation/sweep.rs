//! How does the set get rid of what has expired, and how many records are alive?
//!
//! Expired records go whenever their shard is rewritten; a shard that nobody writes to needs
//! somebody to come by. The lease owner does, some shards a tick, and counts what it sees.

use crate::revocation::horizon::Horizon;
use crate::revocation::record::Kind;
use crate::revocation::set::RevocationSet;
use crate::revocation::shard::ShardSlot;
use crate::shared::SharedData;

/// Shards a step: a millisecond at a million records, and a round takes a little over two minutes.
pub const SHARDS_A_STEP: usize = 256;

/// Live records of each kind, in the order of [`Kind::ALL`].
pub type Counts = [u64; 3];

/// Where the sweep is.
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
    /// Looks at the next shards. A damaged one counts for nothing: that it was found is enough.
    pub fn step(&mut self, shared: &dyn SharedData, set: &RevocationSet, horizon: Horizon) {
        for _ in 0..SHARDS_A_STEP {
            let Some(slot) = self.ahead.next() else {
                *self = Self { last: Some(self.counted), ..Self::default() };
                break;
            };
            let live = set.prune(shared, slot, horizon).unwrap_or(0);
            let kinds = Kind::ALL.into_iter().zip(&mut self.counted);
            for (_, count) in kinds.filter(|(kind, _)| *kind == slot.kind()) {
                *count += live as u64;
            }
        }
    }

    /// What the last whole round has counted.
    #[must_use]
    pub fn counts(&self) -> Option<Counts> {
        self.last
    }
}
