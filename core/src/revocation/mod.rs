//! Which tokens are revoked?
//!
//! A [record] says what is revoked, by a [name] that is a hash; a [shard] holds the sorted records of one kind
//! whose ids begin alike; the [set] is all shards, one set for all VMs of a process, changed by
//! [compare-and-swap](crate::shared::swap) alone; its [generation] tells whether a verdict still stands. A [sweep]
//! drops what has expired on both clocks.

pub mod generation;
pub mod horizon;
pub mod name;
pub mod record;
pub mod set;
pub mod shard;
pub mod sweep;
