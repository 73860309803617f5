//! The synchronisation primitives of a mailbox. The test with loom replaces them by those of loom.

pub(super) use std::sync::atomic::{AtomicBool, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError};
