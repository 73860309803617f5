//! Promise: the modules of a crate depend on each other in one direction only.
//! Method: the tests compare the list of layers in the documentation of each `lib.rs` with all
//! paths that begin with `crate::`, and with each module's uses of its own submodules. Test code is
//! excluded.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 2] = ["core", "signout"];

#[test]
fn every_module_is_in_the_layer_list_once() {
    for name in CRATES {
        let layers = layers(name);
        let top = |layer: &String| layer.split("::").next().unwrap_or_default().to_owned();
        let declared: BTreeSet<_> = lib(name)
            .lines()
            .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod "))
            .map(|name| name.trim_end_matches(';').to_owned())
            .collect();
        assert_eq!(layers.iter().map(top).collect::<BTreeSet<_>>(), declared, "{name}");
        let unique = layers.iter().collect::<BTreeSet<_>>().len();
        assert_eq!(unique, layers.len(), "{name}: one is listed twice");
    }
}

#[test]
fn every_module_uses_only_lower_layers() {
    let mut breaches = Vec::new();
    for name in CRATES {
        let layers = layers(name);
        for (file, module) in modules(name) {
            let own = layer(&layers, &module);
            let code = fs::read_to_string(&file).unwrap();
            let code = code.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            for used in uses(code, &module) {
                let lower = layer(&layers, &used);
                if own.is_none() || lower.is_none() || lower < own {
                    breaches.push(format!("{} uses {used}", file.display()));
                }
            }
        }
    }
    assert_eq!(breaches, [""; 0]);
}

#[test]
fn directories_hold_their_module_in_mod_rs() {
    for name in CRATES {
        let all = sources(&src(name));
        let beside: Vec<_> = all.iter().filter(|file| file.with_extension("").is_dir()).collect();
        assert!(beside.is_empty(), "move these to mod.rs: {beside:?}");
        let paths = all.iter().filter(|file| fs::read_to_string(file).unwrap().contains("#[path"));
        let own: Vec<_> = paths.filter(|file| !file.ends_with("tests/mod.rs")).collect();
        assert!(own.is_empty(), "no module needs #[path]: {own:?}");
    }
}

/// Returns the names in the layer list, top layer first.
fn layers(name: &str) -> Vec<String> {
    let text = lib(name);
    let list = text.split("//! # Layers").nth(1).expect("a list of layers");
    list.split("//! # ")
        .next()
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(". "))
        .filter_map(|(_, rest)| rest.trim_start_matches('[').strip_prefix('`')?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Returns the layer of a path: the index of the longest name in the list that is a prefix of it.
fn layer(layers: &[String], path: &str) -> Option<usize> {
    let holds = |name: &String| path == name || path.starts_with(&format!("{name}::"));
    let found = layers.iter().enumerate().filter(|(_, name)| holds(name));
    found.max_by_key(|(_, name)| name.len()).map(|(at, _)| at)
}

/// Returns the paths after `crate::`, and the submodules that the code uses by their own name.
/// Ignores documentation, which may link to any module.
fn uses(code: &str, module: &str) -> BTreeSet<String> {
    let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let submodules = code.iter().filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
    let submodules: BTreeSet<_> = submodules.collect();
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let path = |rest: &str| {
        let path = rest.split(|c| !is_part(c)).next().unwrap_or_default();
        path.trim_end_matches(':').to_owned()
    };
    let own = code.iter().filter_map(|line| line.strip_prefix("use ").map(path));
    let own = own.filter(|used| submodules.contains(used.split("::").next().unwrap_or_default()));
    let own = own.map(|used| format!("{module}::{used}")).collect::<Vec<_>>();
    let text = code.join("\n");
    assert!(!text.contains("crate::{"), "write one `use crate::` line for each module");
    text.split("crate::").skip(1).map(path).chain(own).collect()
}

/// Returns every source file of a crate, except tests, with the path of its module.
fn modules(name: &str) -> Vec<(PathBuf, String)> {
    let src = src(name);
    let is_test = |path: &Path| {
        path.iter().any(|part| part == "tests")
            || path.ends_with("tests.rs")
            || path.ends_with("fixtures.rs")
            || path.ends_with("lib.rs")
            || path.ends_with("main.rs")
    };
    let module = |file: PathBuf| {
        let path = file.strip_prefix(&src).ok()?.with_extension("");
        let parts = path.iter().filter_map(|part| part.to_str()).filter(|part| *part != "mod");
        let module = parts.collect::<Vec<_>>().join("::");
        Some((file, module))
    };
    let files = sources(&src).into_iter();
    let files = files.filter(|file| !is_test(file.strip_prefix(&src).unwrap_or(file)));
    files.filter_map(module).collect()
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

fn lib(name: &str) -> String {
    fs::read_to_string(src(name).join("lib.rs")).unwrap()
}

fn src(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name).join("src")
}
