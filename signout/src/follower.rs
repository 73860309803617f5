//! Follower of a shared store: a thread that appends the entries of other services to this
//! service's log.
//!
//! It repeatedly reads from the store the entries after the newest one of the log. Each complete
//! response confirms that this service is up to date. If the store has lost that entry, the thread
//! asks the writer thread to check the store, because only the writer restores a store.

use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::entry::Position;
use crate::freshness::Freshness;
use crate::log::Log;
use crate::store::{NextEntries, Obsolete, StoreError, Subscription};
use crate::writer::Message;

/// The follower before its thread has started.
pub(crate) struct Follower {
    pub(crate) subscription: Box<dyn Subscription>,
    pub(crate) log: Arc<RwLock<Log>>,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) writer: Sender<Message>,
    /// The thread ends when the service has dropped its `Arc`.
    pub(crate) alive: Weak<()>,
}

impl Follower {
    /// Starts the thread, which ends with the service.
    pub(crate) fn start(self) -> std::io::Result<()> {
        std::thread::Builder::new().name("follower".to_owned()).spawn(move || self.run())?;
        Ok(())
    }

    fn run(mut self) {
        let mut was_reached = true;
        while self.alive.strong_count() > 0 {
            match self.follow() {
                Ok(()) if !was_reached => {
                    was_reached = true;
                    tracing::info!(
                        "the store is reachable again: this service receives the revocations of the \
                         others"
                    );
                }
                Ok(()) => {}
                Err(error) if error.is_lost() => {
                    tracing::error!(%error, "the store has lost entries; this service writes its own copies back: check whether the \
                         store was restarted without its data");
                    let (response, responded) = oneshot::channel();
                    if self.writer.send(Message::Sync(response)).is_err() {
                        return;
                    }
                    let restored = responded.blocking_recv().is_ok_and(|restored| restored.is_ok());
                    if !restored {
                        std::thread::sleep(PAUSE);
                    }
                }
                Err(error) => {
                    if was_reached {
                        tracing::error!(
                            %error,
                            "the store is unreachable: sign-outs wait in the proxies, and after \
                             max_staleness_seconds protected routes respond 503; check the store and \
                             the network to it"
                        );
                    }
                    was_reached = false;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn follow(&mut self) -> Result<(), StoreError> {
        let known = self.log.read().unwrap_or_else(PoisonError::into_inner).head();
        let asked = Instant::now();
        let NextEntries { entries, is_all } = self.subscription.next(known)?;
        if !entries.is_empty() {
            let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
            if !log.append_after(known, &entries, &mut Obsolete::default()) {
                return Ok(()); // the writer has replaced the log in the meantime
            }
            self.head.send_replace(log.head());
        }
        if is_all {
            self.freshness.confirm(asked);
        }
        Ok(())
    }
}

/// Pause between two attempts while the store is unreachable: short, so that the service is up to
/// date soon after the store is back.
const PAUSE: Duration = Duration::from_millis(200);
