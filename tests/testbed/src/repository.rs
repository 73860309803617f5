//! Which files does the repository ship, and what stands in them?
//!
//! For tests about the repository itself. Names are relative to its root.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::artifacts::{self, root};

/// The files of that extension, in order; what is built and what is hidden is not among them.
#[must_use]
pub fn files(extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    found.retain(|path| path.extension().is_some_and(|known| known == extension));
    let root = root();
    let names = found.iter().map(|path| path.strip_prefix(&root).expect("below the root"));
    let mut names: Vec<_> = names.map(|path| path.display().to_string()).collect();
    names.sort();
    names
}

/// The text of a file.
#[must_use]
#[track_caller]
pub fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The filter as `make wasm` builds it.
#[must_use]
#[track_caller]
pub fn module() -> Vec<u8> {
    fs::read(artifacts::filter("session_guard")).expect("the filter's module")
}

/// The documents of a YAML file.
#[must_use]
#[track_caller]
pub fn documents(name: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A YAML text that stands in another document.
#[must_use]
#[track_caller]
pub fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if path.is_file() {
        found.push(path.to_owned());
    } else if name != "target" && !name.starts_with('.') {
        let entries = fs::read_dir(path).expect("a folder of the repository");
        entries.flatten().for_each(|entry| collect(&entry.path(), found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_is_found_and_what_is_built_is_not() {
        assert!(files("yaml").contains(&"envoy/envoy.yaml".to_owned()));
        assert!(files("wasm").iter().all(|name| !name.starts_with("target/")));
        assert!(documents("envoy/envoy.yaml")[0]["static_resources"].is_object());
    }
}
