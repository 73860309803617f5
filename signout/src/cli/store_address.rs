//! The address of a store on the command line.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use signout::store::{
    Embedded, Installation, Link, Options, RedisStore, Store, Wait, WhenNotDurable,
};

use super::CommandError;

/// A store that `--store` names.
pub(super) enum StoreAddress {
    /// A file that belongs to this process.
    Redb(PathBuf),
    /// The address of a Redis.
    Redis(String),
}

/// Options of a Redis store.
#[derive(Args)]
pub(super) struct RedisOptions {
    /// Prefix of the Redis keys. Two installations on one Redis need different prefixes.
    #[arg(long, value_name = "PREFIX", default_value = "session-guard")]
    redis_prefix: String,
    /// What to do if Redis may lose acknowledged revocations: it has no append-only file, its
    /// maxmemory-policy deletes the service's keys, or its user may not run INFO. Checked with
    /// every write.
    #[arg(long, value_name = "WHAT", default_value = "refuse")]
    redis_check: CheckOption,
    /// Acknowledge a revocation only when this many Redis replicas have it, too (WAIT).
    #[arg(long, value_name = "REPLICAS", default_value_t = 0)]
    redis_wait: u32,
    /// Acknowledge a revocation only when it is on the disks of the primary and of those replicas
    /// (WAITAOF: Redis 7.2 or later, or Valkey).
    #[arg(long)]
    redis_wait_fsync: bool,
    /// Certificates (PEM) to verify a `rediss` server with, instead of the system's.
    #[arg(long, value_name = "FILE")]
    redis_ca: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum CheckOption {
    /// Do not start. A running service rejects revocations with 503.
    Refuse,
    /// Log an error and set signout_store_durable to 0.
    Warn,
}

impl StoreAddress {
    /// Parses the address of a store.
    pub(super) fn of(store: &str) -> Result<Self, CommandError> {
        if let Some(path) = store.strip_prefix("redb:").filter(|path| !path.is_empty()) {
            return Ok(Self::Redb(PathBuf::from(path)));
        }
        if store.starts_with("redis") && store.contains("://") {
            return Ok(Self::Redis(store.to_owned()));
        }
        // The text may contain a password, so the message shows only its scheme.
        let scheme = store.split(':').next().unwrap_or_default();
        Err(CommandError::Usage(format!(
            "--store {scheme}: there is no such store; available: redb:PATH, redis://HOST:PORT, \
             redis+sentinel://…, redis+cluster://…"
        )))
    }

    /// Returns whether both addresses name the same store.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Redb(one), Self::Redb(other)) => {
                let whole = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
                whole(one) == whole(other)
            }
            (Self::Redis(one), Self::Redis(other)) => one == other,
            _ => false,
        }
    }

    /// Opens the store. A Redis must belong to `installation`, if there is one.
    pub(super) fn open(
        &self,
        options: &RedisOptions,
        installation: Option<Installation>,
    ) -> Result<Box<dyn Store>, CommandError> {
        let refused = |error: signout::store::StoreError| CommandError::Refused(error.to_string());
        match self {
            Self::Redb(path) => Ok(Box::new(Embedded::open(path).map_err(refused)?)),
            Self::Redis(address) => {
                let link = Link::new(address, options.redis_ca.as_deref());
                let link = link.map_err(|error| CommandError::Usage(error.to_string()))?;
                let check = match options.redis_check {
                    CheckOption::Refuse => WhenNotDurable::Refuse,
                    CheckOption::Warn => WhenNotDurable::Warn,
                };
                let wait = Wait { replicas: options.redis_wait, fsync: options.redis_wait_fsync };
                let prefix = options.redis_prefix.clone();
                let options = Options { prefix, check, wait, installation };
                Ok(Box::new(RedisStore::open(link, options).map_err(refused)?))
            }
        }
    }
}
