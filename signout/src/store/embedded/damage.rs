//! Damage of a redb file, and how it is reported.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use crate::store::StoreError;

/// Any error of redb or of a row.
pub(super) type Failure = Box<dyn std::error::Error>;

/// The damaged part of a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("row {0} has a wrong checksum")]
    Row(u64),
    #[error("rows are missing, or there are too many")]
    Rows,
}

/// Returns the error message for a damaged store, with its remedy.
pub(super) fn damaged(store: &str, reason: impl ToString) -> StoreError {
    StoreError::new(store, format!("it is damaged: {}. {REMEDY}", reason.to_string()))
}

/// Runs an operation of redb, which panics on some damaged files. If it panics, a debug build
/// returns an error. A release build aborts on a panic; before that, a panic hook prints the error.
pub(super) fn guarded<T>(
    store: &str,
    operation: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, StoreError> {
    install_hook();
    let broken = || damaged(store, "its structure is broken");
    let outer = IF_PANICKING.replace(Some(broken().to_string()));
    let result = catch_unwind(AssertUnwindSafe(operation));
    IF_PANICKING.set(outer);
    let result = result.map_err(|_| broken())?;
    result.map_err(|error| match error.downcast_ref::<Damage>() {
        Some(damage) => damaged(store, damage),
        None => StoreError::new(store, error),
    })
}

fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = take_hook();
        set_hook(Box::new(move |info| {
            match IF_PANICKING.with_borrow(Clone::clone) {
                Some(message) if cfg!(panic = "abort") => eprintln!("signout: {message}"),
                _ => {}
            }
            default(info);
        }));
    });
}

thread_local! {
    /// The message to print if this thread panics.
    static IF_PANICKING: RefCell<Option<String>> = const { RefCell::new(None) };
}

const REMEDY: &str = "Check disk and memory of this machine. Restore a backup, or move the file away \
    and start with an empty store: running proxies send back every revocation that they hold";
