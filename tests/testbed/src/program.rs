//! Runs other programs of the workspace and Python scripts.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::Process;
use crate::{SESSION_SECRET, artifacts, until};

/// A running server that prints `listening on http://ADDRESS` when it is ready. Stops when dropped.
#[derive(Debug)]
pub struct Program {
    process: Process,
    directory: TempDir,
    address: SocketAddr,
}

impl Program {
    /// Starts the program and waits for its address.
    #[must_use]
    #[track_caller]
    pub fn start(name: &'static str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = TempDir::with_prefix("session-guard-").expect("a directory");
        let mut command = command(name);
        command.args(arguments).envs(environment.iter().copied());
        let mut process = Process::start(name, command, &directory.path().join("program.log"));
        let address = await_address(&mut process);
        Self { process, directory, address }
    }

    /// Returns its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the process id, for CPU time.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Returns its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.directory.disable_cleanup(thread::panicking());
    }
}

/// A running Python script with the packages of `setup/python-peers.sh`. Stops when dropped.
#[derive(Debug)]
pub struct Script {
    process: Process,
    _directory: TempDir,
}

impl Script {
    /// Starts the script; the path is relative to the repository's root.
    #[must_use]
    pub fn start(peers: &str, path: &'static str, arguments: &[&str]) -> Self {
        let directory = TempDir::with_prefix("session-guard-").expect("a directory");
        let mut command = Command::new(artifacts::python(peers));
        command.arg(artifacts::root().join(path)).args(arguments);
        command.env("SESSION_SECRET", SESSION_SECRET);
        let process = Process::start(path, command, &directory.path().join("script.log"));
        Self { process, _directory: directory }
    }

    /// Returns its output so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Returns the process id, for CPU time.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the script prints its address.
    #[must_use]
    #[track_caller]
    pub fn address(&mut self) -> SocketAddr {
        await_address(&mut self.process)
    }

    /// Returns whether the script has exited.
    #[must_use]
    pub fn has_ended(&mut self) -> bool {
        self.process.has_ended()
    }
}

/// Returns a command for a program of the workspace.
#[must_use]
pub fn command(name: &str) -> Command {
    Command::new(artifacts::program(name))
}

#[track_caller]
fn await_address(process: &mut Process) -> SocketAddr {
    until(STARTS_WITHIN, || {
        assert!(!process.has_ended(), "it does not start:\n{}", process.log());
        address_in(&process.log())
    })
}

fn address_in(log: &str) -> Option<SocketAddr> {
    let (_, after) = log.split_once("listening on http://")?;
    after.lines().next()?.trim().parse().ok()
}

const STARTS_WITHIN: Duration = Duration::from_secs(20);
