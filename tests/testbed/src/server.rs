//! A server that a test can kill, pause and start again on the same port and files.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::Process;

/// How a [`Server`] is started.
pub trait ServerSetup {
    /// The name in messages and of the log file.
    const NAME: &'static str;

    /// Returns the command that starts the server at this address with its files in this directory.
    fn command(&self, directory: &Path, address: SocketAddr) -> Command;

    /// Returns whether the server at this address is ready.
    fn is_ready(address: SocketAddr) -> bool;
}

/// A running server. Stops when dropped.
#[derive(Debug)]
pub struct Server<S> {
    process: Process,
    address: SocketAddr,
    pub(crate) directory: TempDir,
    setup: S,
}

impl<S: ServerSetup> Server<S> {
    /// Starts the server and waits until it is ready. Tries the next address if another process has
    /// taken the port.
    #[track_caller]
    pub(crate) fn launch(setup: S, mut next_address: impl FnMut() -> SocketAddr) -> Self {
        let prefix = format!("session-guard-{}-", S::NAME);
        let directory = TempDir::with_prefix(prefix).expect("a directory");
        let mut attempts = 0;
        loop {
            let address = next_address();
            attempts += 1;
            match spawn(&setup, directory.path(), address) {
                Ok(process) => return Self { process, address, directory, setup },
                Err(log) if attempts == ATTEMPTS => panic!("{} does not start:\n{log}", S::NAME),
                Err(_) => {}
            }
        }
    }

    /// Restarts the server on the same port and files.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.stop();
        self.process = spawn(&self.setup, self.directory.path(), self.address)
            .unwrap_or_else(|log| panic!("{} does not start again:\n{log}", S::NAME));
    }
}

impl<S> Server<S> {
    /// Returns its address, which a restart keeps.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends SIGTERM and waits for the exit.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Sends SIGSTOP: connections stay open and nothing moves.
    pub fn pause(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// Sends SIGCONT.
    pub fn resume(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// Returns its log, over all restarts.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Returns the process id.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }
}

impl<S> Drop for Server<S> {
    fn drop(&mut self) {
        self.process.signal(Signal::CONT); // a stopped process cannot exit
        self.directory.disable_cleanup(thread::panicking());
    }
}

/// Returns the log as an error if the server exits before it is ready.
fn spawn<S: ServerSetup>(
    setup: &S,
    directory: &Path,
    address: SocketAddr,
) -> Result<Process, String> {
    let log = directory.join(S::NAME).with_extension("log");
    let mut process = Process::start(S::NAME, setup.command(directory, address), &log);
    let start = Instant::now();
    while start.elapsed() < STARTS_WITHIN {
        if process.has_ended() {
            return Err(process.log());
        }
        if S::is_ready(address) {
            return Ok(process);
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(format!("not within {STARTS_WITHIN:?}:\n{}", process.log()))
}

const ATTEMPTS: u32 = 5;
const STARTS_WITHIN: Duration = Duration::from_secs(20);
