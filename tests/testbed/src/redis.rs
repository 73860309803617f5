//! Starts, kills and restarts a Redis, Valkey or Sentinel for a test.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ::redis::{Client, Cmd, RedisError, Value};

use crate::artifacts;
use crate::ports::free_address;
use crate::server::{Server, ServerSetup};

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
        Redis::launch(self, free_address)
    }
}

impl ServerSetup for RedisSetup {
    const NAME: &'static str = "redis";

    fn is_ready(address: SocketAddr) -> bool {
        ask(address, &["PING"]).is_ok()
    }

    fn command(&self, directory: &Path, address: SocketAddr) -> Command {
        let server = if self.is_valkey { artifacts::valkey() } else { artifacts::redis() };
        let mut command = Command::new(server);
        if let Some((name, primary)) = &self.watches {
            let file = directory.join("sentinel.conf");
            let text = format!(
                "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor {name} {} {} 1\n\
                 sentinel down-after-milliseconds {name} 1000\n\
                 sentinel failover-timeout {name} 4000\n",
                address.port(),
                directory.display(),
                primary.ip(),
                primary.port(),
            );
            fs::write(&file, text).expect("a configuration");
            command.arg(file).arg("--sentinel");
            return command;
        }
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "yes", "--dir"]).arg(directory);
        for (name, value) in &self.settings {
            command.arg(format!("--{name}")).args(value.split(' '));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A running Redis.
pub type Redis = Server<RedisSetup>;

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

    /// Returns its address in the form of `signout serve --store`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
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
        ask(self.address(), words)
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

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
