//! One value and the number of its last write.

use super::sync::{AtomicU32, Ordering, PoisonError, RwLock};

/// A value and the number of its last write, which is 0 before the first.
#[derive(Default)]
pub(super) struct Slot {
    /// The version of `content`, for readers that do not lock it.
    version: AtomicU32,
    content: RwLock<SlotContent>,
}

/// What the lock of a slot protects.
#[derive(Default)]
struct SlotContent {
    version: u32,
    value: Box<[u8]>,
}

impl Slot {
    /// Returns the number of the last write. The caller then sees everything that the writer had
    /// written before.
    pub(super) fn version(&self) -> Option<u32> {
        written(self.version.load(Ordering::Acquire))
    }

    /// Passes the value and the number of its last write to `read`.
    pub(super) fn read<T>(&self, read: impl FnOnce(&[u8], u32) -> T) -> Option<T> {
        let content = self.content.read().unwrap_or_else(PoisonError::into_inner);
        Some(read(&content.value, written(content.version)?))
    }

    /// Writes a value if `admits` accepts the number of the last write. Returns whether it was
    /// written.
    pub(super) fn write_if(&self, new: &[u8], admits: impl FnOnce(Option<u32>) -> bool) -> bool {
        let mut content = self.content.write().unwrap_or_else(PoisonError::into_inner);
        let admitted = admits(written(content.version));
        if admitted {
            let version = content.version.wrapping_add(1).max(1);
            *content = SlotContent { version, value: new.into() };
            // The number is not loaded here: loom misses interleavings of a thread that loads an
            // atomic and then stores it.
            self.version.store(version, Ordering::Release);
        }
        admitted
    }
}

fn written(version: u32) -> Option<u32> {
    (version > 0).then_some(version)
}
