//! How does a service learn what others have stored?
//!
//! One thread asks the store what follows our newest entry, enters it, and asks again. What it gets
//! proves that we are up to date. Where the store has lost our newest entry, the writer is asked to
//! look: it alone puts things back.

use std::sync::mpsc::Sender;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::book::Book;
use crate::currency::Currency;
use crate::cursor::Position;
use crate::store::{Followed, Follower, Forget, StoreError};
use crate::writer::Message;

/// What the thread works on.
pub(crate) struct Following {
    pub(crate) follower: Box<dyn Follower>,
    pub(crate) book: Arc<RwLock<Book>>,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) currency: Arc<Currency>,
    pub(crate) writer: Sender<Message>,
    /// Gone when the service is.
    pub(crate) alive: Weak<()>,
}

impl Following {
    /// Starts the thread; it ends when the service does.
    pub(crate) fn start(self) -> std::io::Result<()> {
        std::thread::Builder::new().name("follower".to_owned()).spawn(move || self.run())?;
        Ok(())
    }

    fn run(mut self) {
        let mut is_well = true;
        while self.alive.strong_count() > 0 {
            match self.follow() {
                Ok(()) if !is_well => {
                    is_well = true;
                    tracing::info!("the store can be followed again");
                }
                Ok(()) => {}
                Err(error) if error.is_lost() => {
                    tracing::error!(%error, "the store has lost entries");
                    let (answer, answered) = oneshot::channel();
                    if self.writer.send(Message::Ask(answer)).is_err() {
                        return;
                    }
                    let restored = answered.blocking_recv().is_ok_and(|restored| restored.is_ok());
                    if !restored {
                        std::thread::sleep(PAUSE);
                    }
                }
                Err(error) => {
                    if is_well {
                        tracing::error!(%error, "the store cannot be followed");
                    }
                    is_well = false;
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn follow(&mut self) -> Result<(), StoreError> {
        let known = self.book.read().unwrap_or_else(PoisonError::into_inner).head();
        let asked = Instant::now();
        let Followed { entries, is_all } = self.follower.follow(known)?;
        if !entries.is_empty() {
            let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
            if !book.follow(known, &entries, &mut Forget::default()) {
                return Ok(()); // the writer has put another log in its place meanwhile
            }
            self.head.send_replace(book.head());
        }
        if is_all {
            self.currency.prove(asked);
        }
        Ok(())
    }
}

/// Between two attempts at a store in trouble: soon enough to be current again at once, and no
/// burden for it.
const PAUSE: Duration = Duration::from_millis(200);
