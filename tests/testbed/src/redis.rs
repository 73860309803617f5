//! Starts, kills and restarts a Redis, Valkey or Sentinel for a test.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ::redis::{Client, Cmd, RedisError, Value};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::artifacts;
use crate::ports::free_address;
use crate::process::Process;

/// Builder for a [`Redis`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct RedisSetup {
    settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    watches: Option<(String, SocketAddr)>,
    is_valkey: bool,
}

impl RedisSetup {
    /// Adds a setting of `redis.conf`, or replaces a default of the testbed.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes it a Sentinel that watches that primary under that name, with a quorum of one.
    pub fn watching(mut self, name: &str, primary: SocketAddr) -> Self {
        self.watches = Some((name.to_owned(), primary));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server on a free port and waits until it responds.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Redis {
        let directory = TempDir::with_prefix("session-guard-redis-").expect("a directory");
        let mut attempts = 0;
        loop {
            let address = free_address();
            let mut process = self.spawn(&directory, address);
            attempts += 1;
            match await_answering(&mut process, address) {
                Ok(()) => return Redis { process, address, directory, setup: self },
                Err(log) if attempts == ATTEMPTS => panic!("Redis does not start:\n{log}"),
                Err(_) => {} // another process may have taken the port
            }
        }
    }

    fn spawn(&self, directory: &TempDir, address: SocketAddr) -> Process {
        let server = if self.is_valkey { artifacts::valkey() } else { artifacts::redis() };
        let mut command = Command::new(server);
        if let Some((name, primary)) = &self.watches {
            let file = directory.path().join("sentinel.conf");
            let text = format!(
                "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor {name} {} {} 1\n\
                 sentinel down-after-milliseconds {name} 1000\n\
                 sentinel failover-timeout {name} 4000\n",
                address.port(),
                directory.path().display(),
                primary.ip(),
                primary.port(),
            );
            fs::write(&file, text).expect("a configuration");
            command.arg(file).arg("--sentinel");
            return Process::start("Sentinel", command, &directory.path().join("redis.log"));
        }
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "yes", "--dir"]).arg(directory.path());
        for (name, value) in &self.settings {
            command.arg(format!("--{name}")).args(value.split(' '));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Process::start("Redis", command, &directory.path().join("redis.log"))
    }
}

/// A running Redis. Stops when dropped.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    address: SocketAddr,
    directory: TempDir,
    setup: RedisSetup,
}

impl Redis {
    /// Returns a set-up with Redis' default settings and an append-only file instead of dumps.
    pub fn setup() -> RedisSetup {
        RedisSetup::default()
    }

    /// Starts a Redis with these settings.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::setup().start()
    }

    /// Returns such a set-up of a Valkey, regardless of `REDIS_SERVER`.
    pub fn valkey() -> RedisSetup {
        RedisSetup { is_valkey: true, ..RedisSetup::default() }
    }

    /// Returns its address, which a restart keeps.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its address in the form of `signout serve --store`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Executes a command and returns the response as text, with one line per element of a list.
    ///
    /// # Panics
    /// Redis cannot be reached, or returns an error.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Like [`Redis::command`], but Redis may return an error or be unreachable.
    ///
    /// # Errors
    /// The error of Redis or of the connection.
    pub fn try_command(&self, words: &[&str]) -> Result<String, String> {
        ask(self.address, words)
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Restarts the server on the same port and files.
    #[track_caller]
    pub fn restart(&mut self) {
        self.process.stop();
        self.process = self.setup.spawn(&self.directory, self.address);
        await_answering(&mut self.process, self.address)
            .unwrap_or_else(|log| panic!("Redis does not start again:\n{log}"));
    }

    /// Sends SIGSTOP: connections stay open and nothing moves.
    pub fn pause(&mut self) {
        self.process.signal(Signal::STOP);
    }

    /// Sends SIGCONT.
    pub fn resume(&mut self) {
        self.process.signal(Signal::CONT);
    }

    /// Returns the directory of its append-only files.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.directory.path().join("appendonlydir")
    }

    /// Deletes its append-only files. Redis must not run.
    pub fn lose_files(&self) {
        fs::remove_dir_all(self.files()).expect("the append-only files");
    }

    /// Returns its log.
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

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.signal(Signal::CONT); // a stopped process cannot exit
        self.directory.disable_cleanup(thread::panicking());
    }
}

fn ask(address: SocketAddr, words: &[&str]) -> Result<String, String> {
    let text = |error: RedisError| error.to_string();
    let client = Client::open(format!("redis://{address}")).map_err(text)?;
    let mut connection = client.get_connection_with_timeout(ANSWERS_WITHIN).map_err(text)?;
    connection.set_read_timeout(Some(ANSWERS_WITHIN)).map_err(text)?;
    let mut command = Cmd::new();
    command.arg(words);
    command.query(&mut connection).map(|value| text_of(&value)).map_err(text)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Nil => String::new(),
        Value::Int(number) => number.to_string(),
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        Value::SimpleString(text) => text.clone(),
        Value::Okay => "OK".to_owned(),
        other => format!("{other:?}"),
    }
}

fn await_answering(process: &mut Process, address: SocketAddr) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < STARTS_WITHIN {
        if process.has_ended() {
            return Err(process.log());
        }
        if ask(address, &["PING"]).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Err(format!("not within {STARTS_WITHIN:?}:\n{}", process.log()))
}

const ATTEMPTS: u32 = 5;
const STARTS_WITHIN: Duration = Duration::from_secs(20);
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
