//! A scripted feed that responds to each poll and checks the cursors.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::answers::{BadResponse, Real};

/// Serves one script per feed; the last number of the authority identifies the feed.
pub(crate) struct FaultyService {
    address: SocketAddr,
    state: Arc<Mutex<FaultyState>>,
}

struct FaultyState {
    feeds: Vec<FeedShare>,
    violations: Vec<String>,
    sent: usize,
    counted: usize,
    cursors: [String; 2],
    first_page: Vec<u8>,
    nothing_new: Vec<u8>,
    nothing_more: Vec<u8>,
    whole: Vec<u8>,
}

struct FeedShare {
    cases: VecDeque<BadResponse>,
    stage: FeedStage,
    loaded: bool,
}

enum FeedStage {
    /// Has not polled yet.
    New,
    /// Has received a good response with the first cursor.
    Good,
    /// Has received this case.
    Mutilated(BadResponse),
    /// Has received the real response.
    Last,
    /// Polls from the second cursor.
    Done,
}

impl FaultyService {
    pub(crate) fn start(real: &Real, shares: Vec<VecDeque<BadResponse>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let feed = |cases| FeedShare { cases, stage: FeedStage::New, loaded: false };
        let state = FaultyState {
            feeds: shares.into_iter().map(feed).collect(),
            violations: Vec::new(),
            sent: 0,
            counted: 0,
            cursors: real.cursors.clone(),
            first_page: real.first_page(),
            nothing_new: real.nothing_new(),
            nothing_more: real.nothing_more(),
            whole: real.whole(),
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(connection, &state));
            }
        });
        Self { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn feeds(&self) -> usize {
        locked(&self.state).feeds.len()
    }

    pub(crate) fn all_loaded(&self) -> bool {
        locked(&self.state).feeds.iter().all(|feed| feed.loaded)
    }

    pub(crate) fn all_done(&self) -> bool {
        locked(&self.state).feeds.iter().all(|feed| matches!(feed.stage, FeedStage::Done))
    }

    /// Number of damaged responses sent.
    pub(crate) fn sent(&self) -> usize {
        locked(&self.state).sent
    }

    /// Number of them that were accepted, permissibly.
    pub(crate) fn counted(&self) -> usize {
        locked(&self.state).counted
    }

    /// Unexpected cursors.
    pub(crate) fn violations(&self) -> Vec<String> {
        locked(&self.state).violations.clone()
    }
}

fn serve(mut connection: TcpStream, state: &Mutex<FaultyState>) {
    let Some(head) = read_head(&mut connection) else { return };
    let authority = part(&head, "host: feed-", "\r\n").and_then(|number| number.parse().ok());
    let Some(feed) = authority else { return }; // a listener that is not under test
    let reply = locked(state).reply(feed, part(&head, "after=", " "));
    let Some(BadResponse { bytes, ending, wait, pause, .. }) = reply else { return };
    thread::sleep(wait);
    if pause.is_zero() {
        let _ = connection.write_all(&bytes);
    } else {
        for byte in bytes {
            if connection.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(pause);
        }
    }
    ending.of(connection);
}

impl FaultyState {
    /// Returns the response to a poll; none if the poll was unexpected.
    fn reply(&mut self, feed: usize, after: Option<&str>) -> Option<BadResponse> {
        let Self { feeds, violations, sent, counted, cursors, .. } = self;
        let FeedShare { cases, stage, loaded } = &mut feeds[feed];
        let [first, second] = cursors.each_ref().map(|cursor| after == Some(cursor));
        *loaded |= first;
        let (next, bytes) = match stage {
            // A busy machine may lose the response to the call's time-out: then the proxy asks again.
            FeedStage::New | FeedStage::Good if after.is_none() && !*loaded => {
                (FeedStage::Good, &self.first_page)
            }
            FeedStage::Good if first => match cases.pop_front() {
                Some(case) => {
                    *sent += 1;
                    *stage = FeedStage::Mutilated(case.clone());
                    return Some(case);
                }
                None => (FeedStage::Last, &self.whole),
            },
            FeedStage::Mutilated(case) if first || second => {
                *counted += usize::from(second);
                if second && !case.may_count {
                    violations.push(format!("{} has counted", case.name));
                }
                (FeedStage::Good, &self.nothing_new)
            }
            FeedStage::Last | FeedStage::Done if second => {
                *stage = FeedStage::Done;
                return Some(BadResponse {
                    wait: LONG_POLL,
                    ..BadResponse::good(self.nothing_more.clone())
                });
            }
            FeedStage::Mutilated(BadResponse { name, .. }) => {
                violations.push(format!("{name}: after={after:?}"));
                return None;
            }
            _ => {
                violations.push(format!("feed {feed}: after={after:?}"));
                return None;
            }
        };
        *stage = next;
        Some(BadResponse::good(bytes.clone()))
    }
}

fn read_head(connection: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        match connection.read(&mut buffer) {
            Ok(count @ 1..) => head.extend(&buffer[..count]),
            _ => return None,
        }
    }
    String::from_utf8(head).ok()
}

fn part<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(part, _)| part)
}

/// How long the feed holds a poll without news: as long as requested.
const LONG_POLL: Duration = Duration::from_secs(1);

fn locked(state: &Mutex<FaultyState>) -> MutexGuard<'_, FaultyState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
