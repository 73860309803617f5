//! Subscription to the stream `log`: a blocking read on its own connection.

use std::sync::Arc;
use std::time::Duration;

use redis::{Value, cmd};

use super::entries::{RawEntry, chained, decode_all, stream_of};
use super::link::{Connected, Link};
use super::options::Keys;
use super::{PAGE, failure};
use crate::entry::Position;
use crate::store::{NextEntries, StoreError, Subscription};

/// Reads the entries that services append to the stream.
pub(super) struct StreamReader {
    pub(super) link: Arc<Link>,
    pub(super) keys: Arc<Keys>,
    pub(super) connection: Option<Connected>,
}

impl Subscription for StreamReader {
    fn next(&mut self, known: Position) -> Result<NextEntries, StoreError> {
        let name = self.link.name();
        let failed = |error| failure(name, error);
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.link.connect(FOLLOW_TIMEOUT).map_err(failed)?,
        };
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(PAGE).arg("BLOCK").arg(BLOCK_MS);
        read.arg("STREAMS").arg(&self.keys.log).arg(format!("{}-0", known.sequence));
        let read: Value = connection.query(&read).map_err(failed)?;
        let damaged =
            || StoreError::new(name, "the log is damaged, or was written by another program");
        let linked = stream_of(read).and_then(|rows| decode_all(&rows)).ok_or_else(damaged)?;
        let followed = if linked.is_empty() {
            let last =
                cmd("XREVRANGE").arg(&self.keys.log).arg(&["+", "-", "COUNT", "1"]).to_owned();
            let last: Vec<RawEntry> = connection.query(&last).map_err(failed)?;
            let last = decode_all(&last).ok_or_else(damaged)?.pop().map(|last| last.entry.position);
            match last {
                Some(last) if last == known => NextEntries { entries: Vec::new(), is_all: true },
                // An entry has arrived since the read. The next read shows whether it follows the
                // entry `known`.
                Some(last) if last.sequence > known.sequence => {
                    NextEntries { entries: Vec::new(), is_all: false }
                }
                _ => return Err(StoreError::lost(name, "it no longer has its last entry")),
            }
        } else {
            let is_all = linked.len() < PAGE;
            NextEntries { entries: chained(name, known, linked)?, is_all }
        };
        self.connection = Some(connection);
        Ok(followed)
    }
}

/// How long a blocking read waits. A loss is detected within this time.
const BLOCK_MS: u64 = 500;

const FOLLOW_TIMEOUT: Duration = Duration::from_secs(3);
