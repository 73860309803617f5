//! Which store is meant?

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use signout::store::{Check, Embedded, Link, Redis, Store, Wait};

use super::Failure;

/// What `--store` names.
pub(super) enum Place {
    /// A file of this process alone.
    Redb(PathBuf),
    /// The address of a Redis.
    Redis(String),
}

/// What concerns a Redis alone.
#[derive(Args)]
pub(super) struct RedisOptions {
    /// What to do where the Redis does not keep what it is given (no append-only file, or a
    /// maxmemory-policy that drops our keys).
    #[arg(long, value_name = "WHAT", default_value = "refuse")]
    redis_check: CheckOption,
    /// Acknowledge only what this many Redis replicas have as well (WAIT).
    #[arg(long, value_name = "REPLICAS", default_value_t = 0)]
    redis_wait: u32,
    /// Acknowledge only what is on the disks of the primary and of those replicas (WAITAOF: Redis
    /// 7.2 or later, or Valkey).
    #[arg(long)]
    redis_wait_fsync: bool,
    /// Certificates (PEM) to verify a `rediss` server with, instead of the system's.
    #[arg(long, value_name = "FILE")]
    redis_ca: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum CheckOption {
    /// Do not start.
    Refuse,
    /// Say so in the log and in signout_store_durable.
    Warn,
}

impl Place {
    /// Reads the address of a store.
    pub(super) fn of(store: &str) -> Result<Self, Failure> {
        if let Some(path) = store.strip_prefix("redb:").filter(|path| !path.is_empty()) {
            return Ok(Self::Redb(PathBuf::from(path)));
        }
        if store.starts_with("redis") && store.contains("://") {
            return Ok(Self::Redis(store.to_owned()));
        }
        // Whatever was written may hold a password.
        let scheme = store.split(':').next().unwrap_or_default();
        Err(Failure::Usage(format!(
            "--store {scheme}: there is no such store; available: redb:PATH, redis://HOST:PORT, \
             redis+sentinel://…, redis+cluster://…"
        )))
    }

    /// Whether both are one store.
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

    /// Opens it.
    pub(super) fn open(&self, options: &RedisOptions) -> Result<Box<dyn Store>, Failure> {
        let refused = |error: signout::store::StoreError| Failure::Refused(error.to_string());
        match self {
            Self::Redb(path) => Ok(Box::new(Embedded::open(path).map_err(refused)?)),
            Self::Redis(address) => {
                let link = Link::new(address, options.redis_ca.as_deref());
                let link = link.map_err(|error| Failure::Usage(error.to_string()))?;
                let check = match options.redis_check {
                    CheckOption::Refuse => Check::Refuse,
                    CheckOption::Warn => Check::Warn,
                };
                let wait = Wait { replicas: options.redis_wait, fsync: options.redis_wait_fsync };
                Ok(Box::new(Redis::open(link, check, wait).map_err(refused)?))
            }
        }
    }
}
