//! One instance that all tests of a file share, because it takes a second to start.
//!
//! The first test starts it, and it stops when the last holder is dropped. A value in a
//! plain `static` would never be dropped, so its processes would outlive the tests.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// A value that several tests share, one after the other or at the same time.
#[derive(Debug)]
pub struct Shared<T> {
    start: fn() -> T,
    running: Mutex<Weak<T>>,
}

impl<T> Shared<T> {
    /// Makes a shared value with the function that starts it.
    #[must_use]
    pub const fn new(start: fn() -> T) -> Self {
        Self { start, running: Mutex::new(Weak::new()) }
    }

    /// Returns the running instance, or starts one.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let new = Arc::new((self.start)());
            *running = Arc::downgrade(&new);
            new
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_dropped_with_its_last_holder() {
        static TEXT: Shared<String> = Shared::new(|| "started".to_owned());
        let first = TEXT.get();
        assert!(Arc::ptr_eq(&first, &TEXT.get()));
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none());
        assert_eq!(*TEXT.get(), "started");
    }
}
