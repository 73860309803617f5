//! Starts, watches and stops another process.
//!
//! Envoy asks the kernel for SIGTERM when the *thread* that started it exits, and each test has its own
//! thread. Therefore one thread that lives as long as the test process starts all processes.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

use rustix::process::{Pid, Signal, kill_process};

/// A running program whose output goes to a file. Stops when dropped; if the test fails, the end of
/// its output is printed.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the program and appends stdout and stderr to the log.
    pub(crate) fn start(name: &'static str, mut command: Command, log: &Path) -> Self {
        let output = File::options().create(true).append(true).open(log).expect("a log file");
        let errors = output.try_clone().expect("a second handle of the log");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let program = command.get_program().display().to_string();
        let child = spawn(command).unwrap_or_else(|error| panic!("{program}: {error}"));
        started().insert(child.id());
        Self { name, child, log: log.to_owned() }
    }

    /// Returns whether the process has exited.
    pub(crate) fn has_ended(&mut self) -> bool {
        let ended = !matches!(self.child.try_wait(), Ok(None));
        if ended {
            started().remove(&self.child.id());
        }
        ended
    }

    /// Returns the output so far.
    pub(crate) fn log(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM, then SIGKILL if the process does not exit.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let start = Instant::now();
        while !self.has_ended() && start.elapsed() < STOPS_WITHIN {
            thread::sleep(Duration::from_millis(2));
        }
        self.kill();
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            started().remove(&self.child.id());
        }
    }

    /// Sends a signal if the process still runs.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if !self.has_ended() {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("--- {}, end of {}:\n{}", self.name, self.log.display(), shown.join("\n"));
        }
    }
}

/// Stops every started process. A program calls this when it must stop at once.
pub fn stop_everything() {
    for id in started().iter() {
        if let Some(id) = i32::try_from(*id).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
    }
}

type SpawnOrder = (Command, Sender<io::Result<Child>>);

fn spawn(command: Command) -> io::Result<Child> {
    static STARTER: LazyLock<Mutex<Sender<SpawnOrder>>> = LazyLock::new(|| {
        let (sender, orders) = channel::<SpawnOrder>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (reply, child) = channel();
    let starter = STARTER.lock().unwrap_or_else(PoisonError::into_inner);
    starter.send((command, reply)).expect("the thread that starts processes");
    drop(starter);
    child.recv().expect("the thread that starts processes")
}

fn started() -> MutexGuard<'static, BTreeSet<u32>> {
    static STARTED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

const STOPS_WITHIN: Duration = Duration::from_secs(5);
const LINES_SHOWN: usize = 150;
