//! Promise: the modules of the service depend on each other in one direction only.
//! Method: the layer list in the documentation of `src/lib.rs` is compared with all paths that begin
//! with `crate::` in the files of each module, tests excluded.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_module_is_in_the_layer_list_once() {
    let layers = layers();
    let top = |layer: &String| layer.split("::").next().unwrap_or_default().to_owned();
    let text = fs::read_to_string(src().join("lib.rs")).unwrap();
    let declared: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
        .map(|name| name.trim_end_matches(';').to_owned())
        .collect();
    assert_eq!(layers.iter().map(top).collect::<BTreeSet<_>>(), declared);
    assert_eq!(layers.iter().collect::<BTreeSet<_>>().len(), layers.len(), "one is listed twice");
}

#[test]
fn every_module_uses_only_lower_layers() {
    let layers = layers();
    let mut breaches = Vec::new();
    for (at, module) in layers.iter().enumerate() {
        for file in files(module) {
            let code = fs::read_to_string(&file).unwrap();
            let code = code.split("#[cfg(test)]").next().unwrap_or_default();
            for used in uses(code) {
                let is_within =
                    |layer: &String| used == *layer || used.starts_with(&format!("{layer}::"));
                let lower = layers.iter().position(is_within);
                if lower.is_none_or(|lower| lower < at) {
                    breaches.push(format!("{} uses {used}", file.display()));
                }
            }
        }
    }
    assert_eq!(breaches, [""; 0]);
}

#[test]
fn directories_hold_their_module_in_mod_rs() {
    let all = sources(&src());
    let beside: Vec<_> = all.iter().filter(|file| file.with_extension("").is_dir()).collect();
    assert!(beside.is_empty(), "move these to mod.rs: {beside:?}");
    let paths = all.iter().filter(|file| fs::read_to_string(file).unwrap().contains("#[path"));
    assert_eq!(paths.count(), 0, "no module needs #[path]");
}

/// The names in the layer list, top layer first.
fn layers() -> Vec<String> {
    let text = fs::read_to_string(src().join("lib.rs")).unwrap();
    let list = text.split("//! # Layers").nth(1).unwrap().split("//! # ").next().unwrap();
    list.lines()
        .filter_map(|line| line.split_once(". [`"))
        .filter_map(|(_, rest)| rest.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The paths after `crate::`. Documentation may link anywhere.
fn uses(code: &str) -> BTreeSet<String> {
    let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    assert!(!code.contains("crate::{"), "write one `use crate::` line for each module");
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let path = |rest: &str| rest.split(|c| !is_part(c)).next().unwrap_or_default().to_owned();
    code.split("crate::").skip(1).map(path).collect()
}

fn files(module: &str) -> Vec<PathBuf> {
    let path = src().join(module.replace("::", "/"));
    let file = path.with_extension("rs");
    let found = if file.exists() { vec![file] } else { sources(&path) };
    assert!(!found.is_empty(), "{module} has no file");
    found.into_iter().filter(|file| !file.ends_with("tests.rs")).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}
