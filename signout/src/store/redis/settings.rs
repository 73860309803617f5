//! The settings of a Redis that decide whether it keeps the revocations that it acknowledges.

use redis::{RedisError, RedisResult, cmd};

use super::RedisStore;
use super::link::Connected;
use super::options::WhenNotDurable;
use crate::store::{Durability, Store, StoreError};

impl RedisStore {
    /// Reads the durability settings of the Redis server, and logs if the result has changed.
    pub(super) fn inspect(&mut self, connection: &mut Connected) -> Result<(), RedisError> {
        let found = read(connection, &self.keys.records)?;
        if found.problems.is_empty() && found.is_rewriting && self.durability.problem().is_some() {
            // The append-only file has just been switched on, and is complete only after the
            // rewrite.
            return Ok(());
        }
        let durability = match found.problems.is_empty() {
            true => Durability::Durable,
            false => Durability::AtRisk {
                problem: found.problems.join("; and "),
                refuses: self.options.check == WhenNotDurable::Refuse,
            },
        };
        if durability != self.durability {
            let store = self.link.name();
            match &durability {
                Durability::Durable => tracing::info!(store, "revocations are durable again"),
                Durability::AtRisk { problem, refuses: true } => tracing::error!(
                    store,
                    "revocations are rejected with 503, because a crash of Redis would lose them: \
                     {problem}"
                ),
                Durability::AtRisk { problem, refuses: false } => {
                    tracing::error!(store, "a crash of Redis may lose revocations: {problem}");
                }
            }
            self.durability = durability;
        }
        Ok(())
    }

    /// Returns an error if this service must reject revocations, because the Redis server has
    /// settings that may lose acknowledged data. Before it returns the error it reads the settings
    /// again, because an operator may have corrected them.
    pub(super) fn require_durability(&mut self) -> Result<(), StoreError> {
        if self.durability.refusal().is_some() {
            self.check();
        }
        match self.durability.refusal() {
            Some(problem) => Err(StoreError::not_durable(self.link.name(), problem)),
            None => Ok(()),
        }
    }
}

/// Result of a check.
#[derive(Debug, PartialEq, Eq)]
struct SettingCheck {
    /// Settings that may lose acknowledged revocations, each with its remedy.
    problems: Vec<String>,
    /// Whether the append-only file is being rewritten. If it has just been switched on, it is
    /// complete only after the rewrite.
    is_rewriting: bool,
}

/// Reads the durability settings of the Redis server that holds this key.
fn read(connection: &mut Connected, key: &str) -> RedisResult<SettingCheck> {
    let info: String = connection.query(cmd("EVAL").arg(INFO).arg(1).arg(key))?;
    Ok(found_in(&info))
}

fn found_in(info: &str) -> SettingCheck {
    if let Some(reason) = info.strip_prefix("denied:") {
        let problem = format!(
            "its settings cannot be read ({reason}); allow its user to run INFO (in the ACL: `+info`)"
        );
        return SettingCheck { problems: vec![problem], is_rewriting: false };
    }
    let find = |name: &str| {
        let mut pairs = info.lines().filter_map(|line| line.trim().split_once(':'));
        pairs.find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    };
    let mut problems = Vec::new();
    if find("aof_enabled") != "1" {
        problems.push(
            "it has no append-only file (appendonly no), so a crash loses everything since the \
             last dump; set `appendonly yes`"
                .to_owned(),
        );
    }
    let policy = find("maxmemory_policy");
    if policy != "noeviction" && !policy.starts_with("volatile-") {
        problems.push(format!(
            "it deletes keys when memory runs short (maxmemory-policy {policy}); \
             set `maxmemory-policy noeviction`"
        ));
    }
    let is_rewriting =
        ["aof_rewrite_in_progress", "aof_rewrite_scheduled"].iter().any(|name| find(name) == "1");
    SettingCheck { problems, is_rewriting }
}

const INFO: &str = include_str!("info.lua");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_lose_revocations_are_named() {
        let info = |aof, policy| format!("aof_enabled:{aof}\r\nmaxmemory_policy:{policy}\r\n");
        for (aof, policy, expected) in [
            (1, "noeviction", 0),
            (1, "volatile-lru", 0), // our keys have no time to live, so none of them is deleted
            (1, "allkeys-lru", 1),
            (0, "noeviction", 1),
            (0, "allkeys-random", 2),
        ] {
            assert_eq!(found_in(&info(aof, policy)).problems.len(), expected, "{aof} {policy}");
        }
        assert_eq!(found_in("").problems.len(), 2, "unknown settings are not trusted");
        let denied = found_in("denied:NOPERM");
        assert!(denied.problems[0].contains("+info"), "{denied:?}");
        assert!(found_in("aof_enabled:1\r\naof_rewrite_in_progress:1\r\n").is_rewriting);
    }
}
