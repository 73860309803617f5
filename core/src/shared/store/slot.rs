//! One value and the number of its last write.

use super::sync::{AtomicU32, Ordering, PoisonError, RwLock};

/// A value and the number of its last write, which is 0 before the first.
#[derive(Default)]
pub(super) struct Slot {
    /// The version, which is written under the lock of `value` and read without it.
    version: AtomicU32,
    value: RwLock<Box<[u8]>>,
}

impl Slot {
    /// Returns the number of the last write. The caller then sees everything that the writer had
    /// written before.
    pub(super) fn version(&self) -> Option<u32> {
        written(self.version.load(Ordering::Acquire))
    }

    /// Passes the value and the number of its last write to `read`.
    pub(super) fn read<T>(&self, read: impl FnOnce(&[u8], u32) -> T) -> Option<T> {
        let value = self.value.read().unwrap_or_else(PoisonError::into_inner);
        let version = written(self.version.load(Ordering::Relaxed))?; // writers hold the lock
        Some(read(&value, version))
    }

    /// Writes a value if `admits` accepts the number of the last write. Returns whether it was
    /// written.
    pub(super) fn write_if(&self, new: &[u8], admits: impl FnOnce(Option<u32>) -> bool) -> bool {
        let mut value = self.value.write().unwrap_or_else(PoisonError::into_inner);
        let version = self.version.load(Ordering::Relaxed);
        let admitted = admits(written(version));
        if admitted {
            *value = new.into();
            self.version.store(version.wrapping_add(1).max(1), Ordering::Release);
        }
        admitted
    }
}

fn written(version: u32) -> Option<u32> {
    (version > 0).then_some(version)
}
