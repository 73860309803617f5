//! Promise: a reader that sees the generation of a revocation sees the revocation. Method: loom
//! runs two threads that use slots like the revocation set does. It tries every interleaving, and
//! every value that a read may return under the memory model.

use loom::sync::Arc;
use loom::thread;

#[path = "../src/shared/store/slot.rs"]
mod slot;

/// The synchronisation primitives of [`slot`], replaced by those of loom.
mod sync {
    pub(super) use std::sync::PoisonError;

    pub(super) use loom::sync::RwLock;
    pub(super) use loom::sync::atomic::{AtomicU32, Ordering};
}

use slot::Slot;

#[derive(Default)]
struct StoreBench {
    shard: Slot,
    stripe: Slot,
    generation: Slot,
}

impl StoreBench {
    fn revoke(&self) {
        assert!(self.shard.write_if(b"revoked", |_| true));
        assert!(self.stripe.write_if(b"", |_| true));
        assert!(self.generation.write_if(b"", |_| true));
    }

    fn is_revoked(&self) -> bool {
        self.shard.read(|value, _| value == b"revoked").unwrap_or_default()
    }
}

#[test]
fn a_reader_that_sees_the_generation_sees_the_revocation() {
    loom::model(|| {
        let set = Arc::new(StoreBench::default());
        let writer = thread::spawn({
            let set = set.clone();
            move || set.revoke()
        });
        if set.generation.version().is_some() {
            assert!(set.stripe.version().is_some() && set.is_revoked());
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_stored_verdict_is_as_new_as_its_generation() {
    loom::model(|| {
        let set = Arc::new(StoreBench::default());
        let writer = thread::spawn({
            let set = set.clone();
            move || set.revoke()
        });
        let (generation, is_revoked) = (set.generation.version(), set.is_revoked());
        writer.join().unwrap();
        let holds = set.generation.version() == generation;
        assert!(!holds || is_revoked, "the verdict would be kept, and it is wrong");
    });
}

#[test]
fn one_of_two_conditional_writers_succeeds() {
    loom::model(|| {
        let slot = Arc::new(Slot::default());
        let write = |slot: &Slot| slot.write_if(b"", |found| found.is_none());
        let other = thread::spawn({
            let slot = slot.clone();
            move || write(&slot)
        });
        let own = write(&slot);
        assert!(own ^ other.join().unwrap());
        assert_eq!(slot.version(), Some(1));
    });
}

#[test]
fn a_value_is_read_with_its_version() {
    loom::model(|| {
        let slot = Arc::new(Slot::default());
        let writer = thread::spawn({
            let slot = slot.clone();
            move || {
                assert!(slot.write_if(&[1], |_| true));
                assert!(slot.write_if(&[2], |_| true));
            }
        });
        if let Some((value, version)) = slot.read(|value, version| (value.to_vec(), version)) {
            assert_eq!(u32::from(value[0]), version);
        }
        writer.join().unwrap();
    });
}
