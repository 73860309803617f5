//! The set of revocations, and the lookup of a token in it.
//!
//! A [record] contains what is revoked, by a [name] that is a hash. A [shard] holds the sorted
//! records of one kind whose ids have the same leading bits. The [set] consists of all shards.
//! There is one set for all VMs of a process, changed only by
//! [compare-and-swap](crate::shared::swap). Its [generation] shows whether an earlier verdict still
//! holds. A [sweep] removes records that have expired on both clocks.

pub mod generation;
pub mod horizon;
pub mod name;
pub mod record;
pub mod set;
pub mod shard;
pub mod sweep;
