//! Finds the files that `make` builds, and checks that they are newer than their sources.
//!
//! A test of an outdated filter would prove nothing, so a missing or stale file fails with the
//! command to run.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs};

use crate::Build;

/// Returns the repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tests/testbed lies two below the root").to_owned()
}

/// Returns the path of the filter: `session_guard`, or `session_guard_drill` with the panic header.
pub(crate) fn filter(name: &str, build: Build) -> PathBuf {
    let (file, host) = match build {
        Build::Wasm => (format!("{name}.wasm"), "src"),
        Build::Native => (format!("lib{}.so", name.replace("guard", "guard_native")), "native/src"),
    };
    let sources = [host, "core/src", "Cargo.toml", "core/Cargo.toml"].map(|it| root().join(it));
    let newest = sources.iter().map(|source| newest_below(source)).max();
    fresh(root().join("target").join(file), newest.flatten())
}

/// Returns the pinned Envoy, or the one that `ENVOY` names.
pub(crate) fn envoy() -> PathBuf {
    match env::var_os("ENVOY") {
        Some(path) => path.into(),
        None => fresh(root().join("target/envoy"), None),
    }
}

/// Returns the Redis that `make redis` found or installed, or the one that `REDIS_SERVER` names.
pub(crate) fn redis() -> PathBuf {
    match env::var_os("REDIS_SERVER") {
        Some(path) => path.into(),
        None => fresh(root().join("target/redis-server"), None),
    }
}

/// Returns the Valkey that `make valkey` installed, or the one that `VALKEY_SERVER` names.
pub(crate) fn valkey() -> PathBuf {
    match env::var_os("VALKEY_SERVER") {
        Some(path) => path.into(),
        None => fresh(root().join("target/valkey-server"), None),
    }
}

/// Returns the NGINX that `setup/nginx.sh` found or unpacked.
pub(crate) fn nginx() -> PathBuf {
    fresh(root().join("target/nginx"), None)
}

/// Returns the Caddy that `setup/python-peers.sh` installed, or the one that `CADDY` names.
pub(crate) fn caddy() -> PathBuf {
    match env::var_os("CADDY") {
        Some(path) => path.into(),
        None => fresh(root().join("target/caddy/bin/caddy"), None),
    }
}

/// Returns the Python environment that `setup/python-peers.sh` made for those packages.
pub(crate) fn python(peers: &str) -> PathBuf {
    fresh(root().join("target").join(peers).join("bin/python"), None)
}

/// Returns the path of `prometheus` or `promtool`.
pub(crate) fn prometheus(name: &str) -> PathBuf {
    let path = root().join("target/prometheus").join(name);
    assert!(path.exists(), "{} is missing: run `make monitoring`", path.display());
    path
}

/// Returns the path of `alertmanager` or `amtool`.
pub(crate) fn alertmanager(name: &str) -> PathBuf {
    let path = root().join("target/alertmanager").join(name);
    assert!(path.exists(), "{} is missing: run `make monitoring`", path.display());
    path
}

/// Returns a program of the workspace, next to the running test. Cargo's `.d` file lists its sources.
pub(crate) fn program(name: &str) -> PathBuf {
    let running = env::current_exe().expect("the running program");
    let directory = running.ancestors().skip(1).find(|path| !path.ends_with("deps"));
    let program = directory.expect("a directory").join(name);
    let sources = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let sources = sources.split_once(": ").map_or("", |(_, sources)| sources);
    let newest = sources.split_whitespace().filter_map(|path| changed(Path::new(path))).max();
    fresh(program, newest)
}

fn fresh(path: PathBuf, newest_source: Option<SystemTime>) -> PathBuf {
    let Some(built) = changed(&path) else {
        panic!("{} is missing: run `make test`", path.display())
    };
    let stale = newest_source.is_some_and(|newest| newest > built);
    assert!(!stale, "{} is older than its sources: run `make test`", path.display());
    path
}

fn newest_below(path: &Path) -> Option<SystemTime> {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().filter_map(|entry| newest_below(&entry.path())).max(),
        Err(_) => changed(path),
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[should_panic(expected = "is missing: run `make test`")]
    fn a_missing_file_fails_with_the_command_to_run() {
        fresh(root().join("target/no-such-thing"), None);
    }

    #[test]
    #[should_panic(expected = "is older than its sources: run `make test`")]
    fn a_stale_file_fails_with_the_command_to_run() {
        fresh(root().join("Cargo.toml"), Some(SystemTime::now() + Duration::from_secs(1)));
    }

    #[test]
    fn a_file_newer_than_its_sources_is_used() {
        let path = root().join("Cargo.toml");
        assert_eq!(fresh(path.clone(), Some(SystemTime::UNIX_EPOCH)), path);
    }
}
