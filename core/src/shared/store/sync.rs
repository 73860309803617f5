//! Which primitives does a slot use? The test with loom replaces them by loom's.

pub(super) use std::sync::atomic::{AtomicU32, Ordering};
pub(super) use std::sync::{PoisonError, RwLock};
