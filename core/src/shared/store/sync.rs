//! The synchronisation primitives of a slot. The test with loom replaces them by those of loom.

pub(super) use std::sync::atomic::{AtomicU32, Ordering};
pub(super) use std::sync::{PoisonError, RwLock};
